"""Measures classes: of which one is told, and where they have an order how far off it is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn.metrics

from tfxfer.evaluation.report import ClassResult, MeasuredOrdinal
from tfxfer.scores import counted, resampling
from tfxfer.scores import intervals as shares


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
    accuracy = shares.share(correct, len(labels))
    balanced, f1 = shares.mean_recall(np.diag(confusion), support), shares.macro_f1(confusion)
    return {
        "examples": len(labels),
        "correct": correct,
        "accuracy": accuracy.value,
        "accuracy_interval": accuracy.interval,
        "balanced_accuracy": balanced.value,
        "balanced_accuracy_interval": balanced.interval,
        "macro_f1": f1.value,
        "macro_f1_interval": f1.interval,
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
        return counted.weighted_kappa(labels, predicted, len(class_names), counts)

    def rank_error(counts: np.ndarray) -> np.ndarray:
        return counts @ off / counts.sum(axis=1)

    ranks, agreement = (resampling.of_counts(one, len(labels)) for one in (rank_error, kappa))
    return MeasuredOrdinal(
        **classes(log_probabilities, log_probabilities, labels, class_names),
        rank_error=ranks.value,
        rank_error_interval=ranks.interval,
        weighted_kappa=agreement.value,
        weighted_kappa_interval=agreement.interval,
    )
