"""Draws of classes: exact counts, no example again before all others, a function of seed, stage and epoch."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfxfer.augmentation import Augment, settled
from tfxfer.data import batches, drawing, mixing
from tfxfer.data.rows import Rows

LABELS = np.array([0, 1, 0, 2, 0, 0, 1, 0, 0, 0], np.int32)  # seven, two, one
EACH = (4, 3, 3)
ROWS = Rows(np.arange(10, dtype=np.float32)[:, None], LABELS, np.arange(10), 3)


def epochs(count, **changes):
    which = {"seed": 0, "stage": 0} | changes
    return [drawing.drawn(LABELS, EACH, epoch=epoch, **which) for epoch in range(count)]


def test_an_epoch_shows_so_many_of_each_class():
    for positions, _ in epochs(20):
        assert np.bincount(LABELS[positions], minlength=3).tolist() == list(EACH)


def test_none_of_a_class_comes_again_before_all_others_have_come_as_often():
    seen = np.zeros(10, int)
    for positions, turns in epochs(30):
        for position in np.argsort(turns, kind="stable"):
            assert turns[position] == seen[positions[position]]
            seen[positions[position]] += 1
        for label in range(3):
            assert np.ptp(seen[label == LABELS]) <= 1
    assert seen[LABELS == 2].tolist() == [90]


def test_draws_depend_on_seed_stage_and_epoch_alone():
    (first, second), (again, _) = epochs(2), epochs(2)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[0], second[0])
    for changed in ({"seed": 1}, {"stage": 1}):
        assert not np.array_equal(first[0], epochs(1, **changed)[0][0])


def test_classes_come_mixed():
    positions, _ = drawing.drawn(np.repeat([0, 1], 50), (50, 50), seed=0, stage=0, epoch=0)
    assert 20 < np.count_nonzero(np.diff(positions >= 50)) < 80


def drawn(rows=ROWS, **changes):
    settings = {"batch_size": 4, "start": 0, "steps": 9, "seed": 0, "stage": 0, "each": EACH} | changes
    return [tuple(part.numpy() for part in batch) for batch in batches.training_batches(rows, **settings)]


def test_batches_are_drawn_so_and_going_on_costs_nothing():
    whole = drawn()
    for start in range(0, 9, 3):
        labels = np.concatenate([labels for _, labels in whole[start : start + 3]]).sum(0)
        assert labels.tolist() == list(EACH)
    for one, other in zip(whole[4:], drawn(start=4, steps=5), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_an_example_shows_another_view_each_time():
    places = np.arange(30).reshape(10, 3)
    rows = Rows(np.arange(30, dtype=np.float32)[:, None], LABELS, places, 3)
    shown = np.concatenate([row[:, 0] for row, _ in drawn(rows, steps=3)]).astype(int)
    assert sorted(shown[shown // 3 == 3]) == [9, 10, 11], "three views of the only example of its class, in one epoch"


def weighted(rows=ROWS):
    return dataclasses.replace(rows, weights=np.arange(1, 11, dtype=np.float32))


@pytest.mark.parametrize("each", [(), EACH])
def test_weights_stay_with_their_rows(each):
    for rows, labels, weights in drawn(weighted(), each=each):
        np.testing.assert_array_equal(weights, rows[:, 0] + 1)
        assert weights.dtype == np.float32
        assert labels.argmax(1).tolist() == LABELS[rows[:, 0].astype(int)].tolist()
    got = [weights.numpy().tolist() for *_, weights in batches.ordered_batches(weighted(), batch_size=6)]
    assert got == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10]]


def test_each_of_a_mixture_counts_as_it_does_alone():
    mix = mixing.mixer(settled(Augment(mixup=0.4), "none"), seed=0, stage=0, cached=True)
    plain = drawn(mix=mix, each=())
    for (rows, shares), (again, labels, _) in zip(plain, drawn(weighted(), mix=mix, each=()), strict=True):
        np.testing.assert_array_equal(rows, again)
        np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
        assert shares.shape == labels.shape
    # By hand: shares ¾ and ¼ of examples of weights 1 and 3 count ¾ each.
    rows, labels, weights = mixing.with_weights(
        lambda rows, labels, step: (rows, 0.75 * labels + 0.25 * tf.roll(labels, 1, 0)),
        tf.zeros((2, 1)), tf.one_hot([0, 1], 2), tf.constant([1.0, 3.0]), 0,
    )  # fmt: skip
    np.testing.assert_allclose(weights, [1.5, 2.5])
    np.testing.assert_allclose(labels, [[0.5, 0.5], [0.1, 0.9]], rtol=1e-6)
