"""Bootstrap intervals of metrics that are functions of how often each example counts."""

from collections.abc import Callable

import numpy as np

# Resamples of the percentile bootstrap (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", 13 asks for 1,000
# for intervals); where examples times resamples would take long, fewer.
_RESAMPLES, _FEWEST, _MOST_COUNTS = 1000, 200, 20_000_000
# So many counts lie in memory at once.
_AT_ONCE = 2_000_000


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray], examples: int, *, work: int = 1, seed: int = 0
) -> tuple[float, float]:
    """Returns the 95 % interval of a statistic: the percentiles 2.5 and 97.5 of its values on resampled examples.

    Args:
        statistic: of float64 `[resamples, examples]`, how often each example counts in each of some resamples, each row
            of which sums to `examples`; returns `[resamples]`.
        examples: how many there are, ≥ 1.
        work: how often the statistic goes through all counts; the more, the fewer resamples, from 1,000 down to 200.
        seed: of the resampling; with the same all statistics of one set of examples see the same resamples.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    resamples = int(np.clip(_MOST_COUNTS // (examples * max(1, work)), _FEWEST, _RESAMPLES))
    together = max(1, min(resamples, _AT_ONCE // examples))
    found = []
    for start in range(0, resamples, together):
        rows = min(together, resamples - start)
        drawn = generator.integers(0, examples, (rows, examples)) + examples * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * examples).reshape(rows, examples)
        found.append(statistic(counts.astype(np.float64)))
    low, high = np.percentile(np.concatenate(found), (2.5, 97.5))
    return float(low), float(high)


def average_precision(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the area under precision over recall, in steps, as scikit-learn's `average_precision_score`.

    Args:
        scores: `[examples]`, higher for what has the label.
        labels: 0 and 1 `[examples]`.
        counts: `[resamples, examples]`, how often each example counts.

    Returns:
        `[resamples]`; 0 where no example that counts has the label.
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


def weighted_kappa(true: np.ndarray, told: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Returns Cohen's kappa with quadratic weights (Cohen 1968), as scikit-learn's `cohen_kappa_score`.

    Args:
        true: int `[examples]`, from 0; `told` likewise.
        told: see there.
        classes: how many there are.
        counts: `[resamples, examples]`, how often each example counts.

    Returns:
        `[resamples]`; 0 where it is undefined.
    """
    ranks = np.arange(classes)
    first, second = counts @ np.eye(classes)[true], counts @ np.eye(classes)[told]
    observed = counts @ (true - told).astype(np.float64) ** 2
    expected = np.einsum("ri,ij,rj->r", first, (ranks[:, None] - ranks) ** 2.0, second) / counts.sum(axis=1)
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1), 0.0)
