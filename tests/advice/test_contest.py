"""Races of made-up candidates by a clock that only they move."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable

import numpy as np
import pytest

from tfxfer.advice import contest, halving
from tfxfer.advice.halving import Cost
from tfxfer.advice.result import LeftOut
from tfxfer.errors import ConfigError, OutOfMemoryError, TrainingError, WorkdirError

COST = Cost(start=0, rung=1, whole=20)


class Clock:
    """Stands still until somebody trains."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass
class Made:
    """Has a share of 400 examples right that depends on how far it has trained, and takes what it was told to."""

    name: str
    clock: Clock
    accuracy: Callable[[float], float]
    cost: Cost = COST
    slowness: float = 1.0
    seed: int = 0
    expected: float = 0.0
    done: float = 0.0
    is_let_go: bool = False

    def advance(self, share: float) -> np.ndarray:
        self.clock.now += self.slowness * self.cost.seconds(self.done, share)
        self.done = share
        return np.random.default_rng(self.seed).permutation(400) < 400 * self.accuracy(share)

    def let_go(self) -> None:
        self.is_let_go = True


def _race(entrants, budget: float, **changes) -> contest.Result:
    clock = entrants[0].clock
    return contest.run(entrants, **{"budget": budget, "clock": clock, "began": clock.now, **changes})


def _names(found: contest.Result) -> list[str]:
    return [one.name for one in found.standings]


def test_the_best_wins_and_the_race_ends_once_that_is_clear():
    clock = Clock()
    four = [
        Made(name, clock, lambda share, top=top: top) for name, top in zip("abcd", (0.5, 0.6, 0.9, 0.7), strict=True)
    ]
    found = _race(four, 1000)
    assert _names(found)[0] == "c"
    assert found.ended == "c was clearly the best"
    assert found.shares == (0.25,)
    assert all("c is better with probability" in one.why_not for one in found.standings[1:])
    assert (found.standings[0].why_not, found.standings[0].seconds) == ("", 1 + 5)
    assert clock.now == 100 + 4 * 6
    assert [one.is_let_go for one in four] == [True, True, False, True]


def test_what_learns_slowly_is_not_let_go_too_soon():
    """After a tenth of its schedule the later winner is far behind the first one, yet before the others."""
    clock = Clock()
    slow = Made("slow", clock, lambda share: 0.5 + 0.45 * share)
    fast = Made("fast", clock, lambda share: 0.7)
    others = [Made(name, clock, lambda share: 0.3) for name in "ab"]
    found = _race([fast, slow, *others], 60)
    assert found.shares[0] < 0.25
    assert _names(found)[0] == "slow"


def test_equals_are_a_tie_and_the_cheaper_one_wins():
    clock = Clock()
    cheap = Made("cheap", clock, lambda share: 0.8, cost=Cost(start=0, rung=1, whole=10))
    dear = Made("dear", clock, lambda share: 0.8, cost=Cost(start=0, rung=1, whole=40))
    found = _race([dear, cheap], 60)
    assert _names(found) == ["cheap", "dear"]
    assert found.ended == "97 % of the schedules were trained, and the rest is too little for a rung"
    assert found.standings[1].why_not == "80.0 % right in the end, cheap 80.0 %"


def test_what_mostly_is_better_wins_where_the_race_cannot_tell():
    """And the one with more right is told why not it."""
    clock = Clock()
    head = Made("head", clock, lambda share: 0.81, seed=1, expected=-0.02, cost=Cost(start=0, rung=1, whole=5))
    suffix = Made("suffix", clock, lambda share: 0.80, seed=2)
    found = _race([head, suffix], 100)
    assert _names(found) == ["suffix", "head"]
    assert found.standings[1].why_not == "81.0 % right in the end, suffix 80.0 %" + halving.OUTWEIGHED
    worse = Made("suffix", clock, lambda share: 0.7, seed=2)
    assert _names(_race([dataclasses.replace(head, done=0.0), worse], 100)) == ["head", "suffix"]


def test_what_is_at_its_end_trains_no_more_and_keeps_what_it_had_right():
    clock = Clock()
    cheap = Made("cheap", clock, lambda share: 0.8, cost=Cost(start=0, rung=0, whole=4))
    dear = [
        Made(name, clock, lambda share: 0.8, seed=at, cost=Cost(start=0, rung=0, whole=80))
        for at, name in enumerate("ab")
    ]
    told = []
    found = _race([cheap, *dear], 120, show=told.append)
    of_cheap = [line for line in told if line.startswith("race: cheap")]
    assert len(of_cheap) == 1
    assert "to 100 %" in of_cheap[0]
    first = next(one for one in found.standings if one.name == "cheap")
    assert len(found.shares) > 1
    assert first.seconds == 4
    assert all(np.array_equal(first.right[0], right) for right in first.right)
    assert found.shares[0] < 1


