"""Shrinks and enlarges pictures to the bytes of Pillow's bilinear filter, in loops that numba turns into vectors.

Plain functions on arrays, which `data/fast_jpegs.py` compiles; without numba they do the same, slowly. The arithmetic
is that of Pillow's `src/libImaging/Resample.c` for eight bits: whole numbers for weights, bytes between the two passes.
"""

import numpy as np

# Of a weight behind the point, as in Pillow: the sum of 255 times all of them stays below 2³¹.
_BITS = 22
_HALF = 1 << (_BITS - 1)
# The pass along rows does so many at once, each in its place of a vector, and cannot do fewer.
LEAST_ROWS = 16
# Weights of a pixel that the pass along rows knows: enough for 3½ times the size, and more than a JPEG whose sides are
# no farther apart than 16 to 9 is left with.
MOST_TAPS = 8
_BYTE, _GREEN, _BLUE = np.uint32(255), np.uint32(8), np.uint32(16)


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
        result: uint8 `[rows, 3 * columns]`, is filled; at least `LEAST_ROWS`; `top + rows` is at most the height.
    """
    height = len(result)
    # Behind the line there is room for taps that do not count.
    turned = np.zeros((source.shape[1] + MOST_TAPS, LEAST_ROWS), np.uint32)
    shares = np.zeros((len(first), MOST_TAPS), np.int32)
    shares[:, : weights.shape[1]] = weights
    narrow = np.empty((len(first), LEAST_ROWS), np.uint32)
    for step in range(0, height, LEAST_ROWS):
        # The last ones as many as the others, some of them once more.
        begin = min(step, height - LEAST_ROWS)
        for column in range(source.shape[1]):
            for lane in range(LEAST_ROWS):
                turned[column, lane] = source[top + begin + lane, column]
        for column in range(len(first)):
            taken, weighed, words = turned[first[column] :], shares[column], narrow[column]
            # LLVM unrolls the loop over taps, whose number it knows, and makes vectors of that over lanes.
            for lane in range(LEAST_ROWS):
                red = green = blue = np.int32(_HALF)
                for tap in range(MOST_TAPS):
                    word, weight = taken[tap, lane], weighed[tap]
                    # Each product and sum is cut to 32 bits at once, or numba would count with 64.
                    red = np.int32(red + np.int32(np.int32(word & _BYTE) * weight))
                    green = np.int32(green + np.int32(np.int32((word >> _GREEN) & _BYTE) * weight))
                    blue = np.int32(blue + np.int32(np.int32((word >> _BLUE) & _BYTE) * weight))
                words[lane] = (
                    np.uint32(red >> _BITS)
                    | (np.uint32(green >> _BITS) << _GREEN)
                    | (np.uint32(blue >> _BITS) << _BLUE)
                )
        for lane in range(LEAST_ROWS):
            for column in range(len(first)):
                word = narrow[column, lane]
                result[begin + lane, 3 * column] = word & _BYTE
                result[begin + lane, 3 * column + 1] = (word >> _GREEN) & _BYTE
                result[begin + lane, 3 * column + 2] = (word >> _BLUE) & _BYTE


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
        start = first[row] - top
        for value in range(len(totals)):
            totals[value] = _HALF
        for tap in range(weights.shape[1]):
            weight = weights[row, tap]
            for value in range(len(totals)):
                totals[value] += np.int32(source[start + tap, value]) * weight
        for value in range(len(totals)):
            result[row, value] = totals[value] >> _BITS
