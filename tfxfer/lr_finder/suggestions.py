"""Reads learning rates off a curve of rate against smoothed loss: four rules, each with a rate or with its reason.

The rules are fastai's (`fastai/callback/schedule.py`), which also looks at part of the curve only: not at the first
tenth, where the smoothing has just begun, nor at the end, where the loss explodes. Pure: no NumPy, no TensorFlow.
"""

import bisect
import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence

# fastai leaves out 10 of 100 steps at the beginning and 5 at the end.
_SKIPPED_BEFORE, _SKIPPED_AFTER = 10, 20
# A curve that falls by less than a hundredth of where it begins says nothing about rates.
_FLAT = 0.01
_FEWEST_POINTS = 3
# `slide` compares slopes at two points 15 steps apart and stops where they differ by 0.005 a step; fastai's sweep has
# 8 decades in 100 steps. In decades the rule means the same for every sweep.
_SLIDE_DECADES = 15 * 8 / 100
_SLIDE_SLOPE = 0.005 * 100 / 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What one rule says.

    Attributes:
        rule: its name.
        rate: the learning rate, > 0; None where the curve gives the rule no answer.
        note: why there is none, or what to think of it; may be empty.
    """

    rule: str
    rate: float | None
    note: str = ""


def suggest(rates: Sequence[float], smoothed: Sequence[float], *, steps: int) -> tuple[Suggestion, ...]:
    """Returns what each rule says, in the order in which they are preferred.

    Args:
        rates: of the steps that were made, rising by one factor from step to step.
        smoothed: their smoothed losses, finite.
        steps: number that were to be made; the curve may end before.
    """
    part = slice(steps // _SKIPPED_BEFORE, len(rates) - steps // _SKIPPED_AFTER)
    part_rates, losses = list(rates[part]), list(smoothed[part])
    problem = _problem(losses)
    suggestions = []
    for name, rule in RULES.items():
        rate, note = (None, problem) if problem else rule(part_rates, losses)
        suggestions.append(Suggestion(rule=name, rate=rate, note=note))
    return tuple(suggestions)


def valley(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """Returns the rate in the middle of the longest valley, and a note: fastai's default, by ESRI.

    The valley is the longest run of ever lower losses, in which steps between may be higher. As in fastai, it is taken
    to begin as many steps before its end as it has members, and the rate is the one half-way down, where the slope is
    steep and the loss far from exploding.
    """
    end, members = _longest_descent(losses)
    if members < _FEWEST_POINTS:
        return None, "the loss never falls over three steps"
    third = members / 3
    return rates[max(0, end - members) + int(third) + int(third / 2)], ""


def slide(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """Returns the highest rate before the slope changes, and a note: the interval slide rule of Andrew Chang (Novetta).

    An interval slides down from the highest rate for as long as the slopes at its two ends differ; the rate is that of
    the lower end in the last place where they did.
    """
    decade = math.log10(rates[-1] / rates[0]) / (len(rates) - 1)
    width = max(1, round(_SLIDE_DECADES / decade))
    if width >= len(rates):
        return None, f"the curve is shorter than the {_SLIDE_DECADES:g} decades that this rule compares"
    slopes = _slopes(losses)
    last = len(rates) - 1 - width
    found, note = rates[last], "the slope hardly changes at the highest rates: a guess"
    for low in range(last, -1, -1):
        if abs(slopes[low + width] - slopes[low]) <= _SLIDE_SLOPE * decade:
            return found, note
        found, note = rates[low], ""
    return None, "the slope changes everywhere"


def minimum(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """Returns a tenth of the rate at which the loss was lowest, and a note."""
    lowest = min(range(len(losses)), key=losses.__getitem__)
    if lowest == 0:
        return None, "the loss never falls below where it begins"
    last = lowest == len(losses) - 1
    return rates[lowest] / 10, "the loss still falls at the highest rate: a lower bound" if last else ""


def steep(rates: Sequence[float], losses: Sequence[float]) -> tuple[float | None, str]:
    """Returns the rate at which the loss falls fastest over the logarithm of the rate, and a note."""
    slopes = [
        (after - before) / math.log(higher / lower)
        for (before, after), (lower, higher) in zip(itertools.pairwise(losses), itertools.pairwise(rates), strict=True)
    ]
    steepest = min(range(len(slopes)), key=slopes.__getitem__)
    return (rates[steepest], "") if slopes[steepest] < 0 else (None, "the loss never falls")


# In the order of preference, where the first has no answer.
RULES: dict[str, Callable[[Sequence[float], Sequence[float]], tuple[float | None, str]]] = {
    "valley": valley,
    "minimum": minimum,
    "steep": steep,
    "slide": slide,
}


def _problem(losses: Sequence[float]) -> str:
    """Returns why no rule can answer, or an empty text."""
    if len(losses) < _FEWEST_POINTS:
        return f"{len(losses)} usable steps are too few: the loss exploded early, or there were few steps"
    highest, fall = losses[0], 0.0
    for loss in losses:
        highest = max(highest, loss)
        fall = max(fall, highest - loss)
    if fall <= _FLAT * abs(losses[0]):
        return f"the loss is flat: it never falls by more than {_FLAT:.0%}"
    return ""


def _longest_descent(losses: Sequence[float]) -> tuple[int, int]:
    """Returns where the longest strictly falling subsequence ends first, and how many members it has."""
    # By patience sorting: `tails[n]` is the highest loss at which a descent of n + 1 members can end, negated.
    tails: list[float] = []
    end, members = 0, 0
    for index, loss in enumerate(losses):
        place = bisect.bisect_left(tails, -loss)
        tails[place : place + 1] = [-loss]
        if place + 1 > members:
            end, members = index, place + 1
    return end, members


def _slopes(values: Sequence[float]) -> list[float]:
    """Returns differences between neighbours, central but at both ends."""
    inner = [(after - before) / 2 for before, after in zip(values, values[2:], strict=False)]
    return [values[1] - values[0], *inner, values[-1] - values[-2]]
