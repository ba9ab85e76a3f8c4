"""The bytes of Pillow's bilinear filter, without numba: weights worked out by hand, and pictures of all proportions."""

import numpy as np
import PIL.Image
import pytest

from tfxfer.data import resampling

ONE = 1 << 22


def test_half_the_size_takes_two_pixels_on_either_side_of_each_centre():
    """Centres lie at 1 and 3 of 4 pixels, and the triangle reaches two: ⅜ for the nearest, ⅛ for those behind them.

    At the ends one is missing, so the others share 7 parts.
    """
    first, weights = resampling.weigh(4, 0.0, 4.0, 2)
    assert first.tolist() == [0, 1]
    sevenths = [round(part * ONE / 7) for part in (3, 3, 1)]
    assert weights.tolist() == [sevenths, sevenths[::-1]]


def test_the_size_that_it_has_leaves_it_as_it_is():
    first, weights = resampling.weigh(3, 0.0, 3.0, 3)
    taken = [[0, 0, 0] for _ in range(3)]
    for place in range(3):
        for tap, weight in enumerate(weights[place]):
            taken[place][first[place] + tap] = weight
    assert taken == [[ONE, 0, 0], [0, ONE, 0], [0, 0, ONE]]


@pytest.mark.parametrize(
    ("count", "start", "length", "size"), [(1, 0, 1, 1), (1, 0, 1, 7), (50, 0, 50, 3), (9, 2, 5, 4)]
)
def test_nothing_beyond_the_line_is_taken(count, start, length, size):
    """Compiled, nothing else would keep it from reading there."""
    first, weights = resampling.weigh(count, float(start), float(length), size)
    assert first.min() >= 0
    assert (first + weights.shape[1]).max() <= count
    assert (np.diff(first) >= 0).all()  # rows are taken from the first place's first to the last one's last
    # Rounding of each weight moves their sum.
    assert np.abs(weights.sum(axis=1) - ONE).max() <= weights.shape[1]


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(16, 1, 1, 1), (16, 1, 20, 2), (17, 7, 3, 4), (33, 2, 40, 9), (19, 33, 6, 11), (40, 1, 3, 3)],
)
def test_pixels_are_those_of_pillow(height, width, rows, columns):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    across, shares = resampling.weigh(width, 0.0, float(width), columns)
    down, weights = resampling.weigh(height, 0.0, float(height), rows)
    narrow = np.zeros((height, 3 * columns), np.uint8)
    resampling.along_rows(pixels.view("<u4")[..., 0], across, shares, 0, narrow)
    small = np.zeros((rows, 3 * columns), np.uint8)
    resampling.along_columns(narrow, down, weights, 0, small)

    bilinear = PIL.Image.Resampling.BILINEAR
    image = PIL.Image.fromarray(pixels[..., :3]).resize((columns, height), bilinear)
    np.testing.assert_array_equal(narrow.reshape(height, columns, 3), np.asarray(image))
    np.testing.assert_array_equal(small.reshape(rows, columns, 3), np.asarray(image.resize((columns, rows), bilinear)))