def test_what_is_at_its_end_wins_over_those_that_trained_on_and_came_to_less():
    """Three of which more is expected go before it at first, and two of them train on."""
    clock = Clock()
    head = Made("head", clock, lambda share: 0.8, expected=-0.05, seed=9, cost=Cost(start=0, rung=0, whole=2))
    worse = [
        Made(name, clock, lambda share: 0.82 - 0.25 * share, seed=at, cost=Cost(start=0, rung=0, whole=80))
        for at, name in enumerate("abc")
    ]
    found = _race([head, *worse], 150)
    assert len(found.shares) > 1
    assert _names(found)[0] == "head"


def test_those_at_their_end_are_told_to_be_there():
    """However little the one had trained that they left behind."""
    clock = Clock()
    two = [Made(name, clock, lambda share: 0.9, seed=1, cost=Cost(start=0, rung=0, whole=4)) for name in "ab"]
    dear = Made("dear", clock, lambda share: 0.3, cost=Cost(start=0, rung=0, whole=800))
    found = _race([*two, dear], 500)
    assert found.standings[2].share < 1
    assert found.ended == "the whole schedules were trained"
    assert clock.now < 100 + 500


class Failing(Made):
    def advance(self, share):
        if self.done:
            raise TrainingError("no memory")
        return super().advance(share)


def test_where_none_can_train_on_the_best_of_those_that_had_left_wins():
    clock = Clock()
    two = [Failing(name, clock, lambda share: 0.8, seed=at) for at, name in enumerate("ab")]
    left = [Made(name, clock, lambda share, top=top: top) for name, top in (("c", 0.5), ("d", 0.6))]
    found = _race([*two, *left], 60)
    assert _names(found)[0] == "d"
    assert found.standings[0].why_not == ""
    assert found.ended == "a, b could not train on, and of the others d was the best"


def test_a_slow_machine_leaves_time_for_the_dear_ones():
    """What costs little goes first, and no farther than the others once it is known how slow it is."""
    clock = Clock()
    costs = {"head": (3, 1, 4), "suffix": (3, 3, 30), "first blocks": (2, 4, 60), "full": (4, 5, 100)}
    entrants = [
        Made(name, clock, lambda share: 0.8, slowness=2, seed=at, cost=Cost(start=start, rung=rung, whole=whole))
        for at, (name, (start, rung, whole)) in enumerate(costs.items())
    ]
    found = _race(entrants, 66)
    assert {"head", "suffix", "first blocks"} <= {*_names(found)}
    assert clock.now <= 100 + 66


def test_a_machine_a_little_slow_loses_nobody():
    """The dearest comes last in a rung that was planned for all; it trains less far, and wins."""
    clock = Clock()
    costs = {"head": (1, 1, 1.5), "suffix": (2, 3, 13), "first blocks": (2, 4, 16), "full": (2, 4, 19)}
    entrants = [
        Made(
            name,
            clock,
            functools.partial(lambda top, share: top - 0.05 * (1 - share), 0.9 if name == "full" else 0.72),
            slowness=1.25,
            seed=at,
            cost=Cost(start=start, rung=rung, whole=whole),
        )
        for at, (name, (start, rung, whole)) in enumerate(costs.items())
    ]
    found = _race(entrants, 62)
    assert _names(found)[0] == "full"
    assert found.left_out == ()
    assert clock.now <= 100 + 62


def test_where_the_time_is_too_short_for_all_the_best_train_on():
    """The rung was planned for all; what is left of the 52 s is too little for three, and enough for two."""
    clock = Clock()
    cost = Cost(start=10, rung=1, whole=30)
    three = [
        Made(name, clock, functools.partial(lambda top, share: top + 0.1 * share, top), cost, seed=at)
        for at, (name, top) in enumerate(zip("abc", (0.70, 0.72, 0.71), strict=True))
    ]
    found = _race(three, 52)
    assert _names(found) == ["b", "c", "a"]
    assert found.standings[0].share == found.standings[1].share > 1.3 * found.standings[2].share
    assert found.standings[2].why_not.endswith("not among the best 2 of 3 that were to train on")
    assert found.ended == "what was left of the budget had no room for another rung"
    assert clock.now <= 100 + 52


