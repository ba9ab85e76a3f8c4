"""Which rungs a budget has room for, and who goes on: sums done by hand."""

import re

import numpy as np
import pytest

from tfxfer.advice import halving
from tfxfer.advice.halving import PLANNED, Cost, Rung

EIGHT = Cost(start=0, rung=0, whole=8)


def _right(count: int, of: int = 100) -> np.ndarray:
    """The first so many examples right."""
    return np.arange(of) < count


def test_a_rung_costs_what_it_trains_and_the_first_one_what_comes_before():
    cost = Cost(start=2, rung=1, whole=10)
    assert cost.seconds(0, 0.5) == 2 + 1 + 5
    assert cost.seconds(0.5, 1) == 1 + 5


def test_rungs_halve_the_candidates_and_double_the_share():
    # 4 · 8 · S/4 + 2 · 8 · S/4 + 2 · 8 · S/2 = 20 S = 16, where one rung would come to 0.5 and two to 0.67.
    rungs = halving.plan(dict.fromkeys("abcd", EIGHT), 16 / PLANNED)
    assert [rung.count for rung in rungs] == [4, 2, 2]
    assert [rung.share for rung in rungs] == pytest.approx([0.2, 0.4, 0.8], abs=2e-3)
    assert [rung.seconds for rung in rungs] == pytest.approx([6.4, 3.2, 6.4], rel=5e-3)


def test_where_each_rung_costs_much_there_are_fewer():
    # One rung: 4 · (3 + 8 S) = 28 at 0.5; two: 6 · 3 + 24 S = 28 at 0.42; three: 8 · 3 + 20 S = 28 at 0.2, too little.
    rungs = halving.plan(dict.fromkeys("abcd", Cost(start=0, rung=3, whole=8)), 28 / PLANNED)
    assert [rung.count for rung in rungs] == [4]
    assert rungs[0].share == pytest.approx(0.5, abs=2e-3)


def test_with_all_the_time_there_is_the_whole_schedule_is_trained_in_the_cheapest_way():
    assert halving.plan(dict.fromkeys("abcd", EIGHT), 1e6) == (
        Rung(share=0.25, shares=dict.fromkeys("abcd", 0.25), count=4, seconds=8),
        Rung(share=0.5, shares=dict.fromkeys("abcd", 0.5), count=2, seconds=4),
        Rung(share=1.0, shares=dict.fromkeys("abcd", 1.0), count=2, seconds=8),
    )


def test_what_costs_little_trains_for_the_seconds_of_the_others():
    # Half of each is 5, 45 and 50 s, on average 33 s: all of the cheap one is 9, and 40 of 80 s of the dear one.
    costs = {
        "cheap": Cost(start=1, rung=0, whole=8),
        "dear": Cost(start=5, rung=0, whole=80),
        "dearer": Cost(start=0, rung=0, whole=100),
    }
    (rung,) = halving._to(costs, 0.5, dict.fromkeys(costs, 0.0), 1, is_farther=True)
    assert rung.shares == {"cheap": 1.0, "dear": 0.5, "dearer": 0.5}
    assert rung.seconds == 9 + 45 + 50
    (equal,) = halving._to(costs, 0.5, dict.fromkeys(costs, 0.0), 1, is_farther=False)
    assert equal.shares == dict.fromkeys(costs, 0.5)
    middling = costs | {"dear": Cost(start=5, rung=0, whole=40)}  # (5 + 25 + 50) / 3 = 26.7 s: 21.7 of its 40 s
    (rung,) = halving._to(middling, 0.5, dict.fromkeys(costs, 0.0), 1, is_farther=True)
    assert rung.shares["dear"] == pytest.approx(21.67 / 40, abs=1e-3)


def test_later_rungs_are_planned_for_what_all_cost_on_average():
    costs = {"a": Cost(start=0, rung=0, whole=60), "b": Cost(start=0, rung=0, whole=80), "c": EIGHT}
    first, second = halving._to(costs, 1.0, dict.fromkeys(costs, 0.0), 2, is_farther=True)
    assert first.shares == {"a": 0.5, "b": 0.5, "c": 1.0}
    assert (first.seconds, first.count, second.count) == (30 + 40 + 8, 3, 2)
    assert second.seconds == 30 + 40  # the cheap one is at its end, and takes nobody's place
    costs |= {"d": Cost(start=0, rung=0, whole=100)}
    first, second = halving._to(costs, 1.0, dict.fromkeys(costs, 0.0), 2, is_farther=True)
    assert (first.count, second.count) == (4, 2)
    # Behind the first are 31 of 60 s, which is what all take there on average, 40 of 80 and 50 of 100.
    assert second.seconds == pytest.approx((29 + 40 + 50) * 2 / 3)


def test_fewer_steps_than_tell_something_are_no_rung():
    costs = {"few": Cost(start=0, rung=0, whole=8, least=0.5), "many": EIGHT}
    (rung,) = halving.plan(costs, (4 + 0.8) / PLANNED)
    assert rung.shares == {"few": 0.5, "many": pytest.approx(0.1)}
    fits, left_out = halving.affordable(costs, 4.7 / PLANNED)
    assert fits == {"many"}
    assert left_out == [("few", "50 % of its training would take about 4 s of the 6 s that there were")]
    assert "10 % of the cheapest training (many)" in halving.too_small(costs, 0.5, 0)


