"""The rules of the race: which rungs a budget has room for, and who goes on. Pure; `contest` holds the race.

Successive halving (Karnin, Koren & Somekh 2013; Jamieson & Talwalkar 2016): all train a little, the better half trains
on, and so forth. What a rung costs is foretold, so that the budget is kept. What costs little trains farther than the
others: for the same seconds, and so mostly to its end, where nothing has to be guessed.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer.scores import intervals

# A candidate is let go where another is better with at least this probability,
CERTAIN = 0.95
# but not before this share of its schedule: what learns more slowly may come out ahead. Until then rank alone decides.
CLEAR_FROM = 0.25
# Less of a schedule than this tells nothing: of ten epochs one; nor do fewer steps. Priors.
LEAST_SHARE = 0.1
LEAST_STEPS = 20
_MOST_RUNGS = 3
# A rung is worth it that comes so many times as far as the one before. A prior.
FARTHER = 1.25
# Two cannot be told apart where the one with more right is better with less than this probability; then the one goes
# first that mostly is better (`Strategy.precedence`). A prior: on 68 examples so much is six more of them right.
TOLD_APART = 0.9
# Of the seconds that are left so many are planned for, since predictions are off (see `plans/costs.py`).
PLANNED = 0.85


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds that a candidate is expected to take.

    Attributes:
        start: once, before its first step: what comes before the stage that is shared out, activations of what is
            frozen.
        rung: in each rung, however short: making graphs, validation.
        whole: of all steps of its schedule.
        least: share of the schedule that tells something, in (0, 1].
    """

    start: float
    rung: float
    whole: float
    least: float = LEAST_SHARE

    def seconds(self, done: float, share: float) -> float:
        """Returns the seconds from one share of the schedule to another, in [0, 1]; none where it does not train."""
        if share <= done:
            return 0.0
        return (0.0 if done else self.start) + self.rung + self.whole * (share - done)

    @property
    def least_seconds(self) -> float:
        """Of the least share that tells something."""
        return self.seconds(0, self.least)

    def share_of(self, seconds: float) -> float:
        """Returns the share of the schedule that is trained after so many seconds, in [0, 1]."""
        steps = seconds - self.start - self.rung
        return float(steps > 0) if self.whole <= 0 else min(1.0, max(0.0, steps / self.whole))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """A part of the race.

    Attributes:
        share: of their schedules to which all train at least, in (0, 1].
        shares: to which each trains that there is now, what costs little farther than the others.
        count: of candidates that are to take part.
        seconds: that it takes, if those who stay cost what all cost on average.
    """

    share: float
    shares: Mapping[str, float]
    count: int
    seconds: float


def affordable(costs: Mapping[str, Cost], seconds: float) -> tuple[set[str], list[tuple[str, str]]]:
    """Returns which candidates have room for the least share of their schedule, and why the others have not.

    The one that costs most goes first, until the others fit.
    """
    order = sorted(costs, key=lambda name: costs[name].least_seconds)
    left_out = []
    while order and _least({name: costs[name] for name in order}) > PLANNED * seconds:
        name = order.pop()
        left_out.append(
            (
                name,
                f"{100 * costs[name].least:.0f} % of its training would take about {costs[name].least_seconds:.0f} s "
                f"of the {max(0.0, seconds):.0f} s that there were",
            )
        )
    return set(order), left_out


def _least(costs: Mapping[str, Cost]) -> float:
    """Returns the seconds of the least share of all, exactly rounded: whoever sums them up in another order agrees."""
    return math.fsum(cost.least_seconds for cost in costs.values())


def plan(costs: Mapping[str, Cost], seconds: float, done: Mapping[str, float] | None = None) -> tuple[Rung, ...]:
    """Returns the rungs that fit: of one, two or three the number that lets the last ones train farthest.

    Each rung trains twice as far as the one before and has half as many candidates, but two at least. Of plans that
    come equally far the one that takes less is taken. Where there is just room for the least share of each, none
    trains farther.

    Args:
        costs: of those that are still in the race.
        seconds: that are left.
        done: share of the schedule that each has trained already, in [0, 1]; None: nothing.

    Returns:
        () where nothing worth it fits.
    """
    done = done or dict.fromkeys(costs, 0.0)
    for is_farther in (True, False):
        found = [_farthest(costs, seconds, done, count, is_farther) for count in range(1, _MOST_RUNGS + 1)]
        if plans := [one for one in found if one]:
            return max(plans, key=lambda one: (round(one[-1].share, 2), -sum(r.seconds for r in one)))
    return ()


