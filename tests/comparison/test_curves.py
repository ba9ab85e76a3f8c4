"""Points, bands and crossings of histories made by hand."""

import numpy as np
import pytest

from tfxfer.comparison import curves
from tfxfer.comparison.result import Outcome, Point
from tfxfer.scores import Estimate
from tfxfer.training import EpochRecord, History, StageRecord
from tfxfer.training.records import LookRecord, RefreshRecord


class _Stage:
    """As much of a plan's stage as the curves look at."""

    def __init__(self, steps, steps_per_epoch):
        self.steps, self.steps_per_epoch = steps, steps_per_epoch


def epochs(*accuracies, seconds=2.0):
    return tuple(
        EpochRecord(loss=1.0, accuracy=0.5, validation_loss=1.0, validation_accuracy=one, seconds=seconds)
        for one in accuracies
    )


def stage(*accuracies, seconds, **settings):
    return StageRecord(name="1", epochs=epochs(*accuracies), frozen_digest="", moved=1, seconds=seconds, **settings)


def outcome(*points, seed=0, diverged=""):
    own = tuple(Point(step=step, seconds=seconds, accuracy=accuracy) for step, seconds, accuracy in points)
    test = None if diverged else Estimate(value=0.5, low=0.4, high=0.6)
    return Outcome(contender="one", seed=seed, points=own, seconds=1.0, test=test, diverged=diverged)


def told(points):
    return [(point.step, point.seconds, point.accuracy) for point in points]


def test_steps_and_seconds_run_on_from_stage_to_stage():
    """What the first stage does outside its epochs, 3 s of 7, comes before them; the second ends within an epoch."""
    history = History(stages=(stage(0.2, 0.4, seconds=7.0), stage(0.6, 0.8, seconds=4.0)))
    found = curves.points_of(history, (_Stage(20, 10), _Stage(15, 10)))
    assert told(found) == [(10, 5.0, 0.2), (20, 7.0, 0.4), (30, 9.0, 0.6), (35, 11.0, 0.8)]


def test_looks_within_an_epoch_are_points_and_their_own_seconds_do_not_count():
    looks = (
        LookRecord(step=3, validation_loss=1.0, validation_accuracy=0.3, seconds=0.5, took=0.25),
        LookRecord(step=6, validation_loss=1.0, validation_accuracy=0.4, seconds=1.0, took=0.25),
        LookRecord(step=12, validation_loss=1.0, validation_accuracy=0.7, seconds=0.5, took=0.5),
    )
    history = History(stages=(stage(0.5, 0.8, seconds=4.0, looks=looks),))
    found = curves.points_of(history, (_Stage(20, 10),))
    assert told(found) == [(3, 0.5, 0.3), (6, 0.75, 0.4), (10, 1.5, 0.5), (12, 2.0, 0.7), (20, 3.0, 0.8)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0.4),
        ({"best_epoch": 1}, 0.6),
        ({"refreshed": RefreshRecord(layers=3, validation_accuracy=0.9)}, 0.9),
        ({"best_epoch": 1, "refreshed": RefreshRecord(layers=3, validation_accuracy=0.9)}, 0.9),
    ],
)
def test_the_last_point_is_what_the_stage_leaves(settings, expected):
    history = History(stages=(stage(0.6, 0.4, seconds=4.0, **settings),))
    assert curves.points_of(history, (_Stage(20, 10),))[-1].accuracy == expected


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.3, (15.0, 1.5, False)),  # half of the way from 0.2 to 0.4
        (0.4, (20.0, 2.0, False)),
        (0.2, (10.0, 1.0, True)),  # may have been there before
        (0.1, (10.0, 1.0, True)),
        (0.45, (34.0, 3.4, False)),  # a fifth of the way from 0.3375 to 0.9, after a fall
        (0.95, None),
    ],
)
def test_an_accuracy_is_reached_along_a_line_between_measurements(level, expected):
    one = outcome((10, 1.0, 0.2), (20, 2.0, 0.4), (30, 3.0, 0.3375), (50, 5.0, 0.9))
    found = curves.crossing(one.points, level)
    assert found == pytest.approx(expected, abs=1e-9) if expected else found is None


