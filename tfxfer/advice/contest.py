"""The race itself, whoever takes part: rung by rung, until one is clearly best or the budget is used up.

`halving` has the rules; `racing` makes candidates of networks. Nothing here knows TensorFlow.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tfxfer.advice import halving
from tfxfer.advice.halving import Cost, Rung
from tfxfer.advice.result import LeftOut
from tfxfer.errors import ConfigError, TfxferError, TrainingError

# How much faster or slower than foretold a machine is believed to be.
_SPEEDS = (0.5, 4.0)
# Of the budget so much is planned for nothing: where each rung uses up what the last one left, its own surprise has no
# other room.
_KEPT_BACK = 0.03


class Entrant(Protocol):
    """What can race."""

    name: str
    cost: Cost
    expected: float

    def advance(self, share: float) -> np.ndarray:
        """Trains on to a share of its schedule, in (0, 1], and tells which validation examples it then has right.

        Returns:
            bool `[examples]`, of the same examples in the same order for all.

        Raises:
            TfxferError: it cannot: its loss is no number, statistics of batch norm are none, a batch does not fit into
                memory, so short a stage cannot be, there is no room on the disk.
        """

    def let_go(self) -> None:
        """Gives back what it needs to train on; called once it goes on no more."""


@dataclasses.dataclass
class Standing:
    """How far one has come.

    Attributes:
        entrant: who.
        right: what it had right at the end of each rung, bool `[examples]` each; the same again where it did not train.
        share: of its schedule that it has trained.
        seconds: that were spent on it.
        why_not: why it goes on no more; "" while it does, and for the winner.
        failed: whether that is for an error, and not for others that were better.
    """

    entrant: Entrant
    right: list[np.ndarray] = dataclasses.field(default_factory=list)
    share: float = 0.0
    seconds: float = 0.0
    why_not: str = ""
    failed: bool = False

    @property
    def name(self) -> str:
        """Of the candidate."""
        return self.entrant.name

    @property
    def accuracy(self) -> float:
        """In [0, 1], after its last rung."""
        return float(self.right[-1].mean())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """How a race ended.

    Attributes:
        standings: of those that ran, the winner first.
        left_out: those that did not, and why.
        shares: of the schedules that all had trained at least at the end of each rung.
        predicted_seconds: of all of it, as foretold before the first step.
        ended: why, in words.
    """

    standings: tuple[Standing, ...]
    left_out: tuple[LeftOut, ...]
    shares: tuple[float, ...]
    predicted_seconds: float
    ended: str


def run(
    entrants: Sequence[Entrant],
    *,
    budget: float,
    clock: Callable[[], float],
    began: float,
    show: Callable[[str], None] = lambda line: None,
) -> Result:
    """Races candidates until one is clearly best, none can go on, or the budget is used up.

    Args:
        entrants: at least one, with unequal names.
        budget: seconds since `began`, > 0.
        clock: tells the time in seconds.
        began: the time at which the race began, by that clock; what has passed since was spent already.
        show: called with a line before each training.

    Raises:
        ConfigError: the budget is too small for a single candidate.
        TrainingError: none could be trained.
    """
    costs = {one.name: one.cost for one in entrants}
    spent = clock() - began
    fits, left_out = halving.affordable(costs, budget - spent)
    if not fits:
        raise ConfigError(halving.too_small(costs, budget, spent))
    order = sorted((one for one in entrants if one.name in fits), key=_whole)
    dear = tuple(LeftOut(name=name, reason=reason, lacks_seconds=True) for name, reason in left_out)
    return _Contest(order, budget, clock, began, show).run(dear, budget - spent)


class _Contest:
    def __init__(self, entrants: Sequence[Entrant], budget: float, clock, began: float, show):
        self._racing, self._out = [Standing(one) for one in entrants], []
        self._budget, self._clock, self._began, self._show = budget, clock, began, show
        self._shares: list[float] = []
        self._speed = 1.0  # seconds that were taken for one that was foretold

    @property
    def _done(self) -> float:
        return min((one.share for one in self._racing), default=0.0)

    @property
    def _left(self) -> float:
        return self._budget - (self._clock() - self._began)

    @property
    def _foretold_left(self) -> float:
        """Seconds to plan with, as if the machine were as fast as foretold."""
        return (self._left - _KEPT_BACK * self._budget) / self._speed

    def run(self, dear: tuple[LeftOut, ...], seconds: float) -> Result:
        # Of the same seconds as what has room: where that just fits, no time has passed between the two.
        ahead = halving.plan({one.name: one.entrant.cost for one in self._racing}, seconds)
        predicted = self._budget - seconds + sum(rung.seconds for rung in ahead)
        ended = ""
        while not ended:
            self._advance(ahead[0], len(ahead))
            if not self._racing:
                ended = self._fallen_back()
                break
            ahead = self._planned(ahead[1].count if len(ahead) > 1 else None)
            ended = self._ended(ahead, bool(dear))
        late = (LeftOut(name=one.name, reason=one.why_not, lacks_seconds=not one.failed) for one in self._never_ranked)
        return Result(
            standings=self._ranked(),
            left_out=(*dear, *late),
            shares=tuple(self._shares),
            predicted_seconds=predicted,
            ended=ended,
        )

    @property
    def _never_ranked(self) -> list[Standing]:
        return [one for one in self._out if not one.right]

    def _planned(self, keep: int | None) -> tuple[Rung, ...]:
        """Returns the rungs ahead, once those that do not go on have left; of `keep` that may, None for all.

        Where the time does not suffice for all of them, as many of the best train on as it does suffice for.
        """
        self._sort()
        self._leave(self._survivors(keep))
        unfinished = sum(one.share < 1 for one in self._racing)
        for fewer in range(unfinished, 0, -1):
            why = self._survivors(fewer)
            staying = [one for one in self._racing if not why[one.name]]
            costs = {one.name: one.entrant.cost for one in staying}
            done = {one.name: one.share for one in staying}
            ahead = halving.plan(costs, self._foretold_left, done)
            if ahead and (len(staying) > 1 or len(self._racing) == 1):
                self._leave(why)
                return ahead
        return ()

    def _survivors(self, keep: int | None) -> dict[str, str]:
        right = [(one.name, one.right[-1]) for one in self._racing]
        return halving.survivors(right, {one.name: one.share for one in self._racing}, keep)

    def _sort(self) -> None:
        racing = {one.name: one for one in self._racing}
        order = halving.ordered(
            {name: one.right[-1] for name, one in racing.items()},
            {name: one.entrant.expected for name, one in racing.items()},
            {name: one.entrant.cost for name, one in racing.items()},
        )
        self._racing = [racing[name] for name in order]

    def _advance(self, rung: Rung, rungs: int) -> None:
        """Trains each to its share of the rung; all to the same one where the time does not suffice for more."""
        foretold = taken = 0.0
        number = f"rung {len(self._shares) + 1} of {len(self._shares) + rungs}"
        for at, one in enumerate(self._racing):
            share = rung.shares[one.name]
            ahead = sum(each.entrant.cost.seconds(each.share, rung.shares[each.name]) for each in self._racing[at:])
            if self._speed * ahead > self._left:
                share = self._shortened(rung, at)[one.name]
            if share <= one.share:
                one.right.append(one.right[-1])
                continue
            expected, start = one.entrant.cost.seconds(one.share, share), self._clock()
            now = self._speed * expected
            if not one.share and taken and now > self._left:
                one.why_not = (
                    f"{max(0.0, self._left):.0f} s of the budget were left for it, and the least of it would take "
                    f"{now:.0f} s"
                )
                continue
            self._show(f"race: {one.name}, {number}, to {100 * share:.0f} % of its schedule, about {now:.0f} s")
            try:
                one.right.append(one.entrant.advance(share))
                one.share = share
                foretold, taken = foretold + expected, taken + self._clock() - start
                self._speed = float(np.clip(taken / foretold, *_SPEEDS)) if foretold else 1.0
            except TfxferError as error:  # whatever is wrong with one is no reason to lose the others
                one.why_not, one.failed = str(error), True
            one.seconds += self._clock() - start
        self._leave({})
        self._shares.append(self._done or rung.share)

    def _shortened(self, rung: Rung, at: int) -> dict[str, float]:
        """Returns how far those train that are still to, where what is left does not suffice for what was planned."""
        entrants = {one.name: one for one in self._racing[at:]}
        return halving.shortened(
            {name: one.entrant.cost for name, one in entrants.items()},
            {name: one.share for name, one in entrants.items()},
            {name: rung.shares[name] for name in entrants},
            halving.PLANNED * self._foretold_left,
        )

    def _fallen_back(self) -> str:
        """Takes the best of those that had left, where none can train on, and returns why the race ends."""
        ranked = [one for one in self._out if one.right and not one.failed]
        failed = [one for one in self._out if one.failed]
        if not ranked:
            raise TrainingError("; ".join(f"{one.name}: {one.why_not}" for one in self._out))
        best = min(ranked, key=lambda one: (-len(one.right), *_rank(one)))
        best.why_not = ""
        self._out.remove(best)
        self._racing = [best]
        return f"{', '.join(one.name for one in failed)} could not train on, and of the others {best.name} was the best"

    def _leave(self, why: dict[str, str]) -> None:
        for one in self._racing:
            one.why_not = why.get(one.name, one.why_not)
        for one in self._racing:
            if one.why_not:
                one.entrant.let_go()
        self._out += [one for one in self._racing if one.why_not]
        self._racing = [one for one in self._racing if not one.why_not]

    def _ended(self, ahead: Sequence[Rung], are_dear: bool) -> str:
        """Returns why the race ends here; "" where it goes on."""
        if len(self._racing) == 1:
            return self._alone(self._racing[0].name, are_dear)
        if ahead:
            return ""
        if self._done == 1:
            return "the whole schedules were trained"
        if self._done * halving.FARTHER > 1:
            return f"{100 * self._done:.0f} % of the schedules were trained, and the rest is too little for a rung"
        return "what was left of the budget had no room for another rung"

    def _alone(self, name: str, are_dear: bool) -> str:
        """Returns why nobody else goes on."""
        if failed := [one.name for one in self._out if one.failed]:
            others = ", and the others were worse" if any(one.right and not one.failed for one in self._out) else ""
            return f"{name} alone was left: {', '.join(failed)} could not train on{others}"
        if ranked := [one for one in self._out if one.right]:
            if all(halving.CLEARLY in one.why_not for one in ranked):
                return f"{name} was clearly the best"
            return f"{name} was left as the best"
        return "the budget had room for no other" if are_dear or self._out else "there was no other"

    def _ranked(self) -> tuple[Standing, ...]:
        first, *others = self._racing
        for one in others:
            one.why_not = f"{100 * one.accuracy:.1f} % right in the end, {first.name} {100 * first.accuracy:.1f} %"
            if one.accuracy > first.accuracy:
                one.why_not += halving.OUTWEIGHED
        out = [one for one in self._out if one.right]
        return first, *others, *sorted(out, key=lambda one: (-len(one.right), *_rank(one)))


def _rank(one: Standing) -> tuple[float, float]:
    """The more accurate goes first, and of equals the one whose whole training costs less."""
    return -one.accuracy, _whole(one.entrant)


def _whole(one: Entrant) -> float:
    return one.cost.seconds(0, 1)
