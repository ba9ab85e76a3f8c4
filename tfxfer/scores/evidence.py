"""LogME: the largest evidence of a Bayesian linear model of the labels, from features.

You et al. 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", and the evidence as MacKay
1992, "Bayesian Interpolation". The authors' code is wrong for fewer examples than features: it takes the term of α
for all directions, and the determinant for those alone that the examples span. Here both are over the latter.

With weights ~ N(0, 1/α) and noise ~ N(0, 1/β) the evidence depends on τ = α/β but for a scale, whose best value is
known for each τ. So its maximum is looked for along τ alone, over all of it: the usual fixed point finds the same value
where there is one maximum, and needs no care about where to start.
"""

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import DataError
from tfxfer.scores import inputs, spectrum
from tfxfer.scores.spectrum import Spectrum

# Of ln(τ / largest σ): beyond them the weights are all free, or all nothing.
_LEAST, _MOST, _POINTS = np.log(1e-12), np.log(1e9), 97
_GOLDEN = (np.sqrt(5) - 1) / 2
_HALVINGS = 60
# Noise below this share of a target's variance is rounding: where the fit goes through every point, the evidence has
# no upper bound.
_LEAST_NOISE = 1e-10


def logme(features: ArrayLike, labels: ArrayLike, *, intercept: bool = True) -> float:
    """Returns LogME, nats an example; higher is better. It has no unit of accuracy, and no comparison but with itself.

    Rows are divided by their length, since the score depends on the scale of single examples, which differs between
    backbones.

    Args:
        features: `[examples, width]`.
        labels: whole numbers `[examples]`, at least two different ones.
        intercept: whether the model has one, integrated over with a flat prior. The paper's has none, so that it first
            has to explain how frequent a class is.

    Raises:
        DataError: other shapes, NaN, or one class alone.
    """
    matrix = inputs.features_of(features)
    numbers, count = inputs.labels_of(labels, len(matrix))
    inputs.at_least_two_classes(numbers)
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    found = spectrum.decompose(matrix / np.where(length > 0, length, 1), about_mean=intercept)
    targets = inputs.one_of_each(numbers, count)
    return float(np.mean(largest(found, targets[:, targets.any(axis=0)])[0]))


def at(found: Spectrum, target: np.ndarray, alpha: float, beta: float) -> float:
    """Returns ln p(target | features, α, β) for each example.

    Equals the dense form with its width × width determinant: directions that no example spans add ½ ln α − ½ ln α. With
    an intercept the target has one number less, its mean, which also the count of examples is without; with all of them
    the noise could be nothing in that direction, and the evidence would grow without end.

    Args:
        found: of `spectrum.decompose`, about the mean for a model with an intercept.
        target: float64 `[examples]`.
        alpha: precision of the weights, > 0; `beta` that of the noise.
        beta: see there.
    """
    count, sigma = found.freedom, found.s**2
    target = _without_mean(found, target)
    along = found.u.T @ target
    outside = max(0.0, target @ target - along @ along)
    tau = alpha / beta
    weights = float((sigma * along**2 / (tau + sigma) ** 2).sum())
    residual = float((along**2 * (tau / (tau + sigma)) ** 2).sum()) + outside
    logs = found.rank * np.log(alpha) + count * np.log(beta) - np.log(alpha + beta * sigma).sum()
    return float(0.5 * (logs - beta * residual - alpha * weights - count * np.log(2 * np.pi)) / count)


def largest(found: Spectrum, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the largest evidence of each target over α and β, and where it is.

    Args:
        found: of `spectrum.decompose`.
        targets: float64 `[examples, columns]`, none of them constant.

    Returns:
        float64 `[columns]` three times: ln p for each example, α, β. Where features say nothing, α is as large as it
        gets.

    Raises:
        DataError: a target is the same for all examples.
    """
    target = _without_mean(found, targets)
    total = (target**2).sum(axis=0)
    if not (np.ptp(targets, axis=0) > 0).all():
        raise DataError("a target is the same for all examples: there is no evidence of anything.")
    count, along = found.freedom, (found.u.T @ target) ** 2
    # What lies outside of all directions; exactly nothing where they fill the space, and noise need not be there.
    outside = 0.0 if found.rank == count else np.maximum(total - along.sum(axis=0), _LEAST_NOISE * total)
    sigma = found.s**2
    scale = sigma[0] if found.rank else 1.0

    def profile(log_tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns ln p for each example at the best β, and that β, for ln τ `[columns]`."""
        ratio = sigma[:, None] / np.exp(log_tau)
        beta = count / (outside + (along / (1 + ratio)).sum(axis=0))
        logs = count * np.log(beta) - np.log1p(ratio).sum(axis=0) - count * np.log(2 * np.pi) - count
        return 0.5 * logs / count, beta

    grid = np.log(scale) + np.linspace(_LEAST, _MOST, _POINTS)
    columns = targets.shape[1]
    heights = np.stack([profile(np.full(columns, point))[0] for point in grid])
    top = heights.argmax(axis=0)
    low, high = grid[np.maximum(top - 1, 0)], grid[np.minimum(top + 1, _POINTS - 1)]
    for _ in range(_HALVINGS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        is_left = profile(left)[0] >= profile(right)[0]
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
    middle = (low + high) / 2
    best, beta = profile(middle)
    return best, np.exp(middle) * beta, beta


def _without_mean(found: Spectrum, targets: np.ndarray) -> np.ndarray:
    return targets - targets.mean(axis=0) if found.freedom < len(targets) else targets
