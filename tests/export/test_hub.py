"""Exported SavedModels do what TF Hub asks of reusable ones, for all who read them, and are backbones again."""

import base64
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tfxfer
from tfxfer import archives, export
from tfxfer.data import images
from tfxfer.errors import ConfigError, VerificationError, WorkdirError
from tfxfer.export import core, saved_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("ash", "birke, weiß", "caf\u00e9 \u0085 oak")
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)
FRACTIONS = PIXELS.astype(np.float32) / 255


@pytest.fixture(scope="module")
def network():
    """With all that must not be in a graph for inference, and what only training sees."""
    layers = keras.layers
    keras.utils.set_random_seed(1)
    x = pixels = keras.Input((24, 24, 3))
    x = layers.RandomFlip()(x)
    x = layers.GaussianNoise(0.5)(layers.Rescaling(1 / 127.5, -1)(x))
    x = layers.Conv2D(8, 3, 2, kernel_regularizer=keras.regularizers.L2(0.1), name="conv")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, layers.Dense(3)(x))
    model.get_layer("conv").trainable = False
    return model


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    place = tmp_path_factory.mktemp("hub") / "1"
    tfxfer.export_hub(network, place, class_names=NAMES)
    return place


@pytest.fixture(scope="module")
def features(trained):
    """The feature vector of a run, and what it must answer."""
    model = export.open_bundle(trained / "bundle").model
    return trained / "bundle" / "feature_vector" / "1", feature_vector_of(model)


def feature_vector_of(model):
    return np.asarray(core.feature_vector_of(model)(PIXELS.astype(np.float32)))


def test_it_is_callable_with_and_without_training(network, folder):
    loaded = tf.saved_model.load(str(folder))
    expected = network(PIXELS.astype(np.float32), training=False)
    np.testing.assert_allclose(loaded(FRACTIONS), expected, atol=1e-5)
    np.testing.assert_array_equal(loaded(FRACTIONS), loaded(FRACTIONS, training=False))
    assert not np.array_equal(loaded(FRACTIONS, training=True), loaded(FRACTIONS, training=True))


def test_what_is_frozen_here_trains_there(network, folder):
    loaded = tf.saved_model.load(str(folder))
    assert not network.get_layer("conv").trainable
    assert len(network.trainable_variables) == 4
    assert len(loaded.trainable_variables) == 6
    assert len(loaded.variables) == len(network.variables)
    assert all(variable.trainable for variable in loaded.trainable_variables)


def test_statistics_of_batch_norm_move_while_training_and_stand_still_otherwise(folder):
    loaded = tf.saved_model.load(str(folder))
    moving = [v for v in loaded.variables if "moving_mean" in v.name]
    before = [v.numpy() for v in moving]
    loaded(FRACTIONS)
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, moving, strict=True))
    loaded(FRACTIONS, training=True)
    assert moving
    assert not any(np.array_equal(a, b.numpy()) for a, b in zip(before, moving, strict=True))


def test_regularisers_come_along(network, folder):
    loaded = tf.saved_model.load(str(folder))  # which holds the variables
    kernel = network.get_layer("conv").kernel
    assert [float(loss()) for loss in loaded.regularization_losses] == pytest.approx(
        [0.1 * float(tf.reduce_sum(kernel**2))]
    )


@pytest.mark.parametrize("divide", [lambda x: x / np.float32(255), lambda x: x * np.float32(1 / 255)])
def test_fractions_of_bytes_are_bytes_again_however_they_were_divided(divide):
    every = np.arange(256, dtype=np.float32)
    np.testing.assert_array_equal(saved_model._on_bytes(tf.constant(divide(every))), every)


def test_other_fractions_stay_what_they_are_and_gradients_pass():
    fractions = tf.constant([0.1, 0.5, 0.7001])
    with tf.GradientTape() as tape:
        tape.watch(fractions)
        pixels = saved_model._on_bytes(fractions)
    np.testing.assert_array_equal(pixels, fractions * 255.0)
    np.testing.assert_array_equal(tape.gradient(pixels, fractions), [255.0] * 3)