def test_the_first_crossing_counts_even_if_it_falls_again():
    one = outcome((10, 1.0, 0.0), (20, 2.0, 0.8), (30, 3.0, 0.1), (40, 4.0, 0.9))
    assert curves.crossing(one.points, 0.4) == (15.0, 1.5, False)


def test_a_band_is_students_interval_at_the_steps_that_all_have():
    """0.5, 0.6, 0.7: mean 0.6, deviation 0.1, t of 2 degrees 4.3027, half 0.1 / √3 · 4.3027 = 0.2484."""
    runs = [
        outcome((10, 1.0, 0.5), (20, 2.0, 0.9), seed=0),
        outcome((10, 3.0, 0.6), (15, 4.0, 0.6), (20, 5.0, 0.9), seed=1),
        outcome((10, 2.0, 0.7), (20, 2.0, 0.9), seed=2),
        outcome(seed=3, diverged="at step 2"),
    ]
    first, last = curves.band(runs)
    assert (first.step, first.seconds) == (10, 2.0)
    assert (first.accuracy.value, first.accuracy.low, first.accuracy.high) == pytest.approx(
        (0.6, 0.35159, 0.84841), abs=1e-5
    )
    assert first.accuracy.runs == 3
    assert (last.step, last.accuracy.low, last.accuracy.high) == (20, pytest.approx(0.9), pytest.approx(0.9))


def test_a_band_stays_within_what_an_accuracy_can_be():
    runs = [outcome((10, 1.0, one), seed=seed) for seed, one in enumerate((0.7, 1.0))]
    (point,) = curves.band(runs)
    assert (point.accuracy.low, point.accuracy.high) == (0.0, 1.0)


def test_one_seed_has_no_band():
    (point,) = curves.band([outcome((10, 1.0, 0.5))])
    assert (point.accuracy.value, point.accuracy.low, point.accuracy.high, point.accuracy.runs) == (0.5, None, None, 1)


def test_without_a_level_it_is_what_the_worst_mean_ended_with():
    better = [outcome((1, 1.0, 0.1), (2, 2.0, 0.8)), outcome((1, 1.0, 0.9), (2, 2.0, 0.9)), outcome(diverged="so")]
    worse = [outcome((2, 1.0, 0.6)), outcome((2, 1.0, 0.8))]
    assert curves.level_of([curves.band(better), curves.band(worse), ()]) == pytest.approx(0.7)
    assert curves.level_of([()]) == 0.0
    assert curves.reached(worse, 0.7).steps is not None


def test_the_mean_curve_tells_when_an_accuracy_was_reached_and_each_run_too():
    """The mean goes from 0 to 0.75; the first run never gets there, the second halfway to 1 and a half of that."""
    runs = [outcome((10, 1.0, 0.0), (20, 2.0, 0.5)), outcome((10, 1.0, 0.0), (20, 4.0, 1.0)), outcome(diverged="so")]
    found = curves.reached(runs, 0.6)
    assert (found.steps, found.seconds, found.at_most) == (pytest.approx(18.0), pytest.approx(2.6), False)
    assert found.each == (None, 16.0)
    nobody = curves.reached(runs, 0.76)
    assert (nobody.steps, nobody.seconds, nobody.each) == (None, None, (None, pytest.approx(17.6)))
    assert curves.reached(runs[2:], 0.5).each == ()


def test_an_accuracy_that_was_there_at_the_first_measurement_took_at_most_so_long():
    runs = [outcome((10, 1.0, 0.9)), outcome((10, 1.0, 0.5), (20, 2.0, 0.9))]
    found = curves.reached(runs, 0.7)
    assert (found.at_most, found.steps, found.each) == (True, 10.0, (10.0, 15.0))


