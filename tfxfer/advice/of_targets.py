"""What features tell of numbers, or of labels of which a picture has any number: by ridge regression alone.

Nearest neighbours vote for classes, and forecasts continue shares of mistakes: neither is made here.
"""

import concurrent.futures
import dataclasses
import math
import os
from typing import Any

import numpy as np

from tfxfer.advice.depths import Depths
from tfxfer.advice.result import Depth, Target
from tfxfer.scores import Compared, Estimate, counted, intervals, neighbours, permutation, resampling, ridge, similarity
from tfxfer.tasks import Kind

# Of the deviations of a target none is taken to be smaller: it is constant.
_CONSTANT = 1e-12
# Sets that are drawn to tell how much better the best depth looks for having been chosen; each costs a figure a depth.
_CHOICES = 100


def score(found: Depths, pixels: np.ndarray, targets: np.ndarray, groups, seed: int, *, kind: Kind) -> dict[str, Any]:
    """Returns what features and targets tell, as fields of `Measurements`.

    Args:
        found: features of the pictures.
        pixels: `[pictures, numbers]`.
        targets: `[pictures, columns]`, numbers or labels of 0 and 1.
        groups: whole numbers `[pictures]`, left out together; None: each stands for itself.
        seed: of the shuffles.
        kind: multi_label or regression.
    """
    true = np.asarray(targets, np.float64)
    # One penalty serves all columns: none should count more because its unit is small.
    deviation = true.std(axis=0) if kind == "regression" else np.ones(true.shape[1])
    unit = np.where(deviation > _CONSTANT, deviation, 1)
    of = _average_precision if kind == "multi_label" else _r_squared

    def told(features: np.ndarray) -> np.ndarray:
        return unit * ridge.regress(features, true / unit, groups=groups).left_out

    def estimate(one: np.ndarray) -> Estimate:
        return resampling.of_counts(lambda counts: of(true, one, counts), len(true), work=_work(true, kind))

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # The widest come last and take longest.
        *said, of_pixels = reversed(list(pool.map(told, [pixels, *reversed(found.features)])))
        # Of pixels, too: numbers may mean something that this network does not see.
        near = list(pool.map(lambda one: neighbours.nearest(one, groups=groups)[0], [*found.features, pixels]))
        *worth, without = list(pool.map(estimate, [*said, of_pixels]))
    best = int(np.argmax([one.value for one in worth]))
    more = 0.0
    if groups is None and len(said) > 1:
        more = resampling.optimism(
            lambda counts: np.stack([of(true, one, counts) for one in said], axis=1), len(true), draws=_CHOICES
        )
    return {
        "metric": "average_precision" if kind == "multi_label" else "r_squared",
        "frequent": float(true.mean()) if kind == "multi_label" else 0.0,
        "pixels": without,
        "depths": tuple(
            Depth(name=name, width=features.shape[1], linear=one, balanced=None, neighbours=None, megabytes=size)
            for name, features, one, size in zip(found.names, found.features, worth, found.megabytes, strict=True)
        ),
        "best": found.names[best],
        "expected": None if groups is not None else _less(worth[best], more, least=_least(kind)),
        "best_against_last": intervals.less_chosen(
            _compared(of, true, said[-1], said[best], _work(true, kind)), 0 if best == len(said) - 1 else more
        ),
        "best_against_pixels": intervals.less_chosen(
            _compared(of, true, of_pixels, said[best], _work(true, kind)), more
        ),
        "learnable": permutation.correlation(near, true, _permutations(true), seed, groups),
        "similarity": similarity.summary(found.divergences) if found.divergences else None,
        "sizes": (),
        "curve": (),
        "forecasts": (),
        "targets": tuple(_target(true[:, one], said[best][:, one], kind) for one in range(true.shape[1])),
    }


def _average_precision(true: np.ndarray, told: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counted.mean_average_precision(told, true, counts)


def _r_squared(true: np.ndarray, told: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return counted.r_squared(true, told, counts).mean(axis=1)


def _compared(of, true: np.ndarray, first: np.ndarray, second: np.ndarray, work: int) -> Compared:
    """Compares two that tell targets, on the same examples; each example is better told by whom it is nearer to."""
    found, better = resampling.difference(
        lambda counts: of(true, second, counts) - of(true, first, counts),
        len(true),
        work=2 * work,
        most=1.0 if of is _average_precision else math.inf,
    )
    nearer = np.square(second - true).sum(axis=1) - np.square(first - true).sum(axis=1)
    return Compared(
        difference=found,
        second_is_better=better,
        only_first=int((nearer > 0).sum()),
        only_second=int((nearer < 0).sum()),
        examples=len(true),
    )


def _least(kind: Kind) -> float:
    return 0.0 if kind == "multi_label" else -math.inf


def _less(found: Estimate, by: float, *, least: float) -> Estimate:
    return Estimate(**{name: max(least, end - by) for name, end in dataclasses.asdict(found).items()})


def _target(true: np.ndarray, told: np.ndarray, kind: Kind) -> Target:
    """Returns what is told of one column at the best depth."""
    if kind == "multi_label":
        found = resampling.of_counts(lambda counts: counted.average_precision(told, true, counts), len(true))
        return Target(score=found, share=float(true.mean()))
    found = resampling.of_counts(
        lambda counts: counted.r_squared(true[:, None], told[:, None], counts)[:, 0], len(true)
    )
    error = np.abs(told - true)
    return Target(
        score=found,
        error=resampling.of_counts(lambda counts: counts @ error / counts.sum(axis=1), len(true)),
        mean_error=float(np.abs(true - true.mean()).mean()),
    )


def _work(true: np.ndarray, kind: Kind) -> int:
    """Returns how often a figure goes through all counts."""
    return true.shape[1] if kind == "multi_label" else 1


def _permutations(true: np.ndarray) -> int:
    """Returns how often examples are shuffled: a p-value of 0.001 where that costs little, of 0.005 for many."""
    return 999 if true.size <= 1000 else 199
