"""Tells from the names and shapes in a weights file which architecture it holds; knows no Keras."""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.backbones.torch_models.parts import classifier_entries, parts

# What wrappers put before every name: DataParallel, Lightning, torch.compile, exponential averages.
_WRAPPERS = ("module.", "model.", "_orig_mod.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recognised:
    """What a weights file holds.

    Attributes:
        architecture: key of `ARCHITECTURES`.
        naming: of its entries.
        classes: outputs of its classifier; 0 if it has none.
        also: architectures with the same names and shapes, which no file tells apart: timm's two EfficientNet-Lite,
            which pad, normalise and scale pixels differently.
    """

    architecture: str
    naming: str
    classes: int
    also: tuple[str, ...] = ()


def recognise(shapes: Mapping[str, tuple[int, ...]]) -> Recognised | None:
    """Returns the architecture whose every layer is in `shapes`, or None.

    >>> recognise({"conv1.weight": (64, 3, 7, 7)}) is None
    True

    The largest wins where one contains another (of VGG11 and VGG11 with one more layer). Input channels are not
    looked at: networks for grey pictures are recognised too.

    Args:
        shapes: for each entry its shape in PyTorch's order of axes.
    """
    found = {canonical: shapes[own] for own, canonical in canonical_names(shapes).items()}
    fits: dict[tuple[str, str], int] = {}
    for name, architecture in ARCHITECTURES.items():
        for naming in dict.fromkeys(variant.naming for variant in architecture.variants):
            needed = list(parts(architecture, naming))
            if all(found.get(part.probe, ())[:1] == (part.width,) for part in needed):
                fits[name, naming] = len(needed)
    fits = {key: count for key, count in fits.items() if count == max(fits.values())}
    if not fits:
        return None
    (name, naming), *others = fits
    # ResNet, VGG and DenseNet are named alike by torchvision and timm; only the head of VGG differs.
    for other, other_naming in others:
        if other == name and _classes(found, other, other_naming) and not _classes(found, name, naming):
            naming = other_naming
    return Recognised(
        architecture=name,
        naming=naming,
        classes=_classes(found, name, naming),
        also=tuple(dict.fromkeys(other for other, _ in others if other != name)),
    )


def canonical_names(names: Iterable[str]) -> dict[str, str]:
    """Returns for each entry the name that `parts` gives it: without wrappers, and as newer releases say it."""
    names = list(names)
    prefix = next((w for w in _WRAPPERS if names and all(name.startswith(w) for name in names)), "")
    return {name: _newest(name.removeprefix(prefix)) for name in names}


def _newest(name: str) -> str:
    # torchvision's published DenseNet files say `denselayer1.norm.1`, its classes `denselayer1.norm1`.
    name = re.sub(r"^(features\.denseblock\d+\.denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)
    # Its ViT files say `mlp.linear_1` and `linear_2` for what has become `mlp.0` and `mlp.3`.
    name = re.sub(r"^(encoder\.layers\.\w+\.mlp)\.linear_1\.", r"\1.0.", name)
    return re.sub(r"^(encoder\.layers\.\w+\.mlp)\.linear_2\.", r"\1.3.", name)


def _classes(shapes: Mapping[str, tuple[int, ...]], name: str, naming: str) -> int:
    last = list(classifier_entries(ARCHITECTURES[name].family, naming).values())[-1]
    return next(iter(shapes.get(f"{last}.weight", ())), 0)