def test_who_is_left_when_another_went_by_rank_is_not_called_clearly_the_best():
    """The third goes by rank before a quarter of its schedule, where nothing is clear yet."""
    clock = Clock()
    tops = {"a": (0.5, 0.9), "b": (0.5, 0.3), "c": (0.4, 0.2)}
    three = [
        Made(name, clock, functools.partial(lambda low, high, share: low + (high - low) * share, *ends), seed=at)
        for at, (name, ends) in enumerate(tops.items())
    ]
    found = _race(three, 38)
    assert (_names(found)[0], found.ended) == ("a", "a was left as the best")
    assert {one.why_not.split()[-1] for one in found.standings[1:]} >= {"on"}


def test_what_fails_at_once_is_no_fast_machine():
    clock = Clock()
    four = [Made(name, clock, lambda share: 0.8, seed=at) for at, name in enumerate("abc")]
    found = _race([Diverging("broken", clock, lambda share: 1), *four], 60)
    assert clock.now <= 100 + 60
    assert len(found.shares) > 1


@pytest.mark.parametrize("seed", range(4))
def test_no_race_breaks_whatever_takes_part(seed):
    draw = np.random.default_rng(seed)
    races = 0
    for _ in range(150):
        clock, speed = Clock(), draw.choice([0.5, 1.0, 1.0, 3.0])
        entrants = [
            draw.choice([Made, Made, Made, Failing])(
                name,
                clock,
                functools.partial(lambda top, share: top * (0.6 + 0.4 * share), draw.random()),
                cost=Cost(
                    start=draw.choice([0, draw.exponential(5)]),
                    rung=draw.choice([0, draw.exponential(2)]),
                    whole=draw.choice([0, 1e-9, draw.exponential(30), draw.exponential(300)]),
                    least=draw.choice([0.1, 0.1, 0.3, 0.85, 1.0]),
                ),
                slowness=speed,
                seed=int(draw.integers(5)),
                expected=-0.02 * draw.integers(3),
            )
            for name in "abcde"[: draw.integers(1, 6)]
        ]
        budget = draw.choice([0.001, 1, 5, 20, 60, 300, 3000, 1e6])
        try:
            found = _race(entrants, budget)
        except ConfigError:
            continue
        races += 1
        first, *others = found.standings
        assert (first.why_not, first.failed, bool(first.right)) == ("", False, True)
        assert all(one.why_not for one in others)
        assert sorted([*_names(found), *(one.name for one in found.left_out)]) == sorted(one.name for one in entrants)
        assert all(low <= high for low, high in itertools.pairwise(found.shares))
        if found.ended == "what was left of the budget had no room for another rung":
            assert any(one.share < 1 for one in found.standings if not one.entrant.is_let_go)
        if speed == 1:
            assert clock.now - 100 <= budget
            assert found.predicted_seconds <= budget * (1 + 1e-9)
    assert races > 60


@pytest.mark.parametrize("budget", [30, 60, 100, 300])
@pytest.mark.parametrize("slowness", [0.5, 1.0, 1.1])
def test_the_budget_is_kept(budget, slowness):
    clock = Clock()
    five = [Made(name, clock, lambda share: 0.8, slowness=slowness, seed=at) for at, name in enumerate("abcde")]
    found = _race(five, budget)
    assert clock.now - 100 <= budget
    assert found.predicted_seconds <= budget
    assert sum(one.seconds for one in found.standings) == pytest.approx(clock.now - 100)


def test_a_machine_three_times_as_slow_as_foretold_ends_sooner():
    clock = Clock()
    five = [Made(name, clock, lambda share: 0.8, slowness=3, seed=at) for at, name in enumerate("abcde")]
    found = _race(five, 36)
    assert clock.now - 100 <= 36
    out = found.left_out[0]
    assert re.match(r"\d+ s of the budget were left for it, and the least of it would take \d+ s", out.reason)
    assert out.lacks_seconds
    assert out.name not in _names(found)


def test_too_small_a_budget_for_one_is_an_error_before_anything_trains():
    clock = Clock()
    with pytest.raises(ConfigError, match=r"too small for a single candidate.*Write --budget=5 for that alone"):
        _race([Made("a", clock, lambda share: 0.8)], 2)
    assert clock.now == 100


