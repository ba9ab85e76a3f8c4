"""Intervals of measured figures: what another set of test examples of the same size could have given.

They tell what the draw of *test* examples leaves open. What another draw of training examples or another seed changes
is not in them: repeat the training, and take `mean` of what comes out.
"""

import dataclasses

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

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

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

    Raises:
        DataError: no cases, or more right ones than there are.
    """
    inputs.share(confidence, name="confidence")
    if total < 1 or not 0 <= right <= total:
        raise DataError(f"{right} of {total} cases is no share: expected 0 ≤ right ≤ total and at least one case.")
    low, high = wilson(np.array([right]), np.array([total]), confidence=confidence)
    return Estimate(value=right / total, low=float(low[0]), high=float(high[0]))


def wilson(right: np.ndarray, total: np.ndarray, *, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds of Wilson's score intervals of shares, float64 `[shares]` twice.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". It is right for small
    numbers and near 0 and 1 too, where the share ± 1.96 standard errors is not.

    Args:
        right: whole numbers `[shares]`; `total` likewise, ≥ 1.
        total: see there.
        confidence: share of such intervals that hold the truth.
    """
    found, z = right / total, scipy.stats.norm.ppf(0.5 + confidence / 2)
    middle, half = found + z**2 / (2 * total), z * np.sqrt(found * (1 - found) / total + z**2 / (4 * total**2))
    low, high = (middle - half) / (1 + z**2 / total), (middle + half) / (1 + z**2 / total)
    return np.where(right == 0, 0.0, low), np.where(right == total, 1.0, high)


