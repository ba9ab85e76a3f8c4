"""Records of `tf.train.Example`, as TensorFlow itself writes them."""

import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfxfer import data
from tfxfer.data import images, tf_examples, tfrecord_framing, tfrecords
from tfxfer.errors import DataError
from tfxfer.framing import Framing
from tfxfer.recipes import Data


def encoded(number: int) -> bytes:
    import io

    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def example(**features) -> bytes:
    """Returns a serialized example; `__` in a name stands for a slash."""
    import tensorflow as tf

    def feature(value):
        many = value if isinstance(value, list) else [value]
        if isinstance(many[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=many))
        if isinstance(many[0], float):
            return tf.train.Feature(float_list=tf.train.FloatList(value=many))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=many))

    named = {name.replace("__", "/"): feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=named)).SerializeToString()


def garden(number: int, label: int, text: str) -> bytes:
    return example(image__encoded=encoded(number), image__class__label=label, image__class__text=text.encode())


def write(path, records, compression=""):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for record in records:
            writer.write(record)
    return path


@pytest.fixture
def flowers(tmp_path):
    """Two files of ten records: roses have the label 2, asters the label 1."""
    for file in range(2):
        numbers = range(10 * file, 10 * file + 10)
        records = [garden(number, *((1, "aster") if number % 2 else (2, "rose"))) for number in numbers]
        write(tmp_path / f"flowers-{file:05}-of-00002", records)
    return tmp_path


def test_records_as_model_garden_has_them(flowers):
    found = tfrecords.find(str(flowers / "flowers-*"))
    assert found.source == f"tfrecord:{flowers}/flowers-*"
    assert found.class_names == ("aster", "rose")  # in the order of their numbers
    assert found.labels.tolist() == [1, 0] * 10
    assert found.splits is None
    assert found.notes == ()
    assert found.pictures.name(12) == "flowers-00001-of-00002, record 3"
    assert [found.pictures.content(index) for index in range(20)] == [encoded(index) for index in range(20)]
    assert images.decode(found.pictures.content(3)).shape == (6, 8, 3)


def test_opened_like_any_source(flowers):
    examples = data.open_data(Data(source=f"tfrecord:{flowers}/flowers-*"), seed=0)
    assert (examples.facts.examples, examples.facts.height, examples.facts.width) == (20, 6, 8)
    assert examples.pixels(4, Framing()).shape == (20, 4, 4, 3)


def test_tensorflow_is_not_loaded(flowers):
    code = (
        "import sys; from tfxfer import data, recipes; "
        f"data.open_data(recipes.Data(source='tfrecord:{flowers}/flowers-*'), seed=0); "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_numbers_alone_name_the_classes_wherever_they_begin(tmp_path):
    write(tmp_path / "a.tfrecord", [example(image=encoded(number), label=number % 2 + 1) for number in range(4)])
    found = tfrecords.find(str(tmp_path / "a.tfrecord"))
    assert (found.class_names, found.labels.tolist()) == (("1", "2"), [0, 1, 0, 1])
    assert found.notes == ("classes are called by their numbers, 1 to 2; no texts name them",)


def test_texts_alone_name_the_classes(tmp_path):
    write(
        tmp_path / "a.tfrecord",
        [example(image=encoded(number), label=name) for number, name in enumerate((b"b", b"a"))],
    )
    found = tfrecords.find(str(tmp_path / "a.tfrecord"))
    assert (found.class_names, found.labels.tolist()) == (("a", "b"), [1, 0])


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00001", "val-00000-of-00001", "test-00000-of-00001"),
        ("flowers-train.tfrecord-00000-of-00001", "flowers-validation.tfrecord", "flowers_test.tfrecord"),
        ("TRAIN.tfrecord", "valid.tfrecord", "testing.tfrecord"),
    ],
)
def test_names_of_files_may_say_the_splits(tmp_path, names):
    for number, name in enumerate(names):
        write(tmp_path / name, [garden(number, 1, "aster")])
    found = tfrecords.find(str(tmp_path / "*"))
    said = {found.pictures.name(index).partition(",")[0]: split for index, split in enumerate(found.splits.tolist())}
    assert said == {name: split for split, name in enumerate(names)}