def test_what_goes_on_trains_on_by_a_quarter_at_least():
    # 2 · 8 · (S − 0.4): 1.6 s would come to 0.5, and 1.25 s not so far.
    costs = dict.fromkeys("ab", EIGHT)
    (rung,) = halving.plan(costs, 1.61 / PLANNED, dict.fromkeys("ab", 0.4))
    assert rung.share == pytest.approx(0.5, abs=2e-3)
    assert halving.plan(costs, 1.25 / PLANNED, dict.fromkeys("ab", 0.4)) == ()
    assert halving.plan(costs, 1e6, dict.fromkeys("ab", 1.0)) == ()


def test_who_is_at_the_end_waits_for_the_other():
    (rung,) = halving.plan({"done": EIGHT, "other": EIGHT}, 4.01 / PLANNED, {"done": 1.0, "other": 0.5})
    assert rung.shares == {"done": 1.0, "other": pytest.approx(1.0, abs=2e-3)}
    assert rung.seconds == pytest.approx(4, abs=0.01)
    # Nor does one train on by less than a quarter, while the other catches up.
    (rung,) = halving.plan({"ahead": EIGHT, "other": EIGHT}, 0.81 / PLANNED, {"ahead": 0.45, "other": 0.4})
    assert rung.shares == {"ahead": 0.45, "other": pytest.approx(0.5, abs=2e-3)}


