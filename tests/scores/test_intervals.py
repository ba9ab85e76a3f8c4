import numpy as np
import pytest
import scipy.stats

from tfxfer.errors import ConfigError, DataError
from tfxfer.scores import intervals


def test_wilsons_interval_by_hand():
    """8 of 10: (0.8 + z²/20 ± z √(0.016 + z²/400)) / (1 + z²/10) with z² = 3.8415."""
    found = intervals.share(8, 10)
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert intervals.share(0, 5).low == 0
    assert intervals.accuracy([1, 2, 3, 3], [1, 2, 3, 4]).value == 0.75


def test_overlapping_estimates_are_tied():
    low, middle, high = intervals.share(50, 100), intervals.share(55, 100), intervals.share(90, 100)
    assert low.overlaps(middle)
    assert middle.overlaps(low)
    assert not low.overlaps(high)
    assert str(low) == "50.0 % (40.4 to 59.6 %)"


def test_balanced_accuracy_is_the_mean_recall_and_one_class_is_a_share():
    found = intervals.balanced_accuracy([0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1])
    assert found.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    alone = intervals.balanced_accuracy([0, 0, 1], [0, 0, 0])
    share = intervals.share(2, 3)
    assert (alone.value, alone.low, alone.high) == pytest.approx((share.value, share.low, share.high))


def test_macro_f1_by_hand():
    """Of three classes the third has no example. F1 of the first 2·3 / (2·3 + 1 + 1), of the second 2 / (2 + 1 + 2)."""
    found = intervals.macro_f1(np.array([[3, 1, 0], [1, 1, 1], [0, 0, 0]]))
    assert found.value == pytest.approx((6 / 8 + 2 / 5) / 2)
    assert 0 <= found.low < found.value < found.high <= 1
    one = intervals.macro_f1(np.array([[4, 1], [0, 0]]))  # a share of its own
    low, high = (2 * bound / (1 + bound) for bound in (intervals.share(4, 5).low, intervals.share(4, 5).high))
    assert (one.low, one.high) == pytest.approx((low, high))
    right = intervals.macro_f1(np.diag([5, 5]))
    assert right.high == 1
    assert right.low < 0.85


def test_two_classes_share_their_mistakes():
    """By hand, times the 100 cases of each class: a right one moves its F1 by 2 − 2·0.8, a mistake both by −0.8."""
    counts = np.array([[40, 10], [10, 40]])
    independent = 0.8 * 0.4**2 + 0.2 * (0.8**2 + 0.8**2)
    together = 0.8 * 0.4**2 + 0.2 * 1.6**2
    found = intervals._dependence(counts, np.arange(2), np.array([0.8, 0.8]))
    assert found == pytest.approx(np.sqrt(together / independent))


def test_wilsons_intervals_of_several_shares_are_those_of_each():
    low, high = intervals.wilson(np.array([0, 8, 5]), np.array([5, 10, 5]))
    for right, total, a, b in zip([0, 8, 5], [5, 10, 5], low, high, strict=True):
        known = scipy.stats.binomtest(right, total).proportion_ci(0.95, method="wilson")
        assert (a, b) == pytest.approx((known.low, known.high), abs=1e-12)


def test_pairs_by_hand():
    first = np.array([1] * 50 + [0] * 10 + [1] * 2 + [0] * 38, bool)
    second = np.array([1] * 50 + [1] * 10 + [0] * 2 + [0] * 38, bool)
    found = intervals.paired(first, second)
    assert (found.only_first, found.only_second, found.examples) == (2, 10, 100)
    assert found.difference.value == pytest.approx(0.08)
    p, q = 10.5 / 102, 2.5 / 102
    half = 1.959964 * np.sqrt((p + q - (p - q) ** 2) / 102)
    assert (found.difference.low, found.difference.high) == pytest.approx((p - q - half, p - q + half))
    assert found.second_is_better == pytest.approx(0.9918, abs=2e-3)
    assert intervals.paired(second, first).second_is_better == pytest.approx(1 - found.second_is_better)
    assert intervals.paired(first, first).second_is_better == pytest.approx(0.5)


def test_mean_has_students_interval():
    found = intervals.mean([1.0, 2.0, 3.0])
    assert (found.value, found.high - 2) == pytest.approx((2, 4.302653 / np.sqrt(3)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: intervals.share(3, 2), "3 of 2 cases is no share"),
        (lambda: intervals.share(0, 0), "at least one case"),
        (lambda: intervals.paired([True], [True, False]), "are no pairs"),
        (lambda: intervals.mean([0.5]), "at least two"),
        (lambda: intervals.balanced_accuracy([], []), "no examples"),
        (lambda: intervals.macro_f1(np.zeros((2, 2), int)), "no examples"),
    ],
)
def test_what_has_no_interval_is_named(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_confidence_is_a_share():
    with pytest.raises(ConfigError, match=r"confidence=95 must lie between 0 and 1, such as 0\.95"):
        intervals.share(1, 2, confidence=95)


def test_balanced_difference_is_the_mean_over_classes():
    """The first has all of the 90 of a class right and none of the 10 of the other, the second 9 of 10 of each."""
    labels = np.repeat([0, 1], [90, 10])
    first, second = np.arange(100) < 90, np.arange(100) % 10 < 9
    found = intervals.balanced_difference(first, second, labels)
    assert found.value == pytest.approx((-0.1 + 0.9) / 2)
    # Of one of them all recalls are equal, so nothing is known to be shared: distances add up as squares.
    all_of, some_of, few = intervals.share(90, 90), intervals.share(81, 90), intervals.share(9, 10)
    none_of = intervals.share(0, 10)
    above = np.linalg.norm([some_of.high - 0.9, 1 - all_of.low, few.high - 0.9, 0 - none_of.low]) / 2
    below = np.linalg.norm([0.9 - some_of.low, all_of.high - 1, 0.9 - few.low, none_of.high]) / 2
    assert (found.low, found.high) == pytest.approx((found.value - below, found.value + above))


def test_what_two_have_right_together_makes_their_difference_certain():
    """Of one class: 60 both, 20 the first alone, 10 the second alone, 10 neither; φ by hand."""
    first = np.repeat([True, True, False, False], [60, 20, 10, 10])
    second = np.repeat([True, False, True, False], [60, 20, 10, 10])
    found = intervals.balanced_difference(first, second, np.zeros(100, int))
    p, q, phi = intervals.share(80, 100), intervals.share(70, 100), 0.04 / np.sqrt(0.16 * 0.21)
    a, b = 0.7 - q.low, p.high - 0.8
    assert found.low == pytest.approx(-0.1 - np.sqrt(a**2 - 2 * phi * a * b + b**2))
    a, b = q.high - 0.7, 0.8 - p.low
    assert found.high == pytest.approx(-0.1 + np.sqrt(a**2 - 2 * phi * a * b + b**2))
    with pytest.raises(DataError, match="are no pairs"):
        intervals.balanced_difference([], [], [])


def test_what_was_chosen_is_better_by_less():
    first, second = np.arange(200) % 10 < 7, np.arange(200) % 10 < 8
    measured = intervals.paired(first, second)
    assert intervals.less_chosen(measured, 0) is measured
    found = intervals.less_chosen(measured, 0.04)
    assert found.difference.value == pytest.approx(0.06)
    assert found.difference.low == pytest.approx(measured.difference.low - 0.04)
    assert 0.9 < found.second_is_better < measured.second_is_better
    assert intervals.less_chosen(measured, 0.2).second_is_better < 0.01
    assert (found.only_first, found.only_second, found.examples) == (0, 20, 200)
