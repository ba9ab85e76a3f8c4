"""A checksum of each row, computed for many rows at once at memory speed.

A row is words of 32 bits. Each word is multiplied by an odd number of 64 bits of its own, and all products are added
modulo 2^64. An odd factor has an inverse modulo 2^64, so two rows that differ in one word never have the same sum: a
flipped bit or byte is always found. For rows that differ in more words, whatever the differences, less than one
choice of factors in 2^32 lets the sums agree: a difference of words is a multiple of at most 2^31, so that its product
takes each value for at most 2^31 of the 2^63 odd factors. (Words of 64 bits would be faster, but the top bits of two
would cancel under any odd factors.) The fingerprint is summed in as well, so that a row in another's place is found
too, and the sum does not start at 0, so that the zeros of a hole in a file are no valid row.
"""

import numpy as np

_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_START = np.uint64(0x5851F42D4C957F2D)
# What is summed at a time, in pairs of words: the copies of its halves stay in the processor's cache.
_PAIRS_AT_ONCE = 1 << 16


def checksums(pairs: np.ndarray, fingerprints: np.ndarray) -> np.ndarray:
    """Returns the checksum of each row.

    Args:
        pairs: uint64 `[n, pairs of words]`.
        fingerprints: `FINGERPRINT` `[n]`.

    Returns:
        uint64 `[n]`.
    """
    low, high = _factors(2 * (pairs.shape[1] + 2)).reshape(2, -1)
    sums = _START + _products(fingerprints.view(np.uint64).reshape(-1, 2), low[:2], high[:2])
    rows = max(1, _PAIRS_AT_ONCE // max(1, pairs.shape[1]))
    for start in range(0, len(pairs), rows):
        sums[start : start + rows] += _products(pairs[start : start + rows], low[2:], high[2:])
    return sums


def _products(pairs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.einsum("rw,w->r", pairs & _LOW, low) + np.einsum("rw,w->r", pairs >> _HALF, high)


def _factors(count: int) -> np.ndarray:
    """Returns odd numbers: the outputs of SplitMix64 (Steele et al., OOPSLA 2014), the same everywhere and for ever."""
    state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) | np.uint64(1)