def _apart(name: str, more: int, fewer: int, of: int) -> np.ndarray:
    """Half right; so many examples more and so many fewer than `_apart("", 0, 0, of)`."""
    found = _right(of // 2, of)
    found[of // 2 : of // 2 + more] = True
    found[:fewer] = False
    return found


def test_few_examples_do_not_outweigh_what_mostly_is_better():
    # Of 68 examples 9 against 6: 3 / 68 = 4.4 points, variance (15 + 1 − 9 / 68) / 68² = 0.00343, weight of it
    # 0.025² / (0.025² + 0.00343) = 0.154: 0.68 points, and −3 · 0.846 = −2.54 that were expected.
    costs = dict.fromkeys(("suffix", "full"), EIGHT)
    expected = {"suffix": 0.0, "full": -0.03}
    few = {"suffix": _apart("suffix", 0, 0, 68), "full": _apart("full", 9, 6, 68)}
    assert halving.ordered(few, expected, costs) == ["suffix", "full"]
    # Of 1,360 as many points have a variance twenty times as small: 4.4 · 0.78 of them count, and −3 · 0.22.
    many = {"suffix": _apart("suffix", 0, 0, 1360), "full": _apart("full", 180, 120, 1360)}
    assert halving.ordered(many, expected, costs) == ["full", "suffix"]
    # Where no more is expected of one, what they have right decides, and the cost where that is equal.
    assert halving.ordered(few, dict.fromkeys(costs, 0.0), costs) == ["full", "suffix"]
    same = {name: _right(80) for name in ("dear", "cheap")}
    wholes = {"dear": Cost(start=0, rung=0, whole=9), "cheap": EIGHT}
    assert halving.ordered(same, dict.fromkeys(same, 0.0), wholes) == ["cheap", "dear"]
    assert halving.ordered(same, {"dear": 0.01, "cheap": 0.0}, wholes) == ["dear", "cheap"]


def test_who_is_at_the_end_stays_and_who_is_not_goes_by_rank():
    right = [(name, np.roll(_right(60), turn)) for turn, name in enumerate("abcd")]
    why = halving.survivors(right, {"a": 0.2, "b": 0.2, "c": 0.2, "d": 1.0}, 2)
    assert [name for name in why if not why[name]] == ["a", "b", "d"]
    # Whoever is at the end takes nobody's place, first or not.
    why = halving.survivors(right, {"a": 1.0, "b": 0.2, "c": 0.2, "d": 0.2}, 2)
    assert [name for name in why if not why[name]] == ["a", "b", "c"]
    assert why["d"].endswith("not among the best 2 of 3 that were to train on")
    clear = [*right[:2], ("d", _right(10))]
    assert halving.survivors(clear, {"a": 0.2, "b": 0.2, "d": 1.0}, 2)["d"] == "a is better with probability 1.00"


def test_whoever_has_more_right_and_goes_is_told_why():
    right = [("a", _right(60)), ("b", _right(59)), ("c", np.roll(_right(61), 30))]
    why = halving.survivors(right, dict.fromkeys("abc", 0.1), 2)["c"]
    assert why == "61.0 % right, a 60.0 %: not among the best 2 of 3 that were to train on" + halving.OUTWEIGHED


def test_what_costs_the_same_trains_as_far():
    """Whatever rounding makes of the mean of their seconds."""
    for whole in np.random.default_rng(0).uniform(1, 100, 200):
        costs = {name: Cost(start=0.3, rung=0.7, whole=float(whole)) for name in "abc"}
        (rung,) = halving._to(costs, 0.9, dict.fromkeys("abc", 0.0), 1, is_farther=True)
        assert set(rung.shares.values()) == {0.9}


def test_a_rung_is_cut_to_what_there_is_time_for_and_to_no_less_than_tells_something():
    costs = {"new": EIGHT, "begun": EIGHT, "few": Cost(start=0, rung=0, whole=8, least=0.3)}
    done, shares = {"new": 0.0, "begun": 0.4, "few": 0.0}, {"new": 0.9, "begun": 0.6, "few": 0.9}
    # 8 · (0.9 + 0.2 + 0.9) = 16 in all; 8 · (S + S − 0.4 + S) = 10.4 at 0.567, a quarter more than 0.4.
    assert halving.shortened(costs, done, shares, 16.01) == shares
    cut = halving.shortened(costs, done, shares, 10.41)
    assert cut == dict.fromkeys(costs, pytest.approx(0.567, abs=2e-3))
    # At 0.45 the one that has begun would train on by too little, and does not.
    assert halving.shortened(costs, done, shares, 7.21) == {"new": pytest.approx(0.45, abs=2e-3), "begun": 0.4,
                                                            "few": pytest.approx(0.45, abs=2e-3)}  # fmt: skip
    assert halving.shortened(costs, done, shares, 0) == {"new": 0.1, "begun": 0.4, "few": 0.3}


def test_what_costs_most_goes_until_the_others_fit():
    costs = {"a": EIGHT, "b": EIGHT, "dear": Cost(start=5, rung=0, whole=100)}
    fits, left_out = halving.affordable(costs, 2 / PLANNED)
    assert fits == {"a", "b"}
    assert left_out == [("dear", "10 % of its training would take about 15 s of the 2 s that there were")]
    assert halving.affordable(costs, 17 / PLANNED)[0] == set(costs)
    assert halving.affordable(costs, 0.5)[0] == set()
    assert halving.affordable(costs, -3)[0] == set()


def test_half_go_on_by_rank():
    right = [(name, _right(count)) for name, count in (("a", 60), ("b", 58), ("c", 57), ("d", 20))]
    why = halving.survivors(right, dict.fromkeys("abcd", 0.1), 2)
    assert [name for name in why if not why[name]] == ["a", "b"]
    assert why["c"] == "57.0 % right, a 60.0 %: not among the best 2 of 4 that were to train on"


def test_what_is_clearly_worse_goes_only_behind_a_quarter_of_the_schedule():
    right = [("a", _right(90)), ("b", _right(40))]
    assert halving.survivors(right, {"a": 1, "b": 0.2}, None) == {"a": "", "b": ""}
    assert halving.survivors(right, {"a": 1, "b": 0.25}, None) == {"a": "", "b": "a is better with probability 1.00"}
    near = [("a", _right(42)), ("b", _right(41))]  # one example apart: 0.82
    assert halving.survivors(near, {"a": 0.5, "b": 0.5}, None) == {"a": "", "b": ""}


def test_too_small_a_budget_is_told_with_what_would_do():
    told = halving.too_small({"head": Cost(start=3, rung=0, whole=20), "full": Cost(start=0, rung=2, whole=60)}, 4, 2.5)
    # 2.5 + 5 / 0.85 = 8.4, and 2.5 + 13 / 0.85 = 17.8, rounded up and one more.
    assert "budget=4 seconds is too small for a single candidate: 2 s have gone into loading" in told
    assert "10 % of the cheapest training (head) would take about 5 s" in told
    assert "--budget=10 for that alone, or --budget=19 for all 2 candidates" in told
    assert halving.affordable({"head": Cost(start=3, rung=0, whole=20)}, 10 - 2.5)[0] == {"head"}


@pytest.mark.parametrize("wholes", [(600, 600, 1200, 3600, 3600), (0.3, 0.7, 1.1), (9e5, 3e6)])
def test_what_just_fits_has_a_plan(wholes):
    """The least share of all, to the second that is suggested and to the last bit."""
    costs = {str(at): Cost(start=0.1, rung=0.7, whole=whole) for at, whole in enumerate(wholes)}
    least = [cost.seconds(0, halving.LEAST_SHARE) for cost in costs.values()]
    suggested = [float(found) for found in re.findall(r"--budget=(\d+)", halving.too_small(costs, 0.5, 0.0))]
    for seconds in (*suggested, sum(least) / PLANNED, sum(reversed(least)) / PLANNED, min(least) / PLANNED + 1e-9):
        fits, _ = halving.affordable(costs, seconds)
        assert fits
        assert halving.plan({name: costs[name] for name in sorted(fits, reverse=True)}, seconds)
    assert halving.affordable(costs, suggested[-1])[0] == set(costs)


def test_there_is_no_rung_of_less_than_a_quarter_more():
    assert halving.plan(dict.fromkeys("ab", EIGHT), 1e6, dict.fromkeys("ab", 0.81)) == ()
    assert halving.plan(dict.fromkeys("ab", EIGHT), 1e6, dict.fromkeys("ab", 0.8))
