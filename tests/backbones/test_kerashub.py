"""KerasHub's presets as backbones: a small one in a folder, written here, since there may be no network."""

import importlib.util
import json
import pathlib
import shutil

import h5py
import keras
import numpy as np
import pytest

from tfxfer import graph
from tfxfer.backbones import kerashub
from tfxfer.backbones.source import Request
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import check_source

SIZE = 32
PIXELS = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3)).astype(np.float32)
SCALE, OFFSET = [1 / 58.4, 1 / 57.1, 1 / 57.4], [-2.1, -2.0, -1.8]
SOURCE = kerashub.SOURCE


@pytest.fixture(scope="module")
def keras_hub():
    if importlib.util.find_spec("keras_hub") is None:
        pytest.skip("needs the extra [kerashub]")
    import keras_hub

    return keras_hub


@pytest.fixture(scope="module")
def preset(keras_hub, tmp_path_factory) -> pathlib.Path:
    """The folder of a small ResNet. Do not write into it."""
    folder = tmp_path_factory.mktemp("presets") / "tiny_resnet"
    keras.utils.set_random_seed(1)
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        use_pre_activation=False,
    )
    backbone.save_to_preset(folder)
    keras_hub.layers.ResNetImageConverter(image_size=(48, 48), scale=SCALE, offset=OFFSET).save_to_preset(folder)
    return folder


def build(name, image_size=SIZE, **asked) -> keras.Model:
    return SOURCE.build(Request(name=str(name), image_size=image_size, **asked))


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(kerashub.importlib.util, "find_spec", lambda name, package=None: None)
    for ask in (SOURCE.card, build):
        with pytest.raises(BackboneError, match=r"package keras-hub\. Type: pip install 'tfxfer\[kerashub\]'"):
            ask("resnet_18_imagenet")
    assert SOURCE.names() == ()
    assert "kerashub:<preset" in SOURCE.usage


def test_the_features_are_those_of_the_preset_behind_its_converter(keras_hub, preset):
    model = build(preset)
    converter = keras_hub.layers.ImageConverter.from_preset(str(preset), image_size=None)
    expected = keras_hub.models.Backbone.from_preset(str(preset)).predict_on_batch(np.asarray(converter(PIXELS)))
    np.testing.assert_allclose(model.predict_on_batch(PIXELS), expected, rtol=1e-4, atol=1e-4)
    assert model.input_shape == (None, SIZE, SIZE, 3)
    assert model.output_shape == (None, 4, 4, 64)
    assert not graph.has_nested_models(model)
    covered = [id(v) for group in graph.layer_groups(model) for v in group.variables]
    assert sorted(covered) == sorted(id(v) for v in model.variables)


def test_the_contract(preset):
    check_source(SOURCE, str(preset))


def test_uint8_pixels_and_a_saved_backbone_that_comes_back(preset, tmp_path):
    model = build(preset)
    features = model.predict_on_batch(PIXELS)
    np.testing.assert_array_equal(model.predict_on_batch(PIXELS.astype(np.uint8)), features)
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "m.keras").predict_on_batch(PIXELS), features)


def test_the_card_of_a_folder(preset):
    card = SOURCE.card(str(preset))
    assert (card.native_size, card.minimum_size) == (48, 32)
    assert card.pixels.startswith("x × [0.0171")
    assert "+ [-2.1, -2.0, -1.8], RGB" in card.pixels
    assert card.handle == f"kerashub:{preset}"
    assert SOURCE.has_weights(str(preset))
    assert SOURCE.inspect(Request(name=str(preset), image_size=0)) == card


def test_weights_drawn_anew_and_weights_of_a_file(preset, tmp_path):
    keras.utils.set_random_seed(2)
    model = build(preset, weights="random")
    assert not np.array_equal(model.predict_on_batch(PIXELS), build(preset).predict_on_batch(PIXELS))
    model.save_weights(tmp_path / "w.weights.h5")
    again = build(preset, weights=str(tmp_path / "w.weights.h5"))
    np.testing.assert_array_equal(again.predict_on_batch(PIXELS), model.predict_on_batch(PIXELS))


def test_a_vision_transformer_gives_the_mean_of_its_tokens(keras_hub, tmp_path):
    keras_hub.models.ViTBackbone(
        image_shape=(SIZE, SIZE, 3), patch_size=8, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=16
    ).save_to_preset(tmp_path)
    keras_hub.layers.ViTImageConverter(image_size=(SIZE, SIZE), scale=1 / 127.5, offset=-1.0).save_to_preset(tmp_path)
    assert build(tmp_path).output_shape == (None, 8)
    with pytest.raises(BackboneError, match=r"was made for 32×32 pixels and cannot work on 64×64"):
        build(tmp_path, 64)


def test_a_network_for_text_is_refused(keras_hub, tmp_path, preset):
    keras_hub.models.BertBackbone(10, 1, 2, 8, 16, max_sequence_length=8).save_to_preset(tmp_path)
    shutil.copy(preset / "image_converter.json", tmp_path)
    with pytest.raises(BackboneError, match=r"BertBackbone\) takes padding_mask .*, token_ids .*; expected is one of"):
        build(tmp_path)


def test_unknown_presets_are_named_with_the_nearest(keras_hub):
    for ask in (build, lambda name: SOURCE.inspect(Request(name=name, image_size=0))):
        with pytest.raises(ConfigError, match=r"no preset 'resnet_18_imagenett'.*Did you mean 'resnet_18_imagenet'"):
            ask("resnet_18_imagenett")


def test_a_path_that_is_not_there(keras_hub):
    with pytest.raises(ConfigError, match="neither the name of a preset nor a folder"):
        SOURCE.card("gone/preset")


def test_a_preset_that_cannot_be_downloaded(keras_hub, monkeypatch):
    def offline(*arguments, **options):
        raise ConnectionError("no route\nto the host")

    monkeypatch.setattr("kagglehub.model_download", offline)
    with pytest.raises(BackboneError, match=r"loaded \(ConnectionError: no route\)\. Downloaded presets lie in"):
        build("resnet_18_imagenet")
    assert not SOURCE.has_weights("resnet_18_imagenet")


def test_a_folder_without_its_image_converter(preset, tmp_path):
    for file in ("config.json", "model.weights.h5"):
        shutil.copy(preset / file, tmp_path)
    for ask in (SOURCE.card, build):
        with pytest.raises(BackboneError, match=r"no image_converter\.json, so nothing tells which pixels it takes"):
            ask(str(tmp_path))


def test_a_folder_that_names_code_or_other_files_is_refused(preset, tmp_path):
    shutil.copytree(preset, tmp_path / "code")
    config = json.loads((preset / "config.json").read_text())
    config["config"]["dtype"] = {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "song"}}
    (tmp_path / "code" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=r"is refused: it has Lambda \(Python code\) in 'song'"):
        build(tmp_path / "code")
    shutil.copytree(preset, tmp_path / "links")
    with h5py.File(tmp_path / "links" / "model.weights.h5", "r+") as file:
        file["more"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(BackboneError, match="link to elsewhere"):
        build(tmp_path / "links")
