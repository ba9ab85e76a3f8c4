"""Gathers what is known of decided examples: counts, weights, sizes, and a fingerprint of all that was decided."""

import collections
import hashlib
from collections.abc import Sequence

import numpy as np

from tfxfer.data import pictures, splits, targets
from tfxfer.data.found import Found
from tfxfer.errors import DataError
from tfxfer.facts import DataFacts
from tfxfer.tasks import Task

# Over the mean: a larger one makes a loss look like one that is no number; a smaller one would be 0 in float32, which
# stands for no example.
_MOST_WEIGHT, _LEAST_WEIGHT = 10_000, 1e-30


def gather(
    found: Found,
    seen: pictures.Survey,
    decided: np.ndarray,
    how: str,
    weights: np.ndarray | None = None,
    task: Task | None = None,
) -> DataFacts:
    """Returns the facts; `task`: None where the training split tells its numbers."""

    def counts(split: int) -> tuple[int, ...]:
        return tuple(targets.count(found.labels[decided == split], found.kind, len(found.class_names)).tolist())

    several = found.labels.ndim == 2
    if task is None:
        means, deviations = (), ()
        if found.kind == "regression":
            means, deviations = targets.standards(found.labels[decided == splits.TRAIN])
        task = Task(kind=found.kind, means=means, deviations=deviations)
    height, width = np.median(seen.sizes, axis=0).astype(int).tolist()
    return DataFacts(
        source=found.source,
        class_names=found.class_names,
        train_counts=counts(splits.TRAIN),
        validation_counts=counts(splits.VALIDATION),
        test_counts=counts(splits.TEST),
        height=height,
        width=width,
        channels=3,
        split=how,
        fingerprint=_fingerprint(found, seen.keys, decided),
        skipped=tuple(seen.bad.values()),
        **({} if weights is None else _weight_facts(found, weights, decided == splits.TRAIN)),
        notes=found.notes,
        modes=tuple(collections.Counter(seen.modes).most_common()),
        task=task,
        sizes=tuple(np.bincount(decided, minlength=len(splits.NAMES)).tolist()) if several else None,
        unlabelled=int((~found.labels.any(axis=1)).sum()) if found.kind == "multi_label" else 0,
    )


def normalised(weights: np.ndarray, in_training: np.ndarray) -> np.ndarray:
    """Returns weights as float32, above 0, the mean of those in training being 1.

    Args:
        weights: float64, finite, above 0.
        in_training: bool, likewise one for each example, of which some are.

    Raises:
        DataError: one counts so much that the loss of its step would look like one that is no number.
    """
    weights = weights / weights[in_training].max()  # else a sum could have no end
    weights = weights / weights[in_training].mean()
    if weights.max() > _MOST_WEIGHT:
        raise DataError(
            f"an example has {weights.max():.3g} times the mean weight of the training examples, at most "
            f"{_MOST_WEIGHT:,} times can be learned from. Give weights that lie nearer to each other."
        )
    return np.maximum(weights, _LEAST_WEIGHT).astype(np.float32)


def _weight_facts(found: Found, weights: np.ndarray, in_training: np.ndarray) -> dict[str, tuple[float, ...]]:
    own, labels = weights[in_training].astype(np.float64), found.labels[in_training]
    if found.kind == "multi_label":
        sums = own @ labels
    elif found.kind == "regression":
        sums = np.full(len(found.class_names), own.sum())
    else:
        sums = np.bincount(labels, own, minlength=len(found.class_names))
    return {"train_weights": tuple(sums.tolist()), "weight_range": (float(own.min()), float(own.max()))}


def _fingerprint(found: Found, keys: Sequence[str], decided: np.ndarray) -> str:
    """Returns 16 hex digits that stand for contents, labels, splits and weights, in whatever order."""
    weights = [""] * len(keys) if found.weights is None else [f" {weight!r}" for weight in found.weights.tolist()]
    labels = found.labels.tolist() if found.labels.ndim == 1 else found.labels
    each = zip(keys, labels, decided.tolist(), weights, strict=True)
    names = found.class_names
    lines = sorted(f"{key} {targets.told(label, names)} {split}{weight}" for key, label, split, weight in each)
    digest = hashlib.sha256()
    for number, line in enumerate(lines):  # never joined: of a million examples that would be 200 MB more
        digest.update(f"\n{line}".encode() if number else line.encode())
    return digest.hexdigest()[:16]