def test_one_split_alone_is_split_here(tmp_path):
    write(tmp_path / "train-0", [garden(0, 1, "aster")])
    assert tfrecords.find(str(tmp_path / "*")).splits is None


def test_a_name_that_says_no_split_beside_others_that_do(tmp_path):
    for name in ("train-0", "test-0", "extra-0"):
        write(tmp_path / name, [garden(0, 1, "aster")])
    with pytest.raises(DataError, match=r"some names of files say a split, and extra-0 says none, or two\. Name each"):
        tfrecords.find(str(tmp_path / "*"))


def test_files_packed_by_gzip_are_copied_and_the_plan_says_so(flowers):
    for path in flowers.iterdir():
        path.write_bytes(gzip.compress(path.read_bytes()))
    packed = tfrecords.find(str(flowers / "flowers-*"))
    assert [packed.pictures.content(index) for index in range(20)] == [encoded(index) for index in range(20)]
    assert packed.pictures.name(12) == "flowers-00001-of-00002, record 3"
    (note,) = packed.notes
    assert note.startswith("files packed by GZIP have no random access: their pictures were copied for this run (")
    examples = data.open_data(Data(source=f"tfrecord:{flowers}/flowers-*"), seed=0)
    assert examples.facts.notes == (note,)


def framed(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return b"".join(
        [
            length,
            struct.pack("<I", tfrecord_framing.masked(length)),
            content,
            struct.pack("<I", tfrecord_framing.masked(content)),
        ]
    )


def test_the_framing_is_tensorflow_s(tmp_path):
    path = write(tmp_path / "a", [b"", b"one", bytes(range(256)) * 9])
    assert path.read_bytes() == b"".join(map(framed, (b"", b"one", bytes(range(256)) * 9)))
    assert list(tfrecord_framing.records(path)) == [(12, b""), (28, b"one"), (47, bytes(range(256)) * 9)]


def test_features_are_those_that_tensorflow_writes():
    record = example(a=[1, -2], b=[b"x", b""], c=[0.5])
    assert tf_examples.features(record) == {"a": [1, -2], "b": [b"x", b""], "c": [0.5]}


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda file: _flip(file, 50),
            r", record 1, byte 0: its checksum is wrong\. The file is damaged: get it",
        ),
        (lambda file: _flip(file, 3), r" is no TFRecord file: it does not begin with a length and its checksum"),
        (lambda file: file[:-1], r", record 2, byte \d+: the file ends within it\. It is truncated: get it again"),
        (lambda file: file[:-9], r", record 2, byte \d+: the file ends within it"),
        (lambda file: file + b"12345", r", record 3, byte \d+: the file ends within it"),
        (lambda file: file + bytes(16), r", record 3, byte \d+: the checksum of its length is wrong"),
        (lambda file: gzip.compress(file)[:-20], r" is truncated or damaged: it cannot be unpacked"),
        (lambda file: b"", r"tfrecord:.* has no records\."),
        (lambda file: b"<html>", r"record 1, byte 0: the file ends within it"),
        (lambda file: framed(b"\xff\xff"), r"a record that cannot be used:\n  a, record 1: it holds no tf.train"),
    ],
)
def test_damaged_files(tmp_path, damage, message):
    path = write(tmp_path / "a", [garden(0, 1, "aster"), garden(1, 2, "rose")])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        tfrecords.find(str(path))


