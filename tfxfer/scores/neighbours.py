"""Leave-one-out accuracy of nearest neighbours: the class that most of the nearest other examples have.

The most robust of 23 scores over 16 data sets ("k-NN as a Simple and Effective Estimator of Transferability", 2025).
"""

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import ConfigError, DataError
from tfxfer.scores import inputs

NEIGHBOURS = 5
# Similarities held at a time.
_CELLS = 4_000_000


def nearest(
    features: ArrayLike, k: int = NEIGHBOURS, *, groups: ArrayLike | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each example the k most similar other ones, and how similar they are.

    Features are centred and divided by their length, so similarity is a cosine. Of equally similar ones the earlier
    comes first. Where there are fewer than k others, all of them are given.

    Args:
        features: `[examples, width]`, at least two examples.
        k: neighbours of each, ≥ 1.
        groups: whole numbers `[examples]`, the same for those that give each other away, such as frames of one video:
            none is a neighbour of another. Where one has fewer than k others outside, all get as many as that one.
            None: each stands for itself.

    Returns:
        int64 `[examples, k]` positions, nearest first, and float32 `[examples, k]` cosines in [-1, 1].

    Raises:
        ConfigError: k below 1.
        DataError: features that are no such matrix, or one example or group alone.
    """
    matrix = inputs.features_of(features)
    if k < 1:
        raise ConfigError(f"k={k!r} must be a whole number from 1 on.")
    if len(matrix) < 2:
        raise DataError("one example has no neighbours; at least two are needed.")
    unit = _unit(matrix)
    given = np.arange(len(unit)) if groups is None else inputs.labels_of(groups, len(unit))[0]
    numbers = np.unique(given, return_inverse=True)[1]
    k = min(k, len(unit) - int(np.bincount(numbers).max()))
    if k < 1:
        raise DataError("all examples are of one group, so none has a neighbour; at least two groups are needed.")
    together = max(1, _CELLS // len(unit))
    positions, cosines = [], []
    for start in range(0, len(unit), together):
        similar = unit[start : start + together] @ unit.T
        if groups is None:
            similar[np.arange(len(similar)), np.arange(start, start + len(similar))] = -np.inf
        else:
            similar[numbers[start : start + together, None] == numbers] = -np.inf
        order = _largest(similar, k)
        positions.append(order)
        cosines.append(np.take_along_axis(similar, order, axis=1))
    return np.concatenate(positions), np.concatenate(cosines)


def vote(neighbours: np.ndarray, cosines: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns the class that most neighbours have, int64 `[examples]`; among equally many the more similar ones win.

    Args:
        neighbours: of `nearest`; `cosines` likewise.
        cosines: see there.
        labels: int64 `[examples]`.
        classes: how many there are.
    """
    votes = np.zeros((len(neighbours), classes))
    rows = np.arange(len(neighbours))
    for column in range(neighbours.shape[1]):
        # A cosine counts as less than a vote, of all neighbours together too.
        weight = 1 + (1 + cosines[:, column].astype(np.float64)) / (2 * neighbours.shape[1] + 1)
        votes[rows, labels[neighbours[:, column]]] += weight
    return votes.argmax(axis=1)


def leave_one_out(features: ArrayLike, labels: ArrayLike, k: int = NEIGHBOURS) -> np.ndarray:
    """Returns what the k nearest other examples say of each, int64 `[examples]`.

    >>> intervals.accuracy(leave_one_out(features, labels), labels)

    Args:
        features: `[examples, width]`.
        labels: whole numbers `[examples]` from 0 on; a class may have one example, which is then never found.
        k: neighbours that vote.

    Raises:
        DataError: features or labels that are none.
    """
    neighbours, cosines = nearest(features, k)
    numbers, classes = inputs.labels_of(labels, len(neighbours))
    return vote(neighbours, cosines, numbers, classes)


def _unit(matrix: np.ndarray) -> np.ndarray:
    """Returns centred rows of length 1, float32; what has no length stays 0 and is equally near to all."""
    centred = matrix - matrix.mean(axis=0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    # Equal features leave rounding behind, which has a direction but means nothing.
    real = length > 1e-12 * max(1e-300, np.abs(matrix).max())
    return np.where(real, centred / np.where(real, length, 1), 0).astype(np.float32)


def _largest(similar: np.ndarray, k: int) -> np.ndarray:
    """Returns the places of the k largest in each row, largest first, earlier ones before equal later ones."""
    least = -np.partition(-similar, k - 1, axis=1)[:, k - 1 : k]
    # All that are as large as the k-th: sorted by size, then by place.
    rows, columns = np.nonzero(similar >= least)
    order = np.lexsort((columns, -similar[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    starts = np.searchsorted(rows, np.arange(len(similar)))
    return columns[starts[:, None] + np.arange(k)]
