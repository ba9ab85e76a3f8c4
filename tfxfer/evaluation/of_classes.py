"""Measures classes: of which one is told, and where they have an order how far off it is."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats
import sklearn.metrics

from tfxfer.evaluation import intervals
from tfxfer.evaluation.report import ClassResult, MeasuredOrdinal

# Of 95 % of a normal distribution.
_Z = float(scipy.stats.norm.ppf(0.975))


def classes(
    scores: np.ndarray, log_probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Returns what is measured of classes by the names of `Measured`, the class of the highest score being told.

    Args:
        scores: float `[examples, classes]`.
        log_probabilities: likewise.
        labels: whole numbers `[examples]`.
        class_names: in the order of the scores.
    """
    predicted = scores.argmax(axis=1)
    every = np.arange(len(class_names))
    confusion = sklearn.metrics.confusion_matrix(labels, predicted, labels=every)
    precision, recall, _, support = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    correct = int((predicted == labels).sum())
    low, high = wilson(correct, len(labels))
    right, seen = np.diag(confusion), support > 0
    either = np.where(seen, support + confusion.sum(axis=0) - right, 1)  # of it, or taken for it
    f1 = _f1_of_share((right / either)[seen])
    of_share = map(_f1_of_share, wilson(right[seen], either[seen]))
    return {
        "examples": len(labels),
        "correct": correct,
        "accuracy": correct / len(labels),
        "accuracy_interval": (float(low), float(high)),
        "balanced_accuracy": float(recall[seen].mean()),
        "balanced_accuracy_interval": _interval_of_mean(recall[seen], *wilson(right[seen], support[seen])),
        "macro_f1": float(f1.mean()),
        "macro_f1_interval": _interval_of_mean(f1, *of_share, wider=math.sqrt(2)),
        "cross_entropy": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "classes": tuple(
            ClassResult(name=name, precision=float(p), recall=float(r), examples=int(n))
            for name, p, r, n in zip(class_names, precision, recall, support, strict=True)
        ),
        "confusion": tuple(tuple(row) for row in confusion.tolist()),
    }


def ordinal(log_probabilities: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> MeasuredOrdinal:
    """Returns the result of log probabilities `[examples, classes]` against classes `[examples]`, from 0."""
    predicted = log_probabilities.argmax(axis=1)
    off = np.abs(predicted - labels)

    def kappa(counts: np.ndarray) -> np.ndarray:
        return intervals.weighted_kappa(labels, predicted, len(class_names), counts)

    def rank_error(counts: np.ndarray) -> np.ndarray:
        return counts @ off / len(labels)

    whole = np.ones((1, len(labels)))
    return MeasuredOrdinal(
        **classes(log_probabilities, log_probabilities, labels, class_names),
        rank_error=float(off.mean()),
        rank_error_interval=intervals.bootstrap(rank_error, len(labels)),
        weighted_kappa=float(kappa(whole)[0]),
        weighted_kappa_interval=intervals.bootstrap(kappa, len(labels)),
    )


def _f1_of_share(share: np.ndarray) -> np.ndarray:
    """Returns F1 for shares tp / (tp + fp + fn): 2 tp / (2 tp + fp + fn)."""
    return 2 * share / (1 + share)


def wilson(right: np.ndarray | int, of: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of Wilson's 95 % score intervals of shares, whole numbers over whole numbers."""
    share, z = right / of, _Z
    middle, half = share + z**2 / (2 * of), z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return np.maximum(0.0, (middle - half) / (1 + z**2 / of)), np.minimum(1.0, (middle + half) / (1 + z**2 / of))


def _interval_of_mean(values: np.ndarray, low: np.ndarray, high: np.ndarray, wider: float = 1.0) -> tuple[float, float]:
    """Returns an interval of the mean of independent values from theirs (Zou & Donner 2008, MOVER), in [0, 1]."""
    mean, scale = values.mean(), wider / len(values)
    below, above = (scale * np.linalg.norm(bound - values) for bound in (low, high))
    return float(max(0.0, mean - below)), float(min(1.0, mean + above))
