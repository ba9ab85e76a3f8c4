"""Tells what metrics that were asked for are on a test: exact, and where the report has the same figure, that one."""

import math

import numpy as np
import scipy.special

from tfxfer import objectives, training
from tfxfer.evaluation.report import AnyMeasured, MeasuredLabels, MeasuredNumbers
from tfxfer.plans import What
from tfxfer.scores import counted
from tfxfer.tasks import Task


def asked_scores(
    outputs: np.ndarray, labels: np.ndarray, measured: AnyMeasured, what: What
) -> tuple[tuple[str, float | None], ...]:
    """Returns the metrics that were asked for, by name, of a network's outputs; None for what is no number.

    Args:
        outputs: float32 `[examples, outputs]`.
        labels: as in `tasks.Task`.
        measured: what `compare` says of them.
        what: the plan that has them.
    """
    found = []
    for asked in what.metrics:
        name = objectives.shown(asked, what.task)
        figure = _known(asked, outputs, labels, measured, what.task) if isinstance(asked, str) else None
        figure = training.asked_score(asked, outputs, labels, what) if figure is None else figure
        found.append((name, figure if math.isfinite(figure) else None))
    return tuple(found)


def _known(name: str, outputs: np.ndarray, labels: np.ndarray, measured: AnyMeasured, task: Task) -> float | None:
    """Returns a figure that needs no batches; NaN where it is no number, None where it is none of these."""
    if name == "auc":
        of_labels = task.kind == "multi_label"
        scores = outputs if of_labels else scipy.special.log_softmax(outputs.astype(np.float64), axis=1)
        return counted.mean_rank_auc(scores, labels if of_labels else np.eye(outputs.shape[1])[labels])
    if isinstance(measured, MeasuredLabels) and name == "average_precision":
        return measured.mean_average_precision
    if isinstance(measured, MeasuredNumbers):
        if name == "r2":
            return float(np.mean([target.r2 for target in measured.targets]))
        if len(measured.targets) == 1:
            return {"rmse": measured.targets[0].rmse, "mse": measured.targets[0].rmse ** 2}.get(name)
        return None
    return getattr(measured, name) if name in ("macro_f1", "cross_entropy", "rank_error") else None
