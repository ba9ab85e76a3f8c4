"""The source `torch:`: networks with the weights that PyTorch zoos publish, or that the user trained there."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

from tfxfer import files
from tfxfer.backbones import downloads
from tfxfer.backbones.conventions import CONVENTIONS, choices
from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.backbones.torch_models import catalogue
from tfxfer.errors import BackboneError, ConfigError, suggest
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

    from tfxfer.backbones.tensors import StateDict
    from tfxfer.backbones.torch_models.recognition import Recognised

_OPTIONS = ("sha256", "pixels")
_FRAGMENT = re.compile(r"\w+=[\w.-]*(&\w+=[\w.-]*)*")
_KERAS_FILES = (".h5", ".keras")


class TorchSource(Source):
    """Networks of torchvision, timm and the EfficientNet packages, from a state dict, without PyTorch.

    >>> SOURCE.card("resnet18").feature_channels
    512
    """

    usage = "torch:<architecture>@<file or https url#sha256=…>"

    def names(self) -> tuple[str, ...]:
        """Returns the architectures, which build by name alone with random weights."""
        return tuple(catalogue.ARCHITECTURES)

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about the architecture; of a file, only whether it is there."""
        handle = _parse(name)
        if handle.file is not None and not handle.file.is_file():
            raise BackboneError(
                f"torch:{name}: there is no file {handle.file}. Give the path of a .pth, .pt or .safetensors file, or "
                f"an address: torch:{handle.architecture}@https://<host>/<file>#sha256=<64 hex digits>."
            )
        return _card(handle, naming=None)

    def inspect(self, request: Request) -> BackboneCard:
        """Returns the card, with the pixel convention of the zoo that the file's names show."""
        handle = _parse(request.name)
        path = _weights_path(handle, request, verified=False)
        if path is None or path.name.endswith(_KERAS_FILES):
            return self.card(request.name)
        opened = _opened(handle, path)
        card = _card(handle, naming=opened.naming)
        if not opened.twins:
            return card
        twins = " or ".join(opened.twins)
        note = f"the file fits {twins} as well, which pads and scales otherwise: write that name if it is one"
        return dataclasses.replace(card, origin=f"{card.origin} ({note})")

    def build(self, request: Request) -> keras.Model:
        """Returns the network from pixels to its last feature map."""
        from tfxfer.backbones import torch_models

        handle = _parse(request.name)
        path = _weights_path(handle, request, verified=True)
        if path is not None and not path.name.endswith(_KERAS_FILES):
            return _with_weights(handle, path, request.image_size)
        model = torch_models.build(handle.architecture, request.image_size, None, pixels=handle.pixels)
        if path is not None:
            model.load_weights(path)
        return model

    def has_weights(self, name: str) -> bool:
        """Whether the file is there, or was downloaded; an architecture alone has none."""
        handle = _parse(name)
        return (handle.file or downloads.cached(handle.sha256)).is_file() if handle.place else False

    def classifier(self, request: Request) -> keras.Model:
        """Returns the network with the head in its file: pixels to the logits of its classes.

        Raises:
            BackboneError: the file has no head, or is missing or refused.
        """
        handle = _parse(request.name)
        path = _weights_path(handle, request, verified=True)
        return _with_weights(handle, path, request.image_size, head=True)


SOURCE = TorchSource()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Handle:
    """A name of this source, taken apart.

    Attributes:
        name: all of it.
        architecture: key of the catalogue.
        place: path or address behind the @, "" for none.
        file: the path; None for an address, or for no place.
        sha256: that the file must have, "" for any.
        pixels: key of the catalogue's conventions, None for the one of the weights' zoo.
    """

    name: str
    architecture: str
    place: str
    file: pathlib.Path | None
    sha256: str
    pixels: str | None


def _parse(name: str) -> _Handle:
    """Returns the parts of a name, after checking all that needs no file.

    Raises:
        ConfigError: an unknown architecture or option, or an address that is not downloaded.
    """
    rest, hash_sign, fragment = name.rpartition("#")
    if not hash_sign or not _FRAGMENT.fullmatch(fragment):  # a # can be part of the name of a file
        rest, fragment = name, ""
    architecture, _, place = rest.partition("@")
    check_name(architecture, tuple(catalogue.ARCHITECTURES), "torch")
    options = _options(name, fragment)
    sha256, pixels = options.get("sha256", ""), options.get("pixels")
    if sha256 and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"torch:{name}: sha256={sha256} is not 64 hex digits, as sha256sum prints them.")
    if pixels is not None and pixels not in CONVENTIONS:
        raise ConfigError(
            f"torch:{name}: pixels={pixels} is not known.{suggest(pixels, CONVENTIONS)} Write one of {choices()}."
        )
    is_address = re.match("[A-Za-z][A-Za-z0-9+.-]+://", place) is not None
    if is_address:
        downloads.check_url(place, sha256=sha256)
    return _Handle(
        name=name,
        architecture=architecture,
        place=place,
        file=pathlib.Path(place).expanduser() if place and not is_address else None,
        sha256=sha256.lower(),
        pixels=pixels,
    )