def test_the_seconds_before_the_race_count():
    clock = Clock()
    entrants = [Made("a", clock, lambda share: 0.8)]
    clock.now += 5
    with pytest.raises(ConfigError, match="5 s have gone into loading"):
        contest.run(entrants, budget=6, clock=clock, began=100)


def test_one_alone_wins_without_a_word_of_others():
    clock = Clock()
    found = _race(
        [Made("a", clock, lambda share: 0.8), Made("dear", clock, lambda s: 1, Cost(start=0, rung=0, whole=900))], 20
    )
    assert (_names(found), found.ended, found.shares) == (["a"], "the budget had room for no other", (0.25,))
    assert (found.left_out[0].name, found.left_out[0].lacks_seconds) == ("dear", True)
    assert _race([Made("a", clock, lambda share: 0.8)], 20).ended == "there was no other"


class Diverging(Made):
    def advance(self, share):
        self.clock.now += 1
        raise TrainingError("the loss of step 3 of 9 is no number")


def test_what_diverges_is_left_out_and_the_others_go_on():
    clock = Clock()
    found = _race(
        [Diverging("broken", clock, lambda share: 1), *(Made(n, clock, lambda share: 0.6) for n in "ab")], 100
    )
    assert "broken" not in _names(found)
    assert LeftOut(name="broken", reason="the loss of step 3 of 9 is no number") in found.left_out


def test_where_all_diverge_it_is_an_error():
    with pytest.raises(TrainingError, match="broken: the loss of step 3 of 9 is no number"):
        _race([Diverging("broken", Clock(), lambda share: 1)], 100)


class Ticking(Clock):
    """Moves whenever somebody looks at it."""

    def __call__(self) -> float:
        self.now += 0.4
        return self.now


@pytest.mark.parametrize("clock", [Clock(), Ticking()])
def test_the_budgets_that_are_suggested_are_enough(clock):
    wholes = {"a": 600, "b": 600, "c": 1200, "d": 3600, "e": 3600}

    def race(budget):
        entrants = [Made(name, clock, lambda share: 0.8, Cost(start=0, rung=1, whole=n)) for name, n in wholes.items()]
        return contest.run(entrants, budget=budget, clock=clock, began=clock.now)

    with pytest.raises(ConfigError) as refused:
        race(3)
    one, every = (int(found) for found in re.findall(r"--budget=(\d+)", str(refused.value)))
    assert len(race(one).standings) == 1
    assert len(race(every).standings) == 5


@pytest.mark.parametrize("error", [ConfigError, WorkdirError, OutOfMemoryError])
def test_whatever_ends_one_does_not_end_the_race(error):
    """The leader falls out in the second rung: who is left has not been the best."""

    class Breaking(Made):
        def advance(self, share):
            if self.done:
                self.clock.now += 1
                raise error("no further")
            return super().advance(share)

    clock = Clock()
    bad = [Made(name, clock, lambda share: 0.3) for name in "bc"]
    found = _race([Breaking("leader", clock, lambda share: 0.7), Made("a", clock, lambda share: 0.68), *bad], 60)
    assert _names(found) == ["a", "leader", "b", "c"]
    assert (found.standings[1].failed, found.standings[1].why_not) == (True, "no further")
    assert found.ended == "a alone was left: leader could not train on, and the others were worse"


def test_what_the_others_left_for_is_told():
    clock = Clock()
    found = _race([Diverging("broken", clock, lambda share: 1), Made("a", clock, lambda share: 0.6)], 100)
    assert found.ended == "a alone was left: broken could not train on"
    assert found.left_out == (LeftOut(name="broken", reason="the loss of step 3 of 9 is no number"),)


def test_where_too_little_is_left_for_a_rung_the_budget_is_not_to_blame(monkeypatch):
    """The first plan comes to nine tenths; what it takes then is nothing."""
    plan = halving.plan

    def to_nine_tenths(costs, seconds, done=None):
        if done:
            return plan(costs, seconds, done)
        return (halving.Rung(share=0.9, shares=dict.fromkeys("ab", 0.9), count=2, seconds=1),)

    monkeypatch.setattr(halving, "plan", to_nine_tenths)
    clock = Clock()
    found = _race([Made(name, clock, lambda share: 0.8) for name in "ab"], 1e6)
    assert found.ended == "90 % of the schedules were trained, and the rest is too little for a rung"
