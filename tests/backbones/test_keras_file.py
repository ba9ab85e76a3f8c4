"""The user's own Keras file as a backbone: cut where it should be, on the right pixels, and nothing run unasked."""

import contextlib
import io
import json
import os
import pathlib
import pickle
import subprocess
import sys
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import graph
from tfxfer.backbones import keras_file, model_files, model_scan
from tfxfer.backbones.source import Request
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import check_source

SIZE = 32
PIXELS = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
SOURCE = keras_file.SOURCE


def base(channels=3) -> keras.Model:
    """As small as a network in the manner of MobileNet can be."""
    layers = keras.layers
    pictures = keras.Input((SIZE, SIZE, channels))
    x = layers.Conv2D(6, 3, 2, "same", name="stem_conv")(pictures)
    x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Add(name="add")([x, keras.ops.relu(x)] if channels == 1 else [x, x])
    return keras.Model(pictures, layers.Conv2D(8, 1, 2, name="project")(x), name="base")


def classifier(*, front=(), channels=3, head="pool") -> keras.Model:
    """A base that is nested, between layers of the user's own."""
    layers = keras.layers
    keras.utils.set_random_seed(3)
    pictures = x = keras.Input((SIZE, SIZE, channels))
    for layer in front:
        x = layer(x)
    inner = base(channels)
    inner.trainable = False  # as it is often saved
    x = inner(x)
    x = layers.GlobalAveragePooling2D()(x) if head == "pool" else layers.Flatten(name="flatten")(x)
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Dropout(0.5)(x))
    model = keras.Model(pictures, layers.Dense(3, activation="softmax", name="classes")(x))
    for variable in model.variables:  # batch norm as it is after training: nothing at its first value
        if "moving" in variable.path or "gamma" in variable.path:
            variable.assign(np.random.default_rng(1).uniform(0.5, 2, variable.shape))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Files that several tests read. Do not write into it."""
    folder = tmp_path_factory.mktemp("files")
    classifier().save(folder / "plain.keras")
    classifier().save(folder / "plain.h5")
    classifier(front=[keras.layers.Rescaling(1 / 127.5, -1.0)]).save(folder / "rescaled.keras")
    classifier(channels=1, head="flatten").save(folder / "grey.keras")
    return folder


def build(name, image_size=SIZE, **asked) -> keras.Model:
    return SOURCE.build(Request(name=str(name), image_size=image_size, **asked))


def edited(source: pathlib.Path, target: pathlib.Path, change) -> pathlib.Path:
    """Writes `source` with its config changed in place by `change(layers)`, layers by name, nested ones included."""

    def walk(value, layers):
        if isinstance(value, dict):
            if "class_name" in value and isinstance(value.get("config"), dict):
                layers[value["config"].get("name")] = value
            for inner in value.values():
                walk(inner, layers)
        elif isinstance(value, list):
            for inner in value:
                walk(inner, layers)
        return layers

    if source.suffix == ".h5":
        target.write_bytes(source.read_bytes())
        with h5py.File(target, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(walk(config, {}))
            file.attrs["model_config"] = json.dumps(config)
        return target
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(walk(config, {}))
                content = json.dumps(config)
            new.writestr(name, content)
    return target


@pytest.mark.parametrize("file", ["plain.keras", "plain.h5"])
def test_the_features_are_those_of_the_nested_base(folder, file):
    model = build(f"{folder / file}#pixels=-1..1")
    whole = keras.models.load_model(folder / file, compile=False)
    expected = whole.get_layer("base").predict_on_batch(PIXELS / 127.5 - 1)
    np.testing.assert_allclose(model.predict_on_batch(PIXELS), expected, rtol=1e-5, atol=1e-5)
    assert model.input_shape == (None, SIZE, SIZE, 3)
    assert model.dtype == "float32"
    assert not graph.has_nested_models(model)
    assert all(layer.trainable for layer in model.layers)


@pytest.mark.parametrize("name", ["plain.keras#pixels=-1..1", "plain.h5#pixels=caffe", "rescaled.keras"])
def test_the_contract(folder, name):
    check_source(SOURCE, str(folder / name), weights="pretrained")


@pytest.mark.parametrize("name", ["#pixels=-1..1&at=stem_relu", "#stem_relu&pixels=-1..1"])
def test_cut_at_a_named_layer_of_the_nested_base(folder, name):
    model = build(f"{folder / 'plain.keras'}{name}")
    assert model.layers[-1].name == "stem_relu"
    assert model.output_shape == (None, 16, 16, 6)


def test_an_unknown_layer_is_named_with_the_nearest(folder):
    with pytest.raises(ConfigError, match=r"neither a layer group nor a layer.*Did you mean 'stem_relu'"):
        build(f"{folder / 'plain.keras'}#pixels=-1..1&at=stem_rellu")


def test_pixels_are_never_guessed(folder):
    with pytest.raises(ConfigError, match=r"does not tell which pixels.*-1\.\.1 \(x / 127\.5 − 1, RGB\).*#pixels="):
        SOURCE.card(str(folder / "plain.keras"))
    with pytest.raises(ConfigError, match=r"&pixels="):
        SOURCE.card(f"{folder / 'plain.keras'}#stem_relu")


@pytest.mark.parametrize(("convention", "mode"), [("-1..1", "tf"), ("caffe", "caffe"), ("imagenet", "torch")])
def test_conventions_are_those_of_keras_applications(folder, convention, mode):
    model = build(f"{folder / 'plain.keras'}#pixels={convention}")
    expected = keras.applications.imagenet_utils.preprocess_input(PIXELS.copy(), mode=mode, data_format="channels_last")
    seen = keras.Model(model.input, model.get_layer("pixel_convention").output).predict_on_batch(PIXELS)
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("convention", "expected"), [("0..1", PIXELS / 255), ("0..255", PIXELS)])
def test_conventions_of_plain_scales(folder, convention, expected):
    whole = keras.models.load_model(folder / "plain.keras", compile=False)
    features = build(f"{folder / 'plain.keras'}#pixels={convention}").predict_on_batch(PIXELS)
    np.testing.assert_allclose(features, whole.get_layer("base").predict_on_batch(expected), rtol=1e-4, atol=1e-4)


def test_a_rescaling_of_the_models_own_is_enough(folder):
    name = str(folder / "rescaled.keras")
    assert "its own Rescaling, x × 0.00784314 + -1" in SOURCE.card(name).pixels
    expected = keras.models.load_model(name, compile=False).get_layer("base").predict_on_batch(PIXELS / 127.5 - 1)
    np.testing.assert_allclose(build(name).predict_on_batch(PIXELS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "own"),
    [
        (keras.layers.Rescaling(255.0), False),  # its input lies on 0..1
        (keras.layers.Normalization(mean=[0.5, 0.5, 0.5], variance=[0.1, 0.1, 0.1]), False),
        (keras.layers.Normalization(mean=[123.0, 117.0, 104.0], variance=[3e3, 3e3, 3e3]), True),
        (keras.layers.Rescaling([1 / 58, 1 / 57, 1 / 57], offset=[-2.1, -2.0, -1.8]), True),
    ],
)
def test_which_first_layers_tell_the_pixels(tmp_path, layer, own):
    classifier(front=[keras.layers.RandomFlip(), layer]).save(tmp_path / "m.keras")
    assert bool(model_files.own_pixel_convention(model_files.read(tmp_path / "m.keras"))) is own


def test_wrong_fragments_say_what_to_write(folder):
    path = folder / "plain.keras"
    for fragment, message in {
        "#pixels=0-255": r"pixels='0-255' is no convention\. Did you mean '0\.\.255'",
        "#pixel=0..255": r"'pixel=0\.\.255' behind the #.*Did you mean 'pixels'",
        "#at=": "behind the #",
        "#at=a&at=b": "behind the #",
    }.items():
        with pytest.raises(ConfigError, match=message):
            SOURCE.card(f"{path}{fragment}")


def test_a_path_may_hold_the_sign_itself(folder, tmp_path):
    path = tmp_path / "run#3.keras"
    path.write_bytes((folder / "rescaled.keras").read_bytes())
    assert SOURCE.card(str(path)).native_size == SIZE
    assert SOURCE.card(f"{path}#pixels=0..1").pixels == "x / 255, RGB in [0, 1]"


def test_the_card_of_a_file_needs_no_keras(folder):
    program = (
        "import sys; from tfxfer.backbones.keras_file import SOURCE; "
        f"cards = [SOURCE.card('{folder}/plain' + end + '#pixels=caffe') for end in ('.keras', '.h5')]; "
        "assert not {'keras', 'tensorflow'} & set(sys.modules); print(*(card.native_size for card in cards))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == f"{SIZE} {SIZE}\n", done.stderr


def test_the_card_says_what_is_known(folder):
    card = SOURCE.card(f"{folder / 'plain.h5'}#pixels=caffe")
    assert (card.native_size, card.minimum_size, card.license, card.takes) == (SIZE, SIZE, "unknown", "images")
    assert card.pixels == "x − (103.939, 116.779, 123.68), BGR"
    assert card.origin == f"your file {folder / 'plain.h5'}"
    assert SOURCE.has_weights(f"{folder / 'plain.h5'}#pixels=caffe")
    assert not SOURCE.has_weights(str(folder / "gone.h5"))


def test_grey_networks_get_grey_from_rgb(folder):
    name = f"{folder / 'grey.keras'}#pixels=0..1"
    assert SOURCE.card(name).pixels.startswith("grey from RGB")
    grey = PIXELS @ np.array([0.2989, 0.587, 0.114], np.float32)
    whole = keras.models.load_model(folder / "grey.keras", compile=False)
    expected = whole.get_layer("base").predict_on_batch(grey[..., None] / 255)
    np.testing.assert_allclose(build(name).predict_on_batch(PIXELS), expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(ConfigError, match="grey pictures; pixels=caffe is for colours"):
        SOURCE.card(f"{folder / 'grey.keras'}#pixels=caffe")


def test_another_size_than_the_files(folder):
    name = f"{folder / 'plain.keras'}#pixels=0..1"
    small, native = build(name, 16), build(name)
    assert small.output_shape == (None, 4, 4, 8)
    # Away from the lower and right edges the same numbers must come out.
    inside = native.predict_on_batch(PIXELS)[:, :3, :3]
    np.testing.assert_allclose(small.predict_on_batch(PIXELS[:, :16, :16])[:, :3, :3], inside, rtol=1e-4, atol=1e-5)


def test_a_layer_of_one_size_is_named(folder):
    name = f"{folder / 'grey.keras'}#pixels=0..1"
    assert build(name, 64).output_shape == (None, 16, 16, 8)
    with pytest.raises(BackboneError, match=r"32×32 pixels and cannot work on 64×64: its layer 'hidden' \(Dense\)"):
        build(f"{name}&at=classes", 64)


@keras.saving.register_keras_serializable("somebody")
class Positions(keras.layers.Layer):
    """A layer of one size that says it takes any."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], name="table")

    def call(self, x):
        return x + self.table

    def compute_output_shape(self, shape):
        return shape


