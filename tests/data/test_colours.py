"""Linear changes of colour: by hand, in any order one change, in range."""

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest

from tfxfer.augmentation import Augment, settled
from tfxfer.data import colours

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def made(change, pixels=PIXELS):
    numbers = np.broadcast_to(change.reshape(-1, 18), (len(pixels), 18)).astype(np.float32)
    return colours.changed(pixels.astype(np.float32), numbers).numpy()


def one(number):
    return np.array([float(number)])


@pytest.mark.parametrize(
    ("change", "by_pillow"),
    [
        (colours.scaled, PIL.ImageEnhance.Brightness),
        (colours.contrasted, PIL.ImageEnhance.Contrast),
        (colours.saturated, PIL.ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 0.4, 1.7])
def test_each_change_is_what_pillow_makes(change, by_pillow, factor):
    got = made(change(one(factor)))
    expected = [np.asarray(by_pillow(PIL.Image.fromarray(picture)).enhance(factor)) for picture in PIXELS]
    # Pillow rounds the grey, and cuts off what comes after the point.
    np.testing.assert_allclose(got, np.stack(expected), atol=2)


def test_nothing_leaves_pictures_to_the_bit():
    np.testing.assert_array_equal(made(colours.nothing(1)), PIXELS)


def test_hue_goes_round_and_leaves_grey():
    red = np.full((1, 2, 2, 3), (200, 20, 20), np.uint8)
    np.testing.assert_allclose(made(colours.turned(one(2 * np.pi / 3)), red)[0, 0, 0], (20, 200, 20), atol=1e-3)
    grey = np.full((1, 2, 2, 3), 90, np.uint8)
    np.testing.assert_allclose(made(colours.turned(one(1.0)), grey), grey, atol=1e-3)
    np.testing.assert_allclose(made(colours.turned(one(2 * np.pi))), PIXELS, atol=1e-2)


def test_two_changes_are_what_both_do_one_after_the_other():
    pixels = PIXELS // 2 + 60  # far enough from the ends that nothing is cut off between them
    for first in (colours.contrasted(one(0.7)), colours.saturated(one(1.2)), colours.scaled(one(0.9))):
        for second in (colours.contrasted(one(1.1)), colours.turned(one(0.3))):
            after = made(second, made(first, pixels))
            np.testing.assert_allclose(made(colours.followed(first, second), pixels), after, atol=1e-2)


def test_what_is_drawn_stays_within_its_bounds():
    draws = np.random.default_rng(0).random((2000, colours.DRAWS))
    nothing = {"preset": "none"}
    lit = colours.drawn(draws, settled(Augment(**nothing, lightness=0.3)))
    factor = lit[:, 0, 0, 0]
    assert (factor.min(), factor.max()) == pytest.approx((0.7, 1.3), abs=0.01)
    assert np.abs(np.histogram(factor, 4, (0.7, 1.3))[0] - 500).max() < 100
    np.testing.assert_allclose(colours.drawn(draws, settled(Augment(**nothing))), colours.nothing(2000), atol=1e-12)
    grey = colours.drawn(draws, settled(Augment(**nothing, grey=0.25)))
    assert (np.abs(grey[:, 0, 0] - grey[:, 0, 1]).max(axis=1) < 1e-12).mean() == pytest.approx(0.25, abs=0.03)
