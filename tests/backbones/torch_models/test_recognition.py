"""A state dict tells which network it is of, whoever named its entries."""

import pytest

from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.backbones.torch_models.parts import classifier_entries, parts
from tfxfer.backbones.torch_models.recognition import Recognised, canonical_names, recognise

CASES = [(name, variant.naming) for name, architecture in ARCHITECTURES.items() for variant in architecture.variants]


def entries(name: str, naming: str, classes: int = 0) -> dict[str, tuple[int, ...]]:
    """The entries by which a network is known, with as many axes as matter."""
    architecture = ARCHITECTURES[name]
    shapes = {part.probe: (part.width, 3) for part in parts(architecture, naming)}
    if classes:
        shapes |= {f"{e}.weight": (classes, 7) for e in classifier_entries(architecture.family, naming).values()}
    return shapes


@pytest.mark.parametrize(("name", "naming"), CASES)
def test_every_architecture_is_recognised_under_every_naming(name, naming):
    found = recognise(entries(name, naming, classes=5))
    assert name in (found.architecture, *found.also)
    assert found.classes == 5
    # torchvision and timm agree on every name of ResNet and DenseNet, and there is no difference to tell.
    same = ARCHITECTURES[name].family in ("resnet", "densenet")
    assert found.naming == ("torchvision" if same else naming)


def test_the_twins_of_timm_are_both_named():
    found = recognise(entries("tf_efficientnet_lite1", "timm"))
    assert found == Recognised(
        architecture="efficientnet_lite1", naming="timm", classes=0, also=("tf_efficientnet_lite1",)
    )


def test_wrappers_are_looked_through():
    assert recognise({f"module.{n}": s for n, s in entries("resnet18", "timm").items()}).architecture == "resnet18"
    assert canonical_names(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}


def test_names_of_older_releases():
    assert canonical_names(
        [
            "features.denseblock1.denselayer6.norm.2.weight",
            "features.denseblock1.denselayer6.conv.1.weight",
            "encoder.layers.encoder_layer_3.mlp.linear_1.weight",
            "encoder.layers.encoder_layer_3.mlp.linear_2.bias",
        ]
    ) == {
        "features.denseblock1.denselayer6.norm.2.weight": "features.denseblock1.denselayer6.norm2.weight",
        "features.denseblock1.denselayer6.conv.1.weight": "features.denseblock1.denselayer6.conv1.weight",
        "encoder.layers.encoder_layer_3.mlp.linear_1.weight": "encoder.layers.encoder_layer_3.mlp.0.weight",
        "encoder.layers.encoder_layer_3.mlp.linear_2.bias": "encoder.layers.encoder_layer_3.mlp.3.bias",
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: {},
        lambda shapes: {"weight": (1,), "": ()},
        lambda shapes: dict.fromkeys(shapes, ()),
        lambda shapes: {name: shape for name, shape in shapes.items() if name != "layer1.0.conv1.weight"},
        lambda shapes: {**shapes, "conv1.weight": (65, 3, 7, 7)},
    ],
)
def test_anything_else_is_not_recognised(change):
    assert recognise(change(entries("resnet18", "torchvision"))) is None


def test_networks_for_grey_pictures_are_recognised():
    assert recognise({**entries("resnet18", "timm"), "conv1.weight": (64, 1, 7, 7)}).architecture == "resnet18"
