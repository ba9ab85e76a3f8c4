"""Accuracy over steps and seconds: points of a run, the mean of several, and when an accuracy was reached."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import scipy.stats

from tfxfer.comparison.result import BandPoint, Outcome, Point, Reached, Spread
from tfxfer.plans import StagePlan
from tfxfer.scores import Estimate, intervals
from tfxfer.training import History, StageRecord

_TAIL = 0.5 + intervals.CONFIDENCE / 2


def points_of(history: History, stages: Sequence[StagePlan]) -> tuple[Point, ...]:
    """Returns validation accuracy over the steps of a run: after each epoch, and wherever it was looked at within one.

    What a stage does outside its epochs, such as computing what is frozen once, counts before the first of them; what
    looks within epochs took does not count. The last point of a stage is what it leaves: with the weights of its best
    epoch, or with statistics measured anew, where that is so.

    Args:
        history: of a task in which an example is of one class.
        stages: of the same run's plan.
    """
    points: list[Point] = []
    for record, stage in zip(history.stages, stages, strict=True):
        first, clock = (points[-1].step, points[-1].seconds) if points else (0, 0.0)
        clock += max(0.0, record.seconds - sum(epoch.seconds for epoch in record.epochs))
        for number, epoch in enumerate(record.epochs):
            begin, end = (min(at * stage.steps_per_epoch, stage.steps) for at in (number, number + 1))
            taken = 0.0
            for look in record.looks:
                if begin < look.step < end:
                    seconds = clock + look.seconds - taken
                    points.append(Point(step=first + look.step, seconds=seconds, accuracy=look.validation_accuracy))
                    taken += look.took
            clock += epoch.seconds - taken
            points.append(Point(step=first + end, seconds=clock, accuracy=epoch.validation_accuracy))
        points[-1] = dataclasses.replace(points[-1], accuracy=_left(record))
    return tuple(points)


def _left(record: StageRecord) -> float:
    """Returns the validation accuracy of what a stage leaves."""
    if record.refreshed.layers:
        return record.refreshed.validation_accuracy
    return record.epochs[record.best_epoch - 1].validation_accuracy  # of 0, which stands for none, the last


def spread(figures: Sequence[float], *, low: float = float("-inf"), high: float = float("inf")) -> Spread | None:
    """Returns the mean of figures of several runs; None without any.

    Args:
        figures: one of each run.
        low: what no figure can be below, so that the interval is not either; `high` likewise.
        high: see there.
    """
    if not figures:
        return None
    if len(figures) == 1:
        return Spread(value=figures[0], low=None, high=None, runs=1)
    found = intervals.mean(figures)
    return Spread(value=found.value, low=max(low, found.low), high=min(high, found.high), runs=len(figures))


def with_draw(
    values: Sequence[np.ndarray | None], drawn: Sequence[Estimate], *, low: float, high: float
) -> Spread | None:
    """Returns the mean of figures of test examples with an interval for other seeds and other test examples together.

    All runs were measured on the same examples, so that their draw does not average out over seeds: the mean width of
    its intervals counts, less what the mean over seeds spreads less over examples than a single run does. What runs
    differ by beyond what is random in each example is the variance component of seeds (analysis of variance of both).
    Both add up as squares (MOVER, Zou & Donner 2008). What runs differ by counts by Student's quantile, squared; what
    is taken off it by one halfway to the normal's, but of two seeds by the normal's alone. Of simulated comparisons
    (`tools/bench_coverage.py --only=seeds`, and with easier examples) 92 to 98 % held the truth with three seeds, 94
    to 98 with five, 95 to 99.7 with two: most where seeds do not matter, least where they differ far more than test
    examples leave open. With one seed nothing tells what others would change.

    Args:
        values: of each run, what each example adds, float64 `[examples]`: whether it is right, or a difference of two;
            None where nobody knows. Then, and where runs have other examples, the interval is rather too wide.
        drawn: of each run, the mean of these, with its interval over the draw of test examples.
        low: what the figure cannot be below; `high` likewise.
        high: see there.
    """
    if not drawn:
        return None
    figures = np.array([one.value for one in drawn])
    runs, value = len(figures), float(figures.mean())
    below = sum(one.value - one.low for one in drawn) / runs
    above = sum(one.high - one.value for one in drawn) / runs
    if runs > 1:
        sizes = {None if one is None else len(one) for one in values}
        is_known = len(sizes) == 1 and None not in sizes
        shared, seeds = _spreads(np.array(values, np.float64) if is_known else figures[:, None])
        below, above = (math.hypot(shared * one, seeds) for one in (below, above))
    return Spread(value=value, low=max(low, value - below), high=min(high, value + above), runs=runs)


def _spreads(values: np.ndarray) -> tuple[float, float]:
    """Returns by how much narrower the mean over runs is than a run, for the draw of examples, and what seeds add.

    Args:
        values: float64 `[runs, examples]`, two runs at least; of one column nothing is known of examples.
    """
    runs, examples = values.shape
    means = values.mean(axis=1, keepdims=True)
    left = values - means - values.mean(axis=0) + values.mean()
    of_left = np.square(left).sum() / ((runs - 1) * max(1, examples - 1))
    of_runs = examples * float(np.var(means, ddof=1))
    single = values.var(axis=1).mean()
    # Runs that err on other examples each can by accident leave a mean without spread; independent ones leave 1/runs.
    shared = math.sqrt(np.clip(values.mean(axis=0).var() / single, 1 / runs, 1)) if single > 0 else 1.0
    wide, narrow = scipy.stats.t.ppf(_TAIL, runs - 1) ** 2, scipy.stats.norm.ppf(_TAIL) ** 2
    taken_off = narrow if runs == 2 else 0.5 * (wide + narrow)
    seeds = wide * of_runs - taken_off * of_left
    return shared, math.sqrt(max(0.0, seeds) / (runs * examples))


def band(outcomes: Sequence[Outcome]) -> tuple[BandPoint, ...]:
    """Returns the mean curve of the runs that did not diverge, at the steps at which all of them were measured."""
    curves = [{point.step: point for point in outcome.points} for outcome in outcomes if outcome.points]
    if not curves:
        return ()
    shared = sorted(set.intersection(*map(set, curves)))
    return tuple(
        BandPoint(
            step=step,
            seconds=sum(curve[step].seconds for curve in curves) / len(curves),
            accuracy=spread([curve[step].accuracy for curve in curves], low=0.0, high=1.0),
        )
        for step in shared
    )


def level_of(bands: Sequence[Sequence[BandPoint]]) -> float:
    """Returns the least accuracy that the mean of a contender ended with, which all means reach; 0 without any."""
    return min((band[-1].accuracy.value for band in bands if band), default=0.0)


def crossing(points: Sequence[Point], level: float) -> tuple[float, float, bool] | None:
    """Returns the step and the second at which an accuracy was first reached, along a line between measurements.

    Returns:
        Both, and whether the first measurement was there already: then it may have been reached before. None where no
        measurement is.
    """
    if not points:
        return None
    if points[0].accuracy >= level:
        return float(points[0].step), points[0].seconds, True
    for before, after in itertools.pairwise(points):
        if after.accuracy >= level:
            share = (level - before.accuracy) / (after.accuracy - before.accuracy)
            step = before.step + share * (after.step - before.step)
            return step, before.seconds + share * (after.seconds - before.seconds), False
    return None


def reached(outcomes: Sequence[Outcome], level: float) -> Reached:
    """Returns how long the mean of a contender, and each of its runs, took to an accuracy."""
    mean = [Point(step=one.step, seconds=one.seconds, accuracy=one.accuracy.value) for one in band(outcomes)]
    steps, seconds, at_most = crossing(mean, level) or (None, None, False)
    found = [crossing(outcome.points, level) for outcome in outcomes if outcome.points]
    return Reached(steps=steps, seconds=seconds, at_most=at_most, each=tuple(at and at[0] for at in found))