def _estimates(*values: float) -> list[Estimate]:
    return [Estimate(value=one, low=one - 0.1, high=one + 0.05) for one in values]


def test_the_draw_of_test_examples_is_in_the_interval_also_where_seeds_agree():
    same = np.array([True, False] * 10)
    agreeing = curves.with_draw([same, same], _estimates(0.5, 0.5), low=0.0, high=1.0)
    assert (agreeing.value, agreeing.low, agreeing.high) == pytest.approx((0.5, 0.4, 0.55))
    alone = curves.with_draw([same], _estimates(0.5), low=0.0, high=1.0)
    assert (alone.low, alone.high, alone.runs) == (pytest.approx(0.4), pytest.approx(0.55), 1)
    assert curves.with_draw([], [], low=0.0, high=1.0) is None


def test_what_is_random_in_each_example_averages_out_over_seeds():
    """Runs that have others right by accident, and none more often, are as good as more test examples."""
    runs = [np.arange(400) % 4 != seed for seed in range(4)]  # 0.75 each, and 0.75 of the runs for each example
    found = curves.with_draw(runs, _estimates(0.75, 0.75, 0.75, 0.75), low=0.0, high=1.0)
    assert (found.low, found.high) == pytest.approx((0.75 - 0.1 / 2, 0.75 + 0.05 / 2))
    halves = [np.arange(400) % 4 < 2, np.arange(400) % 2 == 0]  # the mean over both spreads half as much
    found = curves.with_draw(halves, _estimates(0.5, 0.5), low=0.0, high=1.0)
    assert (found.low, found.high) == pytest.approx((0.5 - 0.1 / 2**0.5, 0.5 + 0.05 / 2**0.5))


def test_seeds_that_differ_beyond_accident_widen_it():
    """All that one run has right the next has, too, and more: 0.5, 0.6, 0.7."""
    order = np.arange(1000)
    runs = [order < 500, order < 600, order < 700]
    found = curves.with_draw(runs, _estimates(0.5, 0.6, 0.7), low=0.0, high=1.0)
    single = np.mean([0.25, 0.24, 0.21])
    shared = np.sqrt((np.array([0] * 300 + [1 / 3] * 100 + [2 / 3] * 100 + [1] * 500)).var() / single)
    left = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]]) - np.array([1, 2 / 3, 1 / 3, 0])[:, None]
    left = left - np.array([0.5, 0.6, 0.7]) + 0.6
    of_left = (np.array([500, 100, 100, 300]) @ (left**2).sum(axis=1)) / (2 * 999)
    t, z = 4.302653, 1.959964
    seeds = (t**2 * 1000 * 0.01 - 0.5 * (t**2 + z**2) * of_left) / 3000
    assert found.low == pytest.approx(0.6 - np.sqrt((0.1 * shared) ** 2 + seeds), abs=1e-6)
    assert found.high == pytest.approx(0.6 + np.sqrt((0.05 * shared) ** 2 + seeds), abs=1e-6)
    more = curves.with_draw([order < 400, order < 600, order < 800], _estimates(0.4, 0.6, 0.8), low=0.0, high=1.0)
    assert more.high > found.high


def test_without_lists_of_what_was_right_both_count_in_full():
    """Of 0.5, 0.6, 0.7 it is 0.2484 over seeds, with 0.1 of the draw 0.2678."""
    found = curves.with_draw([None] * 3, _estimates(0.5, 0.6, 0.7), low=0.0, high=1.0)
    assert (found.low, found.high) == pytest.approx((0.33221, 0.85339), abs=1e-4)
    other = [np.ones(4), np.ones(4), np.ones(5)]  # of other examples
    for unlike in (other, [np.ones(4), None, np.ones(4)]):
        assert curves.with_draw(unlike, _estimates(0.5, 0.6, 0.7), low=0.0, high=1.0) == found
