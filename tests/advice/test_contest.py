"""Races of made-up candidates by a clock that only they move."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from tfxfer.advice import contest
from tfxfer.advice.halving import Cost
from tfxfer.errors import ConfigError, TrainingError

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
    done: float = 0.0

    def advance(self, share: float) -> np.ndarray:
        self.clock.now += self.slowness * self.cost.seconds(self.done, share)
        self.done = share
        return np.random.default_rng(self.seed).permutation(400) < 400 * self.accuracy(share)


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
    assert found.ended in ("the budget was used up", "the whole schedules were trained")
    assert found.standings[1].why_not == "80.0 % right in the end, cheap 80.0 %"


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
    found = _race(five, 60)
    assert clock.now - 100 <= 60
    (name, why) = found.left_out[0]
    assert why.startswith("the budget was used up before it began, and it would take")
    assert name not in _names(found)


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
    assert (_names(found), found.ended, found.shares) == (["a"], "there was no other", (0.25,))
    assert found.left_out[0][0] == "dear"


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
    assert ("broken", "the loss of step 3 of 9 is no number") in found.left_out


def test_where_all_diverge_it_is_an_error():
    with pytest.raises(TrainingError, match="broken: the loss of step 3 of 9 is no number"):
        _race([Diverging("broken", Clock(), lambda share: 1)], 100)
