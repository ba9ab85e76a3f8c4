"""Bootstrap intervals: of any figure of a set of examples, by drawing such sets from the one that there is.

Bias-corrected and accelerated (BCa: Efron 1987, "Better bootstrap confidence intervals"): percentiles of the drawn
figures would be those of the truth if draws were as far below the figure as above it, and spread alike wherever the
truth lies. Neither holds for F1 or average precision of rare classes. How far it does not is taken from the draws and
from what the figure is without some examples.
"""

import functools
import math
from collections.abc import Callable, Iterator

import numpy as np
import scipy.stats

from tfxfer.errors import DataError
from tfxfer.scores import inputs
from tfxfer.scores.intervals import CONFIDENCE, Estimate

DRAWS = 1000  # Efron & Tibshirani 1993, "An Introduction to the Bootstrap", 14.3, ask for that many
# Where examples times draws would take long, fewer sets are drawn.
_FEWEST, _MOST_COUNTS = 200, 20_000_000
# So many counts lie in memory at once.
_AT_ONCE = 2_000_000
# Of more examples, groups of several are left out together.
_LEFT_OUT = 200


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

    For shares `share` is exacter, and costs nothing; `of_counts` is faster.

    Args:
        statistic: from positions, int64 `[positions]`, with repetitions, to the figure of these examples.
        examples: how many there are, at least two.
        draws: sets that are drawn.
        seed: of them.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: fewer than two examples, or a figure that is no number.
    """
    if examples < 2:
        raise DataError(f"{examples} example(s) cannot be drawn anew; at least two are needed.")
    every = np.arange(examples)

    def of_each(counts: np.ndarray) -> np.ndarray:
        return np.array([statistic(np.repeat(every, row.astype(np.int64))) for row in counts], np.float64)

    return of_counts(of_each, examples, draws=draws, seed=seed, confidence=confidence)


def of_counts(
    statistic: Callable[[np.ndarray], np.ndarray],
    examples: int,
    *,
    work: int = 1,
    draws: int | None = None,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Returns a figure that depends on how often each example counts, with a bootstrap interval.

    >>> of_counts(lambda counts: counts @ errors / counts.sum(axis=1), len(errors))

    Args:
        statistic: of float64 `[sets, examples]`, how often each example counts in each of some sets; returns `[sets]`.
            A set has as many examples as there are, but where some are left out.
        examples: how many there are, ≥ 1; of one alone the interval is its figure.
        work: how often the statistic goes through all counts; the more, the fewer draws, from 1,000 down to 200.
        draws: sets that are drawn; None: as `work` says.
        seed: of them; with the same all statistics of one set of examples see the same draws.
        confidence: share of such intervals that hold the truth.

    Raises:
        DataError: a figure that is no number.
    """
    inputs.share(confidence, name="confidence")
    if examples < 2:
        alone = float(statistic(np.ones((1, 1)))[0])
        return Estimate(value=alone, low=alone, high=alone)
    return _estimate(*_figures(statistic, examples, work, draws, seed), examples, confidence)


def difference(
    statistic: Callable[[np.ndarray], np.ndarray],
    examples: int,
    *,
    work: int = 1,
    seed: int = 0,
    most: float = math.inf,
) -> tuple[Estimate, float]:
    """Returns a figure as `of_counts` does, with the probability that it is above 0.

    For what one classifier or regression has more than another on the same examples, at least two. Both are by
    Student's distribution with the draws' deviation: where a dozen examples of a rare label decide, 92 % of BCa's
    intervals of a difference held the truth, of these 94 to 95 %.

    Args:
        statistic: see `of_counts`.
        examples: likewise.
        work: likewise.
        seed: likewise.
        most: what the figure cannot be above, nor its negative below.
    """
    value, left_out, drawn = _figures(statistic, examples, work, None, seed)
    freedom = _freedom(left_out.mean() - left_out, examples, is_told=False)
    half = _quantile(CONFIDENCE, freedom, examples) * float(drawn.std(ddof=1))
    found = Estimate(value=value, low=max(-most, value - half), high=min(most, value + half))
    if half == 0:
        return found, 0.5 + 0.5 * float(np.sign(value))
    ends = scipy.stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)
    return found, float(scipy.stats.t.cdf(ends * value / half, freedom))


