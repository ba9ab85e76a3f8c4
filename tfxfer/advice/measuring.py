"""Measures what a backbone's features are worth on labelled pictures: every depth, in one inference pass."""

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import threadpoolctl

from tfxfer.advice import depths, of_targets, own_classifier
from tfxfer.advice.result import Depth, Measurements
from tfxfer.backbones import Backbone
from tfxfer.errors import DataError
from tfxfer.scores import curves, inputs, intervals, neighbours, permutation, resampling, ridge, similarity
from tfxfer.tasks import SINGLE_LABEL, Task

# Of more examples so many are drawn: intervals are narrow then, and a decomposition costs their square.
MOST_EXAMPLES = 2000
# Height and width of what a classifier of plain pixels sees.
_PIXELS = 16
# Pictures that are enough to tell how near the classes of pretraining they are on average.
_ENOUGH = 100
# Forecasts are for so many times the examples; nothing beyond was tried.
_TIMES = (2, 4)
# The learning curve is the mean of so many depths at most, which the comparison leaves as good as the best one with at
# least this probability: chosen alone, the best of digits and clothes looks 1.2 points better than it is.
_MOST_DEPTHS, _AS_GOOD = 5, 0.01


@dataclasses.dataclass(frozen=True)
class Taken:
    """What one pass gave: measurements, and what holds one backbone against another on the same examples.

    Attributes:
        measured: everything that advice is about.
        right: whether the linear classifier at the best depth has each left-out example right, bool `[examples]`; of
            none where there are no classes.
        features: of the last depth, float32 `[examples, width]`.
        labels: of the examples, int64 `[examples]`, without numbers that none has; targets as the task has them.
        seconds: of the network for one picture (see `depths.Depths`).
    """

    measured: Measurements
    right: np.ndarray
    features: np.ndarray
    labels: np.ndarray
    seconds: float


