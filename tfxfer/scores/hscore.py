"""The H-score with a shrunk covariance: how much of the features' variance lies between classes."""

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import DataError
from tfxfer.scores import inputs, spectrum


def shrunk_h_score(features: ArrayLike, labels: ArrayLike) -> float:
    """Returns tr(Σ⁻¹ · (1 − s) · covariance of class means), Σ being shrunk by s; from 0 to classes − 1, higher better.

    Bao et al. 2019, "An Information-Theoretic Approach to Transferability in Task Transfer Learning", with the
    covariance of Ledoit & Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", as
    Ibrahim et al. 2021, "Newer is not always better", has it. Not comparable between numbers of classes.

    All from one decomposition, without a width × width matrix: class means lie in what the examples span.

    Args:
        features: `[examples, width]`.
        labels: whole numbers `[examples]`, at least two different ones.

    Raises:
        DataError: other shapes, NaN, one class alone, or features that are the same for all examples.
    """
    matrix = inputs.features_of(features)
    numbers, count = inputs.labels_of(labels, len(matrix))
    inputs.at_least_two_classes(numbers)
    found = spectrum.decompose(matrix)
    if not found.rank:
        raise DataError("the features are the same for all examples, so no class has others.")
    examples, variances = len(matrix), found.s**2 / len(matrix)
    s, mean_variance = _shrinkage(matrix - found.mean, variances)
    members = inputs.one_of_each(numbers, count)
    sizes = members.sum(axis=0)
    # Class means in the directions of the decomposition, weighted by the share of each class.
    means = (found.u * found.s).T @ members[:, sizes > 0] / np.sqrt(sizes[sizes > 0] * examples)
    between = np.square(means).sum(axis=1)
    return float((1 - s) * (between / ((1 - s) * variances + s * mean_variance)).sum())


def _shrinkage(centred: np.ndarray, variances: np.ndarray) -> tuple[float, float]:
    """Returns how far Ledoit and Wolf shrink a covariance, in [0, 1], and its mean variance, to which they do.

    Args:
        centred: float64 `[examples, width]`.
        variances: eigenvalues of the covariance, without those that are 0.
    """
    examples, width = centred.shape
    mean = variances.sum() / width
    squares = np.square(variances).sum()
    distance = squares - width * mean**2
    if distance <= 0:
        return 1.0, mean
    error = (np.square(np.square(centred).sum(axis=1)).sum() / examples - squares) / examples
    return float(np.clip(error / distance, 0, 1)), float(mean)
