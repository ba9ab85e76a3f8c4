"""Views of pictures: each a function of seed, picture and number alone, within its bounds, the first one exact."""

import dataclasses
import hashlib

import numpy as np
import pytest
import tensorflow as tf

from tfxfer.augmentation import Augment, settled
from tfxfer.data import geometry, views
from tfxfer.data.rows import Rows

SIZE = 12
PIXELS = np.random.default_rng(0).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
NAMES = tuple(hashlib.sha256(bytes([number])).hexdigest() for number in range(6))
ROWS = Rows(PIXELS, np.arange(6, dtype=np.int32) % 2, np.arange(6), 2, NAMES)


def seen(rows: Rows, positions, numbers) -> np.ndarray:
    positions, numbers = np.array(positions), np.array(numbers)
    taken = rows.take(positions, numbers)
    return rows.decode(taken, rows.parameters_of(positions, numbers)).numpy() if rows.decode else taken


def some(count=4, seed=0, rows=ROWS, **changes) -> Rows:
    return views.with_views(rows, count, asked(**changes), seed=seed)


def asked(**changes) -> Augment:
    """What was asked for, with a few degrees, shifts and zooms where nothing else is said."""
    return settled(Augment(**{"preset": "light", "flip": False, **changes}))


def test_one_view_is_the_rows_themselves():
    assert some(1) is ROWS


def test_view_0_is_the_picture_to_the_bit_and_the_mirrored_one_its_mirror_image():
    got = seen(some(flip=True), range(6), [0] * 6)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, PIXELS)
    np.testing.assert_array_equal(seen(some(flip=True), range(6), [1] * 6), PIXELS[:, :, ::-1])


def test_without_flip_view_1_is_moved_and_not_mirrored():
    got = seen(some(rotation=0.0, shift=0.02, zoom=0.0), range(6), [1] * 6)
    assert not np.array_equal(got, PIXELS)
    assert np.abs(got - PIXELS).mean() < np.abs(got - PIXELS[:, :, ::-1].astype(np.float32)).mean()


def test_every_other_view_is_mirrored_and_moved():
    rows = some(6, flip=True, rotation=0.0, shift=0.02, zoom=0.0)
    for number in (2, 3, 4, 5):
        got, mirrored = seen(rows, range(6), [number] * 6), PIXELS[:, :, ::-1].astype(np.float32)
        nearer = np.abs(got - mirrored).mean() < np.abs(got - PIXELS).mean()
        assert nearer == (number % 2 == 1)
        assert not np.array_equal(got, mirrored if nearer else PIXELS)


def test_a_view_is_the_same_whatever_stands_beside_it():
    rows = some()
    alone = seen(rows, [4], [3])[0]
    np.testing.assert_array_equal(seen(rows, [2, 4, 4, 0], [3, 1, 3, 3])[2], alone)
    fewer = dataclasses.replace(ROWS, places=np.array([5, 4]), keys=(NAMES[5], NAMES[4]), labels=ROWS.labels[:2])
    np.testing.assert_array_equal(seen(some(rows=fewer), [1], [3])[0], alone)
    np.testing.assert_array_equal(seen(some(8), [4], [3])[0], alone)  # also with more views


def test_seeds_pictures_and_numbers_each_have_views_of_their_own():
    same = Rows(np.repeat(PIXELS[:1], 6, axis=0), ROWS.labels, ROWS.places, 2, NAMES)
    got = [seen(some(rows=same, seed=seed), [position], [number])[0] for seed in (0, 1) for position in (0, 1)
           for number in (1, 2)]  # fmt: skip
    for at, one in enumerate(got):
        assert not any(np.array_equal(one, other) for other in got[:at])


def test_the_same_in_a_graph():
    rows = some()
    parameters = rows.parameters_of(np.arange(6), np.full(6, 2))
    in_graph = tf.function(rows.decode)(tf.constant(PIXELS), tf.constant(parameters))
    np.testing.assert_array_equal(in_graph, seen(rows, range(6), [2] * 6))


def decomposed(**changes):
    """Angles in degrees, shifts as shares, and zooms of many views."""
    count, size = 20_000, 100
    keys = np.random.default_rng(1).integers(0, 2**63, count).astype(np.uint64)
    t = views.Views(asked(**changes), size).parameters(keys, np.full(count, 2)).astype(np.float64)
    scale = np.hypot(t[:, 0], t[:, 3])
    angle = np.rad2deg(np.arctan2(t[:, 3], t[:, 0]))
    middle = (size - 1) / 2
    shift_x = (t[:, 0] * middle + t[:, 1] * middle + t[:, 2] - middle) / size
    shift_y = (t[:, 3] * middle + t[:, 4] * middle + t[:, 5] - middle) / size
    return angle, shift_x, shift_y, 1 / scale - 1


@pytest.mark.parametrize(
    "bounds", [{"rotation": 12.0, "shift": 0.1, "zoom": 0.1}, {"rotation": 90.0, "shift": 0.5, "zoom": 0.5}]
)
def test_what_is_drawn_is_uniform_within_its_bounds(bounds):
    angle, shift_x, shift_y, zoom = decomposed(**bounds)
    limits = (bounds["rotation"], bounds["shift"], bounds["shift"], bounds["zoom"])
    for drawn, most in zip((angle, shift_x, shift_y, zoom), limits, strict=True):
        share = drawn / most
        assert np.abs(share).max() <= 1 + 1e-4
        # Of 20,000 uniform draws each tenth has 2,000, with a deviation of 42.
        assert np.abs(np.histogram(share, 10, (-1.0001, 1.0001))[0] - 2000).max() < 250


def test_draws_do_not_depend_on_each_other():
    drawn = np.array(decomposed(rotation=12.0, shift=0.1, zoom=0.1))
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 0.03


def test_nothing_to_vary_leaves_the_picture():
    got = seen(some(rotation=0.0, shift=0.0, zoom=0.0), range(6), [3] * 6)
    np.testing.assert_allclose(got, PIXELS, atol=1e-3)


def test_a_shift_goes_on_with_the_pixels_of_the_edge():
    picture = np.broadcast_to(np.arange(SIZE, dtype=np.float32)[None, None, :, None] * 10, (1, SIZE, SIZE, 3))
    right = np.array([[1, 0, 3, 0, 1, 0, 0, 0]], np.float32)  # each pixel comes from three to its right
    got = geometry.warped(tf.constant(picture), tf.constant(right)).numpy()[0, 0, :, 0]
    np.testing.assert_array_equal(got, [*range(30, 120, 10), 110, 110, 110])