def optimism(
    figures: Callable[[np.ndarray], np.ndarray],
    examples: int,
    *,
    chosen_by: Callable[[np.ndarray], np.ndarray] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> float:
    """Returns how much better the best of several looks for having been chosen by the same examples, ≥ 0.

    The best by drawn sets looks better there than on all examples, as the best by these looks better than it is (Efron
    & Tibshirani 1993, "An Introduction to the Bootstrap", 17.6). What the best of all examples looks better in the same
    sets is taken off: it was not chosen there, so that this is their luck. Nothing is fitted anew.

    Args:
        figures: of float64 `[sets, examples]`, how often each example counts in each of some sets; returns
            `[sets, choices]`, the figures of each choice, higher being better.
        examples: how many there are, ≥ 1.
        chosen_by: likewise, what the choice is made by; None: by the figures.
        draws: sets that are drawn.
        seed: of them.
    """
    if examples < 2:
        return 0.0
    found, once = [], np.ones((1, examples))
    whole = figures(once)[0]
    usual = int((whole if chosen_by is None else chosen_by(once)[0]).argmax())
    for counts in _drawn(np.random.Generator(np.random.Philox(seed)), examples, draws):
        of_each = figures(counts)
        best = (of_each if chosen_by is None else chosen_by(counts)).argmax(axis=1)
        found.append((of_each[np.arange(len(best)), best] - whole[best]) - (of_each[:, usual] - whole[usual]))
    return max(0.0, float(np.concatenate(found).mean()))


def _figures(statistic, examples: int, work: int, draws: int | None, seed: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Returns the figure of all examples, of those without some, and of sets that are drawn."""
    if draws is None:
        draws = int(np.clip(_MOST_COUNTS // (examples * max(1, work)), _FEWEST, DRAWS))
    sets = _kept_sets if examples * (draws + _LEFT_OUT) <= _AT_ONCE else _sets
    figures = np.concatenate([statistic(some) for some in sets(examples, draws, seed)])
    if not np.isfinite(figures).all():
        raise DataError("the figure is not a number for some sets of examples, so it has no interval.")
    return float(figures[0]), figures[1:-draws], figures[-draws:]


def _estimate(value: float, left_out: np.ndarray, drawn: np.ndarray, examples: int, confidence: float) -> Estimate:
    low, high = accelerated(value, drawn, left_out, examples, confidence=confidence)
    # Where many draws are equal, a percentile may lie beyond the figure itself.
    return Estimate(value=value, low=min(value, low), high=max(value, high))


def accelerated(
    value: float, drawn: np.ndarray, left_out: np.ndarray, examples: int, *, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Returns the ends of the BCa interval, expanded for few examples.

    The expansion is that of Hesterberg 2015, "What teachers should know about the bootstrap": by the root of n/(n−1),
    and by Student's quantile in place of the normal's. Its degrees of freedom are those of the variance of what single
    examples move (Satterthwaite 1946), but for what goes with the figure itself, which the acceleration is about: n − 1
    where all move alike; where a dozen examples of a rare label move most, about a dozen.

    Args:
        value: the figure of all examples.
        drawn: of the drawn sets, `[draws]`.
        left_out: of sets that lack an example or a group of some, each in turn, `[groups]`.
        examples: how many there are, ≥ 2.
        confidence: share of such intervals that hold the truth.
    """
    # Draws that give the figure itself, but for rounding, count half.
    same = np.isclose(drawn, value, rtol=1e-9, atol=1e-12)
    below = ((drawn < value) & ~same).mean() + 0.5 * same.mean()
    bias = scipy.stats.norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    moves = left_out.mean() - left_out
    spread = (moves**2).sum()
    wide = _quantile(confidence, _freedom(moves, examples), examples)
    acceleration = (moves**3).sum() / (6 * spread**1.5) if spread > 0 else 0.0
    ends = bias + np.array([-wide, wide])
    tails = scipy.stats.norm.cdf(bias + ends / np.maximum(1 - acceleration * ends, 0.1))
    # Of the definitions of a quantile the one that draws, however few, exceed as often as they should.
    low, high = np.quantile(drawn, tails, method="weibull")
    return float(low), float(high)


def _quantile(confidence: float, freedom: float, examples: int) -> float:
    """Returns how many of the draws' deviations an interval goes to each side; draws spread less by (n−1)/n."""
    return float(scipy.stats.t.ppf(0.5 + confidence / 2, freedom) * np.sqrt(examples / (examples - 1)))


def _freedom(moves: np.ndarray, examples: int, *, is_told: bool = True) -> float:
    """Returns the degrees of freedom of a variance from how far each example, or group of some, moves the figure.

    Args:
        moves: how far, `[groups]`.
        examples: how many there are.
        is_told: whether what the variance follows from the figure itself is told otherwise, by the acceleration.
    """
    spread = (moves**2).mean()
    if not spread > 0:
        return examples - 1
    # A sum over a group is nearer to normal than what it sums: its excess, and its squared skewness, are smaller by the
    # size of the group.
    excess, skewness = (moves**4).mean() / spread**2 - 3, (moves**3).mean() / spread**1.5
    left = 2 + examples / len(moves) * (excess - (skewness**2 if is_told else 0))
    return float(np.clip(2 * examples / max(left, 1e-9), 1, examples - 1))


def _sets(examples: int, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yields how often each example counts: all of them once, without some of them, then drawn with replacement.

    Yields:
        float64 `[sets, examples]`, few sets at a time; in all 1 + min(examples, 200) + draws.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    together = max(1, _AT_ONCE // examples)
    yield np.ones((1, examples))
    # In groups drawn at random: neighbours in a file may be alike.
    group = generator.permutation(np.arange(examples) % min(examples, _LEFT_OUT))
    for start in range(0, group.max() + 1, together):
        yield (group != np.arange(start, min(start + together, group.max() + 1))[:, None]).astype(np.float64)
    yield from _drawn(generator, examples, draws)


def _drawn(generator: np.random.Generator, examples: int, draws: int) -> Iterator[np.ndarray]:
    """Yields how often each example counts in sets that are drawn, float64 `[sets, examples]`, few at a time."""
    together = max(1, _AT_ONCE // examples)
    for start in range(0, draws, together):
        rows = min(together, draws - start)
        positions = generator.integers(0, examples, (rows, examples)) + examples * np.arange(rows)[:, None]
        counts = np.bincount(positions.ravel(), minlength=rows * examples)
        yield counts.reshape(rows, examples).astype(np.float64)


@functools.lru_cache(maxsize=1)
def _kept_sets(examples: int, draws: int, seed: int) -> tuple[np.ndarray, ...]:
    """Returns what `_sets` yields: figures of one test are many, and drawing takes longer than most of them."""
    kept = tuple(_sets(examples, draws, seed))
    for some in kept:
        some.flags.writeable = False
    return kept