def accuracy(predicted: ArrayLike, labels: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns the share of right predictions, whole numbers `[examples]`, with its interval."""
    right = np.asarray(predicted) == np.asarray(labels)
    return share(int(right.sum()), right.size, confidence=confidence)


def balanced_accuracy(predicted: ArrayLike, labels: ArrayLike, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns the mean recall over the classes that have examples, with an interval for given counts of classes.

    Args:
        predicted: whole numbers `[examples]`; `labels` likewise.
        labels: see there.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: no examples.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    classes, total = np.unique(labels, return_counts=True)
    right = np.array([(predicted[labels == one] == one).sum() for one in classes])
    return mean_recall(right, total, confidence=confidence)


def mean_recall(right: np.ndarray, total: np.ndarray, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns balanced accuracy from counts of each class, whole numbers `[classes]`; classes without examples are out.

    Raises:
        DataError: no class has examples.
    """
    inputs.share(confidence, name="confidence")
    right, total = right[total > 0], total[total > 0]
    if not total.size:
        raise DataError("there are no examples to take an accuracy of.")
    return _of_mean(right / total, *wilson(right, total, confidence=confidence))


def macro_f1(confusion: np.ndarray, *, confidence: float = CONFIDENCE) -> Estimate:
    """Returns the mean F1 over the classes that have examples.

    F1 is 2s / (1 + s) for the share s of right ones among the examples that are of a class or taken for it. A mistake
    is in two such shares, so these are not independent: what that makes of the interval is taken from the counts, by
    how each example moves each F1 (delta method).

    Args:
        confusion: whole numbers `[classes, classes]`, of class row that were classified as class column.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: no class has examples.
    """
    inputs.share(confidence, name="confidence")
    right, seen = np.diag(confusion), confusion.sum(axis=1) > 0
    if not seen.any():
        raise DataError("there are no examples to take F1 of.")
    right, either = right[seen], (confusion.sum(axis=0) + confusion.sum(axis=1) - right)[seen]
    f1, low, high = (2 * one / (1 + one) for one in (right / either, *wilson(right, either, confidence=confidence)))
    return _of_mean(f1, low, high, wider=_dependence(confusion, np.flatnonzero(seen), f1))


def _dependence(confusion: np.ndarray, classes: np.ndarray, f1: np.ndarray) -> float:
    """Returns the deviation of the sum of F1 over that which it would have if they were independent."""
    examples = confusion.sum()
    rows, columns = np.indices(confusion.shape)
    moves = np.stack(
        [
            (2 * ((rows == one) & (columns == one)) - of * ((rows == one).astype(float) + (columns == one)))
            / (confusion[one].sum() + confusion[:, one].sum())
            for one, of in zip(classes, f1, strict=True)
        ]
    )
    shares = confusion / examples
    independent = (shares * np.square(moves)).sum()
    together = (shares * np.square(moves.sum(axis=0))).sum()
    return float(np.sqrt(together / independent)) if independent > 0 else 1.0


def paired(first_right: ArrayLike, second_right: ArrayLike, *, confidence: float = CONFIDENCE) -> Compared:
    """Compares two classifiers on the same examples: on which one was right and the other wrong.

    Sources: the interval is Agresti & Min 2005, "Simple improved confidence intervals for comparing matched
    proportions", half an example added to each of the four cases; the probability is that of a Beta(½ + n, ½ + m)
    above ½ (Jeffreys' prior), n and m being the examples that the second and the first alone have right.

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
    p, q = (only_second + 0.5) / (total + 2), (only_first + 0.5) / (total + 2)
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


def less_chosen(compared: Compared, by: float) -> Compared:
    """Returns a comparison less what the second looks better for having been chosen, see `resampling.optimism`.

    The counts stay what was counted; the probability is that of a normal distribution with the interval's width.

    Args:
        compared: as it was measured.
        by: how much that is, ≥ 0.
    """
    if by <= 0:
        return compared
    found = compared.difference
    moved = Estimate(**{name: end - by for name, end in dataclasses.asdict(found).items()})
    spread = (found.high - found.low) / (2 * scipy.stats.norm.ppf(0.5 + CONFIDENCE / 2))
    better = float(scipy.stats.norm.cdf((moved.low + moved.high) / 2 / spread)) if spread > 0 else 0.0
    return dataclasses.replace(compared, difference=moved, second_is_better=min(compared.second_is_better, better))


def balanced_difference(
    first_right: ArrayLike, second_right: ArrayLike, labels: ArrayLike, *, confidence: float = CONFIDENCE
) -> Estimate:
    """Returns balanced accuracy of the second less that of the first on the same examples, in [-1, 1].

    Each class from the intervals of both recalls and how much both are right on the same examples (Newcombe 1998,
    "Improved confidence intervals for the difference between binomial proportions based on paired data", φ as it is);
    the mean as in `balanced_accuracy`. With that of `paired`, made for many examples, 97.3 % of intervals held the
    truth where a class has ten.

    Args:
        first_right: whether each example was classified rightly, bool `[examples]`; `second_right` likewise.
        second_right: see there.
        labels: whole numbers `[examples]`.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: no examples, or other ones for the second than for the first.
    """
    first, second, labels = np.asarray(first_right, bool), np.asarray(second_right, bool), np.asarray(labels)
    paired(first, second, confidence=confidence)  # refuses what is none
    of_each = [_paired_recall(first[labels == one], second[labels == one], confidence) for one in np.unique(labels)]
    value, below, above = np.array(of_each).T
    middle, below, above = value.mean(), *(np.linalg.norm(one) / len(value) for one in (below, above))
    return Estimate(value=float(middle), low=max(-1.0, float(middle - below)), high=min(1.0, float(middle + above)))


def _paired_recall(first: np.ndarray, second: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """Returns the difference of two recalls, and how far its interval goes below and above."""
    right, total = np.array([first.sum(), second.sum()]), np.full(2, first.size)
    (p, q), (low, high) = right / total, wilson(right, total, confidence=confidence)
    spread = np.sqrt(p * (1 - p) * q * (1 - q))
    together = ((first & second).mean() - p * q) / spread if spread > 0 else 0.0

    def distance(of_second: float, of_first: float) -> float:
        return np.sqrt(max(0.0, of_second**2 - 2 * together * of_second * of_first + of_first**2))

    return q - p, distance(q - low[1], high[0] - p), distance(high[1] - q, p - low[0])


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


def _of_mean(values: np.ndarray, low: np.ndarray, high: np.ndarray, *, wider: float = 1.0) -> Estimate:
    """Returns the mean of independent figures between 0 and 1, with an interval from theirs.

    Their distances add up as squares: "method of variance estimates recovery", Zou & Donner 2008, "Construction of
    confidence limits about effect measures".
    """
    value, scale = float(values.mean()), wider / len(values)
    below, above = (float(scale * np.linalg.norm(bound - values)) for bound in (low, high))
    return Estimate(value=value, low=max(0.0, value - below), high=min(1.0, value + above))
