"""Intervals of measured figures: what another set of test examples of the same size could have given.

They tell what the draw of *test* examples leaves open. What another draw of training examples or another seed changes
is not in them: repeat the training, and take `mean` of what comes out.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike

from tfxfer.errors import DataError
from tfxfer.scores import inputs

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimate:
    """A measured figure with its interval, in its own unit: shares in [0, 1], differences of shares in [-1, 1].

    Attributes:
        value: what was measured.
        low: end of the interval, ≤ `high`.
        high: see there.
    """

    value: float
    low: float
    high: float

    def overlaps(self, other: "Estimate") -> bool:
        """Whether both intervals have a point in common; then neither figure is called the higher one."""
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f} %)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compared:
    """Two classifiers on the same examples.

    Attributes:
        difference: accuracy of the second less that of the first, in [-1, 1].
        second_is_better: probability that the second is right more often on further examples, in [0, 1].
        only_first: examples that the first alone has right; `only_second` the second alone.
        only_second: see there.
        examples: how many were compared.
    """

    difference: Estimate
    second_is_better: float
    only_first: int
    only_second: int
    examples: int


def share(right: int, total: int, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns a share of independent cases, such as an accuracy, with Wilson's score interval.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". It is right for small
    numbers and near 0 and 1 too, where the share ± 1.96 standard errors is not.

    Raises:
        DataError: no cases, or more right ones than there are.
    """
    inputs.share(confidence, name="confidence")
    if total < 1 or not 0 <= right <= total:
        raise DataError(f"{right} of {total} cases is no share: expected 0 ≤ right ≤ total and at least one case.")
    found = scipy.stats.binomtest(int(right), int(total)).proportion_ci(confidence, method="wilson")
    return Estimate(value=right / total, low=float(found.low), high=float(found.high))


def accuracy(predicted: ArrayLike, labels: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns the share of right predictions, whole numbers `[examples]`, with its interval."""
    right = np.asarray(predicted) == np.asarray(labels)
    return share(int(right.sum()), right.size, confidence=confidence)


def balanced_accuracy(predicted: ArrayLike, labels: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns the mean recall over the classes that have examples, with an interval for given counts of classes.

    The classes are independent, so the distances of their Wilson intervals add up as squares: "method of variance
    estimates recovery", Zou & Donner 2008, "Construction of confidence limits about effect measures".

    Args:
        predicted: whole numbers `[examples]`; `labels` likewise.
        labels: see there.
        confidence: share of such intervals that hold the truth.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    of_class = [
        share(int((predicted[labels == one] == one).sum()), int((labels == one).sum()), confidence=confidence)
        for one in np.unique(labels)
    ]
    if not of_class:
        raise DataError("there are no examples to take an accuracy of.")
    value = float(np.mean([one.value for one in of_class]))
    below = float(np.sqrt(sum((one.value - one.low) ** 2 for one in of_class))) / len(of_class)
    above = float(np.sqrt(sum((one.high - one.value) ** 2 for one in of_class))) / len(of_class)
    return Estimate(value=value, low=max(0.0, value - below), high=min(1.0, value + above))


def paired(first_right: ArrayLike, second_right: ArrayLike, *, confidence: float = CONFIDENCE) -> Compared:
    """Compares two classifiers on the same examples: on which one was right and the other wrong.

    Sources: the interval is Bonett & Price 2012, "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data"; the probability is that of a Beta(½ + n, ½ + m) above ½ (Jeffreys' prior), n and
    m being the examples that the second and the first alone have right.

    Args:
        first_right: whether each example was classified rightly, bool `[examples]`; `second_right` likewise.
        second_right: see there.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: no examples, or other ones for the second than for the first.
    """
    inputs.share(confidence, name="confidence")
    first, second = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise DataError(f"shapes {first.shape} and {second.shape} are no pairs: expected [examples], the same twice.")
    total = first.size
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    width = scipy.stats.norm.ppf(0.5 + confidence / 2)
    p, q = (only_second + 1) / (total + 2), (only_first + 1) / (total + 2)
    half = float(width * np.sqrt((p + q - (p - q) ** 2) / (total + 2)))
    return Compared(
        difference=Estimate(
            value=(only_second - only_first) / total, low=max(-1.0, p - q - half), high=min(1.0, p - q + half)
        ),
        second_is_better=float(scipy.stats.beta.sf(0.5, only_second + 0.5, only_first + 0.5)),
        only_first=only_first,
        only_second=only_second,
        examples=total,
    )


def mean(measured: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns the mean of figures `[runs]`, such as accuracies over seeds, with Student's t interval.

    Raises:
        DataError: fewer than two.
    """
    inputs.share(confidence, name="confidence")
    figures = np.asarray(measured, np.float64)
    if figures.ndim != 1 or figures.size < 2:
        raise DataError(f"figures of shape {figures.shape} tell no spread: expected [runs], at least two.")
    error = figures.std(ddof=1) / np.sqrt(figures.size)
    half = float(error * scipy.stats.t.ppf(0.5 + confidence / 2, figures.size - 1))
    return Estimate(value=float(figures.mean()), low=float(figures.mean()) - half, high=float(figures.mean()) + half)


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    examples: int,
    *,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Returns any figure of a set of examples with a bootstrap interval.

    >>> bootstrap(lambda at: sklearn.metrics.f1_score(labels[at], predicted[at], average="macro"), len(labels))

    Percentiles of the figure over sets drawn with replacement (Efron 1979), expanded for few examples as Hesterberg
    2015, "What teachers should know about the bootstrap", has it: plain percentiles are too narrow by (n−1)/n and by
    the normal's in place of Student's quantile. For shares `share` is exacter, and costs nothing.

    Args:
        statistic: from positions, int64 `[examples]`, with repetitions, to the figure of these examples.
        examples: how many there are, at least two.
        draws: sets that are drawn.
        seed: of them.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: fewer than two examples, or a figure that is no number.
    """
    inputs.share(confidence, name="confidence")
    if examples < 2:
        raise DataError(f"{examples} example(s) cannot be drawn anew; at least two are needed.")
    generator = np.random.default_rng(seed)
    value = float(statistic(np.arange(examples)))
    drawn = np.array([statistic(generator.integers(0, examples, examples)) for _ in range(draws)])
    if not (np.isfinite(value) and np.isfinite(drawn).all()):
        raise DataError("the figure is not a number for some sets of examples, so it has no interval.")
    wide = scipy.stats.t.ppf(0.5 + confidence / 2, examples - 1) * np.sqrt(examples / (examples - 1))
    tail = scipy.stats.norm.sf(wide)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Estimate(value=value, low=float(low), high=float(high))
