"""What the catalogue says is what the networks are."""

import subprocess
import sys

import pytest

from tfxfer import graph
from tfxfer.backbones import torch_models
from tfxfer.backbones.conventions import CONVENTIONS
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES

SMALL = ["efficientnet_lite0", "mobilenetv2_100", "resnet18", "vgg11_bn", "vit_small_patch16_224"]


def test_reading_it_loads_neither_keras_nor_numpy():
    code = (
        "import sys; from tfxfer.backbones.torch_models import catalogue, recognition; "
        "recognition.recognise({'fc.weight': (2, 2)}); "
        "assert not {'keras', 'numpy', 'tensorflow'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def check(name):
    architecture = ARCHITECTURES[name]
    model = torch_models.build(name, architecture.native_size)
    assert model.count_params() == architecture.parameters
    assert len(graph.layer_groups(model)) == architecture.groups
    assert model.output_shape[-1] == architecture.feature_channels


@pytest.mark.parametrize("name", SMALL)
def test_parameters_and_width_of_the_features(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in SMALL])
def test_parameters_and_width_of_the_features_of_all_others(name):
    check(name)


def test_the_least_size_gives_one_position():
    for name in ("efficientnet_lite0", "resnet18", "vgg11", "convnext_tiny"):
        assert torch_models.build(name, ARCHITECTURES[name].minimum_size).output_shape[1:3] == (1, 1)


def test_what_the_issue_lists_is_there():
    listed = {f"efficientnet_lite{n}" for n in range(5)} | {"mobilenetv2_100", "densenet121"}
    listed |= {f"resnet{n}" for n in (18, 34, 50, 101, 152)}
    listed |= {f"vgg{n}{norm}" for n in (11, 13, 16, 19) for norm in ("", "_bn")}
    listed |= {f"convnext_{size}" for size in ("tiny", "small", "base")}
    listed |= {f"vit_{size}_patch16_224" for size in ("small", "base")}
    assert listed <= {*ARCHITECTURES}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_entry_is_complete(name):
    architecture = ARCHITECTURES[name]
    assert architecture.minimum_size <= architecture.native_size
    assert len({variant.naming for variant in architecture.variants}) == len(architecture.variants)
    assert {variant.pixels for variant in architecture.variants} <= {*CONVENTIONS}
    assert architecture.pixels == CONVENTIONS[architecture.variants[0].pixels].words
    assert bool(architecture.top1) == bool(architecture.top1_source)


def test_widths_of_efficientnet_lite_are_rounded_to_multiples_of_8():
    assert ARCHITECTURES["efficientnet_lite4"].widths == (32, 24, 32, 56, 112, 160, 272, 448)
    assert ARCHITECTURES["efficientnet_lite4"].depths == (1, 4, 4, 6, 6, 8, 1)
    # 16 × 1.2 = 19.2: 16 would take away more than a tenth.
    assert ARCHITECTURES["efficientnet_lite3"].widths[1] == 24
