"""Backbones of the sources that tfxfer brings, with random weights: the contract, and the right pixels."""

import keras
import numpy as np
import pytest

from tfxfer import backbones, load_backbone
from tfxfer.backbones import builtin, keras_applications
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import TinySource, check_source

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["cnn", "plain"])
def test_the_tiny_source_keeps_the_contract(name):
    check_source(TinySource(), name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (builtin.SOURCE, "efficientnet_lite0"),
        pytest.param(builtin.SOURCE, "efficientnet_lite1", marks=pytest.mark.slow),
        pytest.param(builtin.SOURCE, "efficientnet_lite2", marks=pytest.mark.slow),
        pytest.param(keras_applications.SOURCE, "MobileNetV2", marks=pytest.mark.slow),
    ],
)
def test_our_sources_keep_the_contract(source, name):
    check_source(source, name, image_size=32)


class Noise(keras.layers.Layer):
    def call(self, x):
        return x + keras.random.normal(keras.ops.shape(x))


class Broken(TinySource):
    """A source with one fault, named by the test."""

    def __init__(self, change):
        self.change = change

    def build(self, request):
        return self.change(super().build(request))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: keras.Model(m.input, keras.layers.Reshape((-1, 8))(m.output)), "its output is"),
        (lambda m: keras.Model(m.input, Noise()(m.output)), "the same pixels give different features"),
        (lambda m: keras.Model(m.input, keras.ops.zeros_like(m.output) * m.output), "do not depend on the scale"),
        (lambda m: m.name, "expected a keras.Model"),
    ],
)
def test_the_contract_fires(change, message):
    """The canaries of `check_source`."""
    with pytest.raises(AssertionError, match=message):
        check_source(Broken(change), "cnn")


@pytest.mark.parametrize(
    ("name", "preprocess"),
    [
        ("MobileNetV2", keras.applications.mobilenet_v2.preprocess_input),
        ("ResNet50", keras.applications.resnet.preprocess_input),
        ("VGG16", keras.applications.vgg16.preprocess_input),
    ],
)
def test_pixels_reach_the_network_as_its_preprocess_input_gives_them(name, preprocess):
    model = load_backbone(f"keras:{name}", image_size=32, weights="random").model
    own = preprocess(PIXELS.astype(np.float32))
    convention = keras.Model(model.input, model.get_layer("pixel_convention").output)
    np.testing.assert_allclose(convention(PIXELS.astype(np.float32)), own, rtol=1e-5, atol=1e-4)


def test_uint8_and_float_pixels_give_the_same_features():
    model = load_backbone("keras:MobileNetV2", image_size=32, weights="random").model
    np.testing.assert_array_equal(model.predict_on_batch(PIXELS), model.predict_on_batch(PIXELS.astype(np.float32)))


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "VGG16"])
def test_groups_of_keras_applications_end_at_legal_cuts(name):
    facts = load_backbone(f"keras:{name}", image_size=32, weights="random").facts
    assert all(group.legal_cut for group in facts.groups)
    expected = {
        "MobileNetV2": (19, "stage5.block4"),
        "ResNet50": (17, "stage4.block2"),
        "VGG16": (13, "stage5.block2"),
    }[name]
    assert (len(facts.groups), facts.groups[-2].name) == expected


def test_the_groups_of_lite0():
    facts = load_backbone("builtin:efficientnet_lite0", image_size=64, weights="random").facts
    blocks = {1: 1, 2: 2, 3: 2, 4: 6, 5: 5}
    names = [f"stage{stage}.block{block + 1}" for stage in blocks for block in range(blocks[stage])]
    assert [group.name for group in facts.groups] == ["stem", *names, "head_conv"]
    assert sum(group.parameters for group in facts.groups) == 3_371_008
    assert facts.groups[3].output_size == 16 * 16 * 24


def test_weights_from_a_file_of_ones_own(tmp_path):
    keras.utils.set_random_seed(1)
    model = load_backbone("keras:MobileNetV2", image_size=32, weights="random").model
    model.save_weights(tmp_path / "mine.weights.h5")
    again = load_backbone("keras:MobileNetV2", image_size=32, weights=str(tmp_path / "mine.weights.h5"))
    assert again.facts.weights_digest == backbones.weights_digest(model.weights)


def test_a_weights_file_of_another_network_is_refused(tmp_path):
    load_backbone("keras:VGG16", image_size=32, weights="random").model.save_weights(tmp_path / "vgg.weights.h5")
    with pytest.raises(BackboneError, match="do not fit keras:MobileNetV2"):
        load_backbone("keras:MobileNetV2", image_size=32, weights=str(tmp_path / "vgg.weights.h5"))


def test_a_size_below_the_least_is_refused():
    with pytest.raises(ConfigError, match=r"image_size=16 is below the 32 pixels"):
        load_backbone("builtin:efficientnet_lite0", image_size=16)


def test_a_source_without_a_pretrained_head_says_so(plugin):
    with pytest.raises(BackboneError, match="comes without its pretrained head; load_backbone gives its features"):
        backbones.load_classifier("tiny:cnn")
