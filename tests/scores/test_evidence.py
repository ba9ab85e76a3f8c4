"""LogME against the evidence with its full width × width determinant, and against the usual fixed point on that."""

import numpy as np
import pytest
import scipy.linalg

from tfxfer.errors import DataError
from tfxfer.scores import evidence, spectrum

SHAPES = {"N>D": (60, 8), "N=D": (50, 50), "N<D": (60, 100), "rank-deficient": (40, 25)}


@pytest.fixture(params=SHAPES)
def problem(request) -> tuple[np.ndarray, np.ndarray]:
    examples, width = SHAPES[request.param]
    generator = np.random.default_rng(3)
    features = generator.normal(size=(examples, width))
    if request.param == "rank-deficient":
        features = features[:, :5] @ generator.normal(size=(5, width))
    target = features @ generator.normal(size=width) / np.sqrt(width) + generator.normal(size=examples)
    return features + 0.3, target - 0.5


def _dense(features, target, alpha, beta):
    examples, width = features.shape
    precision = alpha * np.eye(width) + beta * features.T @ features
    weights = beta * np.linalg.solve(precision, features.T @ target)
    residual = ((target - features @ weights) ** 2).sum()
    logs = width * np.log(alpha) + examples * np.log(beta) - np.linalg.slogdet(precision)[1]
    total = logs - beta * residual - alpha * weights @ weights - examples * np.log(2 * np.pi)
    return 0.5 * total / examples, residual, weights @ weights, width - alpha * np.trace(np.linalg.inv(precision))


def _fixed_point(features, target):
    """MacKay's re-estimation with dense matrices."""
    alpha = beta = 1.0
    for _ in range(3000):
        _, residual, weights, used = _dense(features, target, alpha, beta)
        before, (alpha, beta) = (alpha, beta), (used / weights, (len(features) - used) / residual)
        if np.allclose((alpha, beta), before, rtol=1e-12, atol=0):
            break
    return _dense(features, target, alpha, beta)[0]


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.01, 30.0), (50.0, 0.2)])
def test_evidence_equals_the_dense_one(problem, alpha, beta):
    features, target = problem
    expected = _dense(features, target, alpha, beta)[0]
    assert evidence.at(spectrum.decompose(features, about_mean=False), target, alpha, beta) == pytest.approx(
        expected, abs=1e-8
    )


def test_the_largest_evidence_equals_the_dense_fixed_point(problem):
    features, target = problem
    found = spectrum.decompose(features, about_mean=False)
    best, alpha, beta = (part[0] for part in evidence.largest(found, target[:, None]))
    assert best == pytest.approx(_fixed_point(features, target), abs=1e-4)
    assert best == pytest.approx(evidence.at(found, target, alpha, beta), abs=1e-8)
    for other in (0.9, 1.1):  # and it is a maximum in both directions
        assert evidence.at(found, target, other * alpha, beta) <= best + 1e-12
        assert evidence.at(found, target, alpha, other * beta) <= best + 1e-12


def test_an_intercept_is_a_model_of_all_differences():
    """Rows of a Helmert matrix are as many orthonormal contrasts as there are examples but one: no mean is left."""
    generator = np.random.default_rng(0)
    for shape in ((30, 4), (10, 25)):
        features, target = generator.normal(size=shape) + 3, generator.normal(size=shape[0]) - 2
        contrasts = scipy.linalg.helmert(shape[0])
        expected = _dense(contrasts @ features, contrasts @ target, 0.7, 1.3)[0]
        assert evidence.at(spectrum.decompose(features), target, 0.7, 1.3) == pytest.approx(expected, abs=1e-8)


def test_features_that_say_nothing_leave_the_normal_density():
    target = np.array([1.0, -1.0, 1.0, -1.0])
    best, _, beta = evidence.largest(spectrum.decompose(np.ones((4, 3))), target[:, None])
    assert best[0] == pytest.approx(-0.5 * np.log(2 * np.pi * 4 / 3) - 0.5)  # of the target's own variance, 4/3
    assert beta[0] == pytest.approx(3 / 4)


def test_better_features_have_more_evidence_whatever_their_scale():
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 4
    noise, signal = generator.normal(size=(80, 200)), np.eye(4)[labels] @ generator.normal(size=(4, 200))
    assert (
        evidence.logme(noise + signal, labels)
        > evidence.logme(noise + 0.3 * signal, labels)
        > evidence.logme(noise, labels)
    )
    assert evidence.logme(1000 * (noise + signal), labels) == pytest.approx(evidence.logme(noise + signal, labels))


def test_a_perfect_fit_has_a_finite_evidence():
    labels = np.arange(12) % 2
    assert np.isfinite(evidence.logme(np.eye(2)[labels], labels))


def test_classes_without_examples_do_not_count():
    features = np.random.default_rng(0).normal(size=(20, 5))
    labels = np.arange(20) % 2
    assert evidence.logme(features, labels * 7) == pytest.approx(evidence.logme(features, labels))


def test_bad_input_is_named():
    with pytest.raises(DataError, match="nothing to tell apart"):
        evidence.logme(np.eye(3), [1, 1, 1])
    with pytest.raises(DataError, match="a target is the same for all examples"):
        evidence.largest(spectrum.decompose(np.eye(3)), np.ones((3, 1)))
    with pytest.raises(DataError, match="NaN or infinite"):
        evidence.logme([[np.inf], [1.0]], [0, 1])
