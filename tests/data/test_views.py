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


@pytest.mark.parametrize(
    ("flip", "mirrors"),
    [("vertical", [(1, 1), (-1, 1)]), ("both", [(1, 1), (1, -1), (-1, 1), (-1, -1)]), ("none", [(1, 1)])],
)
def test_the_first_views_are_exact_mirror_images_and_then_take_turns(flip, mirrors):
    rows = some(12, flip=flip, rotation=0.0, shift=0.0, zoom=0.0)
    for number in range(8):
        down, right = mirrors[number % len(mirrors)]
        got = seen(rows, range(6), [number] * 6)
        np.testing.assert_allclose(got, PIXELS[:, ::down, ::right], atol=1e-3 if number >= len(mirrors) else 0)


def crops(count=20_000, size=100, **changes):
    """First and last place that views show, of columns and rows, and their shares of the size."""
    keys = np.random.default_rng(1).integers(0, 2**63, count).astype(np.uint64)
    augment = asked(rotation=0.0, shift=0.0, zoom=0.0, **changes)
    t = views.Views(augment, size).parameters(keys, np.full(count, 2)).astype(np.float64)
    return t[:, 2], t[:, 2] + (size - 1) * t[:, 0], t[:, 5], t[:, 5] + (size - 1) * t[:, 4], t[:, 0], t[:, 4]


def test_crops_lie_in_the_picture_and_have_the_area_and_aspect_that_was_asked_for():
    left, right, top, bottom, width, height = crops(crop_area=0.25, crop_aspect=4 / 3)
    assert min(left.min(), top.min()) >= -0.5
    assert max(right.max(), bottom.max()) <= 99.5
    area, aspect = width * height, width / height
    assert 0.24 < area.min() < 0.26
    inside = np.maximum(width, height) < 1
    assert 4 / 3 - 0.01 < aspect[inside].max() < 4 / 3 + 0.01
    assert 3 / 4 - 0.01 < aspect[inside].min() < 3 / 4 + 0.01
    small = area < 0.7  # of which none was cut off: uniform
    assert np.abs(np.histogram(area[small], 9, (0.25, 0.7))[0] - 20_000 / 15).max() < 150
    middle = (left + right) / 2
    assert middle.mean() == pytest.approx(49.5, abs=0.3)


def test_a_crop_by_hand_shows_a_quarter_twice_as_large():
    """A ramp of 10 a column, of which columns 4 to 7 are shown, with what lies between them."""
    picture = np.broadcast_to(np.arange(8, dtype=np.float32)[None, None, :, None] * 10, (1, 8, 8, 3))
    draws = np.array([[0.5, 0.5, 0.5, 0.5, 0.0, 0.5, 1.0, 0.0]])  # the least area, square, right, top
    augment = asked(rotation=0.0, shift=0.0, zoom=0.0, crop_area=0.25)
    matrix = geometry.matrices(draws, np.array([1]), augment, 8)
    got = geometry.warped(tf.constant(picture), geometry.as_transforms(matrix)).numpy()[0, 0, :, 0]
    np.testing.assert_allclose(got, [37.5, 42.5, 47.5, 52.5, 57.5, 62.5, 67.5, 70])


EVERYTHING = {
    "flip": "both", "crop_area": 0.5, "crop_aspect": 1.5, "lightness": 0.9, "contrast": 0.9, "saturation": 0.9,
    "hue": 0.3, "grey": 0.2, "erasing": 0.5, "magnitude": 30.0,
}  # fmt: skip


@pytest.mark.parametrize("policy", ["none", "randaugment", "trivialaugment", "augmix"])
def test_every_policy_with_everything_else_is_a_function_of_the_view_in_range_and_leaves_the_picture(policy):
    rows = some(40, policy=policy, **EVERYTHING)
    np.testing.assert_array_equal(seen(rows, range(6), [0] * 6), PIXELS)
    np.testing.assert_array_equal(seen(rows, range(6), [3] * 6), PIXELS[:, ::-1, ::-1])
    numbers = np.arange(4, 40)
    positions = numbers % 6
    together = seen(rows, positions, numbers)
    assert together.dtype == np.float32
    assert together.shape == (36, SIZE, SIZE, 3)
    assert together.min() >= 0
    assert together.max() <= 255
    for at in (0, 7, 35):
        np.testing.assert_array_equal(seen(rows, positions[at : at + 1], numbers[at : at + 1])[0], together[at])
    parameters = rows.parameters_of(positions, numbers)
    taken = rows.take(positions, numbers)
    (in_graph,) = tf.data.Dataset.from_tensors((taken, parameters)).map(rows.decode)
    np.testing.assert_allclose(in_graph, together, atol=1e-3)
    assert not np.array_equal(together[0], together[6])


def test_what_else_is_asked_for_does_not_change_what_was_drawn():
    """So that a crop stays where it is when colours are added."""
    bare, rich = (
        views.Views(asked(**more), SIZE).parameters(np.arange(50, dtype=np.uint64), np.full(50, 5))
        for more in ({"crop_area": 0.5}, {"crop_area": 0.5, "lightness": 0.2, "erasing": 0.5, "policy": "randaugment"})
    )
    same = (bare[:, :8] == rich[:, :8]).all(axis=1)
    assert 0.2 < same.mean() < 0.8  # the rest is moved by the policy too
