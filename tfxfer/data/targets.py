"""Facts about the targets of examples, whatever the task: how many have a label, what they vary by, and in words."""

import re
from collections.abc import Sequence

import numpy as np

from tfxfer.errors import DataError
from tfxfer.tasks import Kind

# Of float32.
LARGEST = float(np.finfo(np.float32).max)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def count(labels: np.ndarray, kind: Kind, names: int) -> np.ndarray:
    """Returns how many examples each class or label has, int64 `[names]`; of a target of regression all of them.

    Args:
        labels: as in `tasks.Task`.
        kind: of the task.
        names: number of classes, labels or targets.
    """
    if kind == "multi_label":
        return labels.sum(axis=0, dtype=np.int64)
    if kind == "regression":
        return np.full(names, len(labels), np.int64)
    return np.bincount(labels, minlength=names)


def check_varies(labels: np.ndarray, names: Sequence[str], where: str) -> None:
    """Refuses targets of regression, float32 `[examples, targets]`, that are the same everywhere.

    Raises:
        DataError: names them.
    """
    for place, name in enumerate(names):
        if len(np.unique(labels[:, place])) < 2:
            raise DataError(
                f"{where}: the target {name!r} is {labels[0, place]:g} in every example, so there is nothing to learn. "
                "Leave it out of label_column."
            )


def standards(labels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and standard deviation of each target of float32 `[examples, targets]`."""
    wide = labels.astype(np.float64)
    return tuple(wide.mean(axis=0).tolist()), tuple(wide.std(axis=0).tolist())


def told(label: np.ndarray, names: Sequence[str]) -> str:
    """Returns the target of one example of any task in words, for a fingerprint.

    Args:
        label: a class, or `[labels]` of 0 and 1, or float32 `[targets]`.
        names: of classes, labels or targets.
    """
    if np.ndim(label) == 0:
        return names[label]
    if label.dtype == np.float32:
        return " ".join(f"{name}={value!r}" for name, value in zip(names, label.tolist(), strict=True))
    return "|".join(names[place] for place in np.flatnonzero(label))
