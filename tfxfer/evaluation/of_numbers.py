"""Measures numbers, in the user's units."""

import numpy as np

from tfxfer.data.rows import evenly
from tfxfer.evaluation.report import MeasuredNumbers, TargetResult
from tfxfer.scores import counted, resampling
from tfxfer.tasks import Task

# Of each target, kept in the report for its drawing.
_POINTS = 500


def measured_numbers(told: np.ndarray, true: np.ndarray, names: tuple[str, ...], task: Task) -> MeasuredNumbers:
    """Returns the result of numbers against those that are true, `[examples, targets]` both."""
    targets = []
    for place, name in enumerate(names):
        y, error = true[:, place].astype(np.float64), told[:, place].astype(np.float64) - true[:, place]

        def mae(counts: np.ndarray, error=error) -> np.ndarray:
            return counts @ np.abs(error) / counts.sum(axis=1)

        def rmse(counts: np.ndarray, error=error) -> np.ndarray:
            return np.sqrt(counts @ error**2 / counts.sum(axis=1))

        def r2(counts: np.ndarray, error=error, y=y) -> np.ndarray:
            return counted.r_squared(y[:, None], (y + error)[:, None], counts)[:, 0]

        some = evenly(len(y), _POINTS)
        absolute, root, explained = (resampling.of_counts(one, len(y)) for one in (mae, rmse, r2))
        targets.append(
            TargetResult(
                name=name,
                mae=absolute.value,
                mae_interval=absolute.interval,
                rmse=root.value,
                rmse_interval=root.interval,
                r2=explained.value,
                r2_interval=explained.interval,
                mean_mae=float(np.abs(y - task.means[place]).mean()),
                points=tuple((float(y[i]), float(told[i, place])) for i in some),
            )
        )
    return MeasuredNumbers(examples=len(true), targets=tuple(targets))
