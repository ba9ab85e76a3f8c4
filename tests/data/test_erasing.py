"""Random erasing: rectangles of the sizes that the paper has, in one colour, as often as was asked for."""

import numpy as np
import pytest

from tfxfer.data import erasing

COUNT, SIZE = 10_000, 64


def drawn(share, still=None):
    draws = np.random.default_rng(0).random((COUNT, erasing.DRAWS))
    return erasing.drawn(draws, share, SIZE, np.zeros(COUNT, bool) if still is None else still)


def test_rectangles_lie_in_the_picture_and_have_two_to_33_percent_of_it():
    top, bottom, left, right = drawn(1.0)[:, :4].T
    assert min(top.min(), left.min()) == 0
    assert max(bottom.max(), right.max()) == SIZE
    area = (bottom - top) * (right - left) / SIZE**2
    assert 0.015 < area.min() < 0.03
    assert 0.3 < area.max() < 0.35
    aspect = (bottom - top) / (right - left)
    assert 0.2 < aspect.min() < 0.4
    assert 2.5 < aspect.max() < 4.5


def test_as_many_are_erased_as_was_asked_for_and_none_of_those_that_stay():
    is_erased = (drawn(0.25)[:, 1] > drawn(0.25)[:, 0]).mean()
    assert is_erased == pytest.approx(0.25, abs=0.02)
    still = np.arange(COUNT) < 100
    top, bottom = drawn(1.0, still)[:, :2].T
    assert (top[still] == bottom[still]).all()
    assert (top[~still] < bottom[~still]).all()


def test_a_rectangle_by_hand():
    pictures = np.zeros((2, 4, 4, 3), np.float32)
    got = erasing.erased(pictures, np.array([[1, 3, 0, 2, 9, 8, 7], [2, 2, 1, 4, 9, 8, 7]], np.float32)).numpy()
    assert got[0, :, :, 1].tolist() == [[0, 0, 0, 0], [8, 8, 0, 0], [8, 8, 0, 0], [0, 0, 0, 0]]
    assert got[0, 1, 0].tolist() == [9, 8, 7]
    np.testing.assert_array_equal(got[1], 0)