def encoded(pixels, form="PNG"):
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def test_every_signature_gives_the_same_and_names_the_best_classes(folder):
    signatures = tf.saved_model.load(str(folder)).signatures
    fractions = signatures["serving_default"](images=tf.constant(FRACTIONS))
    whole = signatures["serve_uint8"](images=tf.constant(PIXELS))
    files = signatures["serve_bytes"](image_bytes=tf.constant([encoded(pixels) for pixels in PIXELS]))
    assert fractions.keys() == whole.keys() == files.keys() == {"logits", "probabilities", "class_ids", "labels"}
    np.testing.assert_array_equal(whole["logits"], files["logits"])
    np.testing.assert_array_equal(whole["logits"], fractions["logits"])
    np.testing.assert_allclose(fractions["probabilities"], tf.nn.softmax(fractions["logits"]), atol=1e-6)
    order = np.argsort(-fractions["logits"].numpy(), axis=1)
    np.testing.assert_array_equal(fractions["class_ids"], order)
    assert [[name.decode() for name in row] for row in fractions["labels"].numpy()] == [
        [NAMES[index] for index in row] for row in order
    ]


def test_labels_are_an_asset_with_one_line_each(folder):
    loaded = tf.saved_model.load(str(folder))
    assert tuple(name.decode() for name in loaded.class_names.numpy()) == NAMES
    with open(loaded.labels.asset_path.numpy().decode(), encoding="utf-8") as file:
        assert file.read().split("\n") == ["ash", "birke, weiß", "café oak", ""]


def test_what_tensorflow_serving_is_sent_is_answered(trained, tmp_path):
    """The body of README's REST predict call, decoded as Serving does: a value {"b64": …} is bytes."""
    photo = encoded(np.full((50, 60, 3), (250, 5, 5), np.uint8), "JPEG")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^\(echo .* > body\.json$", readme, re.MULTILINE)
    (tmp_path / "picture.jpg").write_bytes(photo)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert "curl -d @body.json localhost:8501/v1/models/photos:predict" in readme
    sent = json.loads((tmp_path / "body.json").read_text())
    contents = [base64.b64decode(instance["b64"]) for instance in sent["instances"]]
    loaded = tf.saved_model.load(str(trained / "bundle" / "saved_model" / "1"))
    answer = loaded.signatures[sent["signature_name"]](image_bytes=tf.constant(contents))
    assert answer["labels"][0, 0].numpy() == b"red"
    opened = export.open_bundle(trained / "bundle")
    pixels = images.render(photo, 24, opened.framing)
    np.testing.assert_allclose(answer["logits"], opened.model(pixels[None].astype(np.float32)), atol=1e-5)


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated", "ignore:The name tf.")
def test_keras_2_with_the_layer_of_tf_hub_trains_all_of_it(features):
    import tensorflow_hub as hub
    import tf_keras

    folder, expected = features
    layer = hub.KerasLayer(str(folder), trainable=True)
    model = tf_keras.Sequential([layer, tf_keras.layers.Dense(2)])
    np.testing.assert_allclose(layer(FRACTIONS), expected, atol=1e-5)
    labels = np.array([0, 1, 0, 1, 1])
    model.compile(
        tf_keras.optimizers.legacy.SGD(0.05, momentum=0.9),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    before = [variable.numpy() for variable in layer.variables]
    losses = model.fit(FRACTIONS, labels, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    still = [v.name for v, old in zip(layer.variables, before, strict=True) if np.array_equal(v.numpy(), old)]
    assert not still


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated", "ignore:The name tf.")
def test_keras_2_sees_the_regularisers(folder):
    import tensorflow_hub as hub

    layer = hub.KerasLayer(str(folder), trainable=True)
    layer(FRACTIONS)
    assert len(layer.losses) == 1
    assert float(layer.losses[0]) > 0


def test_keras_3_calls_it(network, folder):
    layer = keras.layers.TFSMLayer(str(folder), call_endpoint="serving_default")
    expected = network(PIXELS.astype(np.float32), training=False)
    np.testing.assert_allclose(layer(FRACTIONS)["logits"], expected, atol=1e-5)


@pytest.mark.slow
def test_it_is_a_backbone_down_the_generations(features, colours, tmp_path):
    handle, expected = f"hub:{features[0]}", features[1]
    backbone = tfxfer.load_backbone(handle, image_size=24)
    np.testing.assert_allclose(backbone.model(PIXELS.astype(np.float32)), expected, rtol=0, atol=1e-6)
    for generation in range(2):
        stage = tfxfer.Stage(train="all", steps=6, learning_rate=0.1, head_to_body=1.0)
        recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone=handle, stages=(stage,), batch_size=8)
        report = tfxfer.run(recipe, workdir=tmp_path / str(generation), show=lambda line: None)
        assert not report.left_out
        bundle = tmp_path / str(generation) / "bundle"
        vector = feature_vector_of(export.open_bundle(bundle).model)
        assert np.abs(vector - expected).max() > 1e-3  # it has learned
        handle, expected = f"hub:{bundle}/feature_vector/1", vector
        again = tfxfer.load_backbone(handle, image_size=24)
        np.testing.assert_allclose(again.model(PIXELS.astype(np.float32)), expected, rtol=0, atol=1e-6)


def test_the_archive_has_its_files_at_the_root_and_says_nothing_of_this_machine(network, tmp_path):
    for name in ("one", "two"):
        tfxfer.export_hub(network, tmp_path / name, outputs="features", archive=tmp_path / f"{name}.tar.gz")
    with tarfile.open(tmp_path / "one.tar.gz") as tar:
        members = tar.getmembers()
    assert {"saved_model.pb", "variables", "variables/variables.index"} <= {member.name for member in members}
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", 0)}
    assert not any(os.path.isabs(member.name) or ".." in member.name for member in members)
    archives.unpack(tmp_path / "one.tar.gz", tmp_path / "unpacked")
    loaded = tf.saved_model.load(str(tmp_path / "unpacked"))
    np.testing.assert_allclose(loaded(FRACTIONS), network(PIXELS.astype(np.float32), training=False), atol=1e-5)
    archives.pack(tmp_path / "one", tmp_path / "again.tar.gz")
    assert (tmp_path / "again.tar.gz").read_bytes() == (tmp_path / "one.tar.gz").read_bytes()


@pytest.mark.parametrize(("pixels", "scale"), [("0..1", lambda x: x / 255), ("-1..1", lambda x: x / 127.5 - 1)])
def test_pixels_come_as_the_model_takes_them(tmp_path, pixels, scale):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    tfxfer.export_hub(model, tmp_path / "hub", outputs="features", pixels=pixels, image_size=24)
    loaded = tf.saved_model.load(str(tmp_path / "hub"))
    np.testing.assert_allclose(loaded(FRACTIONS), scale(PIXELS.astype(np.float64)).mean((1, 2)), atol=1e-5)


def test_a_model_that_ends_in_a_softmax_gives_no_logits(tmp_path):
    inputs = keras.Input((24, 24, 3))
    model = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(inputs)))
    tfxfer.export_hub(model, tmp_path / "hub", outputs="probabilities", class_names=["a", "b", "c"])
    answer = tf.saved_model.load(str(tmp_path / "hub")).signatures["serving_default"](images=tf.constant(FRACTIONS))
    assert answer.keys() == {"probabilities", "class_ids", "labels"}
    np.testing.assert_allclose(tf.reduce_sum(answer["probabilities"], axis=1), 1, rtol=1e-5)


