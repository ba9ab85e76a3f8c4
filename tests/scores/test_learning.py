"""The learning curve, and the test that there is something to learn."""

import numpy as np
import pytest

from tfxfer.errors import ConfigError, DataError
from tfxfer.scores import curves, neighbours, permutation


def _problem(examples: int, signal: float, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.permutation(np.arange(examples) % 4)
    centres = generator.normal(size=(4, width))
    return signal * centres[labels] + generator.normal(size=(examples, width)), labels


def test_the_fit_finds_a_curve_that_is_one():
    sizes = np.array([25, 50, 100, 200, 400])
    exact = np.stack([0.05 + 2 * sizes**-0.5, 0.4 * sizes**-0.6, np.full(5, 0.2)])
    found = curves._fitted(sizes, exact)
    np.testing.assert_allclose(found[0], [0.05, 2, 0.5], atol=1e-8)
    np.testing.assert_allclose(found[1], [0, 0.4, 0.6], atol=1e-8)
    assert found[2, 0] + found[2, 1] * 1000 ** -found[2, 2] == pytest.approx(0.2)


def test_a_rising_error_is_no_gain():
    found = curves._fitted(np.array([25, 50, 100]), np.array([[0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(found[0, 1], 0)


def test_more_labels_help_where_few_are_there():
    features, labels = _problem(200, 0.35, width=60)
    curve = curves.learning_curve(features, labels, draws=100)
    assert curve.right.shape == (5, 200)
    np.testing.assert_array_equal(curve.sizes, [20, 40, 80, 160, 199])
    found = curve.forecast(800)
    assert found.gain.low > 0
    assert found.accuracy.value == pytest.approx(1 - curve.error(800)[0])
    assert found.gain.low <= found.gain.value <= found.gain.high
    assert curve.forecast(200).gain.value == 0
    assert curve.accuracies[0].value < curve.accuracies[-1].value


def test_each_part_has_its_share_of_each_class():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    order = curves.stratified(labels, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(order), np.arange(100))
    np.testing.assert_allclose(np.bincount(labels[order[:50]]), [30, 15, 5], atol=1)


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_no_class_is_missing_from_what_is_fitted(classes):
    """Also where the number of folds divides that of classes."""
    labels = np.arange(100) % classes
    curve = curves.learning_curve(np.eye(classes)[labels] + 0.01 * np.arange(100)[:, None], labels, draws=20)
    assert curve.right[-2].mean() > 0.95


def test_a_class_of_one_example_and_more_classes_than_a_part_holds():
    features, labels = _problem(40, 1.0)
    labels = np.concatenate([labels[:-1], [9]])
    assert curves.learning_curve(features, labels, draws=20).right.shape == (5, 40)
    many = np.arange(40) // 2
    assert curves.learning_curve(features, many, draws=20).right.shape == (5, 40)


def test_the_curve_of_several_features_is_the_mean_of_theirs():
    features, labels = _problem(80, 0.5)
    other = features[:, :5]
    each = [curves.learning_curve(one, labels, repeats=2, draws=20) for one in (features, other)]
    both = curves.learning_curve([features, other], labels, repeats=2, draws=20)
    np.testing.assert_allclose(both.right, (each[0].right + each[1].right) / 2)
    assert each[0].accuracies[-1].value > both.accuracies[-1].value > each[1].accuracies[-1].value
    at_once = curves.learning_curve([features, other], labels, repeats=2, draws=20, threads=3)
    np.testing.assert_array_equal(at_once.curves, both.curves)


def test_few_examples_are_parted_often():
    """Which ones a part happens to hold then moves its accuracy less."""

    def spread(repeats: int | None) -> float:
        found = [curves.learning_curve(features, labels, repeats=repeats, seed=seed, draws=1) for seed in range(6)]
        return float(np.std([one.right[:-1].mean(axis=1) for one in found], axis=0).mean())

    features, labels = _problem(60, 0.5)
    assert spread(None) < 0.6 * spread(1)
    once = curves.learning_curve(features, labels, repeats=1, draws=1)
    assert set(np.unique(once.right)) <= {0, 1}
    assert curves.learning_curve(features, labels, draws=1).right.max() == 1


def test_what_makes_no_curve_is_named():
    features, labels = _problem(40, 1.0)
    with pytest.raises(DataError, match="39 examples make no learning curve; at least 40"):
        curves.learning_curve(features[1:], labels[1:])
    with pytest.raises(ConfigError, match=r"shares=\(0\.5, 0\.25\) must ascend"):
        curves.learning_curve(features, labels, shares=(0.5, 0.25))
    with pytest.raises(ConfigError, match="threads=0 must be at least 1"):
        curves.learning_curve(features, labels, threads=0)
    with pytest.raises(DataError, match=r"features have shape \(0,\)"):
        curves.learning_curve([], labels)
    with pytest.raises(ConfigError, match="repeats=0 must be at least 1"):
        curves.learning_curve(features, labels, repeats=0)
    with pytest.raises(DataError, match=r"\(40, 20\) and \(39, 20\) are not of the same examples"):
        curves.learning_curve([features, features[1:]], labels)
    curve = curves.learning_curve(features, labels, draws=20)
    with pytest.raises(ConfigError, match="now=39 is fewer than the 40 that were measured"):
        curve.forecast(80, now=39)
    with pytest.raises(ConfigError, match="examples=80 is fewer than the 100 there are"):
        curve.forecast(80, now=100)
    assert curve.forecast(160, now=80).gain.value == pytest.approx(curve.error(80)[0] - curve.error(160)[0])
    with pytest.raises(ConfigError, match="examples=39 is fewer than the 40 there are"):
        curve.forecast(39)


def test_labels_with_a_meaning_are_learnable_and_shuffled_ones_are_not():
    features, labels = _problem(120, 0.5)
    found = permutation.learnable(features, labels, permutations=199)
    assert found.p_value == 1 / 200
    assert found.agreement > found.by_chance + 0.1
    assert found.by_chance == pytest.approx(0.25, abs=0.02)
    assert permutation.learnable(features, np.random.default_rng(1).permutation(labels)).p_value > 0.05


def test_the_p_value_is_uniform_where_there_is_nothing_to_learn():
    """However many depths are looked at: the share of p ≤ 0.1 is about that, and not that of eight looks."""
    generator = np.random.default_rng(0)
    depths = [generator.normal(size=(40, 5)) for _ in range(8)]
    labels = np.arange(40) % 2
    found = [
        permutation.learnable(depths, generator.permutation(labels), permutations=99, seed=seed).p_value
        for seed in range(100)
    ]
    assert 0.03 <= np.mean(np.array(found) <= 0.1) <= 0.19  # 0.1 ± 3 standard errors


def _rare(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """64 features of 300 examples: of three classes the last, which 12 are of, is moved along one of them."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([0, 1, 2], [170, 118, 12]))
    features = generator.normal(size=(300, 64))
    features[:, 0] += shift * (labels == 2)
    return features, labels


def test_a_rare_class_alone_is_learnable():
    """By the share of all neighbours 9 in 10 of these were called noise."""
    found = [permutation.learnable(*_rare(seed, 4.0), permutations=199, seed=seed) for seed in range(10)]
    assert sum(one.p_value <= 0.01 for one in found) >= 9
    assert all(one.each_class_alike for one in found)
    assert np.mean([one.agreement - one.by_chance for one in found]) > 0.05


def test_a_rare_class_does_not_make_noise_learnable():
    found = [permutation.learnable(*_rare(seed, 0.0), permutations=99, seed=1000 + seed).p_value for seed in range(100)]
    assert 0.03 <= np.mean(np.array(found) <= 0.1) <= 0.19  # 0.1 ± 3 standard errors


def test_a_class_of_two_does_not_hide_what_the_others_show():
    """With classes that weigh the same, whatever their size, 8 in 10 of these were called noise; so are 2 now."""
    found = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.repeat([0, 1, 2], [180, 118, 2]))
        features = [generator.normal(size=(300, 64)) + 1.2 * np.eye(64)[0] * (labels == 1)[:, None] for _ in range(6)]
        found.append(permutation.learnable(features, labels, permutations=199, seed=seed).p_value)
    assert sum(p_value <= 0.01 for p_value in found) >= 6


def test_agreement_by_hand():
    """Two of three of class 0 have a neighbour of their own, neither of class 1, which weighs as √5 examples would."""
    labels, near = np.array([0, 0, 0, 1, 1]), np.array([[1], [0], [3], [0], [2]])
    assert permutation._figures(labels, near) == pytest.approx((2 / 5, 2 / 3))
    near[3] = 4
    assert permutation._figures(labels, near) == pytest.approx((3 / 5, 2 / 3 + 1 / np.sqrt(5)))
    assert permutation._shown(labels, near, by_class=False) == pytest.approx(3 / 5)
    assert permutation._shown(labels, near, by_class=True) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_what_cannot_be_tested_is_named():
    with pytest.raises(ConfigError, match="permutations=10 is too few"):
        permutation.learnable(np.eye(4), [0, 1, 0, 1], permutations=10)
    with pytest.raises(DataError, match="nothing to tell apart"):
        permutation.learnable(np.eye(4), [0, 0, 0, 0])
    assert permutation.learnable(np.ones((6, 2)), [0, 1, 0, 1, 0, 1]).p_value > 0.5


def _groups(generator: np.random.Generator, size: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and groups: those of a group are nearly the same, and its label has nothing to do with them."""
    groups = generator.permutation(np.repeat(np.arange(30), size))
    features = generator.normal(size=(30, 5))[groups] + 0.01 * generator.normal(size=(30 * size, 5))
    return features, generator.permutation(np.arange(30) % 2)[groups], groups


def test_groups_do_not_make_noise_learnable():
    p_values, alone = [], []
    for seed in range(100):
        features, labels, groups = _groups(np.random.default_rng(seed))
        near = [neighbours.nearest(features, groups=groups)[0]]
        p_values.append(permutation.agreement(near, labels, 99, seed, groups).p_value)
        alone.append(permutation.agreement(near, labels, 99, seed).p_value)
    assert 0.03 <= np.mean(np.array(p_values) <= 0.1) <= 0.19  # 0.1 ± 3 standard errors
    assert np.mean(np.array(alone) <= 0.02) > 0.08


def test_groups_with_a_meaning_are_learnable():
    features, labels, groups = _groups(np.random.default_rng(0))
    near = [neighbours.nearest(features + 3 * labels[:, None], groups=groups)[0]]
    assert permutation.agreement(near, labels, 199, 0, groups).p_value == 1 / 200


def test_the_curve_keeps_groups_together():
    features, labels, groups = _groups(np.random.default_rng(0))
    apart = curves.learning_curve(features, labels, draws=20)
    together = curves.learning_curve(features, labels, groups=groups * 3, draws=20)
    assert apart.right[-2:].mean() > 0.6 > together.right[-2:].mean()
    assert together.sizes.tolist() == [12, 24, 48, 96, 116]
    # A group for each example is as none.
    features, labels = _problem(100, 0.5)
    as_none = curves.learning_curve(features, labels, groups=np.arange(100), draws=20)
    assert as_none.right[-1].tolist() == curves.learning_curve(features, labels, draws=20).right[-1].tolist()
    for few in (2, 3):  # fewer groups than folds
        assert curves.learning_curve(features, labels, groups=np.arange(100) % few, draws=20).right.shape == (5, 100)
    with pytest.raises(DataError, match="nothing to tell apart"):
        curves.learning_curve(features, labels, groups=np.zeros(100, int))
