"""Which depths the learning curve is of, and what is expected of the best."""

import types

import numpy as np
import pytest

from tfxfer.advice import measuring

_LABELS = np.zeros(200, np.int64)


def _probe(right: int, first: int = 0) -> types.SimpleNamespace:
    """Returns a probe that has `right` of 200 examples right, from the given one on."""
    predicted = np.ones(200, np.int64)
    predicted[np.arange(first, first + right) % 200] = 0
    return types.SimpleNamespace(predicted=predicted, labels=_LABELS)


def _as_good(*probes: types.SimpleNamespace) -> list[int]:
    return measuring.as_good_depths(probes, [probe.predicted for probe in probes])


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ((120, 180, 179, 100), [1, 2]),  # the others are worse beyond doubt
        ((120, 180, 100), [1]),
        ((170, 171, 172, 173, 174, 175), [5, 4, 3, 2, 1]),  # five at most
        ((180, 180), [0, 1]),  # of equals the nearest the input
    ],
)
def test_the_curve_is_of_what_can_hardly_be_told_from_the_best(right, expected):
    # Each has other examples right, so that a few more of them say little.
    assert _as_good(*(_probe(one, 37 * number) for number, one in enumerate(right))) == expected


def test_neighbours_have_a_say_in_which_depth_is_best():
    by_line, by_neighbours = _probe(180), _probe(178)
    voted = [_probe(100).predicted, _probe(190).predicted]
    assert measuring.as_good_depths([by_line, by_neighbours], voted)[0] == 1


def test_less_is_expected_of_the_best_than_was_measured_there():
    generator = np.random.default_rng(0)
    right = generator.random((18, 300)) < 0.7  # all the same
    best = int(right.sum(axis=1).argmax())
    found = measuring.at_best(right, right, best)
    assert 0.7 - 0.02 < found.value < right[best].mean() - 0.01
    assert found.low < found.value < found.high
    alone = measuring.at_best(right[:1], right[:1], 0)
    assert alone.value == pytest.approx(right[0].mean(), abs=1 / 300)