def test_a_layer_of_one_size_that_does_not_say_so_is_found_by_running_it(tmp_path):
    classifier(front=[Positions()]).save(tmp_path / "m.keras")
    with pytest.raises(BackboneError, match="32×32 pixels and cannot work on 48×48"):
        build(f"{tmp_path / 'm.keras'}#pixels=0..1", 48, allow_unsafe_model_code=True)


def test_a_size_that_leaves_nothing(tmp_path):
    stack = [keras.layers.Conv2D(2, 3, 2, name=f"conv{number}") for number in range(3)]
    keras.Sequential([keras.Input((None, None, 3)), *stack]).save(tmp_path / "m.keras")
    with pytest.raises(BackboneError, match=r"8×8 pixels: nothing is left for its layer 'conv2' \(Conv2D\)"):
        build(f"{tmp_path / 'm.keras'}#pixels=0..1", 8)


def test_a_network_of_any_size(tmp_path):
    keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)]).save(tmp_path / "any.keras")
    card = SOURCE.card(f"{tmp_path / 'any.keras'}#pixels=0..1")
    assert card.native_size == 224
    assert "any size" in card.origin
    assert build(f"{tmp_path / 'any.keras'}#pixels=0..1", 20).output_shape == (None, 18, 18, 4)


def test_a_network_that_takes_no_pictures(tmp_path):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    model.save(tmp_path / "table.keras")
    card = SOURCE.card(str(tmp_path / "table.keras"))
    assert (card.takes, card.native_size) == ("other", 0)
    assert build(tmp_path / "table.keras", 0).output_shape == (None, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 8, 8), "first axis looks like the channels"), ((8, 8, 5), "3 channels"), ((8, 6, 3), "6×8 pixels")],
)
def test_inputs_that_are_no_square_colour_pictures(tmp_path, shape, message):
    keras.Sequential([keras.Input(shape), keras.layers.Conv2D(2, 2)]).save(tmp_path / "odd.keras")
    with pytest.raises(BackboneError, match=message):
        SOURCE.card(f"{tmp_path / 'odd.keras'}#pixels=0..1")


