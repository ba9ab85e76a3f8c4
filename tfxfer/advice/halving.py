"""The rules of the race: which rungs a budget has room for, and who goes on. Pure; `contest` holds the race.

Successive halving (Karnin, Koren & Somekh 2013; Jamieson & Talwalkar 2016): all train a little, the better half trains
on, and so forth. What a rung costs is foretold, so that the budget is kept.
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
# Less of a schedule than this tells nothing: of ten epochs one. A prior.
LEAST_SHARE = 0.1
_MOST_RUNGS = 3
# A rung is worth it that comes so many times as far as the one before. A prior.
FARTHER = 1.25
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
    """

    start: float
    rung: float
    whole: float

    def seconds(self, done: float, share: float) -> float:
        """Returns the seconds from one share of the schedule to another, in [0, 1]."""
        return (0.0 if done else self.start) + self.rung + self.whole * (share - done)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rung:
    """A part of the race: `count` candidates train on to `share` of their schedules, in `seconds` at most."""

    share: float
    count: int
    seconds: float


def affordable(costs: Mapping[str, Cost], seconds: float) -> tuple[set[str], list[tuple[str, str]]]:
    """Returns which candidates have room for the least share of their schedule, and why the others have not.

    The one that costs most goes first, until the others fit.
    """
    order = sorted(costs, key=lambda name: costs[name].seconds(0, LEAST_SHARE))
    left_out = []
    while order and _least({name: costs[name] for name in order}) > PLANNED * seconds:
        name = order.pop()
        left_out.append(
            (
                name,
                f"{100 * LEAST_SHARE:g} % of its training would take about "
                f"{costs[name].seconds(0, LEAST_SHARE):.0f} s of the {max(0.0, seconds):.0f} s that there were",
            )
        )
    return set(order), left_out


def _least(costs: Mapping[str, Cost]) -> float:
    """Returns the seconds of the least share of all, exactly rounded: whoever sums them up in another order agrees."""
    return math.fsum(cost.seconds(0, LEAST_SHARE) for cost in costs.values())


def plan(costs: Mapping[str, Cost], seconds: float, done: float = 0.0) -> tuple[Rung, ...]:
    """Returns the rungs that fit: of one, two or three the number that lets the last ones train farthest.

    Each rung trains twice as far as the one before and has half as many candidates, but two at least; it is held to
    cost what the dearest of them would. Of plans that come equally far the one that takes less is taken.

    Args:
        costs: of those that are still in the race.
        seconds: that are left.
        done: share of the schedules that is trained already, in [0, 1].

    Returns:
        () where nothing worth it fits.
    """
    plans = [found for count in range(1, _MOST_RUNGS + 1) if (found := _farthest(costs, seconds, done, count))]
    return max(plans, key=lambda one: (round(one[-1].share, 2), -sum(r.seconds for r in one)), default=())


def _farthest(costs: Mapping[str, Cost], seconds: float, done: float, count: int) -> tuple[Rung, ...]:
    """Returns so many rungs of which the last trains as far as there is time for; () where that is not worth it."""
    # One alone has nothing to be compared with, and is only to show what it is worth.
    low, high = max(LEAST_SHARE, FARTHER * done) * 2 ** (count - 1), 1.0 if len(costs) > 1 else CLEAR_FROM
    if low > high or not costs:
        return ()

    def room_for(rungs: Sequence[Rung]) -> bool:
        return math.fsum(rung.seconds for rung in rungs) <= PLANNED * seconds

    fits = _to(costs, low, done, count)
    if not room_for(fits):
        return ()
    tried = high
    for _ in range(12):  # to 1/4096
        rungs = _to(costs, tried, done, count)
        if room_for(rungs):
            fits, low = rungs, tried
        else:
            high = tried
        if low == high:
            break
        tried = (low + high) / 2
    return fits


def _to(costs: Mapping[str, Cost], last: float, done: float, count: int) -> tuple[Rung, ...]:
    rungs = []
    for number in range(count):
        share = last / 2 ** (count - 1 - number)
        racing = min(len(costs), max(2, math.ceil(len(costs) / 2**number)))
        dearest = sorted((cost.seconds(done, share) for cost in costs.values()), reverse=True)[:racing]
        rungs.append(Rung(share=share, count=racing, seconds=math.fsum(dearest)))
        done = share
    return tuple(rungs)


def survivors(right: Sequence[tuple[str, np.ndarray]], share: float, keep: int | None) -> dict[str, str]:
    """Returns for each candidate why it does not go on; "" for those that do.

    Args:
        right: of each, the best first, its name and whether it had each example right, bool `[examples]`.
        share: of their schedules that they have trained.
        keep: how many are to go on at most; None: all that are not clearly worse.
    """
    (leader, best), *others = right
    found = {leader: ""}
    keep = keep or len(right)
    for name, mine in others:
        behind = 1 - intervals.paired(best, mine).second_is_better
        if share >= CLEAR_FROM and behind >= CERTAIN:
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
    least = {name: cost.seconds(0, LEAST_SHARE) for name, cost in costs.items()}
    name = min(least, key=least.get)
    one, every = (math.ceil(spent + seconds / PLANNED) + 1 for seconds in (least[name], sum(least.values())))
    return (
        f"budget={budget:g} seconds is too small for a single candidate: {spent:.0f} s have gone into loading, and "
        f"{100 * LEAST_SHARE:g} % of the cheapest training ({name}) would take about {least[name]:.0f} s. Write "
        f"--budget={one} for that alone"
        + (f", or --budget={every} for all {len(costs)} candidates." if len(costs) > 1 else ".")
    )
