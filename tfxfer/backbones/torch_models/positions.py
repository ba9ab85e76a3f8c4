"""Resizes the position embeddings of a vision transformer to another number of patches."""

import math

import numpy as np

from tfxfer.errors import BackboneError


def resize_positions(table: np.ndarray, count: int) -> np.ndarray:
    """Returns position embeddings for `count` tokens: the class token's as it is, the grid's resized.

    Bicubic and antialiased, as timm does it.

    Args:
        table: float `[1 + rows², channels]`, the class token's first.
        count: 1 + a square number.

    Raises:
        BackboneError: the grid of `table` is no square.
    """
    if len(table) == count:
        return table
    given, wanted = math.isqrt(max(0, len(table) - 1)), math.isqrt(count - 1)
    if given == 0 or given**2 != len(table) - 1:
        raise BackboneError(
            f"the file has {len(table)} position embeddings, expected one for the class token and a square grid."
        )
    grid = table[1:].astype(np.float64).reshape(given, given, -1)
    weights = _weights(given, wanted)
    grid = np.einsum("ai,bj,ijc->abc", weights, weights, grid, optimize=True)
    return np.concatenate([table[:1], grid.reshape(wanted**2, -1).astype(table.dtype)])


def _weights(given: int, wanted: int) -> np.ndarray:
    """Returns float64 `[wanted, given]`, the share of each given point in each wanted one; rows sum to 1."""
    scale = max(given / wanted, 1.0)
    centres = (np.arange(wanted) + 0.5) * given / wanted
    weights = _cubic((np.arange(given) + 0.5 - centres[:, None]) / scale)
    return weights / weights.sum(axis=1, keepdims=True)


def _cubic(x: np.ndarray) -> np.ndarray:
    """The cubic convolution kernel of Keys 1981 with a = −1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
