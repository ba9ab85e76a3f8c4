"""Figures of examples that count several times, or not at all: what a bootstrap takes intervals of."""

import numpy as np
import scipy.stats


def average_precision(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the area under precision over recall, in steps, as scikit-learn's `average_precision_score`.

    Args:
        scores: `[examples]`, higher for what has the label.
        labels: 0 and 1 `[examples]`.
        counts: `[sets, examples]`, how often each example counts.

    Returns:
        `[sets]`; 0 where no example that counts has the label.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    # Examples of one score are told together: precision is that behind the last of them.
    last = np.searchsorted(-ordered, -ordered, side="right") - 1
    weights = counts[:, order]
    right = weights * labels[order]
    precision = np.cumsum(right, axis=1)[:, last] / np.maximum(np.cumsum(weights, axis=1)[:, last], 1e-30)
    total = right.sum(axis=1)
    return np.where(total > 0, (right * precision).sum(axis=1) / np.maximum(total, 1e-30), 0.0)


def mean_average_precision(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the mean of `average_precision` over the labels that some example of a set has.

    Args:
        scores: `[examples, labels]`, higher for what has the label.
        labels: 0 and 1, likewise.
        counts: `[sets, examples]`, how often each example counts.

    Returns:
        `[sets]`; 0 where no example that counts has any label.
    """
    columns = np.flatnonzero(labels.any(axis=0))
    each = [average_precision(scores[:, one], labels[:, one], counts) for one in columns]
    return mean_of_present(np.stack(each, axis=1), labels[:, columns], counts) if each else np.zeros(len(counts))


def mean_rank_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Returns the area under the ROC curve, by ranks, as the mean over labels that some examples have and others lack.

    It is how often an example with the label is scored above one without, ties counting half (Mann & Whitney 1947).

    Args:
        scores: `[examples, labels]`, higher for what has the label.
        labels: 0 and 1, likewise.

    Returns:
        In [0, 1]; NaN where there is no such label.
    """
    there = labels.sum(axis=0, dtype=np.float64)
    columns = np.flatnonzero((there > 0) & (there < len(labels)))
    if not len(columns):
        return float("nan")
    there, ranks = there[columns], scipy.stats.rankdata(scores[:, columns], axis=0)
    above = (ranks * labels[:, columns]).sum(axis=0) - there * (there + 1) / 2
    return float((above / (there * (len(labels) - there))).mean())


def mean_of_present(figures: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the mean, `[sets]`, of figures `[sets, labels]` over the labels that a set has; 0 for none."""
    present = counts @ labels > 0
    return (figures * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1)


def micro_f1(told: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns F1 of all labels of all examples together, `[sets]`; 0 where none is there and none told.

    Args:
        told: whether each label is told, bool `[examples, labels]`.
        labels: 0 and 1 likewise.
        counts: `[sets, examples]`, how often each example counts.
    """
    right, some = counts @ (told & (labels > 0)).sum(axis=1), counts @ (told.sum(axis=1) + labels.sum(axis=1))
    return 2 * right / np.maximum(some, 1)


def macro_f1(told: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the mean F1 over the labels that some example of a set has, `[sets]`; takes what `micro_f1` takes."""
    right, some = counts @ (told & (labels > 0)), counts @ (told.astype(np.int64) + labels)
    return mean_of_present(2 * right / np.maximum(some, 1), labels, counts)


def r_squared(true: np.ndarray, told: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns 1 − squared error over that of the mean of a set, at most 1; 0 where all of a set are equal.

    Args:
        true: `[examples, targets]`; `told` likewise.
        told: see there.
        counts: `[sets, examples]`, how often each example counts.

    Returns:
        float64 `[sets, targets]`.
    """
    centred = true - true.mean(axis=0)  # squares of large numbers would cancel
    squares = counts @ np.square(centred)
    spread = squares - np.square(counts @ centred) / counts.sum(axis=1, keepdims=True)
    varies = spread > 1e-12 * squares  # rounding leaves something of what is equal
    return np.where(varies, 1 - counts @ np.square(told - true) / np.where(varies, spread, 1), 0.0)


def weighted_kappa(true: np.ndarray, told: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Returns Cohen's kappa with quadratic weights (Cohen 1968), as scikit-learn's `cohen_kappa_score`.

    Args:
        true: int `[examples]`, from 0; `told` likewise.
        told: see there.
        classes: how many there are.
        counts: `[sets, examples]`, how often each example counts.

    Returns:
        `[sets]`; 0 where it is undefined.
    """
    ranks = np.arange(classes)
    first, second = counts @ np.eye(classes)[true], counts @ np.eye(classes)[told]
    observed = counts @ (true - told).astype(np.float64) ** 2
    expected = np.einsum("si,ij,sj->s", first, (ranks[:, None] - ranks) ** 2.0, second) / counts.sum(axis=1)
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), 0.0)
