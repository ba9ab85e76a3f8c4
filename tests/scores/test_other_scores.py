"""H-score, LEEP, NCE and similarity, against sums done by hand or dense matrices."""

import numpy as np
import pytest
import sklearn.covariance

from tfxfer.errors import DataError
from tfxfer.scores import hscore, similarity, source_head


@pytest.mark.parametrize("shape", [(50, 6), (12, 12), (10, 40)])
def test_h_score_equals_dense_matrices_with_scikit_learns_shrinkage(shape):
    generator = np.random.default_rng(0)
    labels = np.arange(shape[0]) % 3
    features = generator.normal(size=shape) * np.arange(1, shape[1] + 1) + labels[:, None]
    centred = features - features.mean(axis=0)
    covariance, s = sklearn.covariance.ledoit_wolf(centred, assume_centered=True)
    means = np.stack([centred[labels == one].mean(axis=0) for one in labels])
    expected = (1 - s) * np.trace(np.linalg.solve(covariance, means.T @ means / shape[0]))
    assert hscore.shrunk_h_score(features, labels) == pytest.approx(expected, rel=1e-8)


def test_h_score_of_classes_apart_comes_near_classes_minus_one():
    labels = np.arange(300) % 3
    apart = np.eye(3)[labels] + 1e-3 * np.random.default_rng(0).normal(size=(300, 3))
    assert hscore.shrunk_h_score(apart, labels) == pytest.approx(2, abs=0.05)
    assert hscore.shrunk_h_score(np.random.default_rng(1).normal(size=(300, 3)), labels) < 0.2


def test_h_score_of_constant_features_is_refused():
    with pytest.raises(DataError, match="the same for all examples"):
        hscore.shrunk_h_score(np.ones((4, 2)), [0, 1, 0, 1])


def test_leep_by_hand():
    """Two source classes. P(y=0|z=0) = 1.4/1.6 and P(y=0|z=1) = 0.6/2.4 from the rows below."""
    theta = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.1, 0.9]])
    first = 1.4 / 1.6 * np.array([0.8, 0.6]) + 0.6 / 2.4 * np.array([0.2, 0.4])
    second = 0.2 / 1.6 * 0.1 + 1.8 / 2.4 * 0.9
    expected = (np.log(first).sum() + 2 * np.log(second)) / 4
    assert source_head.leep(theta, [0, 0, 1, 1]) == pytest.approx(expected)


def test_leep_and_nce_are_zero_where_source_classes_are_the_labels_and_alike_for_certain_sources():
    labels = np.array([2, 0, 1, 1, 0])
    assert source_head.leep(np.eye(3)[labels], labels) == pytest.approx(0)
    assert source_head.nce(labels, labels) == pytest.approx(0)
    source = np.array([0, 0, 0, 1, 1])
    # Of source 0 three examples with three labels, of source 1 two with two: −(3 ln 3 + 2 ln 2) / 5.
    assert source_head.nce(source, labels) == pytest.approx(-(3 * np.log(3) + 2 * np.log(2)) / 5)
    assert source_head.leep(np.eye(2)[source], labels) == pytest.approx(source_head.nce(source, labels))


def test_logits_are_no_probabilities():
    with pytest.raises(DataError, match="Logits become such by"):
        source_head.leep([[3.0, -1.0], [0.0, 1.0]], [0, 1])
    with pytest.raises(DataError, match=r"labels have shape \(2,\)"):
        source_head.nce([0, 1, 1], [0, 1])


def test_divergence_by_hand():
    """Unit variance against 2 and 1, a mean moved by 1 in the second: ½(1 − ln 2) and ½, but for epsilon."""
    found = similarity.divergence([0, 0], [1, 1], [0, 1], [2, 1], epsilon=1e-12)
    assert found == pytest.approx((0.5 * (2 - 1 - np.log(2)) + 0.5) / 2)
    assert similarity.divergence([3.0], [2.0], [3.0], [2.0]) == 0
    # A channel that stands still in both counts as alike, and one that wakes is finite.
    assert similarity.divergence([0.0], [0.0], [0.0], [0.0]) == 0
    assert similarity.divergence([0.0], [0.0], [0.0], [1.0], epsilon=1e-3) == pytest.approx(0.5 * (1000 - np.log(1001)))


def test_one_picture_does_not_make_up_for_another():
    both = similarity.divergence([0.0], [1.0], [[-1.0], [1.0]], [[1.0], [1.0]])
    alone = [similarity.divergence([0.0], [1.0], [mean], [1.0]) for mean in (-1.0, 1.0)]
    assert both == pytest.approx(np.mean(alone))
    assert both > similarity.divergence([0.0], [1.0], [0.0], [2.0])  # their moments as one set


def test_summary_takes_geometric_means_of_thirds():
    found = similarity.summary([1, 4, 9, 4, 2, 8])
    assert [found.early, found.middle, found.late] == pytest.approx([2, 6, 4])
    assert found.all == pytest.approx(48 ** (1 / 3))
    assert found.layers == (1, 4, 9, 4, 2, 8)
    assert similarity.summary([0.1]).late == pytest.approx(0.1)
    assert similarity.summary([0.0, 0.1]).all == pytest.approx(0.01)  # not 0, for one that stands still
    with pytest.raises(DataError, match="no batch norm"):
        similarity.summary([])


def test_moments_of_other_shapes_are_refused():
    with pytest.raises(DataError, match=r"mean \(1, 1\), variance \(1, 2\)"):
        similarity.divergence([0, 0], [1, 1], [0], [1, 1])
    with pytest.raises(DataError, match="variances ≥ 0"):
        similarity.divergence([0], [-1], [0], [1])


def test_nearest_prototype_by_hand():
    rows = np.array([[3.0, 1, 1], [1, 3, 1], [1, 1, 3]])  # less their mean: 4/3 and twice −2/3
    assert similarity.nearest_prototype([[5.0, 1, 1], [2, 2, 8]], rows) == pytest.approx(1)
    # (1, 1, 0) less its mean is (1, 1, −2) / 3: with (2, −1, −1) that is 3 / √(6·6).
    assert similarity.nearest_prototype([[1.0, 1, 0]], rows) == pytest.approx(0.5)
    assert similarity.nearest_prototype([[1.0, 1, 0], [2, 2, 2]], rows) == pytest.approx(0.25)  # says nothing: 0
    # Neither the scale of a picture nor what all classes have in common matters.
    assert similarity.nearest_prototype([[90.0, 70, 70]], 5 * rows + [4, 0, 9]) == pytest.approx(1)


def test_prototypes_of_another_width_are_refused():
    with pytest.raises(DataError, match=r"features \(1, 3\), prototypes \(2, 2\): expected"):
        similarity.nearest_prototype([[1.0, 1, 0]], np.eye(2))
    with pytest.raises(DataError, match="two classes"):
        similarity.nearest_prototype([[1.0, 1, 0]], [[1.0, 2, 3]])
