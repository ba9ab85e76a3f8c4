"""Every network of keras.applications: what we say of it without Keras, against what Keras builds."""

import importlib
import re

import keras
import numpy as np
import pytest
from keras.src.applications import imagenet_utils
from keras.src.utils import file_utils

from tfxfer import graph, load_backbone
from tfxfer.backbones import Request, conventions, keras_facts
from tfxfer.backbones.keras_applications import SOURCE
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import check_source

ONE_OF_EACH_FAMILY = (
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
)
# Layer names of these families tell stage and block; the grouping by topology is held against them.
BLOCK_IN_NAME = {
    "DenseNet121": r"^conv(\d)_block(\d+)_",
    "EfficientNetB0": r"^block(\d)([a-z])_",
    "EfficientNetV2S": r"^block(\d)([a-z])_",
    "MobileNetV2": r"^()block_(\d+)_",
    "MobileNetV3Small": r"^()expanded_conv_(\d+)_",
    "ResNet50": r"^conv(\d)_block(\d+)_",
    "ResNet50V2": r"^conv(\d)_block(\d+)_",
    "ConvNeXtTiny": r"stage_(\d)_block_(\d+)_",
    "Xception": r"^()block(2|3|4|5|6|7|8|9|10|11|12|13)_",
}


def test_the_list_is_that_of_the_installed_keras():
    live = {name for name in dir(keras.applications) if name[0].isupper()}
    assert set(SOURCE.names()) == live
    assert len(live) >= 40


def test_every_network_is_in_the_table():
    assert set(keras_facts.PUBLISHED) == set(SOURCE.names())
    assert {c.family for c in keras_facts.constructors().values()} - set(keras_facts.LICENSES) == {"resnet_v2"}


def test_every_family_is_in_the_list_of_small_ones():
    constructors = keras_facts.constructors()
    assert {constructors[name].family for name in ONE_OF_EACH_FAMILY} == {c.family for c in constructors.values()}


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_pixels_reach_the_network_as_its_preprocess_input_gives_them(name):
    constructor = keras_facts.constructors()[name]
    preprocess = importlib.import_module(f"keras.applications.{constructor.family}").preprocess_input
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)
    inputs = keras.Input((8, 8, 3))
    outputs = conventions.applied(inputs, constructor.pixels)
    ours = pixels if outputs is inputs else keras.Model(inputs, outputs).predict_on_batch(pixels)
    np.testing.assert_allclose(ours, preprocess(pixels.copy()), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["MobileNetV3Small", "VGG16"])
def test_the_contract(name):
    check_source(SOURCE, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_the_full_contract_for_each_family(name):
    check_source(SOURCE, name)
    keras.backend.clear_session()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in keras_facts.PUBLISHED if name not in ONE_OF_EACH_FAMILY])
def test_the_static_contract_for_all_others(name):
    check_source(SOURCE, name, contract="static")
    keras.backend.clear_session()


class ShapeError(Exception):
    """Ends a constructor of Keras with the shape of the pictures that it would build a network for."""


def default_shape(name, monkeypatch):
    """Returns the input shape that a constructor chooses itself; most choose it before they build anything."""
    choose = imagenet_utils.obtain_input_shape

    def end(*arguments, **settings):
        raise ShapeError(choose(*arguments, **settings))

    with monkeypatch.context() as patched:
        patched.setattr(imagenet_utils, "obtain_input_shape", end)
        try:
            return getattr(keras.applications, name)(weights=None).input_shape[1:]
        except ShapeError as chosen:
            return chosen.args[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", keras_facts.PUBLISHED)
def test_the_native_size_is_that_of_the_constructor_and_the_file_is_found(name, monkeypatch):
    asked = []

    def get_file(fname, *_, **__):
        asked.append(fname)
        raise LookupError

    monkeypatch.setattr(file_utils, "get_file", get_file)
    size = keras_facts.PUBLISHED[name].native_size
    assert default_shape(name, monkeypatch) in ((size, size, 3), (None, None, 3))
    with pytest.raises(LookupError):
        SOURCE.build(Request(name=name, image_size=SOURCE.card(name).minimum_size))
    assert asked[0].startswith(keras_facts.PUBLISHED[name].weights)
    keras.backend.clear_session()


def blocks_by_name(model, pattern):
    found = {}
    for group in graph.layer_groups(model):
        for layer in group.layers:
            if match := re.search(pattern, layer.name):
                found.setdefault(match.groups(), set()).add(group.name)
    return found


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "ResNet50"])
def test_blocks_by_topology_are_the_blocks_that_layer_names_tell(name):
    found = blocks_by_name(load_backbone(f"keras:{name}", image_size=64, weights="random").model, BLOCK_IN_NAME[name])
    assert len(found) >= 10
    assert all(len(groups) == 1 for groups in found.values()), found
    assert len({next(iter(groups)) for groups in found.values()}) == len(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCK_IN_NAME)
def test_blocks_by_topology_are_the_blocks_that_layer_names_tell_in_each_family(name):
    size = max(96, SOURCE.card(name).minimum_size)
    found = blocks_by_name(load_backbone(f"keras:{name}", image_size=size, weights="random").model, BLOCK_IN_NAME[name])
    assert len(found) >= 10
    assert all(len(groups) == 1 for groups in found.values()), found
    assert len({next(iter(groups)) for groups in found.values()}) == len(found)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"keras has no backbone 'MobileNetV9'\. Did you mean 'MobileNetV2'\?"):
        SOURCE.card("MobileNetV9")


def test_weights_that_cannot_be_downloaded_say_where_to_put_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def offline(fname, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- no network")

    monkeypatch.setattr(file_utils, "get_file", offline)
    with pytest.raises(BackboneError, match=r"mobilenet_v2_weights.*no_top.h5 from https://.*put it into .*models"):
        SOURCE.build(Request(name="MobileNetV2", image_size=96))
    assert not SOURCE.has_weights("MobileNetV2")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5").touch()
    assert SOURCE.has_weights("MobileNetV2")


def test_a_network_that_the_table_does_not_know_still_has_a_card(monkeypatch):
    monkeypatch.delitem(keras_facts.PUBLISHED, "VGG16")
    card = SOURCE.card("VGG16")
    assert (card.native_size, card.minimum_size, card.top1, card.top1_source) == (224, 32, 0.0, "")
