"""Each format is written, and what is read back from the file answers like the network."""

import json
import os
import pathlib
import struct
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from backbones.hub import conftest as hub

from tfxfer.backbones.hub.layer import SavedModelLayer
from tfxfer.errors import ConfigError, FormatError
from tfxfer.export import formats
from tfxfer.export.formats import frozen, litert
from tfxfer.export.formats.quiet import quiet

SIZE = 16
NAMES = ("Äpfel, grün", "pears\nand\tquinces", "  plums ")
CLEAN = ["Äpfel, grün", "pears and quinces", "plums"]
PICTURES = np.random.default_rng(0).integers(0, 256, (37, SIZE, SIZE, 3), np.uint8)
# What 8 bits may differ in a probability of the tiny network: a softmax of logits near 0.
COARSE = 0.03


def network(seed: int = 0, middle=()) -> keras.Model:
    """Scaling, augmentation, convolutions with batch norm, dropout; logits that differ from picture to picture."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    x = layers.RandomFlip()(layers.RandomRotation(0.5)(x))
    x = layers.Conv2D(4, 3, 2, "same", name="stem")(x)
    x = layers.BatchNormalization(name="norm", moving_variance_initializer=keras.initializers.Constant(0.1))(x)
    x = layers.Activation("hard_swish")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="deep")(x)
    x = layers.Activation("swish")(x)
    for layer in middle:
        x = layer(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    return keras.Model(pixels, layers.Dense(3, name="head")(x), name="whole")


@pytest.fixture(scope="module")
def subject() -> formats.Subject:
    return formats.Subject(network(), NAMES, PICTURES)


@pytest.fixture(scope="module")
def expected(subject) -> np.ndarray:
    answers = tf.nn.softmax(subject.model(PICTURES.astype(np.float32), training=False)).numpy()
    assert answers.std(axis=0).min() > 0.03  # else a constant would pass below
    return answers


@pytest.fixture(scope="module")
def written(subject, tmp_path_factory) -> pathlib.Path:
    """A folder with a file in each format."""
    folder = tmp_path_factory.mktemp("formats")
    for name, each in formats.FORMATS.items():
        path = folder / each.file
        path.parent.mkdir(exist_ok=True)
        each.write(subject, path)
        assert path.is_file(), name
    return folder


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_file_answers_like_the_network(name, subject, expected, written):
    """37 pictures are a whole batch and a part of one; random augmentation or dropout would show at once."""
    each = formats.FORMATS[name]
    found = each.opened(written / each.file, subject)(PICTURES)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    difference = np.abs(found - expected).max()
    assert difference <= (each.limit or COARSE)
    if name == "litert_int8":
        assert difference > 0  # it is not the float file


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_file_of_other_weights_is_told_apart(name, subject, expected, tmp_path):
    """The canary of the test above: what is read is the file, not the network that is given along."""
    each, path = formats.FORMATS[name], tmp_path / "file"
    each.write(formats.Subject(network(seed=1), NAMES, PICTURES), path)
    assert np.abs(each.opened(path, subject)(PICTURES) - expected).max() > 2 * COARSE


@pytest.mark.parametrize("name", [name for name in formats.FORMATS if name != "safetensors"])
def test_a_file_with_another_number_of_classes_is_refused(name, subject, written):
    other = formats.Subject(subject.model, (*NAMES, "fourth"), PICTURES)
    with pytest.raises(FormatError, match="has 3 classes, expected are 4"):
        formats.FORMATS[name].opened(written / formats.FORMATS[name].file, other)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_writing_leaves_the_network_alone(name, subject, written, tmp_path):
    """And a second time makes the same bytes, but where the libraries number nodes, or order metadata, at random."""
    before = [variable.numpy() for variable in subject.model.variables]
    each = formats.FORMATS[name]
    each.write(subject, tmp_path / "again")
    if name.startswith("litert"):
        assert (tmp_path / "again").read_bytes() == (written / each.file).read_bytes()
    assert all(map(np.array_equal, before, [variable.numpy() for variable in subject.model.variables]))
    assert not any("call" in vars(layer) for layer in subject.model.layers)


def test_the_sizes_shrink_with_the_precision(tmp_path):
    subject = formats.Subject(network(middle=[keras.layers.Conv2D(256, 3)]), NAMES, PICTURES)
    sizes = {}
    for name in ("litert", "litert_float16", "litert_dynamic", "litert_int8"):
        formats.FORMATS[name].write(subject, tmp_path / name)
        sizes[name] = (tmp_path / name).stat().st_size
    assert sizes["litert_float16"] < 0.6 * sizes["litert"]
    assert sizes["litert_dynamic"] < 0.35 * sizes["litert"]
    assert sizes["litert_int8"] < 0.35 * sizes["litert"]


def mixer() -> keras.Model:
    """What ConvNeXt and transformers are made of; grouped convolutions are compiled by XLA in Keras."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    pixels = keras.Input((SIZE, SIZE, 3))
    x = layers.Normalization(mean=[120.0] * 3, variance=[3000.0] * 3)(pixels)
    x = layers.LayerNormalization()(layers.Conv2D(8, 2, 2)(x))
    x = layers.Conv2D(8, 3, groups=4, padding="same")(x)
    x = layers.Conv2D(8, 3, groups=8, padding="same", use_bias=False)(x)
    x = layers.Reshape((-1, 8))(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
    x = layers.Flatten()(layers.Dense(8, activation="gelu")(x))
    return keras.Model(pixels, layers.Dense(3)(x))


def of_saved_model(folder: pathlib.Path) -> keras.Model:
    """A backbone of TF Hub, which is one layer, under a head."""
    size = hub.SIZE
    pixels = keras.Input((size, size, 3))
    features = SavedModelLayer(hub.write_reusable(folder), name="hub")(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(3)(features))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mixer", "SavedModel"])
def test_networks_of_other_parts_in_every_format(kind, tmp_path):
    model = mixer() if kind == "mixer" else of_saved_model(tmp_path / "reusable")
    pictures = np.random.default_rng(0).integers(0, 256, (5, *model.input_shape[1:]), np.uint8)
    expected = tf.nn.softmax(model(pictures.astype(np.float32), training=False)).numpy()
    assert expected.std(axis=0).max() > 1e-3
    subject = formats.Subject(model, NAMES, pictures)
    for name, each in formats.FORMATS.items():
        each.write(subject, tmp_path / "file")
        difference = np.abs(each.opened(tmp_path / "file", subject)(pictures) - expected).max()
        assert difference <= (each.limit or COARSE), name


# What a LiteRT file tells


def interpreter(path: pathlib.Path):
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        return Interpreter(str(path))


@pytest.mark.parametrize("name", ["litert", "litert_float16", "litert_dynamic", "litert_int8"])
def test_the_signature_of_a_litert_file(name, written):
    found = interpreter(written / formats.FORMATS[name].file)
    assert found.get_signature_list() == {"serving_default": {"inputs": ["images"], "outputs": ["probabilities"]}}
    (given,), (answer,) = found.get_input_details(), found.get_output_details()
    numbers = np.uint8 if name == "litert_int8" else np.float32
    assert (given["dtype"], answer["dtype"]) == (numbers, numbers)
    assert list(given["shape"]) == [1, SIZE, SIZE, 3]
    assert list(given["shape_signature"]) == [-1, SIZE, SIZE, 3]
    if name == "litert_int8":
        assert answer["quantization"] == (1 / 256, 0)
        assert given["quantization"] == (pytest.approx(1 / 255, rel=1e-3), 0)


@pytest.mark.parametrize("name", ["litert", "litert_int8"])
def test_labels_and_metadata_of_a_litert_file(name, written):
    path = written / formats.FORMATS[name].file
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().split("\n") == [*CLEAN, ""]
    found = metadata(path)
    graph = found.tables(3)[0]
    image, scores = graph.tables(2)[0], graph.tables(3)[0]
    assert (found.text(7), image.text(0), scores.text(0)) == ("1.0.0", "images", "probabilities")
    content, unit = image.table(3), image.tables(4)[0]
    assert (content.byte(0), content.table(1).byte(0)) == (2, 1)  # ImageProperties, RGB
    assert [content.table(1).table(1).uint(place) for place in (0, 1)] == [SIZE, SIZE]
    assert (unit.byte(0), unit.table(1).floats(0), unit.table(1).floats(1)) == (1, [0.0], [255.0])
    assert image.table(5).floats(0) == [255.0 if name == "litert_int8" else 1.0]
    file = scores.tables(6)[0]
    assert (file.text(0), file.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


def test_the_buffers_of_a_litert_file_are_aligned(written):
    """Kernels may load 16 bytes at once; Python's generated code for the schema alone would not care."""
    from ai_edge_litert import schema_py_generated as schema

    content = (written / "litert/model.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    assert schema.Model.ModelBufferHasIdentifier(content, 0)
    buffers = [model.Buffers(number)._tab for number in range(model.BuffersLength())]
    starts = [buffer.Vector(buffer.Offset(4)) for buffer in buffers if buffer.Offset(4)]
    assert len(starts) >= 8
    assert [start % 16 for start in starts] == [0] * len(starts)


class Table:
    """A table of a flatbuffer, read by hand: flatbuffers.dev, "internals"."""

    def __init__(self, content: bytes, position: int):
        self.content, self.position = content, position

    def number(self, kind: str, position: int):
        return struct.unpack_from(f"<{kind}", self.content, position)[0]

    def _field(self, place: int) -> int:
        directory = self.position - self.number("i", self.position)
        assert 4 + 2 * place < self.number("H", directory), "no such field"
        offset = self.number("H", directory + 4 + 2 * place)
        assert offset, "an empty field"
        return self.position + offset

    def byte(self, place):
        return self.number("b", self._field(place))

    def uint(self, place):
        return self.number("I", self._field(place))

    def _target(self, place):
        return self._field(place) + self.uint(place)

    def table(self, place):
        return Table(self.content, self._target(place))

    def text(self, place):
        start = self._target(place)
        return self.content[start + 4 : start + 4 + self.number("I", start)].decode()

    def floats(self, place):
        start = self._target(place)
        return [self.number("f", start + 4 + 4 * k) for k in range(self.number("I", start))]

    def tables(self, place):
        start = self._target(place)
        entries = [start + 4 + 4 * k for k in range(self.number("I", start))]
        return [Table(self.content, entry + self.number("I", entry)) for entry in entries]


def metadata(path: pathlib.Path) -> Table:
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    return Table(content, struct.unpack_from("<I", content)[0])


# What an ONNX file and a safetensors file tell


def test_names_shapes_and_labels_of_an_onnx_file(written):
    import onnx

    model = onnx.load(written / "onnx/model.onnx")
    onnx.checker.check_model(model, full_check=True)
    (given,), (answer,) = model.graph.input, model.graph.output
    assert (given.name, answer.name) == ("images", "probabilities")
    sizes = [[side.dim_value for side in each.type.tensor_type.shape.dim] for each in (given, answer)]
    assert sizes == [[0, SIZE, SIZE, 3], [0, 3]]  # 0: any
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["class_names"]) == list(NAMES)


def test_the_weights_of_a_safetensors_file_by_name(subject, written):
    """Read by the library that others use."""
    import safetensors

    with safetensors.safe_open(written / "weights/model.safetensors", "numpy") as file:
        assert file.metadata()["format"] == "tfxfer"
        assert json.loads(file.metadata()["class_names"]) == list(NAMES)
        assert set(file.keys()) == {variable.path for variable in subject.model.weights}
        assert "norm/moving_variance" in file.keys()  # noqa: SIM118
        assert np.array_equal(file.get_tensor("stem/kernel"), subject.model.get_layer("stem").kernel.numpy())


def test_a_safetensors_file_of_another_network_is_refused(subject, tmp_path):
    other = formats.Subject(network(middle=[keras.layers.Conv2D(2, 1, name="extra")]), NAMES, PICTURES)
    formats.FORMATS["safetensors"].write(other, tmp_path / "file")
    with pytest.raises(FormatError, match="has other tensors than the network: extra/bias, extra/kernel"):
        formats.FORMATS["safetensors"].opened(tmp_path / "file", subject)


def test_weights_that_share_a_path_are_all_there(tmp_path):
    """Two networks within, with a layer of one name each, whose variables say one path."""
    keras.utils.set_random_seed(0)
    pixels, x = keras.Input((SIZE, SIZE, 3)), None
    for _ in range(2):
        inner = keras.Input((SIZE, SIZE, 3))
        within = keras.Model(inner, keras.layers.Conv2D(3, 3, padding="same", name="conv")(inner))
        x = within(pixels if x is None else x)
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x)))
    assert len({variable.path for variable in model.weights}) < len(model.weights)
    subject = formats.Subject(model, NAMES, PICTURES)
    each = formats.FORMATS["safetensors"]
    each.write(subject, tmp_path / "file")
    found = each.opened(tmp_path / "file", subject)(PICTURES)
    assert np.abs(found - tf.nn.softmax(model(PICTURES.astype(np.float32)), axis=1).numpy()).max() <= each.limit


