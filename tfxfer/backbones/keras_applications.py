"""The source `keras:`: networks of `keras.applications`, with their pixel convention put into the graph."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from typing import TYPE_CHECKING, Literal

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

# BGR means of the Caffe models, keras/src/applications/imagenet_utils.py.
_CAFFE_MEANS = (103.939, 116.779, 123.68)
_HOME = "https://storage.googleapis.com/tensorflow/keras-applications"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Application:
    pixels: Literal["tf", "caffe"]
    license: str


_APPLICATIONS = {
    "MobileNetV2": _Application(pixels="tf", license="Apache-2.0"),
    "ResNet50": _Application(pixels="caffe", license="MIT"),
    "VGG16": _Application(pixels="caffe", license="CC-BY-4.0"),
}
_CONVENTIONS = {"tf": "x / 127.5 − 1, RGB", "caffe": "x − (103.939, 116.779, 123.68), BGR"}


class KerasSource(Source):
    """MobileNetV2, ResNet50 and VGG16 with ImageNet weights, downloaded by Keras at first use."""

    def names(self) -> tuple[str, ...]:
        """Returns the names of the constructors."""
        return tuple(_APPLICATIONS)

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about the network."""
        check_name(name, self.names(), "keras")
        application = _APPLICATIONS[name]
        return BackboneCard(
            handle=f"keras:{name}",
            native_size=224,
            minimum_size=32,
            pixels=_CONVENTIONS[application.pixels],
            license=application.license,
            origin=f"keras.applications.{name}, ImageNet-1k",
        )

    def build(self, request: Request) -> keras.Model:
        """Returns the network from pixels to its last feature map."""
        import keras

        name, image_size, weights = request.name, request.image_size, request.weights
        check_name(name, self.names(), "keras")
        application = _APPLICATIONS[name]
        pixels = keras.Input((image_size, image_size, 3), name="pixels")
        try:
            model = getattr(keras.applications, name)(
                include_top=False,
                weights={"pretrained": "imagenet", "random": None}.get(weights, weights),
                input_tensor=_own_convention(pixels, application.pixels),
            )
        except Exception as error:
            if weights == "pretrained" and "URL fetch failure" in str(error):
                raise BackboneError(_download_failed(name, str(error))) from error
            raise
        return keras.Model(pixels, model.output, name=name.lower())


SOURCE = KerasSource()


def _own_convention(pixels, convention: str):
    import keras

    if convention == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="pixel_convention")(pixels)
    bgr = keras.ops.flip(pixels, axis=-1)
    means = [-mean for mean in _CAFFE_MEANS]
    return keras.layers.Rescaling(1.0, offset=means, name="pixel_convention")(bgr)


def _download_failed(name: str, message: str) -> str:
    address = re.search(r"https?://[^\s:]+", message)
    url = address[0] if address else _HOME
    file = url.rsplit("/", 1)[-1]
    folder = pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
    return (
        f"the weights of keras:{name} could not be downloaded ({message}). Get the file {file} from {url} on a "
        f"machine with network and put it into {folder}, or give its path: --config.backbone.weights=<path>. "
        "To start from random weights: --config.backbone.weights=random."
    )
