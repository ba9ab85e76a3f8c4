"""A third party's SavedModel, which takes sound, is refused as a backbone for pictures and works as a layer."""

import pathlib

import keras
import numpy as np
import pytest

from tfxfer.backbones.hub import scan
from tfxfer.backbones.hub.layer import SavedModelLayer
from tfxfer.backbones.hub.source import SOURCE
from tfxfer.backbones.source import Request
from tfxfer.errors import BackboneError, ConfigError

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def folder(asset) -> pathlib.Path:
    return asset("basic-pitch") / "basic_pitch" / "saved_models" / "icassp_2022" / "nmp"


def test_it_is_refused_with_what_it_takes_and_gives(folder):
    request = Request(name=str(folder), image_size=0)
    card = SOURCE.inspect(request)
    assert card.takes == "other"
    assert card.parameters == 16864
    with pytest.raises(
        BackboneError, match=r"takes float32 \[\?, 43844, 1\] and gives .*note: float32 \[\?, 172, 88\]"
    ):
        SOURCE.build(request)


def test_its_ops_pass(folder):
    assert scan.findings(folder) == ()


@pytest.mark.slow
def test_one_of_its_outputs_trains(folder):
    with pytest.raises(ConfigError, match=r"contour: .*; note: .*; onset: "):
        SavedModelLayer(folder)
    sound = keras.Input((43844, 1))
    model = keras.Model(sound, SavedModelLayer(folder, output="note", trainable=True)(sound))
    assert model.output_shape == (None, 172, 88)
    assert len(model.trainable_variables) == 18
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(np.random.default_rng(0).normal(size=(1, 43844, 1)), np.ones((1, 172, 88)), verbose=0)
    assert any(not np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
