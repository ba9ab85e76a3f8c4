"""Position embeddings of another size are those that timm computes, and the class token's stays."""

import pathlib

import numpy as np
import pytest
from backbones.torch_models import drawn

from tfxfer.backbones.torch_models.positions import resize_positions
from tfxfer.errors import BackboneError

NUMBERS = np.load(pathlib.Path(__file__).parent / "parity.npz")


@pytest.mark.parametrize("key", [key for key in NUMBERS.files if key.startswith("resized/")])
def test_they_are_those_of_timm(key):
    _, given, wanted = key.split("/")
    table = drawn.draw(f"resize{given}", (1, int(given) ** 2 + 1, 3))[0]
    resized = resize_positions(table, int(wanted) ** 2 + 1)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, NUMBERS[key], atol=1e-6)


def test_three_cases_were_compared():
    assert sum(key.startswith("resized/") for key in NUMBERS.files) == 3


def test_the_same_size_changes_nothing():
    table = np.arange(10.0).reshape(5, 2)
    assert resize_positions(table, 5) is table


def test_a_constant_stays_constant():
    table = np.full((10, 2), 3.0)
    np.testing.assert_allclose(resize_positions(table, 26), 3.0)


@pytest.mark.parametrize("tokens", [0, 1, 7])
def test_a_grid_that_is_no_square_is_refused(tokens):
    with pytest.raises(BackboneError, match=f"has {tokens} position embeddings, expected one for the class token"):
        resize_positions(np.zeros((tokens, 2)), 10)
