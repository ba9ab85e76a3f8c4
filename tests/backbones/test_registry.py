"""Handles find their source among the installed entry points; typing errors get the nearest name."""

import sys

import pytest

from tfxfer import backbones, checks
from tfxfer.backbones import registry
from tfxfer.errors import ConfigError
from tfxfer.recipes import Recipe
from tfxfer.testing import TinySource, write_plugin

OURS = [(kind, name) for kind in ("builtin", "keras", "torch") for name in registry.find_source(f"{kind}:x")[0].names()]


@pytest.fixture
def sources(tmp_path, monkeypatch) -> str:
    """Installs the plug-in `tiny:` for one test; returns the sources as messages list them."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(write_plugin(tmp_path))])
    return "builtin, file, hub, keras, kerashub, tiny, torch"


def refusal(handle: str) -> str:
    with pytest.raises(ConfigError) as caught:
        backbones.card(handle)
    return str(caught.value)


def test_everything_behind_the_first_colon_is_the_name():
    assert registry.find_source("keras:a:b://c")[1] == "a:b://c"


def test_an_outsider_s_source_is_found_by_its_entry_point(sources):
    source, name = registry.find_source("tiny:cnn")
    assert isinstance(source, TinySource)
    assert name == "cnn"
    assert backbones.card("tiny:cnn").handle == "tiny:cnn"


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        (
            "MobileNetV2",
            "backbone='MobileNetV2' names no source. Write it as source:name, such as keras:MobileNetV2. Sources "
            "installed: {sources}.",
        ),
        (
            "kears:VGG16",
            "backbone='kears:VGG16': there is no source 'kears'. Did you mean 'keras'? Sources installed: {sources}.",
        ),
        ("onnx:x", "backbone='onnx:x': there is no source 'onnx'. Sources installed: {sources}."),
        ("tiny:cmn", "tiny has no backbone 'cmn'. Did you mean 'cnn'? It has: cnn, plain."),
        ("tiny:", "backbone='tiny:' names no network. tiny has: cnn, plain."),
    ],
)
def test_a_handle_that_names_nothing(sources, handle, message):
    assert refusal(handle) == message.format(sources=sources)


def test_an_unknown_name_of_keras_gets_the_nearest():
    assert refusal("keras:VGG66") == (
        "keras has no backbone 'VGG66'. Did you mean 'VGG16'? All of them: tfxfer backbones keras"
    )
    assert "It has: ConvNeXtBase, " in refusal("keras:nothing_like_it")


def test_a_size_below_the_least():
    card = backbones.card("builtin:efficientnet_lite0")
    registry.check_size(card, card.minimum_size)
    with pytest.raises(ConfigError) as caught:
        registry.check_size(card, 31)
    assert str(caught.value) == ("image_size=31 is below the 32 pixels that builtin:efficientnet_lite0 needs at least.")


def test_there_are_sources_of_ours_to_check():
    assert len(OURS) >= 60


@pytest.mark.parametrize(("kind", "name"), OURS)
def test_the_card_of_each_network_of_ours_is_complete_without_loading_it(kind, name):
    card = backbones.card(f"{kind}:{name}")
    assert card.handle == f"{kind}:{name}"
    assert 16 <= card.minimum_size <= card.native_size <= 2048
    assert all((card.pixels, card.license, card.origin))


def test_a_recipe_is_checked_for_all_that_needs_no_data():
    checks.check_recipe(Recipe(data="folder:x", backbone="keras:VGG16", image_size=32))
    for recipe, message in (
        (Recipe(data="fodler:x"), "Did you mean 'folder'"),
        (Recipe(backbone="keras:VGG66"), "Did you mean 'VGG16'"),
        (Recipe(backbone="keras:VGG16", image_size=16), "image_size=16 is below the 32 pixels that keras:VGG16 needs"),
    ):
        with pytest.raises(ConfigError, match=message):
            checks.check_recipe(recipe)