def test_uint8_pixels_give_the_same_and_a_saved_backbone_comes_back(folder, tmp_path):
    model = build(f"{folder / 'plain.h5'}#pixels=caffe")
    features = model.predict_on_batch(PIXELS)
    np.testing.assert_array_equal(model.predict_on_batch(PIXELS.astype(np.uint8)), features)
    model.save(tmp_path / "backbone.keras")
    again = keras.models.load_model(tmp_path / "backbone.keras")
    np.testing.assert_array_equal(again.predict_on_batch(PIXELS), features)
    # As a file of one's own, too: the graph holds its convention, only not as a first Rescaling.
    once_more = build(f"{tmp_path / 'backbone.keras'}#pixels=0..255&at=project")
    np.testing.assert_array_equal(once_more.predict_on_batch(PIXELS), features)


def test_features_are_float32_whatever_the_file_was_saved_with(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        classifier().save(tmp_path / "mixed.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    assert build(f"{tmp_path / 'mixed.keras'}#pixels=-1..1").output.dtype == "float32"


def test_the_whole_network_with_its_own_head(folder):
    whole = SOURCE.classifier(Request(name=f"{folder / 'plain.keras'}#pixels=-1..1", image_size=SIZE))
    expected = keras.models.load_model(folder / "plain.keras", compile=False).predict_on_batch(PIXELS / 127.5 - 1)
    np.testing.assert_allclose(whole.predict_on_batch(PIXELS), expected, rtol=1e-4, atol=1e-6)


def test_one_step_moves_only_the_head(folder):
    model = tfxfer.swap_head(build(f"{folder / 'plain.keras'}#pixels=-1..1"), tfxfer.heads.Linear(outputs=3))
    tfxfer.freeze(model, train="head", batch_norm="frozen")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = {variable.path: variable.numpy() for variable in model.variables}
    model.fit(PIXELS, np.array([0, 2]), verbose=0)
    moved = {path for path, value in before.items() if not np.array_equal(value, variable_at(model, path))}
    assert moved == {"head_logits/kernel", "head_logits/bias"}


def variable_at(model, path):
    return next(variable for variable in model.variables if variable.path == path).numpy()


def test_random_weights_follow_the_global_seed(folder):
    name = f"{folder / 'plain.keras'}#pixels=-1..1"
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(tfxfer.backbones.weights_digest(build(name, weights="random").weights))
    assert drawn[0] == drawn[1] != drawn[2]
    assert tfxfer.backbones.weights_digest(build(name).weights) not in drawn


def test_random_weights_leave_the_pixels_as_they_are(tmp_path):
    scale = keras.layers.Normalization(name="scale")
    scale.adapt(PIXELS)
    classifier(front=[scale]).save(tmp_path / "m.keras")
    drawn = build(f"{tmp_path / 'm.keras'}#pixels=0..255", weights="random")
    seen = keras.Model(drawn.input, graph.feature_tensor(drawn, "scale")).predict_on_batch(PIXELS)
    np.testing.assert_allclose([seen.mean(), seen.std()], [0, 1], atol=1e-3)


@pytest.mark.parametrize("of", ["whole", "cut"])
def test_weights_of_a_file_beside_it(folder, tmp_path, of):
    keras.utils.set_random_seed(9)
    name = f"{folder / 'plain.keras'}#pixels=-1..1"
    other = classifier() if of == "whole" else build(name, weights="random")
    kernel = other.get_layer("base").get_layer("project") if of == "whole" else other.get_layer("project")
    kernel.set_weights([weight + 1 for weight in kernel.get_weights()])
    other.save_weights(tmp_path / "other.weights.h5")
    model = build(name, weights=str(tmp_path / "other.weights.h5"))
    np.testing.assert_array_equal(model.get_layer("project").get_weights()[0], kernel.get_weights()[0])


def test_weights_that_fit_nothing_and_weights_that_are_missing(folder, tmp_path):
    name = f"{folder / 'plain.keras'}#pixels=-1..1"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(BackboneError, match=r"do not fit file:.*plain\.keras"):
        build(name, weights=str(tmp_path / "other.weights.h5"))
    with zipfile.ZipFile(folder / "plain.keras") as old, zipfile.ZipFile(tmp_path / "less.keras", "w") as new:
        weights = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            del file["layers/functional/layers/depthwise_conv2d"]
        for member in ("config.json", "metadata.json"):
            new.writestr(member, old.read(member))
        new.writestr("model.weights.h5", weights.getvalue())
    with pytest.raises(BackboneError, match="cannot load"):
        build(f"{tmp_path / 'less.keras'}#pixels=-1..1")


def test_weights_that_keras_skips_with_a_warning_are_an_error(folder, monkeypatch):
    def load_weights(model, path, **options):
        warnings.warn(
            "Skipping nested container at 'layers/x': no matching group found in the saved file.", stacklevel=1
        )

    monkeypatch.setattr(keras.Model, "load_weights", load_weights)
    with pytest.raises(BackboneError, match=r"cannot load .*Skipping nested container"):
        build(f"{folder / 'plain.keras'}#pixels=-1..1")


def canary(x):
    pathlib.Path(os.environ["CANARY"]).touch()
    return x


@keras.saving.register_keras_serializable("somebody")
class Foreign(keras.layers.Layer):
    """A layer of a program's own, which must not be run because a file names it."""

    def call(self, x):
        return canary(x)


@pytest.fixture
def sung(tmp_path, monkeypatch) -> pathlib.Path:
    """The file that exists once code of a model file has run."""
    monkeypatch.setenv("CANARY", str(tmp_path / "sung"))
    return tmp_path / "sung"


# Bytecode carries no imports with it.
SONG = eval("lambda x: (__import__('pathlib').Path(__import__('os').environ['CANARY']).touch(), x)[1]")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: keras.layers.Lambda(SONG, name="song"), r"Lambda \(Python code\) in 'song'"),
        (lambda: Foreign(name="song"), r"the class somebody>Foreign in 'song'"),
    ],
)  # fmt: skip
def test_code_in_a_file_runs_only_by_consent(tmp_path, sung, suffix, layer, message):
    classifier(front=[layer()]).save(tmp_path / f"code{suffix}")
    name = f"{tmp_path / 'code'}{suffix}#pixels=-1..1"
    sung.unlink()
    assert SOURCE.card(name).native_size == SIZE
    with pytest.raises(BackboneError, match=rf"is refused.*{message}.*--allow_unsafe_model_code"):
        build(name)
    assert not sung.exists()
    build(name, allow_unsafe_model_code=True)
    assert sung.exists(), "the canary is dead: the test above proves nothing"