# What cannot be written


class Odd(keras.layers.Layer):
    """Does what a test asks for."""

    def __init__(self, what, **settings):
        super().__init__(**settings)
        self.what = what

    def call(self, inputs):
        return self.what(inputs)


@pytest.mark.parametrize("name", ["litert", "litert_int8", "onnx"])
def test_ops_that_a_format_has_not_are_named_with_their_layers(name, tmp_path, capfd):
    """Both of them; `odd` is called twice, and `odd_1` has the name that Keras gives to the scope of a second call."""
    twice = Odd(tf.math.digamma, name="odd")
    middle = [twice, twice, Odd(tf.abs, name="odd_1"), Odd(tf.math.bessel_i0e, name="odd_2")]
    subject = formats.Subject(network(middle=middle), NAMES, PICTURES)
    with pytest.raises(FormatError) as caught:
        formats.FORMATS[name].write(subject, tmp_path / "file")
    message = str(caught.value)
    assert message.startswith(f"{name} cannot hold this network: layer 'odd' (Odd) (op Digamma), ")
    assert "layer 'odd_2' (Odd) (op BesselI0e) has no counterpart among the ops of " in message
    assert "odd_1" not in message
    assert f"Leave {name} out of the formats" in message
    assert not (tmp_path / "file").exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["litert", "onnx"])
