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
# So near, as a standard deviation, is what is expected of strategies (`Strategy.expected`) to what they come to: in the
# twelve settings of `tools/bench_regret.py` differences lay 1.2 to 2.3 points around their means, with noise of 1 to 2
# points from the test; other data may differ more from these than they do among themselves.
EXPECTED_WITHIN = 0.025
# Behind figures that alone would have another order.
OUTWEIGHED = "; so few examples do not outweigh what mostly is better"
# Behind the name of one that is, where another goes.
CLEARLY = "is better with probability"
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
        count: how many may train in it.
        seconds: that it takes, if those who train cost what all that have not come to their end cost on average.
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

    The share to which all train at least doubles from rung to rung, and half as many candidates may train on, but two
    at least. Who is at the end trains no more, and is none of them. What costs little trains for as many seconds as the
    others on average, and farther so; where there is just room for the least share of each, none trains farther. Of
    plans that come equally far the one that takes less is taken.

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
        unfinished = sum(done[name] < 1 for name in costs)
        racing = max(2, math.ceil(len(costs) / 2**number))
        seconds = math.fsum(cost.seconds(done[name], shares[name]) for name, cost in costs.items())
        if racing < unfinished:
            seconds *= racing / unfinished
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
        target = cost.share_of(mean)
        if target <= least + 1e-6:  # where all cost the same, rounding is no reason to go farther
            target = least
        elif FARTHER * target > 1:  # the rest would be too little for a rung
            target = 1.0
    return target if target >= FARTHER * done else done


def shortened(
    costs: Mapping[str, Cost], done: Mapping[str, float], shares: Mapping[str, float], seconds: float
) -> dict[str, float]:
    """Returns shares of a rung that the seconds have room for, where a machine is slower than foretold.

    All are cut to the same share, but to no less than the least of each; who has trained already and would train on by
    less than a quarter does not.

    Args:
        costs: of those that are still to train in the rung.
        done: share that each has trained.
        shares: to which each was to train.
        seconds: that are left for all of them.
    """

    def to(most: float) -> dict[str, float]:
        found = {name: min(shares[name], max(most, cost.least)) for name, cost in costs.items()}
        return {name: share if share >= FARTHER * done[name] else done[name] for name, share in found.items()}

    def has_room(found: Mapping[str, float]) -> bool:
        return math.fsum(cost.seconds(done[name], found[name]) for name, cost in costs.items()) <= seconds

    low, high = 0.0, 1.0
    for _ in range(12):  # to 1/4096
        middle = (low + high) / 2
        low, high = (middle, high) if has_room(to(middle)) else (low, middle)
    return to(low)


def ordered(right: Mapping[str, np.ndarray], expected: Mapping[str, float], costs: Mapping[str, Cost]) -> list[str]:
    """Returns names of candidates, the best first, by what they had right and by what is expected of them.

    What each has more right than the most accurate one is the mean of what was measured and of what was expected, each
    weighed by its precision (normal distributions of known variance; Gelman et al., Bayesian Data Analysis, 2.5): with
    few examples experience has most of the say, with many none. Of equals the cheaper one goes first.

    Args:
        right: of each, whether it had each example right, bool `[examples]`.
        expected: accuracy of each, but for a number that all have in common.
        costs: of each.
    """
    best = max(right, key=lambda name: float(right[name].mean()))

    def more(name: str) -> float:
        if name == best:
            return 0.0
        apart = right[name].astype(float) - right[best]
        # One example more that only one of them has right: where there is none, nothing is certain yet.
        variance = ((apart**2).sum() + 1 - apart.sum() ** 2 / apart.size) / apart.size**2
        weight = EXPECTED_WITHIN**2 / (EXPECTED_WITHIN**2 + variance)
        return float(weight * apart.mean() + (1 - weight) * (expected[name] - expected[best]))

    return sorted(right, key=lambda name: (-more(name), costs[name].seconds(0, 1)))


def survivors(right: Sequence[tuple[str, np.ndarray]], shares: Mapping[str, float], keep: int | None) -> dict[str, str]:
    """Returns for each candidate why it does not go on; "" for those that do.

    Args:
        right: of each, in the order of `ordered`, its name and whether it had each example right, bool `[examples]`.
        shares: of their schedules that they have trained. What is at its end costs nothing more, and stays.
        keep: how many are to train on at most, none of them at its end; None: all that are not clearly worse.
    """
    (leader, best), *others = right
    found = {leader: ""}
    unfinished = [name for name, _ in right if shares[name] < 1]
    keep = keep or len(unfinished)
    for name, mine in others:
        behind = 1 - intervals.paired(best, mine).second_is_better
        if shares[name] >= CLEAR_FROM and behind >= CERTAIN:
            found[name] = f"{leader} {CLEARLY} {behind:.2f}"
        elif name in unfinished[keep:]:
            found[name] = (
                f"{100 * mine.mean():.1f} % right, {leader} {100 * best.mean():.1f} %: not among the best {keep} of "
                f"{len(unfinished)} that were to train on" + (OUTWEIGHED if mine.mean() > best.mean() else "")
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