def _options(name: str, fragment: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in fragment.split("&") if fragment else ():
        key, _, value = part.partition("=")
        if key not in _OPTIONS or key in options:
            problem = "is there twice." if key in options else f"is not known.{suggest(key, _OPTIONS)}"
            raise ConfigError(
                f"torch:{name}: the option {key!r} {problem} Behind # stand sha256=<64 hex digits> and "
                f"pixels=<{' or '.join(CONVENTIONS)}>, with & between them."
            )
        options[key] = value
    return options


def _card(handle: _Handle, *, naming: str | None) -> BackboneCard:
    architecture = catalogue.ARCHITECTURES[handle.architecture]
    pixels = CONVENTIONS[handle.pixels or architecture.variant(naming).pixels].words
    facts = {
        "handle": f"torch:{handle.name}",
        "native_size": architecture.native_size,
        "minimum_size": architecture.minimum_size,
        "pixels": pixels,
        "feature_channels": architecture.feature_channels,
        "parameters": architecture.parameters,
        "groups": architecture.groups,
    }
    if handle.place:  # whose licence and accuracy nobody can tell
        return BackboneCard(license="unknown", origin=handle.place, **facts)
    return BackboneCard(
        license=architecture.license,
        origin=f"a PyTorch state dict named as by {' or '.join(v.naming for v in architecture.variants)}",
        top1=architecture.top1,
        top1_source=architecture.top1_source,
        **facts,
    )


def _weights_path(handle: _Handle, request: Request, *, verified: bool) -> pathlib.Path | None:
    """Returns the file that `request` wants, downloaded if need be; None for random weights.

    Its digest is checked where `verified`: reading the names in a file for a card needs no proof yet.
    """
    if request.weights == "random":
        return None
    if request.weights != "pretrained":
        return pathlib.Path(request.weights)
    if not handle.place:
        raise BackboneError(
            f"torch:{handle.architecture} names no weights. Write torch:{handle.architecture}@<file.pth>, or "
            f"torch:{handle.architecture}@https://<host>/<file>#sha256=<64 hex digits>, or weights=<file.pth>, or "
            "weights='random'."
        )
    if handle.file is None:
        place = downloads.cached(handle.sha256)
        return place if place.is_file() and not verified else downloads.fetch(handle.place, sha256=handle.sha256)
    if verified and handle.sha256:
        _check_digest(handle.file, handle.sha256)
    return handle.file


def _with_weights(handle: _Handle, path: pathlib.Path, image_size: int, *, head: bool = False) -> keras.Model:
    from tfxfer.backbones import torch_models

    opened = _opened(handle, path)
    if head and not opened.classes:
        raise BackboneError(f"{path} holds {handle.architecture} without a head; load_backbone gives its features.")
    classes = opened.classes if head else 0
    model = torch_models.build(handle.architecture, image_size, opened.naming, pixels=handle.pixels, head=classes)
    torch_models.assign(model, opened.state, opened.naming)
    return model


@dataclasses.dataclass(frozen=True)
class _Opened:
    """A weights file of the right architecture.

    Attributes:
        state: its tensors.
        naming: how they are named.
        classes: outputs of its head, 0 without one.
        twins: other architectures with the same names and shapes.
    """

    state: StateDict
    naming: str
    classes: int
    twins: tuple[str, ...] = ()


def _opened(handle: _Handle, path: pathlib.Path) -> _Opened:
    """Returns what the file holds, told from its names and shapes; no tensor is read for that.

    A file of nothing known here is taken for the architecture's first zoo, and `assign` lists what does not fit.

    Raises:
        BackboneError: the file is refused, or looks like another architecture.
    """
    from tfxfer.backbones import torch_models
    from tfxfer.backbones.state_dicts import read_state_dict

    state = read_state_dict(path)
    found: Recognised | None = torch_models.recognise(state.shapes)
    if found is None:
        return _Opened(state, catalogue.ARCHITECTURES[handle.architecture].variant(None).naming, 0)
    if handle.architecture not in (found.architecture, *found.also):
        raise BackboneError(
            f"{path} holds no {handle.architecture}: it looks like {found.architecture} as {found.naming} names it. "
            f"Write torch:{found.architecture}{handle.name.removeprefix(handle.architecture)}."
        )
    twins = tuple(name for name in (found.architecture, *found.also) if name != handle.architecture)
    return _Opened(state, found.naming, found.classes, twins)


def _check_digest(path: pathlib.Path, sha256: str) -> None:
    found = files.sha256(path)
    if found != sha256:
        raise BackboneError(
            f"{path} is not the expected file: its sha256 is {found}, and the handle says {sha256}. Get the file "
            "again, or correct the handle."
        )