def test_a_lookup_table_is_named_with_its_layer(name, tmp_path):
    table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([0], [1]), 0)
    layer = Odd(lambda x: x + tf.cast(table.lookup(tf.cast(x[..., :1], tf.int32)), tf.float32), name="looks_up")
    subject = formats.Subject(network(middle=[layer]), NAMES, PICTURES)
    with pytest.raises(FormatError, match=r"layer 'looks_up' \(Odd\) \(op LookupTableFindV2\) needs a table"):
        formats.FORMATS[name].write(subject, tmp_path / "file")


def test_an_op_outside_every_layer_is_the_models(subject):
    assert frozen.layers_of(subject.model, ["Softmax", "nowhere/at/all"]) == ["model 'whole'"] * 2


def test_int8_without_pictures_is_refused(subject, tmp_path):
    with pytest.raises(FormatError, match=r"none were given. Say where they are, with --data"):
        formats.FORMATS["litert_int8"].write(formats.Subject(subject.model, NAMES, PICTURES[:0]), tmp_path / "file")


def test_int8_looks_at_pictures_from_first_to_last(subject, tmp_path, monkeypatch):
    """Ranges come from a few of them, evenly chosen: black ones alone would make others saturate."""
    monkeypatch.setattr(litert.formats, "REPRESENTATIVE", 4)
    seen = []
    real = litert._fractions
    monkeypatch.setattr(litert, "_fractions", lambda pictures: seen.append(pictures) or real(pictures))
    formats.FORMATS["litert_int8"].write(subject, tmp_path / "file")
    assert {picture.tobytes() for picture in seen} == {PICTURES[[k]].tobytes() for k in (0, 12, 24, 36)}