GADGETS = {
    "a SavedModel": {"class_name": "TFSMLayer", "module": "keras.layers", "config": {"filepath": "/tmp/x"}},
    "ours": {"class_name": "Dense", "module": "keras.layers", "config": {},
             "registered_name": "tfxfer>SavedModelLayer"},
    "a file of the machine": {"class_name": "StringLookup", "module": "keras.layers",
                              "config": {"vocabulary": "/etc/passwd"}},
    "a download": {"class_name": "function", "module": "keras.utils", "config": "get_file"},
    "a dotted name": {"class_name": "utils.get_file", "module": "keras", "config": {}},
    "a dotted name of layers": {"class_name": "x.y", "module": "keras.layers", "config": {}},
    "a module's neighbour": {"class_name": "Evil", "module": "keras.layersx", "config": {}},
    "another package": {"class_name": "Popen", "module": "subprocess", "config": {}},
    "a plain lambda": {"class_name": "__lambda__", "config": {"value": "x"}},
    "a type": {"class_name": "__typespec__", "module": "tensorflow", "config": []},
    "no name": {"class_name": ["Dense"], "config": {}},
    "an unknown class": {"class_name": "MyLayer", "config": {}},
    "another class under a known name": {"class_name": "Dense", "module": "keras.layers", "config": {},
                                         "registered_name": "somebody>Foreign"},
}  # fmt: skip


