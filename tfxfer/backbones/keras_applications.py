"""The source `keras:`: every network of `keras.applications`, with its pixel convention put into the graph."""

from __future__ import annotations

import os
import pathlib
import re
import warnings
from typing import TYPE_CHECKING

from tfxfer.backbones import conventions, keras_facts
from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

_HOME = "https://storage.googleapis.com/tensorflow/keras-applications"


class KerasSource(Source):
    """The networks of the installed `keras.applications` with ImageNet weights, downloaded by Keras at first use."""

    def names(self) -> tuple[str, ...]:
        """Returns the names of the constructors."""
        return tuple(keras_facts.constructors())

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about the network."""
        check_name(name, self.names(), "keras")
        constructor = keras_facts.constructors()[name]
        # A Keras newer than this table may have networks that it does not know.
        known = keras_facts.PUBLISHED.get(name) or keras_facts.Published(224, 0.0, 0, 0, 0, name.lower())
        return BackboneCard(
            handle=f"keras:{name}",
            native_size=known.native_size,
            minimum_size=constructor.minimum_size,
            pixels=constructor.pixels_in_words,
            license=keras_facts.LICENSES.get(constructor.family, "unknown"),
            origin=f"keras.applications.{name}, ImageNet-1k",
            feature_channels=known.features,
            parameters=known.parameters,
            groups=known.groups,
            top1=known.top1,
            top1_source=known.top1_source if known.top1 else "",
        )

    def has_weights(self, name: str) -> bool:
        """Whether Keras's cache holds the file."""
        check_name(name, self.names(), "keras")
        known = keras_facts.PUBLISHED.get(name)
        return known is not None and any(_cache().glob(f"{known.weights}*.h5"))

    def build(self, request: Request) -> keras.Model:
        """Returns the network from pixels to its last feature map."""
        import keras

        from tfxfer import graph

        check_name(request.name, self.names(), "keras")
        pixels = keras.Input((request.image_size, request.image_size, 3), name="pixels")
        given = request.weights not in ("pretrained", "random")

        def network(weights: str | None) -> keras.Model:
            model = self._construct(request.name, pixels, weights=weights, include_top=False)
            model = keras.Model(pixels, model.output, name=request.name.lower())
            return graph.inlined(model)

        if not given:
            return network("imagenet" if request.weights == "pretrained" else None)
        try:  # a file of Keras's own, or saved from its network
            return network(request.weights)
        except (ValueError, KeyError, UserWarning):  # or saved from ours
            model = network(None)
            model.load_weights(request.weights)
            return model

    def classifier(self, request: Request) -> keras.Model:
        """Returns the network with its pretrained head, at its native size: pixels to 1000 ImageNet logits."""
        import keras

        check_name(request.name, self.names(), "keras")
        pixels = keras.Input((request.image_size, request.image_size, 3), name="pixels")
        model = self._construct(request.name, pixels, weights="imagenet", include_top=True, classifier_activation=None)
        return keras.Model(pixels, model.output, name=f"{request.name.lower()}_imagenet")

    def _construct(self, name: str, pixels, **arguments) -> keras.Model:
        import keras

        tensor = conventions.applied(pixels, keras_facts.constructors()[name].pixels)
        with warnings.catch_warnings():
            # The weights do not depend on the size, of which these constructors warn.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            try:
                return getattr(keras.applications, name)(input_tensor=tensor, **arguments)
            except Exception as error:
                if arguments["weights"] == "imagenet" and "URL fetch failure" in str(error):
                    raise BackboneError(_download_failed(name, str(error))) from error
                raise


SOURCE = KerasSource()


def _cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


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