def two_outputs():
    inputs = keras.Input((24, 24, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, [pooled, pooled])


def any_size():
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (None, {"class_names": ("a", "b")}, "class_names has 2 names, and the model has 3 outputs"),
        (None, {"class_names": "abc"}, "class_names is no sequence of texts"),
        (None, {"outputs": "features", "class_names": ("a", "b", "c")}, "features have no class names"),
        (None, {"outputs": "logit"}, "outputs='logit' is none of"),
        (None, {"pixels": "0-255"}, r"pixels='0-255' is no convention. There are: 0\.\.255"),
        (None, {"image_size": 32}, "image_size=32, but the model takes pictures of 24×24"),
        (None, {"resize": "stretch"}, "resize='stretch' is not one of 'squash', 'crop', 'pad'"),
        (None, {"background": "red"}, "background='red' is no colour; write white, black or #rrggbb"),
        (None, {"archive": "model.zip"}, r"must end with \.tar\.gz"),
        (two_outputs, {}, r"expected one output \[batch, numbers\]"),
        (any_size, {"outputs": "features"}, "give image_size=224"),
    ],
)
def test_bad_input_is_answered_and_leaves_nothing(network, tmp_path, model, settings, message):
    with pytest.raises(ConfigError, match=message):
        tfxfer.export_hub(model() if model else network, tmp_path / "hub", **settings)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten(network, folder, tmp_path):
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        tfxfer.export_hub(network, folder)
    (tmp_path / "mine.tar.gz").write_text("mine")
    with pytest.raises(WorkdirError, match=r"mine\.tar\.gz exists and is not overwritten"):
        tfxfer.export_hub(network, tmp_path / "hub", archive=tmp_path / "mine.tar.gz")
    assert (tmp_path / "mine.tar.gz").read_text() == "mine"
    assert not (tmp_path / "hub").exists()


def test_a_model_that_is_random_whatever_is_said_is_refused(tmp_path):
    """The canary: a layer with noise of its own."""

    class Noise(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x))

    inputs = keras.Input((24, 24, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(Noise()(inputs)))
    with pytest.raises(VerificationError, match="would answer at random"):
        tfxfer.export_hub(model, tmp_path / "hub", outputs="features")
    assert not list(tmp_path.iterdir())
