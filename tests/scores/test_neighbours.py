import numpy as np
import pytest

from tfxfer.errors import ConfigError, DataError
from tfxfer.scores import neighbours


def test_neighbours_on_a_circle_by_hand():
    """Angles 0, 10, 30, 180, 200, 230 degrees, about whose mean little changes in the order."""
    angles = np.deg2rad([0, 10, 30, 180, 200, 230])
    found, cosines = neighbours.nearest(np.stack([np.cos(angles), np.sin(angles)], axis=1), k=2)
    np.testing.assert_array_equal(found, [[1, 2], [0, 2], [1, 0], [4, 5], [3, 5], [4, 3]])
    assert (cosines[:, 0] >= cosines[:, 1]).all()
    assert cosines.max() <= 1 + 1e-6


def test_equal_to_one_by_one(monkeypatch):
    monkeypatch.setattr(neighbours, "_CELLS", 100)  # several blocks
    features = np.random.default_rng(0).normal(size=(50, 6))
    found, cosines = neighbours.nearest(features, k=4)
    unit = features - features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for one in range(50):
        similar = unit @ unit[one]
        similar[one] = -np.inf
        np.testing.assert_array_equal(found[one], np.argsort(-similar)[:4])
        np.testing.assert_allclose(cosines[one], np.sort(similar)[::-1][:4], atol=1e-5)


def test_votes_by_hand():
    labels = np.array([0, 0, 1, 1, 2])
    near = np.array([[0, 1, 2], [2, 3, 0], [4, 0, 2]])
    cosines = np.array([[0.1, 0.1, 1.0], [0.5, 0.5, 0.9], [0.1, 0.3, 0.2]])
    # Two zeros; two ones; one of each, of which the most similar wins.
    np.testing.assert_array_equal(neighbours.vote(near, cosines, labels, 3), [0, 1, 0])


def test_leaving_one_out_does_not_find_itself():
    """Pairs of copies: with its copy each is right, and an example of a class of its own is always wrong."""
    features = np.repeat(np.random.default_rng(0).normal(size=(10, 5)), 2, axis=0)
    labels = np.repeat(np.arange(10), 2)
    np.testing.assert_array_equal(neighbours.leave_one_out(features, labels, k=1), labels)
    assert not (neighbours.leave_one_out(features, np.arange(20), k=1) == np.arange(20)).any()


def test_constant_features_and_fewer_examples_than_neighbours():
    assert neighbours.leave_one_out(np.full((4, 3), 0.1), [0, 0, 0, 1]).shape == (4,)
    assert neighbours.nearest(np.eye(3), k=5)[0].shape == (3, 2)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="k=0 must be a whole number from 1 on"):
        neighbours.nearest(np.eye(3), k=0)
    with pytest.raises(DataError, match="one example has no neighbours"):
        neighbours.nearest([[1.0, 2.0]])
    with pytest.raises(DataError, match="NaN"):
        neighbours.leave_one_out([[np.nan], [1.0]], [0, 1])


def test_members_of_a_group_are_no_neighbours(monkeypatch):
    monkeypatch.setattr(neighbours, "_CELLS", 100)  # several blocks
    features = np.repeat(np.random.default_rng(0).normal(size=(10, 5)), 2, axis=0)
    groups = np.repeat(np.arange(10) * 7, 2)
    found, cosines = neighbours.nearest(features, k=4, groups=groups)
    assert not (groups[found] == groups[:, None]).any()
    assert np.isfinite(cosines).all()
    alone = neighbours.nearest(features, k=4)
    np.testing.assert_array_equal(neighbours.nearest(features, k=4, groups=np.arange(20))[0], alone[0])
    # Of 20 examples 17 are of one group: three are outside.
    assert neighbours.nearest(features, k=5, groups=[0] * 17 + [1, 2, 3])[0].shape == (20, 3)
    with pytest.raises(DataError, match="all examples are of one group"):
        neighbours.nearest(features, groups=np.zeros(20, int))
