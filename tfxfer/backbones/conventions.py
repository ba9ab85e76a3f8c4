"""The conventions in which networks take their pixels, by name, and the layer that gives them theirs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from tfxfer import outlines

if TYPE_CHECKING:
    import keras

LAYER = outlines.PIXEL_CONVENTION
"""The name of that layer."""


@dataclasses.dataclass(frozen=True)
class Convention:
    """What a network does to RGB pixels on 0..255: less `means`, over `deviations`, each a number per channel.

    Attributes:
        words: it in words.
        means: in the order of the channels that the network takes; `deviations` likewise.
        bgr: whether that order is blue, green, red.
    """

    words: str
    means: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviations: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bgr: bool = False


# "caffe" and "imagenet": keras/src/applications/imagenet_utils.py, modes "caffe" and "torch"; "lite": tensorflow/tpu,
# models/official/efficientnet/lite.
CONVENTIONS = {
    "0..255": Convention("0..255 as it is, RGB"),
    "0..1": Convention("x / 255, RGB in [0, 1]", deviations=(255.0,) * 3),
    "-1..1": Convention("x / 127.5 − 1, RGB", (127.5,) * 3, (127.5,) * 3),
    "imagenet": Convention(
        "(x / 255 − (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), RGB",
        (0.485 * 255, 0.456 * 255, 0.406 * 255),
        (0.229 * 255, 0.224 * 255, 0.225 * 255),
    ),
    "caffe": Convention("x − (103.939, 116.779, 123.68), BGR", (103.939, 116.779, 123.68), bgr=True),
    "lite": Convention("(x − 127) / 128, RGB", (127.0,) * 3, (128.0,) * 3),
}


def choices() -> str:
    """Returns all conventions with their words, as messages list them."""
    return "; ".join(f"{name} ({convention.words})" for name, convention in CONVENTIONS.items())


def applied(pixels: keras.KerasTensor, name: str, *, layer: str = LAYER) -> keras.KerasTensor:
    """Returns what a network of the convention `name` takes, for RGB pixels on 0..255; "0..255" adds no layer.

    Grey pixels work where all channels are treated alike.
    """
    import keras

    convention = CONVENTIONS[name]
    scale = [1 / deviation for deviation in convention.deviations]
    offset = [-mean / deviation for mean, deviation in zip(convention.means, convention.deviations, strict=True)]
    if len({*scale}) == len({*offset}) == 1:
        scale, offset = scale[0], offset[0]
        if (scale, offset) == (1.0, 0.0):
            return pixels
    x = keras.ops.flip(pixels, axis=-1) if convention.bgr else pixels
    return keras.layers.Rescaling(scale, offset=offset, name=layer)(x)
