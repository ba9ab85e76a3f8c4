"""Whether there is anything to learn: how often shuffled labels look as learnable as the given ones."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import ConfigError
from tfxfer.scores import inputs, neighbours


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learnable:
    """A test of the hypothesis that labels have nothing to do with features.

    Attributes:
        p_value: how probable labels without any meaning are to look as learnable, in (0, 1]; its least value is
            1 / (1 + permutations).
        agreement: share of nearest neighbours that have the same label, in [0, 1], at the depth where it stands out
            most; `by_chance` what shuffled labels have there on average.
        by_chance: see there.
        permutations: how often labels were shuffled.
        each_class_alike: whether that share is the mean over classes, since they stand out most where each weighs the
            same: a rare class agrees, and hardly moves the share of all.
    """

    p_value: float
    agreement: float
    by_chance: float
    permutations: int
    each_class_alike: bool = False


def learnable(
    features: ArrayLike | Sequence[ArrayLike],
    labels: ArrayLike,
    *,
    k: int = neighbours.NEIGHBOURS,
    permutations: int = 999,
    seed: int = 0,
) -> Learnable:
    """Tests whether labels agree among nearest neighbours more than shuffled labels do.

    Schilling 1986, "Multivariate two-sample tests based on nearest neighbors". Neighbours do not depend on labels, so
    a shuffle costs a lookup. Two figures are looked at: the share of neighbours that agree, and its mean over classes,
    which a rare class moves as much as a frequent one; but for classes so rare that their neighbours would agree less
    than once by chance, whose luck would hide all others. Of both and of several depths what stands out most counts, in
    standard deviations, for the given labels as for the shuffled ones: so that looking at many figures makes no label
    learnable.

    Args:
        features: `[examples, width]`, or a sequence of such, one for each depth.
        labels: whole numbers `[examples]`, at least two different ones.
        k: neighbours that are looked at.
        permutations: how often labels are shuffled, ≥ 19.
        seed: of the shuffles.

    Raises:
        ConfigError: too few permutations for a p-value of 0.05.
        DataError: other shapes, NaN, one class alone.
    """
    if permutations < 19:
        raise ConfigError(f"permutations={permutations!r} is too few: with fewer than 19 no p-value is below 0.05.")
    depths = list(features) if isinstance(features, list | tuple) and np.ndim(features[0]) == 2 else [features]
    found = [neighbours.nearest(one, k)[0] for one in depths]
    numbers, _ = inputs.labels_of(labels, len(found[0]))
    inputs.at_least_two_classes(numbers)
    return agreement(found, numbers, permutations, seed)


def agreement(
    found: Sequence[np.ndarray],
    labels: np.ndarray,
    permutations: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> Learnable:
    """Does what `learnable` does where neighbours are known already.

    With groups, those of one keep their labels together when these are shuffled: a video has one label and frames that
    are alike, so by chance two videos agree in all of their frames. The test is exact for groups of one size.

    Args:
        found: for each depth, int64 `[examples, k]` of `neighbours.nearest`.
        labels: int64 `[examples]`.
        permutations: how often labels are shuffled.
        seed: of the shuffles.
        groups: whole numbers `[examples]`, as neighbours were found with; None: each stands for itself.
    """
    generator = np.random.default_rng(seed)
    orders = [labels, *(_shuffled(labels, groups, generator) for _ in range(permutations))]
    p_value, (at, by_class) = _tested(np.array([[_figures(order, near) for near in found] for order in orders]))
    agree = [_shown(order, found[at], by_class) for order in orders]
    return Learnable(
        p_value=p_value,
        agreement=float(agree[0]),
        by_chance=float(np.mean(agree[1:])),
        permutations=permutations,
        each_class_alike=bool(by_class),
    )


def _figures(labels: np.ndarray, near: np.ndarray) -> tuple[float, float]:
    """Returns the share of neighbours that agree, and the sum over classes of theirs."""
    agree = (labels[near] == labels[:, None]).mean(axis=1)
    # Of a class of n, k · n² / examples agree by chance. All classes would have the same spread then, but where that is
    # below 1, luck comes in large lumps: two examples that are neighbours. Such classes weigh less.
    weights = 1 / np.maximum(np.bincount(labels), np.sqrt(labels.size / near.shape[1]))
    return agree.mean(), np.bincount(labels, weights=agree) @ weights


def _shown(labels: np.ndarray, near: np.ndarray, by_class: bool) -> float:
    """Returns the share of neighbours that agree, of all or as the mean over classes."""
    agree = (labels[near] == labels[:, None]).mean(axis=1)
    if not by_class:
        return float(agree.mean())
    counts = np.bincount(labels)
    return float((np.bincount(labels, weights=agree)[counts > 0] / counts[counts > 0]).mean())


def correlation(
    found: Sequence[np.ndarray],
    targets: np.ndarray,
    permutations: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> Learnable:
    """Tests whether numbers are like those of nearest neighbours more than shuffled ones are, as `agreement` does.

    What is looked at is the correlation of a target with its mean over the neighbours (but for a factor Moran's I:
    Moran 1950, "Notes on continuous stochastic phenomena"), of each target and on average.

    Args:
        found: for each depth, int64 `[examples, k]` of `neighbours.nearest`.
        targets: float64 `[examples, columns]`; a constant column counts for nothing. Labels of 0 and 1, too: one that
            is so rare that its neighbours would agree less than once by chance counts in the average alone.
        permutations: how often examples are shuffled, all targets of one together.
        seed: of the shuffles.
        groups: as for `agreement`.

    Returns:
        The correlation where it stands out most as `agreement`, in [-1, 1]; on average where `each_class_alike`.
    """
    generator = np.random.default_rng(seed)
    deviation = targets.std(axis=0)
    standard = (targets - targets.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    alone = ~_is_rare(targets, found[0].shape[1])
    every = np.arange(len(targets))
    orders = [every, *(_shuffled(every, groups, generator) for _ in range(permutations))]
    figures = np.array([[_correlations(standard[order], near, alone) for near in found] for order in orders])
    p_value, (at, column) = _tested(figures)
    return Learnable(
        p_value=p_value,
        agreement=float(figures[0, at, column]),
        by_chance=float(figures[1:, at, column].mean()),
        permutations=permutations,
        each_class_alike=bool(column == alone.sum() and targets.shape[1] > 1),
    )


def _tested(figures: np.ndarray) -> tuple[float, tuple[int, int]]:
    """Returns the p-value of the first of some orders, and where it stands out most.

    Args:
        figures: float64 `[orders, depths, figures]`.
    """
    spread = figures.std(axis=0)
    # Of all, the given labels among them, so that each order is treated alike: what makes the test exact.
    distinct = (figures - figures.mean(axis=0)) / np.where(spread > 1e-12, spread, 1)
    highest = distinct.max(axis=(1, 2))
    # A hair of slack: equal agreements may differ in their last digit.
    as_high = int((highest[1:] >= highest[0] - 1e-9).sum())
    at, column = np.unravel_index(distinct[0].argmax(), distinct[0].shape)
    return (1 + as_high) / len(figures), (int(at), int(column))


def _correlations(standard: np.ndarray, near: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Returns the correlation of some standardised columns with their mean over neighbours, then the mean of all."""
    around = standard[near].mean(axis=1)
    spread = around.std(axis=0)
    each = (standard * (around - around.mean(axis=0))).mean(axis=0) / np.where(spread > 1e-9, spread, 1)
    return np.append(each[alone], each.mean())


def _is_rare(targets: np.ndarray, k: int) -> np.ndarray:
    """Whether a column is a label that so few examples have, or lack, that luck comes in large lumps (`_figures`)."""
    labels = ((targets == 0) | (targets == 1)).all(axis=0)
    fewer = np.minimum((targets != 0).sum(axis=0), (targets == 0).sum(axis=0))
    return labels & (fewer < np.sqrt(len(targets) / k))


def _shuffled(labels: np.ndarray, groups: np.ndarray | None, generator: np.random.Generator) -> np.ndarray:
    """Returns labels in a random order, int64 `[examples]`: those of a group go, shuffled, to places side by side."""
    if groups is None:
        return generator.permutation(labels)
    mixed = generator.permutation(len(labels))
    place = generator.permutation(int(groups.max()) + 1)
    taken = labels[mixed[np.argsort(place[groups[mixed]], kind="stable")]]
    out = np.empty_like(labels)
    out[np.argsort(groups, kind="stable")] = taken
    return out
