"""Left-out predictions against as many refits, hand-worked sums, and what is refused."""

import numpy as np
import pytest

from tfxfer.errors import ConfigError, DataError
from tfxfer.scores import intervals, ridge

SHAPES = {"N>D": (40, 7), "N=D": (20, 20), "N<D": (15, 60), "rank-deficient": (30, 12), "of 2": (2, 3)}


def _features(kind: str) -> np.ndarray:
    examples, width = SHAPES[kind]
    features = np.random.default_rng(0).normal(size=(examples, width)) * np.arange(1, width + 1)
    if kind == "rank-deficient":
        features[:, 6:] = features[:, :6] @ np.random.default_rng(1).normal(size=(6, 6))
        features[:, 3] = 5.0
    return features


def _refit(features, targets, penalty, without, scale):
    """Solves the normal equations of the other examples, with an intercept that is not penalised, on a given scale."""
    rest = np.setdiff1d(np.arange(len(features)), without)
    x, y = features[rest] / scale, targets[rest]
    centred = x - x.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - y.mean(axis=0)))
    return (features[without] / scale - x.mean(axis=0)) @ weights + y.mean(axis=0)


@pytest.mark.parametrize("penalty", [0.1, 10.0, 1e4])
@pytest.mark.parametrize("kind", SHAPES)
def test_left_out_predictions_equal_as_many_refits(kind, penalty):
    features = _features(kind)
    targets = np.random.default_rng(2).normal(size=(len(features), 3))
    ready = ridge.prepare(features)
    found = ridge.predict_left_out(ready, targets, penalty)
    for one in range(len(features)):
        refit = _refit(features, targets, penalty, np.array([one]), ready.deviation)
        np.testing.assert_allclose(found[one], refit[0], rtol=0, atol=1e-8)


def test_left_out_parts_equal_as_many_refits():
    features, targets = _features("N<D"), np.random.default_rng(2).normal(size=(15, 2))
    ready = ridge.prepare(features)
    parts = [np.array([0, 1, 2]), np.array([3]), np.array([14, 5]), np.array([4, *range(6, 14)])]
    found = ridge.predict_parts_left_out(ready, targets, 3.0, parts)
    for part in parts:
        refit = _refit(features, targets, 3.0, part, ready.deviation)
        np.testing.assert_allclose(found[part], refit, rtol=0, atol=1e-8)


def test_a_regression_leaves_out_whole_groups():
    features, targets = _features("N<D"), np.random.default_rng(2).normal(size=(15, 2))
    groups = np.arange(15) // 4
    found = ridge.regress(features, targets, (3.0,), groups=groups)
    deviation = ridge.prepare(features).deviation
    for number in range(4):
        part = np.flatnonzero(groups == number)
        np.testing.assert_allclose(found.left_out[part], _refit(features, targets, 3.0, part, deviation), atol=1e-8)
    with pytest.raises(DataError, match="nothing to tell apart"):
        ridge.regress(features, targets, groups=np.zeros(15, int))


def test_a_fit_predicts_as_the_normal_equations_do():
    features, targets = _features("N>D"), np.random.default_rng(2).normal(size=(40, 2))
    fitted = ridge.regress(features, targets, penalties=(2.0,))
    new = np.random.default_rng(5).normal(size=(4, 7))
    both = np.concatenate([features, new])
    expected = _refit(both, np.concatenate([targets, np.zeros((4, 2))]), 2.0, np.arange(40, 44), features.std(0) + 1e-5)
    np.testing.assert_allclose(fitted.predict(new), expected, atol=1e-8)


def test_regression_by_hand():
    """Targets 0, 0, 3 and a constant feature: each is told the mean of the two others."""
    fitted = ridge.regress(np.ones((3, 1)), [0.0, 0.0, 3.0])
    np.testing.assert_allclose(fitted.left_out[:, 0], [1.5, 1.5, 0.0], atol=1e-12)
    np.testing.assert_allclose(fitted.predict([[1.0]]), [[1.0]])


def test_a_line_is_found_with_the_least_penalty():
    x = np.arange(10.0)
    fitted = ridge.regress(x[:, None], 3 * x - 1)
    assert fitted.penalty == min(ridge.PENALTIES)
    np.testing.assert_allclose(fitted.predict([[20.0]]), [[59.0]], atol=0.05)