@pytest.mark.parametrize("gadget", GADGETS.values(), ids=GADGETS)
def test_configs_that_reach_beyond_keras_are_refused(folder, tmp_path, gadget):
    def change(layers):
        layers["project"]["config"]["kernel_initializer"] = gadget

    with pytest.raises(BackboneError, match=r"is refused: it has what runs.* in "):
        build(f"{edited(folder / 'plain.keras', tmp_path / 'bad.keras', change)}#pixels=-1..1")


def test_no_network_of_keras_is_taken_for_foreign_code(tmp_path):
    """The other side of the test above: the list of what may be named is long enough."""
    layers = keras.layers
    x = pictures = keras.Input((SIZE, SIZE, 3))
    x = layers.RandAugment()(layers.RandomRotation(0.1)(x))
    x = keras.ops.flip(x, axis=-1)[:, 1:, ...] * 2.0
    regular = {
        "kernel_regularizer": "l2",
        "kernel_constraint": keras.constraints.MaxNorm(1.0),
        "dtype": "mixed_bfloat16",
    }
    x = layers.Conv2D(4, 3, activation=keras.activations.gelu, kernel_initializer="he_normal", **regular)(x)
    x = layers.SpectralNormalization(layers.Conv2D(4, 3))(x)
    x = layers.TimeDistributed(layers.Dense(4, activation=keras.ops.silu))(x)
    inner = keras.Sequential([layers.Dense(3), layers.PReLU()])
    inner.compile("adam", "mse", metrics=["accuracy"])
    model = keras.Model(pictures, inner(layers.GlobalAveragePooling2D()(x)))
    model.save(tmp_path / "m.keras")
    assert model_scan.foreign_code(model_files.read(tmp_path / "m.keras").config) == ()
    keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3)).save(tmp_path / "v3.h5")
    assert model_scan.foreign_code(model_files.read(tmp_path / "v3.h5").config) == ()


