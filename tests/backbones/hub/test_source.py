"""`hub:` builds backbones for pictures, text and video, and says why it builds no other."""

import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from backbones.hub.conftest import SIZE, write_function, write_reusable
from backbones.hub.test_places import pack

from tfxfer.backbones.hub.source import SOURCE
from tfxfer.backbones.source import Request
from tfxfer.errors import BackboneError, ConfigError


def request_for(folder, **settings) -> Request:
    return Request(**{"name": str(folder), "image_size": 0, **settings})


def test_pixels_are_brought_to_fractions_in_the_graph(reusable, pictures):
    model = SOURCE.build(request_for(reusable, image_size=SIZE))
    assert model.input_shape == (None, SIZE, SIZE, 3)
    assert model.output_shape == (None, 4)
    assert [layer.name for layer in model.layers][1:] == ["pixel_convention", "reusable_saved_model"]
    expected = tf.saved_model.load(str(reusable))(pictures)
    np.testing.assert_allclose(model(pictures * 255), expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(model(pictures), expected)
    np.testing.assert_array_equal(model(pictures * 255), model(pictures * 255))


def test_the_card_is_completed_from_the_program(reusable, sizeless, tmp_path):
    card = SOURCE.inspect(request_for(reusable))
    assert (card.native_size, card.minimum_size, card.feature_channels) == (SIZE, SIZE, 4)
    assert card.takes == "images"
    assert card.parameters == 276
    assert card.handle == f"hub:{reusable}"
    card = SOURCE.inspect(request_for(sizeless))
    assert (card.native_size, card.minimum_size) == (224, 32)
    assert SOURCE.build(request_for(sizeless, image_size=48)).output_shape == (None, 12, 12, 4)
    archive = pack(reusable, tmp_path / "module.tar.gz")
    assert SOURCE.inspect(request_for(archive)).native_size == SIZE


def test_another_size_than_the_traced_one_is_refused(reusable):
    with pytest.raises(ConfigError, match=r"takes 24 pixels only\. Write image_size=24"):
        SOURCE.build(request_for(reusable, image_size=32))


def test_pictures_that_are_no_squares_are_refused(tmp_path):
    folder = write_function(tmp_path / "wide", lambda x: x, tf.TensorSpec([None, 8, 16, 3]))
    with pytest.raises(BackboneError, match="8×16 pixels"):
        SOURCE.inspect(request_for(folder))


def test_names_and_cards_need_no_tensorflow(reusable):
    code = f"""
import sys
from tfxfer.backbones.hub.source import SOURCE
assert SOURCE.names() == () and "https://" in SOURCE.usage
assert SOURCE.card({str(reusable)!r}).native_size == 0
assert SOURCE.has_weights({str(reusable)!r})
assert not SOURCE.has_weights("https://tfhub.dev/no/such/1")
assert not {{"tensorflow", "keras", "numpy"}} & set(sys.modules), "a card loads what it should not"
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_not_there_is_an_error_of_the_card(tmp_path):
    with pytest.raises(BackboneError, match="there is no folder"):
        SOURCE.card(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="begin with https"):
        SOURCE.card("gs://bucket/module")


def test_text_becomes_features(tmp_path):
    (tmp_path / "words.txt").write_text("good\nbad\n")
    initializer = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    table = tf.lookup.StaticHashTable(initializer, 2)
    rows = tf.Variable([[1.0, 0], [0, 1], [9, 9]], name="embedding")

    def call(text):
        return tf.gather(rows, table.lookup(text))

    folder = write_function(
        tmp_path / "text",
        call,
        tf.TensorSpec([None], tf.string),
        table=table,
        variables=[rows],
        trainable_variables=[rows],
    )
    card = SOURCE.inspect(request_for(folder))
    assert (card.takes, card.native_size, card.feature_channels) == ("text", 0, 2)
    model = SOURCE.build(request_for(folder))
    np.testing.assert_array_equal(model(tf.constant(["bad", "what"])), [[0, 1], [9, 9]])
    model.compile("sgd", "mse")
    model.fit(tf.constant(["bad", "good"]), np.zeros((2, 2)), verbose=0)
    assert rows.numpy()[0, 0] == 1
    assert model.get_weights()[0][0, 0] < 1
    model.save(tmp_path / "text.keras")
    loaded = keras.models.load_model(tmp_path / "text.keras", safe_mode=False)
    np.testing.assert_array_equal(loaded(tf.constant(["good"])), model(tf.constant(["good"])))


@pytest.mark.slow
def test_a_tf1_module_for_text_becomes_features_and_is_kept_whole_in_a_file(tf1_text, tmp_path):
    module = shutil.copytree(tf1_text, tmp_path / "module")
    model = SOURCE.build(request_for(module))
    np.testing.assert_array_equal(model(tf.constant(["bad", "what"])), [[3, 4, 5], [6, 7, 8]])
    model.save(tmp_path / "text.keras")
    shutil.rmtree(module)
    code = f"""
import keras, tensorflow as tf
import tfxfer.backbones.hub.layer
model = keras.models.load_model({str(tmp_path / "text.keras")!r}, safe_mode=False)
print(model(tf.constant(["good", "bad"])).numpy().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]", done.stderr[-3000:]


def test_video_becomes_features(tmp_path):
    spec = tf.TensorSpec([None, None, 8, 8, 3])
    folder = write_function(tmp_path / "video", lambda video: tf.reduce_mean(video, [1, 2, 3]), spec)
    assert SOURCE.inspect(request_for(folder)).takes == "video"
    model = SOURCE.build(request_for(folder))
    np.testing.assert_allclose(model(np.full((2, 5, 8, 8, 3), 255.0)), np.ones((2, 3)), rtol=1e-5)


def test_outputs_arguments_and_weights_of_the_request_are_used(tmp_path, reusable, pictures):
    def call(images):
        mean = tf.reduce_mean(images, [1, 2])
        return {"one": mean, "two": 2 * mean}

    folder = write_function(tmp_path / "dict", call, tf.TensorSpec([None, SIZE, SIZE, 3]))
    model = SOURCE.build(request_for(folder, output="two"))
    np.testing.assert_allclose(model(pictures * 255), 2 * pictures.mean((1, 2)), rtol=1e-4)
    with pytest.raises(
        ConfigError, match=r"output='one', in commands --config.backbone.output=one: one: float32 \[\?, 3\]; two"
    ):
        SOURCE.build(request_for(folder))
    assert SOURCE.inspect(request_for(folder)).feature_channels == 0

    layer = SOURCE.build(request_for(reusable, arguments=(("momentum", 0.5),))).layers[-1]
    assert layer.get_config()["arguments"] == {"momentum": 0.5}

    other = SOURCE.build(request_for(reusable))
    other.layers[-1].set_weights([0 * weight for weight in other.get_weights()])
    other.save_weights(tmp_path / "zeros.weights.h5")
    model = SOURCE.build(request_for(reusable, weights=str(tmp_path / "zeros.weights.h5")))
    assert not np.any(model.get_weights()[0])
    with pytest.raises(ConfigError, match="Write 'pretrained'"):
        SOURCE.build(request_for(reusable, weights="random"))


def test_unsafe_ops_need_consent(tmp_path):
    def call(images):
        with tf.control_dependencies([tf.io.matching_files("/*")]):
            return tf.reduce_mean(images, [1, 2])

    folder = write_function(tmp_path / "unsafe", call, tf.TensorSpec([None, 8, 8, 3]))
    with pytest.raises(BackboneError, match="MatchingFiles"):
        SOURCE.build(request_for(folder))
    assert SOURCE.build(request_for(folder, allow_unsafe_model_code=True)).output_shape == (None, 3)


def test_what_is_no_backbone_is_refused_with_what_it_is(tmp_path):
    folder = write_function(tmp_path / "audio", lambda x: {"note": x}, tf.TensorSpec([None, 100, 1]))
    assert SOURCE.inspect(request_for(folder)).takes == "other"
    with pytest.raises(BackboneError, match=r"takes float32 \[\?, 100, 1\] and gives note: float32 \[\?, 100, 1\]"):
        SOURCE.build(request_for(folder))


def test_frozen_only_modules_are_built_frozen(of_tf1, exported):
    for folder, settings in ((of_tf1, {"output": "default"}), (exported, {})):
        model = SOURCE.build(request_for(folder, **settings))
        assert model.trainable_variables == []


@pytest.mark.slow
def test_replicas_train_alike(tmp_path):
    """In a process of its own, since processors are divided before TensorFlow starts."""
    write_reusable(tmp_path / "module")
    code = """
import sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tfxfer.backbones.hub.layer import SavedModelLayer, saved_models_allowed

def model():
    pixels = keras.Input((24, 24, 3))
    model = keras.Model(pixels, SavedModelLayer(sys.argv[1] + "/module", trainable=True, name="hub")(pixels))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    return model

pictures = np.random.default_rng(0).uniform(size=(8, 24, 24, 3)).astype("float32")
targets = np.ones((8, 4), "float32")
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    mirrored = model()
alone = model()
before = alone.get_weights()
for each in (mirrored, alone):
    each.fit(pictures, targets, batch_size=4, epochs=3, shuffle=False, verbose=0)
assert len(mirrored.layers[-1].trainable_weights) == 6
for one, other in zip(mirrored.get_weights(), alone.get_weights(), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
assert not np.array_equal(before[0], alone.get_weights()[0])
for variable in mirrored.layers[-1].variables:
    replicas = strategy.experimental_local_results(variable.value)
    assert len(replicas) == 2
    np.testing.assert_array_equal(*replicas)
mirrored.save(sys.argv[1] + "/model.keras")
with strategy.scope():
    loaded = keras.models.load_model(sys.argv[1] + "/model.keras", safe_mode=False)
np.testing.assert_allclose(loaded(pictures), mirrored(pictures), rtol=1e-6)
loaded.fit(pictures, targets, batch_size=4, shuffle=False, verbose=0)
mirrored.fit(pictures, targets, batch_size=4, shuffle=False, verbose=0)
np.testing.assert_allclose(loaded(pictures), mirrored(pictures), rtol=1e-5)
print("alike")
"""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "alike" in run.stdout