def _farthest(
    costs: Mapping[str, Cost], seconds: float, done: Mapping[str, float], count: int, is_farther: bool
) -> tuple[Rung, ...]:
    """Returns so many rungs of which the last trains as far as there is time for; () where that is not worth it."""
    if not costs:
        return ()
    least = min(cost.least for cost in costs.values())
    # One alone has nothing to be compared with, and is only to show what it is worth.
    high = 1.0 if len(costs) > 1 else max(CLEAR_FROM, least)
    low = max(least, FARTHER * min(done[name] for name in costs)) * 2 ** (count - 1)

    def has_room(rungs: Sequence[Rung]) -> bool:
        return math.fsum(rung.seconds for rung in rungs) <= PLANNED * seconds

    if low > high or not has_room(found := _to(costs, low, done, count, is_farther)):
        return ()
    tried = high
    for _ in range(12):  # to 1/4096
        rungs = _to(costs, tried, done, count, is_farther)
        if has_room(rungs):
            found, low = rungs, tried
        else:
            high = tried
        if low == high:
            break
        tried = (low + high) / 2
    return found


def _to(
    costs: Mapping[str, Cost], last: float, done: Mapping[str, float], count: int, is_farther: bool
) -> tuple[Rung, ...]:
    rungs = []
    for number in range(count):
        share = last / 2 ** (count - 1 - number)
        shares = {name: _target(name, costs, share, done[name], is_farther) for name in costs}
        racing = min(len(costs), max(2, math.ceil(len(costs) / 2**number)))
        seconds = math.fsum(cost.seconds(done[name], shares[name]) for name, cost in costs.items())
        if racing < len(costs):
            seconds *= racing / len(costs)
        rungs.append(Rung(share=share, shares=shares, count=racing, seconds=seconds))
        done = shares
    return tuple(rungs)


def _target(name: str, costs: Mapping[str, Cost], share: float, done: float, is_farther: bool) -> float:
    """Returns the share of its schedule to which a candidate trains where all train to `share` at least."""
    cost = costs[name]
    least = max(share, cost.least)
    target = least
    if is_farther:
        mean = math.fsum(each.seconds(0, max(share, each.least)) for each in costs.values()) / len(costs)
        target = max(least, cost.share_of(mean))
        if target > least and FARTHER * target > 1:  # the rest would be too little for a rung
            target = 1.0
    return target if target >= FARTHER * done else done


def ordered(right: Mapping[str, np.ndarray], precedence: Mapping[str, int], costs: Mapping[str, Cost]) -> list[str]:
    """Returns names of candidates, the best first.

    The more accurate goes first; of those that cannot be told apart from the most accurate one, that which mostly is
    better; of equals the one whose whole training costs less.

    Args:
        right: of each, whether it had each example right, bool `[examples]`.
        precedence: of each; of what mostly is better it is lower.
        costs: of each.
    """

    def by_accuracy(name: str) -> tuple[float, float]:
        return -float(right[name].mean()), costs[name].seconds(0, 1)

    best = min(right, key=by_accuracy)

    def rank(name: str) -> tuple:
        is_near = name == best or 1 - intervals.paired(right[best], right[name]).second_is_better < TOLD_APART
        cost = costs[name].seconds(0, 1)
        return (0, precedence[name], cost) if is_near else (1, *by_accuracy(name))

    return sorted(right, key=rank)


def survivors(right: Sequence[tuple[str, np.ndarray]], shares: Mapping[str, float], keep: int | None) -> dict[str, str]:
    """Returns for each candidate why it does not go on; "" for those that do.

    Args:
        right: of each, the best first, its name and whether it had each example right, bool `[examples]`.
        shares: of their schedules that they have trained.
        keep: how many are to go on at most; None: all that are not clearly worse.
    """
    (leader, best), *others = right
    found = {leader: ""}
    keep = keep or len(right)
    for name, mine in others:
        behind = 1 - intervals.paired(best, mine).second_is_better
        if shares[name] >= CLEAR_FROM and behind >= CERTAIN:
            found[name] = f"{leader} is better with probability {behind:.2f}"
        elif sum(not why for why in found.values()) >= keep:
            found[name] = (
                f"{100 * mine.mean():.1f} % right, {leader} {100 * best.mean():.1f} %: not among the best {keep} of "
                f"{len(right)}"
            )
        else:
            found[name] = ""
    return found


def too_small(costs: Mapping[str, Cost], budget: float, spent: float) -> str:
    """Returns what to write instead of a budget that no candidate fits into, `spent` seconds of which are gone."""
    least = {name: cost.least_seconds for name, cost in costs.items()}
    name = min(least, key=least.get)
    one, every = (math.ceil(spent + seconds / PLANNED) + 1 for seconds in (least[name], sum(least.values())))
    return (
        f"budget={budget:g} seconds is too small for a single candidate: {spent:.0f} s have gone into loading, and "
        f"{100 * costs[name].least:.0f} % of the cheapest training ({name}) would take about {least[name]:.0f} s. "
        f"Write --budget={one} for that alone"
        + (f", or --budget={every} for all {len(costs)} candidates." if len(costs) > 1 else ".")
    )
