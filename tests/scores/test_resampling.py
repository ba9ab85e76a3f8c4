"""Bootstrap intervals, and the figures that they are taken of."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tfxfer.errors import DataError
from tfxfer.scores import bootstrap, counted, intervals, resampling

RANDOM = np.random.default_rng(0)


def _mean(figures):
    return lambda counts: counts @ figures / counts.sum(axis=1)


def test_a_figure_of_a_set_is_that_of_the_examples_drawn():
    scores, labels = np.round(RANDOM.normal(size=(50, 2)), 1), RANDOM.integers(0, 2, (50, 2))
    drawn = RANDOM.integers(0, 50, 50)
    counts = np.bincount(drawn, minlength=50)[None].astype(float)
    found = counted.average_precision(scores[:, 0], labels[:, 0], counts)[0]
    assert found == pytest.approx(sklearn.metrics.average_precision_score(labels[drawn, 0], scores[drawn, 0]))
    found = counted.mean_average_precision(scores, labels, counts)[0]
    assert found == pytest.approx(sklearn.metrics.average_precision_score(labels[drawn], scores[drawn]))
    true, told = RANDOM.integers(0, 4, 50), RANDOM.integers(0, 4, 50)
    found = counted.weighted_kappa(true, told, 4, counts)[0]
    assert found == pytest.approx(sklearn.metrics.cohen_kappa_score(true[drawn], told[drawn], weights="quadratic"))


def test_a_label_that_a_set_lacks_does_not_count_there():
    scores, labels = np.array([[1.0, 0], [0, 1], [0, 0]]), np.array([[1, 0], [0, 1], [0, 0]])
    counts = np.array([[1.0, 1, 1], [0, 1, 2], [0, 0, 3]])
    np.testing.assert_allclose(counted.mean_average_precision(scores, labels, counts), [1, 1, 0])
    np.testing.assert_allclose(counted.mean_average_precision(scores, 0 * labels, counts), [0, 0, 0])


def test_the_ends_by_hand():
    """Of 999 draws a third lie below the figure, and one of three examples moves it by 2, the others by -1 each."""
    # Moves have two values, so the variance follows from the mean: 2 degrees of freedom, as many as there can be.
    drawn, wide = np.arange(1.0, 1000), scipy.stats.t.ppf(0.975, 2) * np.sqrt(3 / 2)
    low, high = resampling.accelerated(333.5, drawn, np.array([-2.0, 1, 1]), 3)
    bias, acceleration = scipy.stats.norm.ppf(333 / 999), (8 - 1 - 1) / (6 * 6**1.5)
    for end, z in ((low, bias - wide), (high, bias + wide)):
        tail = scipy.stats.norm.cdf(bias + z / (1 - acceleration * z))
        assert end == pytest.approx(np.clip(1000 * tail, 1, 999))


def test_few_that_move_the_figure_leave_few_degrees_of_freedom():
    normal = scipy.stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    assert resampling._freedom(normal, 1000) == pytest.approx(999, rel=0.05)
    assert resampling._freedom(np.repeat([1.0, -1], 500), 1000) == 999
    ten = np.repeat([1.0, -1, 0], [5, 5, 990])  # kurtosis 100
    assert resampling._freedom(ten, 1000) == pytest.approx(2000 / 99)
    share = np.repeat([-0.01, 0.99], [990, 10])  # two values: the acceleration tells all
    assert resampling._freedom(share, 1000) == 999
    assert resampling._freedom(np.zeros(9), 9) == 8
    # Sums of five have a fifth of the excess.
    generator = np.random.default_rng(0)
    single = generator.standard_t(9, 200_000)
    sums = single.reshape(-1, 5).sum(axis=1)
    alone, together = (resampling._freedom(one, 200_000) for one in (single, sums))
    assert together == pytest.approx(alone, rel=0.25)


def test_an_even_spread_needs_no_correction():
    drawn = np.arange(1.0, 1000)
    low, high = resampling.accelerated(500.0, drawn, np.array([-1.0, 1] * 50_000), 100_000)
    assert (low, high) == pytest.approx((25, 975), abs=0.1)


def test_bootstrap_of_a_mean_comes_near_the_known_interval():
    numbers = np.random.default_rng(0).normal(size=400)
    found = bootstrap(lambda at: numbers[at].mean(), 400)
    known = intervals.mean(numbers)
    assert found.value == pytest.approx(known.value)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.015)
    again = resampling.of_counts(_mean(numbers), 400, draws=2000)
    assert (again.low, again.high) == pytest.approx((found.low, found.high))


def test_bootstrap_is_wider_than_percentiles_for_few():
    numbers = np.arange(5.0)
    found = bootstrap(lambda at: numbers[at].mean(), 5)
    drawn = numbers[np.random.default_rng(0).integers(0, 5, (2000, 5))].mean(axis=1)
    assert found.high - found.low > np.subtract(*np.quantile(drawn, [0.975, 0.025])) * 1.2


def test_intervals_hold_what_they_say():
    held = 0
    for seed in range(200):
        sample = np.random.default_rng(seed).normal(3, 1, 60)
        found = resampling.of_counts(_mean(sample), 60, work=5000, seed=seed)
        held += found.low <= 3 <= found.high
    assert 0.91 <= held / 200 <= 0.985  # 0.95 ± 2.5 standard errors


def test_intervals_of_what_is_biased_hold_what_they_say():
    """Mean F1 of three classes, one of which has about ten of 150 examples."""
    share, recall = np.array([0.6, 0.33, 0.07]), np.array([0.95, 0.9, 0.6])
    cells = np.zeros((3, 3))
    for one in range(3):
        cells[one, one], cells[one, (one + 1) % 3] = share[one] * recall[one], share[one] * (1 - recall[one])

    def f1(counts):
        square = counts.reshape(-1, 3, 3)
        right = np.einsum("sii->si", square)
        return (2 * right / np.maximum(square.sum(axis=1) + square.sum(axis=2), 1e-9)).mean(axis=1)

    generator, held, tails = np.random.default_rng(0), 0, [0, 0]
    truth = f1(cells)[0]
    for _ in range(200):
        cell = np.eye(9)[generator.choice(9, 150, p=cells.ravel())]
        found = resampling.of_counts(lambda counts, cell=cell: f1(counts @ cell), 150)
        held += found.low <= truth <= found.high
        tails[0] += truth < found.low
        tails[1] += truth > found.high
    assert 0.91 <= held / 200 <= 0.985
    assert max(tails) <= 10  # 2.5 % of 200 and 2.5 standard errors


def test_each_set_is_whole_or_lacks_some():
    seen = []

    def statistic(counts):
        seen.append(counts.sum(axis=1))
        return counts[:, 0]

    resampling.of_counts(statistic, 30_000)
    every = np.concatenate(seen)
    assert len(seen) > 5
    assert every[0] == 30_000
    assert every[1:201].tolist() == [30_000 - 150] * 200
    assert every[201:].tolist() == [30_000] * 666


def test_what_is_drawn_once_is_what_is_drawn_anew():
    anew = np.concatenate(list(resampling._sets(40, 300, 7)))
    np.testing.assert_array_equal(anew, np.concatenate(resampling._kept_sets(40, 300, 7)))
    assert anew[1:41].sum(axis=0).tolist() == [39] * 40  # each is left out once
    with pytest.raises(ValueError, match="read-only"):
        resampling._kept_sets(40, 300, 7)[0][0] = 2


def test_what_has_no_spread_and_single_examples_have_intervals_of_no_width():
    for found in (
        resampling.of_counts(_mean(np.ones(1)), 1),
        resampling.of_counts(_mean(np.ones(9)), 9),
        bootstrap(lambda at: 1.0, 5),
    ):
        assert (found.value, *found.interval) == (1, 1, 1)


def test_what_has_no_interval_is_named():
    with pytest.raises(DataError, match="at least two are needed"):
        bootstrap(lambda at: 0.0, 1)
    with pytest.raises(DataError, match="not a number"):
        bootstrap(lambda at: np.nan, 5)


def test_the_best_of_several_looks_better_for_having_been_chosen():
    """Of choices that are equally good by about what the largest of normal deviates is above 0."""
    generator = np.random.default_rng(0)
    right = generator.random((400, 10)) < 0.7

    def shares(counts: np.ndarray) -> np.ndarray:
        return counts @ right / 400

    found = resampling.optimism(shares, 400)
    # 1.54 deviations is the mean of the largest of ten; drawn sets know which looked better, and find less.
    assert 0.3 < found / (1.54 * np.sqrt(0.7 * 0.3 / 400)) < 1
    clear = np.concatenate([right[:, :1] & right[:, 1:2], right[:, 2:3] | right[:, 3:4] | right[:, 4:5]], axis=1)
    for seed in range(5):
        assert resampling.optimism(lambda counts: shares(counts)[:, :1], 400, seed=seed) == 0  # no choice
        assert resampling.optimism(lambda counts: counts @ clear / 400, 400, seed=seed) == 0  # never another
    # Chosen by something else that says nothing, the best is any.
    other = generator.random((400, 10))
    assert abs(resampling.optimism(shares, 400, chosen_by=lambda counts: counts @ other)) < 0.1 * found
    assert resampling.optimism(shares, 1) == 0
    assert resampling.optimism(shares, 400) == found


def test_a_difference_stays_within_its_range_and_agrees_with_its_probability():
    generator = np.random.default_rng(0)
    for _ in range(30):
        labels = (np.arange(20) < 2).astype(float)
        first, second = generator.normal(size=(2, 20)) + labels

        def more(counts: np.ndarray, first=first, second=second, labels=labels) -> np.ndarray:
            return counted.average_precision(second, labels, counts) - counted.average_precision(first, labels, counts)

        found, better = resampling.difference(more, 20, most=1.0)
        assert -1 <= found.low <= found.value <= found.high <= 1
        assert (better > 0.975) == (found.low > 0)
        assert (better < 0.025) == (found.high < 0)
    for value in (-0.5, 0.0, 0.5):
        same, better = resampling.difference(lambda counts, value=value: np.full(len(counts), value), 20)
        assert (same.low, same.high, better) == (value, value, 0.5 + np.sign(value) / 2)
