"""Architectures with every kind of layer and few of each."""

import dataclasses

import pytest

from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES

_FULL = ("mobilenetv2_100", "resnet18", "vgg11_bn", "densenet121", "convnext_tiny", "vit_small_patch16_224")


@pytest.fixture
def shallow(monkeypatch):
    """Adds one architecture of each family with one block a stage: `mobilenetv2_100_shallow` …"""
    for name in _FULL:
        small = dataclasses.replace(ARCHITECTURES[name], depths=(1,) * len(ARCHITECTURES[name].depths))
        monkeypatch.setitem(ARCHITECTURES, f"{name}_shallow", small)