def external_link(file, elsewhere):
    del file["model_weights"]
    file["model_weights"] = h5py.ExternalLink(elsewhere, "/model_weights")


def soft_link(file, elsewhere):
    file["model_weights/more"] = h5py.SoftLink("/model_weights")


def external_data(file, elsewhere):
    file.create_dataset("model_weights/x", (4,), "u1", external=[(elsewhere, 0, 4)])


def virtual_data(file, elsewhere):
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource(elsewhere, "x", (4,))
    file.create_virtual_dataset("model_weights/x", layout)


def giant(file, elsewhere):
    file.create_dataset("model_weights/x", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_link, "/model_weights is a link to elsewhere"),
        (soft_link, "/model_weights/more is a link"),
        (external_data, "/model_weights/x lie in another file"),
        (virtual_data, "/model_weights/x lie in another file"),
        (giant, "says that it has shape"),
    ],
)
def test_weights_that_point_elsewhere_or_fill_memory_are_refused(folder, tmp_path, change, message):
    path = tmp_path / "bad.h5"
    path.write_bytes((folder / "plain.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file, str(folder / "plain.h5"))
    with pytest.raises(BackboneError, match=rf"is refused.*{message}"):
        build(f"{path}#pixels=-1..1")
    # The same within a .keras, and as weights beside a file.
    with zipfile.ZipFile(folder / "plain.keras") as old, zipfile.ZipFile(tmp_path / "bad.keras", "w") as new:
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        new.writestr("model.weights.h5", path.read_bytes())
    with pytest.raises(BackboneError, match=rf"is refused.*{message}"):
        build(f"{tmp_path / 'bad.keras'}#pixels=-1..1")
    with pytest.raises(BackboneError, match=rf"is refused.*{message}"):
        build(f"{folder / 'plain.keras'}#pixels=-1..1", weights=str(path))


def test_a_group_within_itself_has_an_end(folder, tmp_path):
    path = tmp_path / "round.h5"
    path.write_bytes((folder / "plain.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        file["model_weights/again"] = file["model_weights"]
    model_scan.check_weights(model_files.read(path))


def test_a_hostile_zip_is_refused(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "up.keras", "w") as new:
        new.writestr("../config.json", "{}")
    with pytest.raises(BackboneError, match="leads out of the folder"):
        SOURCE.card(str(tmp_path / "up.keras"))
    for name, text, message in (
        ("large", b" " * (model_files.MOST_CONFIG_BYTES + 1), "config takes more than 16 MiB"),
        ("deep", b"[" * 100_000, "config that cannot be read"),
        ("list", b"[]", "config of type list"),
        ("odd", b'{"config": {"layers": [1]}}', "does not tell the shape"),
        ("string", b'{"config": {"layers": [{"config": {"batch_shape": "abcd"}}]}}', "does not tell the shape"),
    ):
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "w", zipfile.ZIP_DEFLATED) as new:
            for member, content in (("config.json", text), ("metadata.json", b"{}"), ("model.weights.h5", b"")):
                new.writestr(member, content)
        with pytest.raises(BackboneError, match=message):
            SOURCE.card(str(tmp_path / f"{name}.keras"))


@pytest.mark.parametrize("file", ["plain.keras", "plain.h5"])
@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_says_so(folder, tmp_path, file, part):
    content = (folder / file).read_bytes()
    (tmp_path / file).write_bytes(content[: int(part * len(content))])
    with pytest.raises(BackboneError, match=r"truncated|damaged|empty"):
        build(f"{tmp_path / file}#pixels=-1..1")


@pytest.mark.parametrize("file", ["plain.keras", "plain.h5"])
def test_flipped_bytes_are_no_bug_of_ours(folder, tmp_path, file):
    content = (folder / file).read_bytes()
    for position in np.random.default_rng(0).integers(0, len(content), 12):
        broken = bytearray(content)
        broken[position : position + 4] = b"\xff\xff\xff\xff"
        (tmp_path / file).write_bytes(broken)
        with contextlib.suppress(BackboneError):  # in the numbers of a weight nobody can tell
            build(f"{tmp_path / file}#pixels=-1..1")


def zipped(**members) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a model\n", r"begins with b'not a mo'"),
        (b"", "it is empty"),
        (pickle.dumps({"a": 1}), r"Write torch:<architecture>@"),
        (zipped(archive__data_dot_pkl="x"), r"Write torch:<architecture>@"),
        (zipped(model__saved_model_dot_pb="x"), r"hub:<folder>"),
        (zipped(readme="x"), "zip without config.json and metadata.json; it has readme"),
        (zipped(config_dot_json="{}", metadata_dot_json="{}"), "has no model.weights.h5"),
        (b"\x1c\0\0\0TFL3" + bytes(20), "TensorFlow Lite model, which cannot be trained"),
    ],
)
def test_other_files_are_told_apart(tmp_path, content, message):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=message):
        SOURCE.card(f"{path}#pixels=0..1")