def test_a_length_beyond_all_bounds_is_not_asked_for(tmp_path):
    length = struct.pack("<Q", 1 << 60)
    (tmp_path / "a").write_bytes(length + struct.pack("<I", tfrecord_framing.masked(length)))
    with pytest.raises(DataError, match=r"record 1, byte 0 has 1,152,921,504,606,846,976 bytes, and at most"):
        tfrecords.find(str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"label": 1}, "no encoded image in image/encoded or image or image_raw. Its features: 'label'"),
        ({}, "no encoded image in image/encoded or image or image_raw. It has no features"),
        ({"image": 3, "label": 1}, "no encoded image in image/encoded"),
        ({"image": b"x"}, "no class in image/class/label or label or image/class/text. Its features: 'image'"),
        ({"image": b"x", "label": 0.5}, "the label is 0.5, expected a class: a whole number or a text"),
        ({"image": b"x", "label": [1, 2]}, "label has 2 values, expected one"),
        ({"image": [b"x", b"y"], "label": 1}, "image has 2 values, expected one"),
        ({"image": b"x", "label": b"\xff"}, "the class b'\\xff' is no UTF-8"),
        ({"image": b"x", "label": b"a\0"}, "the class b'a\\x00' is no name"),
        ({"image": b"x", "label": b" "}, "the class b' ' is no name"),
    ],
)
def test_records_that_cannot_be_used_are_named(tmp_path, features, problem):
    path = write(tmp_path / "a", [garden(0, 1, "aster"), example(**features)])
    with pytest.raises(DataError) as caught:
        tfrecords.find(str(path))
    assert f"has a record that cannot be used:\n  a, record 2: {problem}" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ([(1, "aster"), (1, "rose")], "the label 1 has the texts 'aster' and 'rose'"),
        ([(1, "aster"), (2, "aster")], "'aster' has the labels 1 and 2"),
    ],
)
def test_numbers_and_texts_that_contradict_each_other(tmp_path, labels, problem):
    path = write(tmp_path / "a", [garden(number, *label) for number, label in enumerate(labels)])
    with pytest.raises(DataError, match=rf"{problem}\. Mend the records"):
        tfrecords.find(str(path))


def test_some_with_a_number_and_others_with_a_text(tmp_path):
    path = write(tmp_path / "a", [example(image=b"x", label=1), example(image=b"x", label=b"rose")])
    with pytest.raises(DataError, match="some records name their class and have no number, others the reverse"):
        tfrecords.find(str(path))


def test_what_matches_nothing_and_what_is_a_folder(tmp_path):
    with pytest.raises(DataError, match=r"nothing\* matches no file\. Write a path, or a pattern in quotes"):
        tfrecords.find(str(tmp_path / "nothing*"))
    with pytest.raises(DataError, match=r"is a folder\. Write tfrecord:.*/\* for the files in it"):
        tfrecords.find(str(tmp_path))


def test_a_file_that_changes_after_it_was_opened_makes_pictures_unreadable(flowers):
    from tfxfer.data.images import UnreadableImageError

    found = tfrecords.find(str(flowers / "flowers-*"))
    (flowers / "flowers-00000-of-00002").write_bytes(b"")
    with pytest.raises(UnreadableImageError, match="the file has become shorter since it was opened"):
        found.pictures.content(0)
    (flowers / "flowers-00000-of-00002").unlink()
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        found.pictures.content(0)


def test_without_room_for_a_copy_the_answer_is_where_to_put_it(flowers, monkeypatch):
    class Full:
        def write(self, _content):
            raise OSError(28, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", Full)
    path = flowers / "flowers-00000-of-00002"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(DataError, match=r"no room for a copy in .* \(No space left on device\)\. Set the variable TM"):
        tfrecords.find(str(path))


def test_numbers_are_read_as_they_are(tmp_path):
    values = [number + 0.25 for number in range(20)]
    write(tmp_path / "a", [example(image=encoded(number), label=value) for number, value in enumerate(values)])
    examples = data.open_data(Data(source=f"tfrecord:{tmp_path}/a", task="regression"), seed=0)
    assert examples.facts.class_names == ("target",)
    assert examples.labels[:, 0].tolist() == values
    with pytest.raises(DataError, match=r"the label is 0\.25, expected a class"):
        tfrecords.find(f"{tmp_path}/a")


def test_numbers_may_be_whole(flowers):
    write(flowers / "b", [example(image=encoded(number), label=number) for number in range(20)])
    examples = data.open_data(Data(source=f"tfrecord:{flowers}/b", task="regression"), seed=0)
    assert examples.labels[:, 0].tolist() == list(range(20))


def test_several_labels_are_refused_with_what_can_be_done(flowers):
    with pytest.raises(DataError, match=r"task=multi_label, and each record of tfrecord:.*--data=csv:.*--data=npz:"):
        data.open_data(Data(source=f"tfrecord:{flowers}/flowers-*", task="multi_label"), seed=0)
