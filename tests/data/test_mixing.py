"""Mixup and brightness: by hand, in range, and a function of seed, stage and step."""

import numpy as np
import pytest
import tensorflow as tf

from tfxfer import augmentation
from tfxfer.data import batches, mixing
from tfxfer.data.rows import Rows

ROWS = np.random.default_rng(0).normal(size=(8, 3, 3, 4)).astype(np.float32)
LABELS = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
SEEDS = [np.array([0, number]) for number in range(2)]


def asked(**changes):
    return augmentation.settled(augmentation.Augment(**{"preset": "none", **changes}))


def mixed(augment, step=0, seed=0, stage=0, cached=True, rows=ROWS):
    mix = mixing.mixer(augment, seed=seed, stage=stage, cached=cached)
    return [values.numpy() for values in mix(rows, LABELS, tf.constant(step, tf.int64))]


def test_nothing_asked_for_is_nothing_done():
    assert mixing.mixer(asked(), seed=0, stage=0, cached=True) is None
    assert mixing.mixer(asked(brightness=0.5), seed=0, stage=0, cached=False) is None  # pixels keep theirs
    assert mixing.mixer(asked(mixup=0.2), seed=0, stage=0, cached=False) is not None


def test_rows_and_labels_are_mixed_with_the_neighbour_in_equal_shares():
    rows, labels = (values.numpy() for values in mixing.mixed_up(ROWS, LABELS, 0.5, SEEDS))
    share = labels[np.arange(8), np.arange(8) % 4]  # the neighbour's class is another one
    assert (share >= 0.5).all()
    assert len(np.unique(share)) > 4
    expected = share[:, None, None, None] * ROWS + (1 - share)[:, None, None, None] * np.roll(ROWS, 1, axis=0)
    np.testing.assert_allclose(rows, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(("alpha", "near"), [(0.01, 0.99), (4.0, 0.63)])
def test_a_small_alpha_mixes_little(alpha, near):
    """Of Beta(4, 4) the larger share is 0.64 in the mean."""
    many = tf.zeros([4000, 1])
    labels = tf.one_hot(np.arange(4000) % 2, 2)
    _, got = mixing.mixed_up(many, labels, alpha, SEEDS)
    assert got.numpy().max(axis=1).mean() == pytest.approx(near, abs=0.02)


def test_shares_that_are_lost_in_float32_leave_no_nan():
    rows, labels = mixing.mixed_up(ROWS, LABELS, 1e-6, SEEDS)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(labels.numpy().sum(axis=1), 1)


def test_brightness_shifts_each_channel_of_each_example_within_its_range():
    low, high = (reduce(ROWS, axis=(1, 2), keepdims=True) for reduce in (np.min, np.max))
    got = mixing.brightened(ROWS, 0.5, SEEDS[0]).numpy()
    assert ((low - 1e-6 <= got) & (got <= high + 1e-6)).all()
    inside = (got > low + 1e-6) & (got < high - 1e-6)
    shift = np.where(inside, (got - ROWS) / (high - low), np.nan)
    assert np.nanmax(np.abs(shift)) <= 0.5 + 1e-5
    np.testing.assert_allclose(np.nanmax(shift, axis=(1, 2)), np.nanmin(shift, axis=(1, 2)), atol=1e-5)
    assert len(np.unique(np.nanmax(shift, axis=(1, 2)).round(4))) > 20  # of 32 channels in all
    np.testing.assert_array_equal(mixing.brightened(ROWS, 0.0, SEEDS[0]), ROWS)


def test_what_is_drawn_depends_on_seed_stage_and_step_alone():
    augment = asked(mixup=0.4, brightness=0.3)
    first = mixed(augment)
    for one, other in zip(first, mixed(augment), strict=True):
        np.testing.assert_array_equal(one, other)
    for changed in ({"step": 1}, {"seed": 1}, {"stage": 1}):
        assert not np.array_equal(mixed(augment, **changed)[0], first[0])


def test_kept_numbers_are_mixed_as_float32():
    half = ROWS.astype(np.float16)
    rows, _ = mixed(asked(mixup=0.4), rows=half)
    assert rows.dtype == np.float32


def test_a_stopped_stage_goes_on_with_the_same_mixtures():
    rows = Rows(ROWS, np.arange(8, dtype=np.int32) % 4, np.arange(8), 4)
    mix = mixing.mixer(asked(mixup=0.4), seed=0, stage=1, cached=True)

    def drawn(start, steps):
        made = batches.training_batches(rows, batch_size=3, start=start, steps=steps, seed=0, stage=1, mix=mix)
        return [(x.numpy(), y.numpy()) for x, y in made]

    whole, rest = drawn(0, 7), drawn(4, 3)
    assert len(whole) == 7
    for one, other in zip(whole[4:], rest, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