def test_folders_and_missing_files(tmp_path):
    with pytest.raises(BackboneError, match=r"there is no file .*gone\.h5\. Write file:<path"):
        SOURCE.card(str(tmp_path / "gone.h5"))
    with pytest.raises(BackboneError, match="is a folder"):
        SOURCE.card(str(tmp_path))
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(BackboneError, match=rf"is a SavedModel.*Write hub:{tmp_path}"):
        SOURCE.card(str(tmp_path))


def test_weights_without_an_architecture(tmp_path):
    classifier().save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(BackboneError, match=r"weights and no architecture.*backbone=file:.*with weights="):
        SOURCE.card(str(tmp_path / "only.weights.h5"))


def written_by(path: pathlib.Path, version: str) -> str:
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = version
    return f"{path}#pixels=-1..1"


def test_a_file_of_keras_2_says_why_it_cannot_be_read_and_what_to_do(folder, tmp_path):
    path = edited(
        folder / "plain.h5", tmp_path / "old.h5", lambda layers: layers["depthwise"]["config"].update(groups=1)
    )
    expected = (
        r"Keras 3 cannot load .*: a DepthwiseConv2D has arguments that Keras 3 does not know, \{'groups': 1\}\. It was "
        r"written by Keras 2\.8\.0\. Convert it once .*tf_keras\.models\.load_model\('.*old\.h5', compile=False\)"
        r"\.save\('converted'\), and write hub:converted"
    )
    with pytest.raises(BackboneError, match=expected):
        build(written_by(path, "2.8.0"))