# Packages


def test_a_missing_package_is_named_with_what_to_type(monkeypatch):
    formats.check_installed(formats.FORMATS)
    real = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ai_edge_litert" else real(name))
    with pytest.raises(ConfigError) as caught:
        formats.check_installed(["onnx", "litert", "litert_int8"])
    assert "ai-edge-litert (for litert, litert_int8)" in str(caught.value)
    assert str(caught.value).endswith("Type: pip install 'tfxfer[export]'")


def test_a_format_that_does_not_exist_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"format 'litert_in8' does not exist.*Did you mean 'litert_int8'\?"):
        formats.check_installed(["litert_in8"])


# Silence


def test_writing_and_reading_says_nothing(subject, tmp_path, capfd):
    for each in formats.FORMATS.values():
        each.write(subject, tmp_path / "file")
        each.opened(tmp_path / "file", subject)(PICTURES)
    assert capfd.readouterr() == ("", "")


def test_what_is_written_meanwhile_is_kept_for_an_error(capfd):
    def fail():
        os.write(1, b"one\n")
        os.write(2, b"two\n")
        warnings.warn("three", stacklevel=1)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong") as caught, quiet():
        fail()
    os.write(1, b"afterwards\n")
    assert capfd.readouterr() == ("afterwards\n", "")
    assert caught.value.__notes__ == ["Meanwhile was written:\none\ntwo\nthree"]
