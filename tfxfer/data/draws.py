"""Random numbers that are a function of seed, picture and view alone, whatever is drawn beside them."""

import numpy as np

# Of splitmix64 (Steele, Lea & Flood 2014): the step between two states, and the two multipliers that mix one.
_STEP, _MIX1, _MIX2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def keys_of(names: tuple[str, ...], seed: int) -> np.ndarray:
    """Returns a number for each picture, uint64 `[pictures]`.

    Args:
        names: hex digests of what the pictures are, of 16 digits or more.
        seed: of all draws, ≥ 0.
    """
    return np.array([int(name[:16], 16) for name in names], np.uint64) ^ _mixed(np.uint64(seed) + _STEP)


def uniform(keys: np.ndarray, views: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers in [0, 1), float64 `[views, count]`: the outputs of a splitmix64 for each picture and view.

    The first ones are the same whatever the count.

    Args:
        keys: uint64 `[views]`, of `keys_of`.
        views: int64 `[views]`, ≥ 0, the number of each view.
        count: of numbers.
    """
    with np.errstate(over="ignore"):  # arithmetic is modulo 2⁶⁴
        start = _mixed(keys + _mixed(views.astype(np.uint64) * _STEP))
        states = start[:, None] + _STEP * np.arange(1, count + 1, dtype=np.uint64)
        return (_mixed(states) >> np.uint64(11)) / 2**53


def _mixed(state: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        state = (state ^ (state >> np.uint64(30))) * _MIX1
        state = (state ^ (state >> np.uint64(27))) * _MIX2
        return state ^ (state >> np.uint64(31))
