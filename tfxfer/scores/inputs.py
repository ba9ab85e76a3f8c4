"""Checks what the scores are given, and turns it into float64 matrices and whole numbers."""

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import ConfigError, DataError


def features_of(features: ArrayLike, *, name: str = "features") -> np.ndarray:
    """Returns features as float64 `[examples, width]`.

    Raises:
        DataError: another number of axes, no example or no column, or NaN or infinity among them.
    """
    matrix = np.asarray(features)
    if matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "fiub":
        raise DataError(
            f"{name} have shape {matrix.shape} and dtype {matrix.dtype}, expected numbers [examples, width], at least "
            "one of each. Average a feature map over its positions first: maps.mean(axis=(1, 2))."
        )
    matrix = matrix.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(matrix)} examples have {name} that are NaN or infinite, the first is number {bad[0]}. "
            "Leave them out, or load weights that give numbers."
        )
    return matrix


def labels_of(labels: ArrayLike, examples: int, *, classes: int | None = None) -> tuple[np.ndarray, int]:
    """Returns labels as int64 `[examples]`, each in 0 … classes−1, and the number of classes.

    Args:
        labels: whole numbers `[examples]`.
        examples: how many there must be.
        classes: how many there are; None: the largest label and one. Classes may be without examples.

    Raises:
        DataError: another shape, fractions, or a label that is no class.
    """
    given = np.asarray(labels)
    if given.shape != (examples,) or given.dtype.kind not in "iu":
        raise DataError(
            f"labels have shape {given.shape} and dtype {given.dtype}, expected whole numbers [{examples}]: one for "
            "each example. One-hot labels become numbers by labels.argmax(axis=1)."
        )
    numbers = given.astype(np.int64)
    count = int(numbers.max()) + 1 if classes is None else classes
    if numbers.min() < 0 or numbers.max() >= count:
        raise DataError(f"labels lie between {numbers.min()} and {numbers.max()}, expected 0 to {count - 1}.")
    return numbers, count


def at_least_two_classes(labels: np.ndarray) -> None:
    """Refuses labels among which there is nothing to tell apart.

    Raises:
        DataError: all are the same.
    """
    if labels.min() == labels.max():
        raise DataError(f"all {len(labels)} labels are {labels[0]}: there is nothing to tell apart.")


def targets_of(targets: ArrayLike, examples: int) -> np.ndarray:
    """Returns regression targets as float64 `[examples, columns]`.

    Raises:
        DataError: another number of examples or axes, or NaN or infinity among them.
    """
    given = np.asarray(targets)
    matrix = features_of(given[:, None] if given.ndim == 1 else given, name="targets")
    if len(matrix) != examples:
        raise DataError(f"there are {len(matrix)} targets for {examples} examples.")
    return matrix


def share(value: float, *, name: str) -> None:
    """Refuses what is no share between 0 and 1, both left out.

    Raises:
        ConfigError: it is none.
    """
    if not 0 < value < 1:
        raise ConfigError(f"{name}={value!r} must lie between 0 and 1, such as 0.95.")


def one_of_each(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns which class each example is of, float64 `[examples, classes]` of 0 and 1."""
    return (labels[:, None] == np.arange(classes)).astype(np.float64)
