"""Policies: every operation comes as often as every other, as strong as it may be, and does what its name says."""

import numpy as np
import pytest

from tfxfer.augmentation import Augment, settled
from tfxfer.data import policies, tones

COUNT, SIZE = 20_000, 32
STILL = np.zeros(COUNT, bool)


def drawn(policy, still=STILL, **settings):
    augment = settled(Augment(preset="none", policy=policy, **settings))
    draws = np.random.default_rng(0).random((len(still), policies.draws_of(augment)))
    return policies.drawn(draws, augment, SIZE, still)


def share(condition) -> float:
    return float(np.mean(condition))


def test_no_policy_is_one_chain_of_nothing():
    chains = drawn("none")
    assert chains.changes.shape == (COUNT, 1, 0, 18)
    np.testing.assert_array_equal(chains.matrices[0, 0], np.eye(3))
    np.testing.assert_array_equal(chains.weights, 1)


def test_randaugment_has_two_operations_of_its_magnitude_all_equally_often():
    chains = drawn("randaugment", operations=2, magnitude=15.0)
    assert chains.kinds.shape == (COUNT, 1, 2)
    for kind, values in (
        (tones.SOLARIZE, {128}),  # 256 · (1 − 0.5)
        (tones.POSTERIZE, {6}),  # 8 − 0.5 · 4
        (tones.SHARPEN, {0.55, 1.45}),  # 1 ± 0.5 · 0.9
        (tones.EQUALIZE, {0}),
        (tones.AUTO_CONTRAST, {0}),
    ):
        assert share(chains.kinds == kind) == pytest.approx(1 / 14, abs=0.005)
        assert set(np.round(chains.values[chains.kinds == kind], 6)) == values
    linear = np.abs(chains.changes - chains.changes[(chains.kinds == tones.EQUALIZE)][0]).max(axis=-1) > 1e-9
    assert share(linear) == pytest.approx(3 / 14, abs=0.005)
    is_moved = np.abs(chains.matrices[:, 0] - np.eye(3)).max(axis=(1, 2)) > 1e-9
    assert share(is_moved) == pytest.approx(1 - (9 / 14) ** 2, abs=0.02)  # by one of both; five of fourteen move
    brightness = chains.changes[linear][:, 0]
    assert brightness.min() == pytest.approx(0.55)


def test_one_operation_moves_as_its_name_says():
    matrices = drawn("randaugment", operations=1, magnitude=30.0).matrices[:, 0]
    shear_x = matrices[(np.abs(matrices[:, 0, 1]) > 0.29) & (matrices[:, 0, 0] == 1)]
    assert set(np.round(shear_x[:, 0, 1], 6)) == {-0.3, 0.3}
    np.testing.assert_allclose(shear_x @ [15.5, 15.5, 1], [[15.5, 15.5, 1]] * len(shear_x))  # the middle stays
    pushed = matrices[np.isclose(matrices[:, 0, 1], 0) & (np.abs(matrices[:, 0, 2]) > 1e-6)]
    np.testing.assert_allclose(np.abs(pushed[:, 0, 2]), 150 / 331 * SIZE)
    turned = matrices[matrices[:, 0, 0] != 1]
    np.testing.assert_allclose(turned[:, 0, 0], np.cos(np.pi / 6))


def test_no_magnitude_is_nothing_but_what_has_none():
    chains = drawn("randaugment", magnitude=0.0)
    np.testing.assert_allclose(chains.matrices[:, 0], np.broadcast_to(np.eye(3), (COUNT, 3, 3)), atol=1e-12)
    assert set(chains.values[chains.kinds == tones.POSTERIZE]) == {8}
    assert set(chains.values[chains.kinds == tones.SOLARIZE]) == {256}
    assert set(chains.values[chains.kinds == tones.SHARPEN]) == {1}


def test_trivialaugment_has_one_operation_of_any_strength():
    chains = drawn("trivialaugment")
    assert chains.kinds.shape == (COUNT, 1, 1)
    thresholds = chains.values[chains.kinds == tones.SOLARIZE]
    np.testing.assert_allclose(np.unique(thresholds), 256 * (1 - np.arange(30, -1, -1) / 30), atol=1e-9)
    assert set(chains.values[chains.kinds == tones.POSTERIZE]) == {2, 3, 4, 5, 6, 7, 8}
    assert share(chains.kinds == tones.NOTHING) == pytest.approx(9 / 14, abs=0.01)


def test_augmix_mixes_the_picture_with_three_chains_of_one_to_three_operations():
    chains = drawn("augmix", magnitude=9.0)
    assert chains.kinds.shape == (COUNT, 4, 3)
    np.testing.assert_allclose(chains.weights.sum(axis=1), 1)
    assert chains.weights.min() >= 0
    assert chains.weights[:, 0].mean() == pytest.approx(0.5, abs=0.01)  # Beta(1, 1)
    np.testing.assert_allclose(chains.weights[:, 1:].mean(axis=0), 1 / 6, atol=0.005)
    np.testing.assert_array_equal(chains.matrices[:, 0], np.broadcast_to(np.eye(3), (COUNT, 3, 3)))
    assert (chains.kinds[:, 0] == tones.NOTHING).all()
    # The first operation of a chain is always there, the third in a third of them; four of nine change tones.
    assert share(chains.kinds[:, 1:, 0] != tones.NOTHING) == pytest.approx(4 / 9, abs=0.01)
    assert share(chains.kinds[:, 1:, 2] != tones.NOTHING) == pytest.approx(4 / 27, abs=0.01)
    assert chains.values[chains.kinds == tones.SOLARIZE].min() >= 256 * 0.7
    assert set(np.unique(chains.kinds)) == {tones.NOTHING, tones.SOLARIZE, tones.POSTERIZE, tones.AUTO_CONTRAST,
                                            tones.EQUALIZE}  # fmt: skip


@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment", "augmix"])
def test_nothing_is_done_to_what_is_to_stay(policy):
    still = np.array([True, False] * 50)
    chains = drawn(policy, still=still)
    np.testing.assert_array_equal(chains.matrices[still, 0], np.broadcast_to(np.eye(3), (50, 3, 3)))
    assert (chains.kinds[still] == tones.NOTHING).all()
    np.testing.assert_array_equal(chains.weights[still, 0], 1)
