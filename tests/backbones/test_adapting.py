"""Other channels, other sizes, a part of the network, several levels."""

import importlib.metadata

import numpy as np
import pytest

import tfxfer
from tfxfer import heads
from tfxfer.backbones.registry import GROUP
from tfxfer.errors import BackboneError, ConfigError, DataError
from tfxfer.export import saved_model

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
GREY = PIXELS[..., :1]


def load(**settings):
    return tfxfer.load_backbone("tiny:cnn", **settings)


def test_grey_pictures_are_answered_like_pictures_of_equal_channels(plugin):
    expected = load().features(np.repeat(GREY, 3, axis=-1))
    np.testing.assert_allclose(load(channels=1).features(GREY), expected, rtol=1e-6)


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_more_channels_are_averaged_at_first(plugin, channels):
    expected = load().features(np.repeat(GREY, 3, axis=-1))
    found = load(channels=channels).features(np.repeat(GREY, channels, axis=-1))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


def test_the_new_convolution_is_part_of_the_first_group_and_can_train(plugin):
    backbone = load(channels=4)
    assert backbone.facts.channels == 4
    assert "to_rgb" in [layer.name for layer in backbone.groups[0].layers]
    model = tfxfer.swap_head(backbone, heads.Linear(outputs=2))
    tfxfer.freeze(model, train="all")
    assert "to_rgb/kernel" in [variable.path for variable in model.trainable_variables]


def test_a_network_can_be_cut_behind_a_group_a_stage_or_a_layer(plugin):
    assert load(at="stage2").model.output_shape == (None, 6, 6, 8)
    assert load(at="stage2.block1").model.output_shape == (None, 6, 6, 8)
    assert load(at="stem_conv").model.output_shape == (None, 12, 12, 4)
    backbone = load(at="stage2")
    assert (backbone.facts.feature_channels, [group.name for group in backbone.groups][-1]) == (8, "stage2.block1")
    assert tfxfer.swap_head(backbone, heads.Linear(outputs=2)).output_shape == (None, 2)


def test_an_unknown_place_is_answered_with_the_nearest(plugin):
    with pytest.raises(
        ConfigError,
        match=r"'stage9' is neither a layer group nor a layer of.*Did you mean 'stage\d'\? Groups: stage1.block1",
    ):
        load(at="stage9")


def test_levels_give_a_map_each(plugin):
    backbone = load(levels=("stage1", "stage3"))
    assert backbone.model.output_shape == [(None, 12, 12, 4), (None, 3, 3, 8)]
    assert backbone.facts.levels == ("stage1", "stage3")
    first, last = backbone.model.predict_on_batch(PIXELS)
    np.testing.assert_array_equal(first, load(at="stage1").model.predict_on_batch(PIXELS))
    np.testing.assert_array_equal(last, load().model.predict_on_batch(PIXELS))


def test_levels_and_a_head_exclude_each_other(plugin):
    with pytest.raises(BackboneError, match=r"gives several levels, and this head reads one: load it with at="):
        tfxfer.swap_head(load(levels=("stage1", "stage2")), heads.Linear(outputs=2))
    with pytest.raises(ConfigError, match="exclude each other"):
        load(levels=("stage1",), at="stage2")


def test_no_channels_are_refused(plugin):
    with pytest.raises(ConfigError, match="channels=0 must be at least 1"):
        load(channels=0)


def test_another_size_than_the_pretraining(plugin):
    assert load(image_size=32).model.output_shape == (None, 4, 4, 8)


def test_features_are_the_mean_of_the_map_whatever_the_batch_size(plugin):
    backbone = load()
    expected = backbone.model.predict_on_batch(PIXELS).mean(axis=(1, 2))
    np.testing.assert_allclose(backbone.features(PIXELS, batch_size=3), expected, rtol=1e-6)
    np.testing.assert_allclose(backbone.features(PIXELS, batch_size=2), expected, rtol=1e-5)