def test_classes_apart_are_told_apart_and_noise_is_not():
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    apart = np.eye(3)[labels] * 10 + generator.normal(size=(60, 3))
    probe = ridge.classify(apart, labels)
    assert probe.accuracy.value == 1.0
    np.testing.assert_array_equal(probe.classify(np.eye(3) * 10), [0, 1, 2])
    assert ridge.classify(generator.normal(size=(60, 500)), labels).accuracy.low < 1 / 3


def test_views_of_one_picture_are_left_out_together():
    """Each example is there twice, and its label means nothing: only its copy tells it."""
    generator = np.random.default_rng(0)
    features = np.repeat(generator.normal(size=(40, 100)), 2, axis=0)
    labels = np.repeat(generator.integers(0, 2, 40), 2)
    assert ridge.classify(features, labels).accuracy.value > 0.9
    assert ridge.classify(features, labels, groups=np.arange(80) // 2).accuracy.low < 0.5


def test_a_class_of_one_example_and_more_classes_than_examples():
    features = np.random.default_rng(0).normal(size=(5, 4))
    assert ridge.classify(features, [0, 0, 0, 0, 1]).predicted.shape == (5,)
    probe = ridge.classify(features, [3, 9, 9, 4, 7], classes=20)
    assert probe.ridge.left_out.shape == (5, 20)
    assert set(probe.predicted) <= set(range(20))


def test_constant_features_leave_the_most_frequent_of_the_others():
    probe = ridge.classify(np.full((5, 3), 7.0), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(probe.predicted, np.zeros(5))


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        ([[1.0], [np.nan]], [0, 1], "1 of 2 examples have features that are NaN or infinite, the first is number 1"),
        ([1.0, 2.0], [0, 1], r"features have shape \(2,\)"),
        ([[1.0]], [0], "at least two examples"),
        ([[1.0], [2.0]], [1, 1], "all 2 labels are 1: there is nothing to tell apart"),
        ([[1.0], [2.0]], [0, 1, 1], r"labels have shape \(3,\)"),
        ([[1.0], [2.0]], [0.5, 1.0], "expected whole numbers"),
        ([[1.0], [2.0]], [-1, 1], "labels lie between -1 and 1, expected 0 to 1"),
    ],
)
def test_what_cannot_be_learned_from_is_named(features, labels, message):
    with pytest.raises(DataError, match=message):
        ridge.classify(features, labels)


def test_penalties_and_targets_are_checked():
    with pytest.raises(ConfigError, match=r"penalties=\(0,\) must be numbers above 0"):
        ridge.classify([[1.0], [2.0]], [0, 1], penalties=(0,))
    with pytest.raises(DataError, match="there are 3 targets for 2 examples"):
        ridge.regress([[1.0], [2.0]], [0.0, 1.0, 2.0])
    with pytest.raises(DataError, match="targets that are NaN"):
        ridge.regress([[1.0], [2.0]], [0.0, np.inf])


@pytest.mark.parametrize("groups", [None, np.arange(40) // 3])
def test_weighed_classes_equal_as_many_refits(groups):
    """The class whose score is above its mean by the most times its share, both of what was fitted to."""
    features = _features("N>D")
    labels = np.random.default_rng(3).choice(3, 40, p=[0.7, 0.2, 0.1])
    targets = 2 * np.eye(3)[labels] - 1
    found = ridge.classify(features, labels, groups=groups, penalties=(3.0,))
    scale = ridge.prepare(features).deviation
    for part in np.arange(40)[:, None] if groups is None else [np.flatnonzero(groups == one) for one in range(14)]:
        refit = (_refit(features, targets, 3.0, part, scale) + 1) / 2
        share = np.delete(np.eye(3)[labels], part, axis=0).mean(axis=0)
        np.testing.assert_array_equal(found.weighed[part], ((refit - share) / share).argmax(axis=1))


def test_a_rare_class_is_told_where_classes_weigh_the_same():
    """12 of 300, three deviations apart: always the frequent class is right most often, and tells nothing."""
    generator = np.random.default_rng(0)
    labels = (np.arange(300) < 12).astype(int)
    features = generator.normal(size=(300, 32))
    features[:, 0] += 3 * labels
    found = ridge.classify(features, labels)
    assert found.balanced_accuracy.value < 0.7
    assert intervals.balanced_accuracy(found.weighed, labels).value > 0.75
    noise = ridge.classify(generator.normal(size=(300, 32)), labels)
    assert intervals.balanced_accuracy(noise.weighed, labels).low < 0.5
