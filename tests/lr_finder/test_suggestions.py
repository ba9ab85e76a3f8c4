"""The four rules on curves worked out by hand, and on curves that have no answer."""

import math

import pytest

from tfxfer.lr_finder import suggestions
from tfxfer.lr_finder.suggestions import RULES, suggest


def rates(count: int, *, per_step: float = 10.0) -> list[float]:
    return [1e-7 * per_step**step for step in range(count)]


def test_minimum_is_a_tenth_of_the_rate_with_the_lowest_loss():
    assert suggestions.minimum([0.1, 1.0, 10.0, 100.0], [3.0, 2.0, 1.0, 5.0]) == (1.0, "")


def test_minimum_at_the_last_rate_is_marked_as_a_lower_bound():
    rate, note = suggestions.minimum([0.1, 1.0, 10.0], [3.0, 2.0, 1.0])
    assert rate == 1.0
    assert "lower bound" in note


def test_steep_is_where_the_loss_falls_fastest_over_the_logarithm():
    """From 1 to 10 it falls by 1.5 in a decade, from 10 to 20 by 1.4 in a third of one."""
    assert suggestions.steep([0.1, 1.0, 10.0, 20.0, 40.0], [5.0, 4.5, 3.0, 1.6, 9.0]) == (10.0, "")


def test_valley_is_the_middle_of_the_longest_descent():
    """Nine members end at index 10, so the valley begins at 1; a third is 3, and half of that 1: 1 + 3 + 1 = 5."""
    losses = [9.0, 9.5, 8.0, 7.0, 6.0, 5.0, 5.5, 4.0, 3.0, 2.0, 1.0, 7.0]
    assert suggestions._longest_descent(losses) == (10, 9)
    assert suggestions.valley(list(range(12)), losses) == (5, "")


def test_a_descent_over_the_whole_curve_begins_at_its_first_step():
    assert suggestions.valley(list(range(6)), [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]) == (3, "")


@pytest.mark.parametrize(
    ("losses", "end", "members"),
    [([1.0, 1.0, 1.0], 0, 1), ([1.0, 2.0, 3.0], 0, 1), ([3.0, 1.0, 2.0, 0.0], 3, 3), ([2.0, 1.0, 3.0, 1.0], 1, 2)],
)
def test_the_longest_descent_is_strict_and_the_first_of_its_length(losses, end, members):
    assert suggestions._longest_descent(losses) == (end, members)


def test_slide_stops_at_the_lower_end_of_the_last_interval_with_different_slopes():
    """Ten steps a decade, so the interval is 12 steps: level until step 20, then falling by 1 a step until step 25.

    Slopes are 0 to step 19, −½ at 20, −1 from 21. From the top, 25 − 12 = 13 differs, so does every pair down to
    (20, 8), and (19, 7) does not.
    """
    curve = [10.0] * 21 + [9.0, 8.0, 7.0, 6.0, 5.0]
    spread = rates(26, per_step=10**0.1)
    assert suggestions.slide(spread, curve) == (spread[8], "")


def test_slide_guesses_where_the_slope_is_one_and_the_same():
    spread = rates(26, per_step=10**0.1)
    rate, note = suggestions.slide(spread, [30.0 - step for step in range(26)])
    assert rate == spread[13]
    assert "guess" in note


def test_slide_has_no_answer_where_the_slope_changes_everywhere_or_the_curve_is_short():
    spread = rates(26, per_step=10**0.1)
    assert suggestions.slide(spread, [-float(step**2) for step in range(26)])[0] is None
    assert "1.2 decades" in suggestions.slide(spread[:12], [1.0] * 12)[1]


@pytest.mark.parametrize("steps", [50, 100, 400])
def test_the_number_of_steps_changes_little(steps):
    """One curve, sampled more or less densely: a fall around 1e-3 and an explosion at 1."""
    spread = [1e-7 * 1e8 ** (step / (steps - 1)) for step in range(steps)]
    curve = [2.0 - 1.5 / (1 + (1e-3 / rate) ** 2) + (rate / 0.8) ** 3 for rate in spread]
    found = {suggestion.rule: suggestion.rate for suggestion in suggest(spread, curve, steps=steps)}
    assert math.log10(found["steep"]) == pytest.approx(-3, abs=0.2)
    assert 1e-6 < found["valley"] < 1e-2
    assert 1e-3 < found["minimum"] < 0.1
    assert 1e-4 < found["slide"] < 1


def test_the_beginning_and_the_end_of_the_curve_do_not_count():
    """The lowest losses of all are in the first tenth and among the last twentieth."""
    curve = [2.0 - step / 100 for step in range(100)]
    curve[3] = curve[97] = -5.0
    found = {suggestion.rule: suggestion.rate for suggestion in suggest(rates(100, per_step=1.2), curve, steps=100)}
    assert found["minimum"] == pytest.approx(1e-7 * 1.2**94 / 10)


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        ([1.0] * 20, "flat"),
        ([1.0 - step * 1e-4 for step in range(20)], "flat"),
        ([1.0 + step for step in range(20)], "flat"),
        ([3.0, 2.0], "too few"),
        ([], "too few"),
    ],
)
def test_a_curve_that_says_nothing_gives_no_rate_but_a_reason(losses, reason):
    for suggestion in suggest(rates(len(losses), per_step=1.5), losses, steps=20):
        assert suggestion.rate is None
        assert reason in suggestion.note


def test_a_curve_that_ended_early_is_cut_as_one_of_full_length():
    """Of 100 steps 12 were made: ten are the beginning, and the end is gone too."""
    assert "too few" in suggest(rates(12), [float(12 - step) for step in range(12)], steps=100)[0].note


@pytest.mark.parametrize("name", RULES)
def test_each_rule_alone_bears_flat_rising_and_falling_curves(name):
    for curve in ([1.0] * 40, [float(step) for step in range(40)], [40.0 - step for step in range(40)]):
        rate, note = RULES[name](rates(40, per_step=1.2), curve)
        assert rate is None or rate > 0
        assert rate is not None or note


def test_losses_may_be_negative():
    curve = [-(1.0 + step / 10) for step in range(40)]
    assert all(suggestion.rate for suggestion in suggest(rates(40, per_step=1.3), curve, steps=40))
