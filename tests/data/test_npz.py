"""Arrays in files of `numpy.savez`: one set or ready splits, and what is damaged or hostile."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from tfxfer import data
from tfxfer.data import npz
from tfxfer.errors import DataError
from tfxfer.recipes import Data
from tfxfer.tasks import Task

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1] * 10)
DAMAGED = r"is truncated, damaged or no file of numpy\.savez"


@pytest.fixture
def save(tmp_path):
    """Writes a file: `save(x=…, y=…)`, compressed or not."""

    def write(is_compressed=False, **arrays):
        (np.savez_compressed if is_compressed else np.savez)(tmp_path / "a.npz", **arrays)
        return str(tmp_path / "a.npz")

    return write


@pytest.mark.parametrize("is_compressed", [False, True])
def test_pictures_and_labels(save, is_compressed):
    file = save(is_compressed, x=PICTURES, y=LABELS)
    found = npz.find(file)
    assert (found.source, found.class_names, found.splits) == (f"npz:{file}", ("0", "1"), None)
    assert found.labels.tolist() == LABELS.tolist()
    assert all(np.array_equal(found.pictures.pixels[index], PICTURES[index]) for index in range(20))
    examples = data.open_data(Data(source=f"npz:{file}"), seed=0)
    assert (examples.facts.examples, examples.facts.height, examples.facts.width) == (20, 4, 5)


def test_what_is_not_compressed_stays_in_the_file(save):
    found = npz.find(save(x=PICTURES, y=LABELS))
    picture = found.pictures.pixels[0]
    while isinstance(picture, np.ndarray) and not isinstance(picture, np.memmap):
        picture = picture.base
    assert isinstance(picture, np.memmap)


def test_the_order_of_fortran_is_kept(save):
    found = npz.find(save(x=np.asfortranarray(PICTURES), y=LABELS))
    assert np.array_equal(found.pictures.pixels[7], PICTURES[7])
    found = npz.find(save(True, x=np.asfortranarray(PICTURES), y=LABELS))
    assert np.array_equal(found.pictures.pixels[7], PICTURES[7])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("x_train", "y_train", "x_test", "y_test"), [0] * 14 + [2] * 6),  # Keras
        (("train_images", "train_labels", "val_images", "val_labels"), [0] * 14 + [1] * 6),  # MedMNIST
        (("x_train", "y_train", "x_val", "y_val"), [0] * 14 + [1] * 6),
        (("images_train", "labels_train", "images_testing", "labels_testing"), [0] * 14 + [2] * 6),
    ],
)
def test_ready_splits(save, names, expected):
    values = (PICTURES[:14], LABELS[:14, None], PICTURES[14:], LABELS[14:, None])
    found = npz.find(save(**dict(zip(names, values, strict=True))))
    assert found.splits.tolist() == expected
    assert found.labels.tolist() == LABELS.tolist()


def test_one_split_alone_is_split_here(save):
    assert npz.find(save(x_train=PICTURES, y_train=LABELS)).splits is None


def test_grey_fractions_of_bytes_and_texts(save):
    found = npz.find(save(images=PICTURES[..., 0].astype(np.float32), labels=np.array(["b", "a"] * 10)))
    assert found.class_names == ("a", "b")
    assert found.labels.tolist() == [1, 0] * 10
    assert np.array_equal(found.pictures.pixels[3], np.repeat(PICTURES[3, ..., :1], 3, axis=-1))


def test_names_of_classes(save):
    found = npz.find(save(x=PICTURES, y=LABELS, class_names=np.array(["cat", "dog"])))
    assert found.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": LABELS}, r"a\.npz has no arrays x and y, images and labels, or x_train .*It has: 'a'\."),
        ({"x": PICTURES}, r"a\.npz has 'x' without 'y', its labels\. It has: 'x'\."),
        ({"x_train": PICTURES, "y_train": LABELS, "x_test": PICTURES}, r"has 'x_test' without 'y_test', its labels"),
        ({"x": PICTURES, "y": LABELS, "images": PICTURES, "labels": LABELS}, r"has 'x' and 'images', which mean the"),
        ({"x": PICTURES, "y": LABELS, "x_test": PICTURES, "y_test": LABELS}, r"has 'x' and splits beside it"),
        ({"x": PICTURES, "y": LABELS[:3]}, r"x has shape \[20, 4, 5, 3\] and y \[3\], expected \[examples, height"),
        ({"x": PICTURES.reshape(20, -1), "y": LABELS}, r"x has shape \[20, 60\] and y \[20\], expected"),
        ({"x": PICTURES / 255, "y": LABELS}, r"a\.npz: pixels lie between .* they look like fractions"),
        ({"x": PICTURES, "y": LABELS + 0.5}, r"a\.npz: labels are fractions such as 0\.5"),
        ({"x": PICTURES, "y": np.eye(2)[LABELS]}, r"One-hot labels become numbers by labels\.argmax"),
        ({"x": PICTURES, "y": np.zeros(20, "datetime64[s]")}, r"'y' holds datetime64\[s\], expected numbers or texts"),
        (
            {"x_train": PICTURES, "y_train": LABELS, "x_test": PICTURES, "y_test": LABELS.astype(str)},
            r"labels are numbers in one split and texts in another",
        ),
        ({"x": PICTURES[:0], "y": LABELS[:0]}, r"a\.npz: there are no examples"),
    ],
)
def test_arrays_that_are_no_labelled_pictures(save, arrays, message):
    with pytest.raises(DataError, match=message):
        npz.find(save(**arrays))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PICTURES, "y": np.array(1)}, r"y \[\], expected \[examples, height, width, 3\] and \[examples\]"),
        ({"x": PICTURES, "y": LABELS + 2**32}, r"a\.npz: labels go up to 4,294,967,297, .* at most 1,000,000 can be"),
        ({"x": PICTURES, "y": LABELS * 2 * 10**8}, r"a\.npz: labels go up to 200,000,000"),
        ({"x": PICTURES, "y": LABELS, "class_names": np.array(["a", "a"])}, r"class_names has 'a' twice"),
        ({"x": PICTURES, "y": LABELS, "class_names": np.array(["a", ""])}, r"the class '' is no name"),
        ({"x": PICTURES, "y": LABELS, "class_names": np.array([b"a", b"\xff"])}, r"is no UTF-8"),
    ],
)
def test_labels_and_names_that_cannot_be(save, arrays, message):
    with pytest.raises(DataError, match=message):
        npz.find(save(**arrays))


def test_names_of_classes_as_bytes(save):
    assert npz.find(save(x=PICTURES, y=LABELS, class_names=np.array([b"cat", b"dog"]))).class_names == ("cat", "dog")


def opened(file, task, **more):
    return data.open_data(Data(source=f"npz:{file}", task=task, **more), seed=0)


def test_labels_of_other_tasks(save):
    values = RNG.normal(size=20).astype(np.float32)
    for y in (values, values[:, None]):
        examples = opened(save(x=PICTURES, y=y), "regression")
        assert examples.facts.class_names == ("target",)
        assert examples.labels.tolist() == values[:, None].tolist()
    two = np.stack([values, values**2], axis=1)
    examples = opened(save(x=PICTURES, y=two, class_names=np.array(["p", "q"])), "regression")
    assert (examples.facts.class_names, examples.labels.tolist()) == (("p", "q"), two.tolist())
    tags = np.stack([LABELS, np.arange(20) % 3 > 0], axis=1)
    examples = opened(save(x=PICTURES, y=tags, class_names=np.array(["p", "q"])), "multi_label")
    assert (examples.facts.class_names, examples.labels.tolist()) == (("p", "q"), tags.tolist())
    one = opened(save(x=PICTURES, y=tags[:, :1]), "multi_label")
    assert one.labels.tolist() == tags[:, :1].tolist()
    assert opened(save(x=PICTURES, y=LABELS), "ordinal").labels.tolist() == LABELS.tolist()
    with pytest.raises(DataError, match=r"task=multi_label, and labels have shape \(20,\).* expected 0 and 1 as"):
        opened(save(x=PICTURES, y=LABELS), "multi_label")


def test_numbers_may_be_what_classes_are_called(save):
    expected = [[(10.5, 20.5)[label]] for label in LABELS]
    names = np.array(["10.5", "20.5"])
    assert opened(save(x=PICTURES, y=LABELS, class_names=names), "regression").labels.tolist() == expected
    assert opened(save(x=PICTURES, y=names[LABELS]), "regression").labels.tolist() == expected


def test_a_network_of_numbers_is_measured_on_a_file(save):
    task = Task(kind="regression", means=(0.0,), deviations=(1.0,))
    recipe = Data(source=f"npz:{save(x=PICTURES, y=LABELS + 0.5)}", task="regression")
    assert data.open_labelled(recipe, ("age",), task).labels.tolist() == (LABELS + 0.5)[:, None].tolist()


class Bait:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_nothing_is_unpickled(save):
    file = save(x=np.array([Bait(), Bait()], dtype=object), y=LABELS[:2])
    with pytest.raises(SystemExit):  # the trap works
        np.load(file, allow_pickle=True)["x"]
    with pytest.raises(DataError, match=r"a\.npz is refused: 'x' holds Python objects, and unpickling them would run"):
        npz.find(file)


def array_bytes(array) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array)
    return stream.getvalue()


def zipped(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return str(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("x.npy", b"no array"), ("y.npy", array_bytes(LABELS))], r"'x' is no array \("),
        ([("x.npy", pickle.dumps(1))], r"'x' is no array \("),
        (
            [("x.npy", array_bytes(PICTURES)[:-1]), ("y.npy", array_bytes(LABELS))],
            r"'x' says that it has 1,200 bytes, and",
        ),
        ([("x.npy", array_bytes(PICTURES) + b"!"), ("y.npy", array_bytes(LABELS))], r"damaged or hostile: 'x' says"),
        ([("x.npy", array_bytes(PICTURES))] * 2, r"is refused: it has two arrays called 'x'"),
        (
            [
                ("x.npy", array_bytes(PICTURES).replace(b"(20, 4, 5, 3)", b"(10**9, 4, 5)")),
                ("y.npy", array_bytes(LABELS)),
            ],
            r"'x' is no array \(",
        ),
        (
            [
                ("x.npy", array_bytes(PICTURES).replace(b"(20, 4, 5, 3)", b"(99999, 4, 5)")),
                ("y.npy", array_bytes(LABELS)),
            ],
            r"'x' says that it has 1,999,980 bytes, and the file 1,200",
        ),
        ([("readme.txt", b"hello")], r"has no arrays x and y.*It has no arrays"),
    ],
)
def test_files_that_lie_about_themselves(tmp_path, members, message):
    with pytest.raises(DataError, match=message):
        npz.find(zipped(tmp_path / "a.npz", members))


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    file = zipped(
        tmp_path / "a.npz",
        [("x.npy", array_bytes(np.zeros((500, 64, 64, 3), np.uint8))), ("y.npy", array_bytes(np.zeros(500, np.int64)))],
    )
    monkeypatch.setattr(npz, "MOST_BYTES", 6_000_000)
    monkeypatch.setattr(npz, "_read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(DataError, match=r"its compressed arrays unpack to 6,148,000 bytes, and at most 6,000,000 are"):
        npz.find(file)


def test_a_zip_that_says_less_than_it_unpacks_to_gives_no_more_than_it_says(tmp_path):
    content = array_bytes(np.zeros((4, 8, 8, 3), np.uint8))
    file = zipped(tmp_path / "a.npz", [("x.npy", content + bytes(10_000_000)), ("y.npy", array_bytes(LABELS[:4]))])
    raw = (tmp_path / "a.npz").read_bytes()
    says, less = (len(content) + 10_000_000).to_bytes(4, "little"), len(content).to_bytes(4, "little")
    assert raw.count(says) == 2
    (tmp_path / "a.npz").write_bytes(raw.replace(says, less))
    with pytest.raises(DataError, match=DAMAGED):
        npz.find(file)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_bit_that_turned_is_found_by_the_checksum(save, tmp_path, is_compressed):
    file = save(is_compressed, x=PICTURES, y=LABELS)
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[600] ^= 1
    (tmp_path / "a.npz").write_bytes(raw)
    with pytest.raises(DataError, match=DAMAGED):
        npz.find(file)


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_what_is_no_zip(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=DAMAGED):
        npz.find(str(tmp_path / "a.npz"))


def test_a_truncated_file(save, tmp_path):
    file = save(x=PICTURES, y=LABELS)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match=DAMAGED):
        npz.find(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"a\.npz cannot be read \(No such file or directory\)"):
        npz.find(str(tmp_path / "a.npz"))