def test_operations_that_keras_2_recorded(folder, tmp_path):
    def change(layers):
        layers["add"].update(class_name="TFOpLambda", config={"name": "add", "function": "math.add"})

    path = edited(folder / "plain.h5", tmp_path / "old.h5", change)
    with pytest.raises(BackboneError, match=r"Keras 2 recorded TensorFlow operations in it: math\.add\. .*tf_keras"):
        build(written_by(path, "2.9.0"))


def test_operations_that_keras_3_writes_into_h5_and_cannot_read(tmp_path):
    """When this fails, Keras reads them: the message can go."""
    classifier(channels=1).save(tmp_path / "ops.h5")
    with pytest.raises(
        BackboneError, match=r"it has the operation Relu.*format \.keras alone.*Save it again as \.keras"
    ):
        build(f"{tmp_path / 'ops.h5'}#pixels=-1..1")


def test_hdf5_under_the_name_of_a_keras_file(folder, tmp_path):
    """TensorFlow up to 2.11 wrote that."""
    (tmp_path / "old.keras").write_bytes((folder / "plain.h5").read_bytes())
    assert build(f"{tmp_path / 'old.keras'}#pixels=-1..1").output_shape == (None, 8, 8, 8)


def test_several_inputs_are_too_many(tmp_path):
    inputs = [keras.Input((8, 8, 3), name=name) for name in ("left", "right")]
    keras.Model(inputs, keras.layers.Add()(inputs)).save(tmp_path / "two.keras")
    with pytest.raises(BackboneError, match="takes 2 inputs: left, right"):
        SOURCE.card(str(tmp_path / "two.keras"))


def test_outputs_and_arguments_are_not_taken_in_silence(folder):
    for asked in ({"output": "x"}, {"arguments": (("momentum", 0.9),)}):
        with pytest.raises(ConfigError, match="knows neither outputs nor arguments"):
            build(f"{folder / 'plain.keras'}#pixels=-1..1", **asked)
