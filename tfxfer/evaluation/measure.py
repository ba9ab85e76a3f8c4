"""Measures a trained network on whole splits."""

import math

import keras
import numpy as np
import scipy.stats
import sklearn.metrics

from tfxfer import prediction
from tfxfer.data.rows import Rows
from tfxfer.evaluation.report import ClassResult, Measured

# Of 95 % of a normal distribution.
_Z = float(scipy.stats.norm.ppf(0.975))


def measure(model: keras.Model, rows: Rows, class_names: tuple[str, ...], *, batch_size: int = 32) -> Measured:
    """Returns the result of `model` on `rows`: every one of them, each once, on pixels.

    Args:
        model: from pixels to logits.
        rows: uint8 pictures `[examples, height, width, 3]`.
        class_names: in the order of the logits.
        batch_size: pictures at a time.
    """
    return compare(prediction.logits(model, rows, batch_size=batch_size), rows.labels, class_names)


def compare(logits: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> Measured:
    """Returns the result of logits, float `[examples, classes]`, against labels, whole numbers `[examples]`."""
    predicted = logits.argmax(axis=1)
    every = np.arange(len(class_names))
    confusion = sklearn.metrics.confusion_matrix(labels, predicted, labels=every)
    precision, recall, _, support = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0
    )
    correct = int((predicted == labels).sum())
    low, high = _wilson(correct, len(labels))
    right, seen = np.diag(confusion), support > 0
    either = np.where(seen, support + confusion.sum(axis=0) - right, 1)  # of it, or taken for it
    f1 = _f1_of_share((right / either)[seen])
    log_probabilities = np.log(np.maximum(prediction.softmax(logits), 1e-38))
    return Measured(
        examples=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        accuracy_interval=(float(low), float(high)),
        balanced_accuracy=float(recall[seen].mean()),
        balanced_accuracy_interval=_interval_of_mean(recall[seen], *_wilson(right[seen], support[seen])),
        macro_f1=float(f1.mean()),
        macro_f1_interval=_interval_of_mean(
            f1, *map(_f1_of_share, _wilson(right[seen], either[seen])), wider=math.sqrt(2)
        ),
        cross_entropy=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        classes=tuple(
            ClassResult(name=name, precision=float(p), recall=float(r), examples=int(n))
            for name, p, r, n in zip(class_names, precision, recall, support, strict=True)
        ),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def _f1_of_share(share: np.ndarray) -> np.ndarray:
    """Returns F1 for shares tp / (tp + fp + fn): 2 tp / (2 tp + fp + fn)."""
    return 2 * share / (1 + share)


def _wilson(right: np.ndarray | int, of: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of Wilson's 95 % score intervals of shares, whole numbers over whole numbers."""
    share, z = right / of, _Z
    middle, half = share + z**2 / (2 * of), z * np.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return np.maximum(0.0, (middle - half) / (1 + z**2 / of)), np.minimum(1.0, (middle + half) / (1 + z**2 / of))


def _interval_of_mean(values: np.ndarray, low: np.ndarray, high: np.ndarray, wider: float = 1.0) -> tuple[float, float]:
    """Returns an interval of the mean of independent values from theirs (Zou & Donner 2008, MOVER), in [0, 1]."""
    mean, scale = values.mean(), wider / len(values)
    below, above = (scale * np.linalg.norm(bound - values) for bound in (low, high))
    return float(max(0.0, mean - below)), float(min(1.0, mean + above))


def too_low(measured: Measured, asked: float) -> str:
    """Returns in a sentence by how much a result misses an accuracy, in [0, 1]."""
    low, high = (100 * bound for bound in measured.accuracy_interval)
    return (
        f"the accuracy on {measured.examples:,} test examples is {100 * measured.accuracy:.2f} % (95 % interval "
        f"{low:.1f} to {high:.1f} %), at least {100 * asked:g} % was asked for."
    )