def drawn(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns the positions of the examples that are looked at, int64, ascending, about as many of each class' share.

    Args:
        labels: whole numbers `[examples]`; numbers or labels `[examples, columns]`, of which any are drawn.
        seed: of the draw.
    """
    if labels.ndim > 1:
        return np.sort(np.random.default_rng(seed).permutation(len(labels))[:MOST_EXAMPLES])
    return np.sort(curves.stratified(labels, np.random.default_rng(seed))[:MOST_EXAMPLES])


def measure(backbone: Backbone, images: np.ndarray, labels: np.ndarray, **settings: Any) -> Measurements:
    """Returns what is measured about a backbone on some labelled pictures; takes what `take` takes."""
    return take(backbone, images, labels, **settings).measured


def take(
    backbone: Backbone,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    task: Task = SINGLE_LABEL,
    groups: np.ndarray | None = None,
    batch_size: int = 32,
    seed: int = 0,
    classifier: own_classifier.Classifier | None = None,
    available: int = 0,
    show: Callable[[str], None] = lambda line: None,
) -> Taken:
    """Returns what is measured about a backbone on some labelled pictures, and with which answers.

    Args:
        backbone: for pictures, with one output.
        images: uint8 `[pictures, height, width, channels]` of the backbone's size.
        labels: whole numbers `[pictures]`, at least two different ones; targets as `task` has them.
        task: what is to be told of a picture.
        groups: whole numbers `[pictures]`, the same for those that give each other away; None: there are none.
        batch_size: pictures at a time, ≥ 1.
        seed: of all that is drawn.
        classifier: loads the network with its own head, which tells how like pretraining pictures are where no batch
            norm does; None: there is none.
        available: examples that there are to train on, where the pictures are some of them; forecasts are for more
            than these.
        show: called with a line before what takes a while.

    Raises:
        BackboneError: the backbone takes no pictures, or those of another size.
        DataError: one class or group alone, numbers or labels that are all the same, or fewer than two pictures.
    """
    every = _checked(labels, len(images), task)
    available = max(available, len(every))
    at = drawn(every, seed)
    images = images[at] if len(at) < len(images) else images
    numbers = np.unique(every[at], return_inverse=True)[1] if task.has_classes else every[at]
    parts = None if groups is None else np.unique(np.asarray(groups)[at], return_inverse=True)[1]
    start = time.monotonic()
    show(f"computing features of {len(at):,} pictures at every depth")
    found = depths.measure(backbone, images, batch_size=batch_size)
    between = time.monotonic()
    show(f"scoring {len(found.names)} depths")
    scored, right = _scored(found, _small(images), numbers, parts, seed, task=task, available=available)
    measured = Measurements(
        image_size=images.shape[1],
        examples=len(at),
        seconds=between - start,
        scoring_seconds=time.monotonic() - between,
        groups=None if parts is None else int(parts.max()) + 1,
        all_examples=available,
        nearest_class=None if found.divergences else _nearest_class(classifier, images, batch_size, show),
        **scored,
    )
    return Taken(measured, right, found.features[-1], numbers, found.seconds)


def _scored(
    found: depths.Depths, pixels: np.ndarray, targets: np.ndarray, groups, seed: int, *, task: Task, available: int
) -> tuple[dict[str, Any], np.ndarray]:
    # Threads of a BLAS wait for each other by turning round and round: beside other programs two were measured to be
    # twenty times as slow as one. So each decomposition has one thread, and several run at once.
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        if task.has_classes:
            return _score(found, pixels, targets, groups, seed, available=available)
        return of_targets.score(found, pixels, targets, groups, seed, kind=task.kind), np.zeros(0, bool)


def _nearest_class(
    classifier: own_classifier.Classifier | None, images: np.ndarray, batch_size: int, show: Callable[[str], None]
) -> float | None:
    """Returns `scores.nearest_prototype` of some of the pictures; None where there is no classifier to be had."""
    if classifier is None:
        return None
    show("asking the network's own classifier, since no batch norm tells how like pretraining the pictures are")
    some = np.unique(np.linspace(0, len(images) - 1, _ENOUGH).astype(int))
    try:
        return similarity.nearest_prototype(*own_classifier.read(classifier, images[some], batch_size=batch_size))
    except ValueError:  # there is none, or not at this size
        return None


def _checked(labels: np.ndarray, pictures: int, task: Task) -> np.ndarray:
    """Returns what is to be told of pictures: classes `[pictures]`, or numbers or labels `[pictures, columns]`."""
    if task.has_classes:
        numbers, _ = inputs.labels_of(labels, pictures)
        inputs.at_least_two_classes(numbers)
        return numbers
    targets = inputs.targets_of(labels, pictures)
    if (targets == targets[0]).all():
        what = "labels" if task.kind == "multi_label" else "numbers"
        raise DataError(f"all {pictures} pictures have the same {what}: there is nothing to tell apart.")
    return targets


def _score(
    found: depths.Depths, pixels: np.ndarray, labels: np.ndarray, groups, seed: int, *, available: int
) -> tuple[dict[str, Any], np.ndarray]:
    """Returns what features and labels tell, as fields of `Measurements`, and which examples are right at the best."""

    def linear(features: np.ndarray) -> ridge.Probe:
        return ridge.classify(features, labels, groups=groups)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        # The widest come last and take longest.
        *probes, of_pixels = reversed(list(pool.map(linear, [pixels, *reversed(found.features)])))
        *near, near_pixels = pool.map(lambda one: neighbours.nearest(one, groups=groups), [*found.features, pixels])
    voted = [neighbours.vote(*one, labels, int(labels.max()) + 1) for one in near]
    best, *others = as_good_depths(probes, voted)
    of_curve = sorted([best, *others])
    curve = _curve([found.features[one] for one in of_curve], labels, groups, seed)
    shuffles = _permutations(len(labels))
    expected = None
    if groups is None:
        expected = at_best([one.predicted == labels for one in probes], [one == labels for one in voted], best)
    more = probes[best].accuracy.value - expected.value if expected is not None else 0.0
    is_last = best == len(probes) - 1
    scored = {
        "frequent": float(np.bincount(labels).max() / len(labels)),
        "pixels": of_pixels.accuracy,
        "depths": tuple(map(_depth, found.names, found.features, probes, voted, found.megabytes)),
        "best": found.names[best],
        "best_against_last": intervals.less_chosen(_paired(probes[-1], probes[best]), 0 if is_last else more),
        "best_against_pixels": intervals.less_chosen(_paired(of_pixels, probes[best]), more),
        "balanced_against_pixels": _balanced(of_pixels, probes[best]),
        # Of pixels, too: labels may mean something that this network does not see.
        "learnable": permutation.agreement([one for one, _ in (*near, near_pixels)], labels, shuffles, seed, groups),
        "similarity": similarity.summary(found.divergences) if found.divergences else None,
        "sizes": () if curve is None else tuple(curve.sizes.tolist()),
        "curve": () if curve is None else curve.accuracies,
        "expected": expected,
        "curve_depths": () if curve is None else tuple(found.names[one] for one in of_curve),
        "forecasts": () if curve is None else _forecasts(curve, available),
    }
    return scored, probes[best].predicted == probes[best].labels


def _forecasts(curve: curves.LearningCurve, available: int) -> tuple[curves.Forecast, ...]:
    """Returns what more examples than there are would bring, as far as the curve was tried."""
    farthest = max(_TIMES) * curve.examples
    return tuple(curve.forecast(times * available, now=available) for times in _TIMES if times * available <= farthest)


def as_good_depths(probes: Sequence[ridge.Probe], voted: Sequence[np.ndarray]) -> list[int]:
    """Returns the numbers of depths: the one to read features from, then those that can hardly be told from it.

    The first is where both classifiers together are right most often. Chosen by both, depths of digits and clothes lost
    0.1 points against the best one; by the linear one alone 0.5.

    Args:
        probes: of each depth.
        voted: what the nearest neighbours say there, int64 `[examples]`.
    """
    right = [(a.predicted == a.labels).mean() + (b == a.labels).mean() for a, b in zip(probes, voted, strict=True)]
    best, *others = np.argsort(-np.array(right), kind="stable")[:_MOST_DEPTHS].tolist()
    return [best, *(one for one in others if _paired(probes[best], probes[one]).second_is_better >= _AS_GOOD)]


def at_best(right: Sequence[np.ndarray], voted_right: Sequence[np.ndarray], best: int) -> intervals.Estimate:
    """Returns the accuracy that is expected at the depth that was chosen by the same examples.

    Of simulated choices among 18 depths 94 to 97.7 % of such intervals held the truth; as measured there 78 to 94 %.

    Args:
        right: of each depth, what the linear classifier has right, bool `[examples]`.
        voted_right: likewise the nearest neighbours.
        best: number of the depth, which has most of both together.
    """
    of_each = np.stack(right, axis=1).astype(np.float64)
    by = of_each + np.stack(voted_right, axis=1)
    examples = len(of_each)

    def shares(counts: np.ndarray) -> np.ndarray:
        return counts @ of_each / examples

    more = resampling.optimism(shares, examples, chosen_by=lambda counts: counts @ by)
    return intervals.share(max(0, round(of_each[:, best].sum() - more * examples)), examples)


def _depth(name: str, features: np.ndarray, probe: ridge.Probe, near: np.ndarray, megabytes: float) -> Depth:
    return Depth(
        name=name,
        width=features.shape[1],
        linear=probe.accuracy,
        balanced=probe.balanced_accuracy,
        neighbours=intervals.accuracy(near, probe.labels),
        megabytes=megabytes,
    )


def _paired(first: ridge.Probe, second: ridge.Probe) -> intervals.Compared:
    return intervals.paired(first.predicted == first.labels, second.predicted == second.labels)


def _balanced(first: ridge.Probe, second: ridge.Probe) -> intervals.Estimate:
    labels = first.labels
    return intervals.balanced_difference(first.weighed == labels, second.weighed == labels, labels)


def _curve(features: Sequence[np.ndarray], labels: np.ndarray, groups, seed: int) -> curves.LearningCurve | None:
    if len(labels) < curves.LEAST_EXAMPLES:
        return None
    return curves.learning_curve(features, labels, groups=groups, seed=seed, threads=os.cpu_count() or 1)


def _permutations(examples: int) -> int:
    """Returns how often labels are shuffled: a p-value of 0.001 where that costs nothing, of 0.005 for many."""
    return 999 if examples <= 1000 else 199


def _small(images: np.ndarray) -> np.ndarray:
    """Returns pictures as numbers of 16×16 means, float32 `[pictures, 16 · 16 · channels]`."""
    _, height, width, _ = images.shape
    rows, columns = (
        np.unique(np.linspace(0, extent, _PIXELS + 1).round().astype(int)[:-1]) for extent in (height, width)
    )
    sizes = np.outer(np.diff([*rows, height]), np.diff([*columns, width]))[:, :, None]
    # Few at a time: as float32 all of them would be four times what they are.
    return np.concatenate(
        [
            np.add.reduceat(np.add.reduceat(image[None], rows, axis=1, dtype=np.float32), columns, axis=2) / sizes
            for image in images
        ]
    ).reshape(len(images), -1)
