"""What a network's own classifier says: logits and probabilities alike, and what is no classifier."""

import dataclasses

import keras
import numpy as np
import pytest
import zoo_source

import tfxfer
from tfxfer import Recipe
from tfxfer.advice import own_classifier
from tfxfer.advice.html_page import html_page
from tfxfer.errors import BackboneError
from tfxfer.recipes import Backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)


def _network(units: int, activation: str | None = None) -> keras.Model:
    pixels = keras.Input((4, 4, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 64)(pixels))
    kernel = keras.initializers.HeNormal(seed=1)
    return keras.Model(pixels, keras.layers.Dense(units, activation, kernel_initializer=kernel)(x))


def test_logits_become_probabilities_and_these_stay():
    logits, softmax = (
        own_classifier.probabilities(lambda a=a: _network(6, a), IMAGES, batch_size=2) for a in (None, "softmax")
    )
    np.testing.assert_allclose(logits, softmax, atol=1e-6)
    np.testing.assert_allclose(logits.sum(axis=1), 1)
    scores = _network(6).predict(IMAGES, verbose=0)
    np.testing.assert_allclose(logits, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True), atol=1e-6)


def test_what_the_last_layer_reads_and_its_rows():
    model = _network(6)
    features, rows = own_classifier.read(lambda: model, IMAGES, batch_size=2)
    np.testing.assert_allclose(features, IMAGES.mean(axis=(1, 2)) / 64, rtol=1e-5)
    np.testing.assert_array_equal(rows, model.layers[-1].kernel.numpy().T)


def test_a_classifier_of_each_position_reads_their_mean():
    pixels = keras.Input((4, 4, 3))
    kernel = keras.initializers.HeNormal(seed=1)
    x = keras.layers.Conv2D(6, 1, activation="relu", kernel_initializer=kernel, name="classes")(pixels)
    model = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(x))
    features, rows = own_classifier.read(lambda: model, IMAGES)
    np.testing.assert_allclose(features, IMAGES.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(rows, model.get_layer("classes").kernel.numpy()[0, 0].T)


def test_a_network_that_ends_in_no_classifier_is_refused():
    pixels = keras.Input((4, 4, 3))
    for layers in ([keras.layers.Rescaling(2.0)], [keras.layers.Conv2D(6, 3)]):
        model = keras.Sequential([pixels, *layers, keras.layers.GlobalAveragePooling2D()])
        with pytest.raises(BackboneError, match="no classifier of features"):
            own_classifier.read(lambda model=model: model, IMAGES)


def test_without_batch_norm_the_nearest_class_is_told(zoo, plugin):
    data = zoo_source.stripes(40)
    found = tfxfer.advise(Recipe(backbone="zoo:seeing"), data=data)
    measured = found.measured
    assert measured.similarity is None
    assert 0 < measured.nearest_class <= 1
    told = f"nearest class of pretraining {measured.nearest_class:.3f}, the larger the more alike; nothing was measured"
    assert told in " ".join(str(found).split())  # near 24 pixels
    assert "nearest class of pretraining" in html_page(found)
    near = dataclasses.replace(found, measured=dataclasses.replace(measured, image_size=128))
    assert "on SqueezeNet 1.1 it was for photographs 0.242, drawings 0.188" in " ".join(str(near).split())
    small = dataclasses.replace(found, measured=dataclasses.replace(measured, image_size=64))
    warned = "Below 128 pixels it tells blurred pictures less surely from others"
    assert warned in " ".join(str(small).split())
    assert warned not in str(near).replace("\n", " ")
    assert "the network's own classifier" not in str(found)
    assert tfxfer.advise(Recipe(backbone="tiny:plain"), data=data).measured.nearest_class is None  # has no classifier
    assert tfxfer.advise(Recipe(backbone="tiny:cnn"), data=data).measured.nearest_class is None  # has batch norm


def test_one_output_tells_no_class_of_several():
    with pytest.raises(BackboneError, match=r"gives \(None, 1\), expected \[pictures, classes\]"):
        own_classifier.probabilities(lambda: _network(1), IMAGES)


def test_other_weights_have_no_head_of_their_own():
    assert own_classifier.of(Recipe(backbone=Backbone(weights="mine.h5")), 24) is None
    assert own_classifier.of(Recipe(stages="scratch"), 24) is None
    assert own_classifier.of(Recipe(), 24) is not None
