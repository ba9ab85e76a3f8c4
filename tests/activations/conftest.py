"""Keys, fingerprints and rows of stores."""

import numpy as np
import pytest

from tfxfer.activations.keys import Key


@pytest.fixture
def key():
    """Makes keys: `key(row_shape, precision)`."""

    def make(row_shape=(2, 2, 3), precision="float32", **changes) -> Key:
        fields = {
            "network": "builtin:efficientnet_lite0",
            "cut": "stage4.block1",
            "prefix": "0123456789abcdef",
            "pixels": "squash",
            "image_size": 96,
            "views": "1",
            "precision": precision,
            "row_shape": row_shape,
            "versions": ("tensorflow 2.21.0", "keras 3.15.1"),
        }
        return Key(**{**fields, **changes})

    return make


@pytest.fixture
def names():
    """Makes fingerprints: `names(count)`."""

    def make(count: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 2**63, (count, 2)).astype(np.uint64)

    return make


@pytest.fixture
def floats():
    """Makes rows of float32: `floats(count, *shape)`."""

    def make(count: int, *shape: int) -> np.ndarray:
        return np.random.default_rng(count).normal(size=(count, *(shape or (2, 2, 3)))).astype(np.float32)

    return make
