"""Measures a trained network on whole splits: what is measured follows from the task."""

import keras
import numpy as np

from tfxfer import answers, prediction
from tfxfer.data.rows import Rows
from tfxfer.evaluation import of_classes, of_labels, of_numbers
from tfxfer.evaluation.report import AnyMeasured, Measured
from tfxfer.tasks import SINGLE_LABEL, Task


def measure(model: keras.Model, rows: Rows, class_names: tuple[str, ...], *, batch_size: int = 32) -> AnyMeasured:
    """Returns the result of `model` on `rows`: every one of them, each once, on pixels.

    Args:
        model: from pixels to the outputs of `rows.task`.
        rows: uint8 pictures `[examples, height, width, 3]`.
        class_names: in the order of the logits; names of labels or targets.
        batch_size: pictures at a time.
    """
    return compare(prediction.logits(model, rows, batch_size=batch_size), rows.labels, class_names, rows.task)


def compare(
    logits: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], task: Task = SINGLE_LABEL
) -> AnyMeasured:
    """Returns the result of a network's outputs against labels, both as in `tasks.Task`."""
    if task.kind == "multi_label":
        return of_labels.measured_labels(logits, labels, class_names)
    if task.kind == "regression":
        return of_numbers.measured_numbers(answers.meant(logits, task), labels, class_names, task)
    if task.kind == "ordinal":
        return of_classes.ordinal(answers.ordinal_log_probabilities(logits), labels, class_names)
    log_probabilities = np.log(np.maximum(prediction.softmax(logits), 1e-38))
    return Measured(**of_classes.classes(logits, log_probabilities, labels, class_names))


def too_low(measured: Measured, asked: float) -> str:
    """Returns in a sentence by how much a result misses an accuracy, in [0, 1]."""
    low, high = (100 * bound for bound in measured.accuracy_interval)
    return (
        f"the accuracy on {measured.examples:,} test examples is {100 * measured.accuracy:.2f} % (95 % interval "
        f"{low:.1f} to {high:.1f} %), at least {100 * asked:g} % was asked for."
    )
