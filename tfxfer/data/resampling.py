"""Shrinks and enlarges pictures to the bytes of Pillow's bilinear filter, in loops that numba turns into vectors.

Plain functions on arrays, which `data/fast_jpegs.py` compiles; without numba they do the same, slowly. The arithmetic
is that of Pillow's `src/libImaging/Resample.c` for eight bits: whole numbers for weights, bytes between the two passes.
"""

import numpy as np

# Of a weight behind the point, as in Pillow: the sum of 255 times all of them stays below 2³¹.
_BITS = 22
_HALF = 1 << (_BITS - 1)
# Rows that the pass along them does at once, each in its place of a vector.
_TOGETHER = 16
# With more, roundings of the weights might add up to a level above 255.
MOST_TAPS = 10_000


def weigh(count, start, length, size):
    """Returns which pixels of a line each pixel of the result takes, and how much of each.

    A triangle, as wide as a pixel of the result on either side of its centre, at least as one of the source.

    Args:
        count: pixels in the line, ≥ 1.
        start: where the part begins that is taken, in pixels, float ≥ 0.
        length: of that part, float > 0; it ends within the line.
        size: pixels of the result, ≥ 1.

    Returns:
        The first pixel taken, int64 `[size]`, and weights of those from there on, int32 `[size, taps]`, in 2⁻²². The
        first plus the number of taps is nowhere beyond `count`.
    """
    scale = length / size
    reach = max(scale, 1.0)
    first = np.empty(size, np.int64)
    last = np.empty(size, np.int64)
    taps = 1
    for place in range(size):
        centre = start + (place + 0.5) * scale
        first[place] = max(int(centre - reach + 0.5), 0)
        last[place] = min(int(centre + reach + 0.5), count)
        taps = max(taps, last[place] - first[place])
    weights = np.zeros((size, taps), np.int32)
    shares = np.empty(taps)
    for place in range(size):
        centre = start + (place + 0.5) * scale
        total = 0.0
        taken = last[place] - first[place]
        for tap in range(taken):
            shares[tap] = max(1.0 - abs((tap + first[place] - centre + 0.5) * (1.0 / reach)), 0.0)
            total += shares[tap]
        # So that every pixel has as many, without going beyond the end.
        shift = max(first[place] + taps - count, 0)
        first[place] -= shift
        for tap in range(taken):
            weights[place, shift + tap] = int(0.5 + shares[tap] / total * (1 << _BITS))
    return first, weights


def along_rows(source, first, weights, top, result):
    """Writes what becomes of the rows of a picture from `top` on.

    Args:
        source: uint32 `[height, width]`: red in the lowest byte, then green and blue; the highest does not count.
        first: of `weigh` for the width; `weights` likewise.
        weights: see there.
        top: the first row that is wanted, ≥ 0.
        result: uint8 `[rows, 3 * columns]`, is filled; `top + rows` is at most the height.
    """
    turned = np.empty((source.shape[1], _TOGETHER), np.uint32)
    sums = np.empty((3, _TOGETHER), np.int32)
    for begin in range(0, len(result), _TOGETHER):
        # The last rows may be fewer; the others do the last one again.
        for lane in range(_TOGETHER):
            row = top + min(begin + lane, len(result) - 1)
            for column in range(source.shape[1]):
                turned[column, lane] = source[row, column]
        for column in range(len(first)):
            for lane in range(_TOGETHER):
                sums[0, lane] = _HALF
                sums[1, lane] = _HALF
                sums[2, lane] = _HALF
            for tap in range(weights.shape[1]):
                weight = weights[column, tap]
                for lane in range(_TOGETHER):
                    word = turned[first[column] + tap, lane]
                    sums[0, lane] += np.int32(word & np.uint32(255)) * weight
                    sums[1, lane] += np.int32((word >> np.uint32(8)) & np.uint32(255)) * weight
                    sums[2, lane] += np.int32((word >> np.uint32(16)) & np.uint32(255)) * weight
            for lane in range(min(_TOGETHER, len(result) - begin)):
                result[begin + lane, 3 * column] = sums[0, lane] >> _BITS
                result[begin + lane, 3 * column + 1] = sums[1, lane] >> _BITS
                result[begin + lane, 3 * column + 2] = sums[2, lane] >> _BITS


def along_columns(source, first, weights, top, result):
    """Writes what becomes of the columns.

    Args:
        source: uint8 `[height, values]`.
        first: of `weigh` for the height; `weights` likewise.
        weights: see there.
        top: which row is the first of `source`.
        result: uint8 `[rows, values]`, is filled.
    """
    totals = np.empty(source.shape[1], np.int32)
    for row in range(len(result)):
        for value in range(len(totals)):
            totals[value] = _HALF
        for tap in range(weights.shape[1]):
            weight = weights[row, tap]
            for value in range(len(totals)):
                totals[value] += np.int32(source[first[row] - top + tap, value]) * weight
        for value in range(len(totals)):
            result[row, value] = totals[value] >> _BITS
