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


PICTURES = np.random.default_rng(1).integers(0, 256, (8, 12, 10, 3)).astype(np.float32)


def cut(alpha=1.0, number=0, pictures=PICTURES, labels=LABELS):
    return [values.numpy() for values in mixing.cut_and_mixed(pictures, labels, alpha, seeds_at(number))]


def seeds_at(number):
    return [tf.constant([7, 4 * number + part], tf.int64) for part in (1, 2)]


def test_a_rectangle_of_the_neighbour_counts_as_many_shares_as_it_has_pixels():
    shares = []
    for number in range(40):
        rows, labels = cut(number=number)
        from_other = (rows == np.roll(PICTURES, 1, axis=0)).all(axis=-1) & (rows != PICTURES).any(axis=-1)
        own = (rows == PICTURES).all(axis=-1)
        assert (from_other | own).all()
        np.testing.assert_allclose(
            labels[np.arange(8), (np.arange(8) - 1) % 4], from_other.mean(axis=(1, 2)), atol=1e-6
        )
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
        for picture in from_other:  # a rectangle: what is true is the product of its rows and columns
            np.testing.assert_array_equal(picture, picture.any(axis=1)[:, None] & picture.any(axis=0)[None])
        shares += from_other.mean(axis=(1, 2)).tolist()
    assert min(shares) < 0.02
    assert max(shares) > 0.7
    # Of Beta(1, 1) the mean is a half; about half of that is lost beyond the edges.
    assert 0.2 < np.mean(shares) < 0.4


def test_places_do_not_hang_on_shares_and_steps_have_their_own():
    one, other = cut(number=1)[0], cut(number=2)[0]
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(cut(number=1)[0], one)


def test_where_both_are_asked_for_each_batch_gets_one_of_both():
    augment = asked(mixup=1.0, cutmix=1.0)
    cuts = 0
    for step in range(60):
        rows, labels = mixed(augment, step=step, cached=False, rows=PICTURES)
        is_cut = np.isin(rows, PICTURES).all()
        only = mixed(asked(cutmix=1.0) if is_cut else asked(mixup=1.0), step=step, cached=False, rows=PICTURES)
        np.testing.assert_array_equal(rows, only[0])
        np.testing.assert_array_equal(labels, only[1])
        cuts += is_cut
    assert 18 < cuts < 42


def test_activations_are_never_cut():
    assert mixing.mixer(asked(cutmix=1.0), seed=0, stage=0, cached=True) is None


def test_labels_that_are_shares_already_are_mixed_as_they_are():
    soft = LABELS * 0.9 + 0.025
    _, labels = cut(labels=soft)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)


def test_an_example_alone_in_its_batch_stays():
    for augment in (asked(mixup=1.0), asked(cutmix=1.0)):
        mix = mixing.mixer(augment, seed=0, stage=0, cached=False)
        rows, labels = mix(PICTURES[:1], LABELS[:1], tf.constant(3, tf.int64))
        np.testing.assert_allclose(rows, PICTURES[:1], rtol=1e-5)
        np.testing.assert_allclose(labels, LABELS[:1], rtol=1e-6)
