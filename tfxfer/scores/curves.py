"""How much more labels would help: the error of a probe on parts of the examples, continued.

error(n) = a + b · n^−c, after Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically". Each part is
measured on the same examples, each of them equally often, so that the luck of the test examples cancels in differences.
"""

import concurrent.futures
import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import ConfigError, DataError
from tfxfer.scores import inputs, intervals, ridge

SHARES = (0.125, 0.25, 0.5, 1.0)
# Examples are tested in so many parts; what is fitted comes from the others.
_FOLDS = 5
# Powers that the curve may have: those at which a linear fit comes to its end by theory, from the slow rate to the fast
# one. With powers from 0.3 on forecasts for digits and clothes were 0.1 to 0.2 points further off. Whole networks that
# train have smaller powers (see the source above): for these it foretells too little.
_POWERS = np.linspace(0.5, 1.0, 21)
LEAST_EXAMPLES = 40
# Few examples are parted several times, so that about so many are tested in all: which ones a part happens to hold
# moves its accuracy by as much as their number does.
_TESTED, _MOST_REPEATS = 2000, 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a probe is expected to do with more examples; shares in [0, 1].

    Their ranges are those of 95 % of sets drawn from the examples anew. They are no confidence intervals: neither what
    other examples would have told nor another form of the curve is in them.

    Attributes:
        examples: how many there would be, in all.
        accuracy: then.
        gain: accuracy then less accuracy now, ≥ 0.
    """

    examples: int
    accuracy: intervals.Estimate
    gain: intervals.Estimate


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """Accuracy against the number of examples.

    Attributes:
        sizes: examples that were fitted to, ascending, int64 `[sizes]`.
        right: how often each example was classified rightly by fits to so many others, float64 `[sizes, examples]`, in
            [0, 1].
        curves: a, b and c of error(n) = a + b · n^−c, float64 `[1 + draws, 3]`: of the examples as they are, then of
            sets drawn from them with replacement.
    """

    sizes: np.ndarray
    right: np.ndarray
    curves: np.ndarray

    @property
    def examples(self) -> int:
        """How many there are now."""
        return self.right.shape[1]

    @property
    def accuracies(self) -> tuple[intervals.Estimate, ...]:
        """What was measured for each of `sizes`."""
        return tuple(intervals.share(round(row.sum()), self.examples) for row in self.right)

    def error(self, examples: int) -> np.ndarray:
        """Returns the error of each curve for so many examples, float64 `[1 + draws]`, in [0, 1]."""
        a, b, c = self.curves.T
        return np.clip(a + b * float(examples) ** -c, 0, 1)

    def forecast(self, examples: int, *, now: int | None = None, confidence: float = intervals.CONFIDENCE) -> Forecast:
        """Returns what is expected of so many examples in all.

        Up to four times the examples that were measured were tried, beyond that nobody has looked.

        Args:
            examples: how many there would be.
            now: how many there are, where some of them were measured; None: as many as were.
            confidence: share of the drawn sets that the ranges hold, in (0, 1).

        Raises:
            ConfigError: fewer examples than there are.
        """
        inputs.share(confidence, name="confidence")
        now = self.examples if now is None else now
        if now < self.examples:
            raise ConfigError(f"now={now!r} is fewer than the {self.examples} that were measured.")
        if examples < now:
            raise ConfigError(f"examples={examples!r} is fewer than the {now} there are.")
        then, gain = 1 - self.error(examples), self.error(now) - self.error(examples)
        return Forecast(examples=int(examples), accuracy=_estimate(then, confidence), gain=_estimate(gain, confidence))


def learning_curve(
    features: ArrayLike | Sequence[ArrayLike],
    labels: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    shares: Sequence[float] = SHARES,
    repeats: int | None = None,
    draws: int = 500,
    seed: int = 0,
    threads: int = 1,
) -> LearningCurve:
    """Returns the learning curve of a ridge classifier on features, or the mean of those on several.

    >>> print(learning_curve(features, labels).forecast(2 * len(labels)).gain)

    Features that were chosen for being the best of several look better than they are, and the more so the fewer
    examples they were chosen by. Where others can hardly be told from them, give these, too.

    Args:
        features: `[examples, width]`, at least 40 examples; or a sequence of such, of the same examples.
        labels: whole numbers `[examples]`, at least two different ones.
        groups: whole numbers `[examples]`, the same for those that give each other away: they are tested together, and
            smaller parts have fewer groups. None: each stands for itself.
        shares: of four fifths of the examples, ascending, in (0, 1]; all examples but one come on top.
        repeats: how often the examples are parted, ≥ 1; None: the fewer examples the more often, from 8 times to once.
        draws: sets drawn for intervals.
        seed: of parts and draws.
        threads: parts that are fitted at once, ≥ 1.

    Raises:
        DataError: other shapes, NaN, one class or group alone, or too few examples.
        ConfigError: shares, repeats or threads that are none.
    """
    several = (
        features if isinstance(features, list | tuple) and len(features) and np.ndim(features[0]) == 2 else [features]
    )
    if threads < 1:
        raise ConfigError(f"threads={threads!r} must be at least 1.")
    matrices = [inputs.features_of(one) for one in several]
    examples = len(matrices[0])
    if other := [one.shape for one in matrices if len(one) != examples]:
        raise DataError(f"features {matrices[0].shape} and {other[0]} are not of the same examples.")
    numbers, _ = inputs.labels_of(labels, examples)
    inputs.at_least_two_classes(numbers)
    if examples < LEAST_EXAMPLES:
        raise DataError(f"{examples} examples make no learning curve; at least {LEAST_EXAMPLES} are needed.")
    if not shares or any(not 0 < one <= 1 for one in shares) or list(shares) != sorted(set(shares)):
        raise ConfigError(f"shares={tuple(shares)!r} must ascend within (0, 1]: (0.25, 0.5, 1.0).")
    if repeats is None:
        repeats = int(np.clip(_TESTED // examples, 1, _MOST_REPEATS))
    if repeats < 1:
        raise ConfigError(f"repeats={repeats!r} must be at least 1.")
    parts = None
    if groups is not None:
        parts = np.unique(inputs.labels_of(groups, examples)[0], return_inverse=True)[1]
        inputs.at_least_two_classes(parts)
    generator = np.random.default_rng(seed)
    folds = [fold for _ in range(repeats) for fold in _folds(numbers, parts, generator)]
    sizes, right = _measured(matrices, numbers, parts, shares, folds, threads)
    drawn = generator.multinomial(examples, np.full(examples, 1 / examples), draws)
    weights = np.concatenate([np.ones((1, examples)), drawn]) / examples
    return LearningCurve(sizes, right, _fitted(sizes, 1 - weights @ right.T))


def _measured(matrices, labels, groups, shares, folds, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `sizes` and `right` of the mean curve: of parts that each fold leaves, then of all examples but one."""
    classes = int(labels.max()) + 1
    right, sizes = np.zeros((len(shares) + 1, len(labels))), np.zeros(len(shares) + 1)

    def tell(job: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        matrix, (tested, rest) = job
        return [_classified(matrix, labels, classes, some, tested) for some in _taken(rest, shares)]

    def tell_left_out(matrix: np.ndarray) -> np.ndarray:
        return ridge.classify(matrix, labels, classes=classes, groups=groups).predicted

    jobs = list(itertools.product(matrices, folds))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for (_, (tested, rest)), told in zip(jobs, pool.map(tell, jobs), strict=True):
            # Of groups folds have other sizes: the mean over examples that are tested, as of what is right.
            sizes[:-1] += len(tested) * np.array([len(some) for some in _taken(rest, shares)])
            right[:-1, tested] += np.array(told) == labels[tested]
        for told in pool.map(tell_left_out, matrices):
            right[-1] += told == labels
    # All examples were tested equally often.
    tests = len(matrices) * sum(len(tested) for tested, _ in folds)
    right[:-1] /= tests / len(labels)
    right[-1] /= len(matrices)
    sizes[:-1] /= tests
    left_out = 1 if groups is None else round(float(np.bincount(groups)[groups].mean()))
    sizes[-1] = len(labels) - left_out
    return sizes.round().astype(np.int64), right


def _taken(rest: np.ndarray, shares: Sequence[float]) -> list[np.ndarray]:
    """Returns the parts of the other examples that are fitted to, each the beginning of the next."""
    return [rest[: max(2, round(one * len(rest)))] for one in shares]


def _folds(
    labels: np.ndarray, groups: np.ndarray | None, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the positions to test and the others, in the order in which parts are taken from them.

    Groups, of which 0, 1, … all exist, are on one side as a whole, and in that order one behind the other.
    """
    if groups is not None:
        yield from _folds_of_groups(labels, groups, generator)
        return
    # In the order of classes each fold gets its share of each; in a stratified one classes take turns, as folds do.
    order = _by_class(labels, generator)
    for fold in range(_FOLDS):
        rest = np.delete(order, np.s_[fold::_FOLDS])
        # Drawn anew, or each part would begin with the same ones.
        yield order[fold::_FOLDS], rest[stratified(labels[rest], generator)]


def _folds_of_groups(
    labels: np.ndarray, groups: np.ndarray, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    counts = np.zeros((groups.max() + 1, labels.max() + 1), np.int64)
    np.add.at(counts, (groups, labels), 1)
    frequent = counts.argmax(axis=1)
    order = _by_class(frequent, generator)
    for fold in range(min(_FOLDS, len(order))):
        tested = np.isin(groups, order[fold::_FOLDS])
        others = np.delete(order, np.s_[fold::_FOLDS])
        place = np.empty(len(order), np.int64)
        place[others[stratified(frequent[others], generator)]] = np.arange(len(others))
        rest = generator.permutation(np.flatnonzero(~tested))
        yield np.flatnonzero(tested), rest[np.argsort(place[groups[rest]], kind="stable")]


def stratified(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns a random order, int64 `[examples]`, in which every part has about its share of each class."""
    by_class = _by_class(labels, generator)
    counts = np.bincount(labels)
    place = np.concatenate([(np.arange(count) + generator.random()) / count for count in counts if count])
    return by_class[np.argsort(place, kind="stable")]


def _by_class(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Returns a random order, int64 `[examples]`, in which classes come one behind the other."""
    shuffled = generator.permutation(len(labels))
    return shuffled[np.argsort(labels[shuffled], kind="stable")]


def _classified(features, labels, classes, some, tested) -> np.ndarray:
    """Returns the classes that a fit to `some` gives `tested`."""
    if labels[some].min() == labels[some].max():
        return np.full(len(tested), labels[some][0])
    return ridge.classify(features[some], labels[some], classes=classes).classify(features[tested])


def _fitted(sizes: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Returns a, b ≥ 0 and c of the curves through errors `[curves, sizes]`, float64 `[curves, 3]`, by least squares.

    Larger parts count more, by the root of their size: the draw of few examples is luck, and the curve is for more.
    """
    weights = np.sqrt(sizes.astype(np.float64))
    best, chosen = np.full(len(errors), np.inf), np.zeros((len(errors), 3))
    mean = errors @ weights / weights.sum()
    for c in _POWERS:
        powers = sizes**-c
        centre = powers @ weights / weights.sum()
        b = (errors @ (weights * (powers - centre))) / ((powers - centre) ** 2 @ weights)
        a = mean - b * centre
        # Where the best a or b is below 0, the best one at its bound.
        through_zero = errors @ (weights * powers) / (powers**2 @ weights)
        b = np.where(a < 0, through_zero, b)
        a = np.where(a < 0, 0, a)
        a, b = np.where(b < 0, mean, a), np.maximum(b, 0)
        loss = ((a[:, None] + b[:, None] * powers - errors) ** 2) @ weights
        better = loss < best
        best = np.where(better, loss, best)
        chosen[better] = np.stack([a, b, np.full_like(a, c)], axis=1)[better]
    return chosen


def _estimate(figures: np.ndarray, confidence: float) -> intervals.Estimate:
    low, high = np.quantile(figures[1:], [0.5 - confidence / 2, 0.5 + confidence / 2])
    value = float(figures[0])
    return intervals.Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))
