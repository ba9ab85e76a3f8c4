"""Measures a trained network on whole splits."""

import keras
import numpy as np
import scipy.stats
import sklearn.metrics

from tfxfer import prediction
from tfxfer.data.rows import Rows
from tfxfer.evaluation.report import ClassResult, Measured


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
    interval = scipy.stats.binomtest(correct, len(labels)).proportion_ci(0.95, method="wilson")
    log_probabilities = np.log(np.maximum(prediction.softmax(logits), 1e-38))
    return Measured(
        examples=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        accuracy_interval=(float(interval.low), float(interval.high)),
        balanced_accuracy=float(recall[support > 0].mean()),
        cross_entropy=float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        classes=tuple(
            ClassResult(name=name, precision=float(p), recall=float(r), examples=int(n))
            for name, p, r, n in zip(class_names, precision, recall, support, strict=True)
        ),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def too_low(measured: Measured, asked: float) -> str:
    """Returns in a sentence by how much a result misses an accuracy, in [0, 1]."""
    low, high = (100 * bound for bound in measured.accuracy_interval)
    return (
        f"the accuracy on {measured.examples:,} test examples is {100 * measured.accuracy:.2f} % (95 % interval "
        f"{low:.1f} to {high:.1f} %), at least {100 * asked:g} % was asked for."
    )