def test_features_of_pictures_of_another_size_are_refused(plugin):
    with pytest.raises(BackboneError, match=r"images have shape \(3, 8, 8, 3\), expected"):
        load().features(PIXELS[:, :8, :8])


def test_the_model_that_takes_four_channels_is_saved_and_loaded(plugin, tmp_path):
    import keras

    model = load(channels=4).model
    model.save(tmp_path / "m.keras")
    pixels = np.concatenate([PIXELS, GREY], axis=-1)
    again = keras.models.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_array_equal(again.predict_on_batch(pixels), model.predict_on_batch(pixels))


def _saved(folder):
    load(weights="random").model.save(folder / "mine.keras")
    return f"file:{folder / 'mine.keras'}"


def _saved_model(folder):
    saved_model.write(load(weights="random").model, saved_model.Offer("features"), folder / "module")
    return f"hub:{folder / 'module'}"


def _preset(folder):
    keras_hub = pytest.importorskip("keras_hub", reason="needs the extra [kerashub]")
    keras_hub.models.VGGBackbone(stackwise_num_repeats=[1], stackwise_num_filters=[4]).save_to_preset(folder / "preset")
    keras_hub.layers.VGGImageConverter(image_size=(24, 24), scale=1 / 255).save_to_preset(folder / "preset")
    return f"kerashub:{folder / 'preset'}"


# By source: a handle, or what writes the file that one names.
OF_SOURCE = {
    "tiny": lambda folder: "tiny:cnn",
    "builtin": lambda folder: "builtin:efficientnet_lite0",
    "keras": lambda folder: "keras:MobileNetV2",
    "torch": lambda folder: "torch:resnet18",
    "file": _saved,
    "hub": _saved_model,
    "kerashub": _preset,
}
FROM_FILES = ("file", "hub", "kerashub")


def test_every_source_of_this_project_is_asked_below():
    ours = [point for point in importlib.metadata.entry_points(group=GROUP) if point.value.startswith("tfxfer.")]
    assert len(ours) >= 6
    assert {point.name for point in ours} <= set(OF_SOURCE)


@pytest.mark.parametrize("source", OF_SOURCE)
def test_fractions_in_place_of_pixels_are_caught_for_every_source(plugin, source, tmp_path):
    handle = OF_SOURCE[source](tmp_path)
    settings = {} if source in FROM_FILES else {"image_size": 32, "weights": "random"}
    backbone = tfxfer.load_backbone(handle, **settings)
    fractions = np.random.default_rng(0).uniform(size=(2, *backbone.model.input_shape[1:])).astype(np.float32)
    with pytest.raises(DataError, match=r"they look like fractions\. Multiply by 255"):
        backbone.features(fractions)
    assert np.isfinite(backbone.features(fractions * 255)).all()


def test_what_a_source_does_not_know_is_no_option_of_it(plugin):
    with pytest.raises(ConfigError, match=r"tiny:cnn has no output to choose: leave output='high' out"):
        load(output="high")
    with pytest.raises(ConfigError, match=r"tiny:cnn has no arguments to choose"):
        load(arguments={"x": 1})


@pytest.mark.parametrize(
    "settings", [{"image_size": "96"}, {"image_size": 32.0}, {"channels": 1.5}, {"levels": "stage2"}]
)
def test_options_of_another_kind_are_refused(plugin, settings):
    with pytest.raises(ConfigError, match=f"{next(iter(settings))}="):
        load(**settings)


def test_a_transformer_cut_within_gives_the_mean_of_its_tokens():
    backbone = tfxfer.load_backbone("torch:vit_small_patch16_224", weights="random", image_size=32, at="stage1.block1")
    assert backbone.model.output_shape == (None, 384)


def test_features_are_float32_under_mixed_precision(plugin):
    import keras

    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        assert load().model.outputs[0].dtype == "float32"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
