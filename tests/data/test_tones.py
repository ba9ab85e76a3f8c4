"""Changes of tone: what Pillow makes of each picture, whatever stands beside it, eagerly and in `tf.data`."""

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
import tensorflow as tf

from tfxfer.data import tones

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 16, 12, 3), dtype=np.uint8)
PIXELS[1] = PIXELS[1] // 4 + 90  # of little contrast
PIXELS[2] = 77  # of one level
PIXELS[3, ..., 1] = 200  # one channel of one level
# Kind, value, and what Pillow does.
CHANGES = [
    (tones.SOLARIZE, 100, lambda image: PIL.ImageOps.solarize(image, 100)),
    (tones.SOLARIZE, 256, lambda image: image),
    (tones.POSTERIZE, 3, lambda image: PIL.ImageOps.posterize(image, 3)),
    (tones.POSTERIZE, 8, lambda image: image),
    (tones.EQUALIZE, 0, PIL.ImageOps.equalize),
    (tones.AUTO_CONTRAST, 0, PIL.ImageOps.autocontrast),
    (tones.SHARPEN, 1.9, lambda image: PIL.ImageEnhance.Sharpness(image).enhance(1.9)),
    (tones.SHARPEN, 0.1, lambda image: PIL.ImageEnhance.Sharpness(image).enhance(0.1)),
]


def changed(pixels, kinds, values):
    made = tones.toned(pixels.astype(np.float32), np.array(kinds, np.float32), np.array(values, np.float32))
    assert made.dtype == tf.float32
    return made.numpy()


@pytest.mark.parametrize(("kind", "value", "by_pillow"), CHANGES)
def test_each_picture_becomes_what_pillow_makes_of_it(kind, value, by_pillow):
    got = changed(PIXELS, [kind] * 5, [value] * 5)
    expected = np.stack([np.asarray(by_pillow(PIL.Image.fromarray(picture))) for picture in PIXELS])
    # Pillow rounds what it has smoothed, and cuts off what comes after the point of the result: a level and a half.
    exact = kind in (tones.SOLARIZE, tones.POSTERIZE, tones.EQUALIZE)
    np.testing.assert_allclose(got, expected, atol=0 if exact else 1.5)
    assert got.min() >= 0
    assert got.max() <= 255


def test_only_what_was_drawn_for_it_is_done_to_a_picture():
    kinds = [tones.NOTHING, tones.SOLARIZE, tones.EQUALIZE, tones.POSTERIZE, tones.SHARPEN]
    values = [0, 50, 0, 2, 1.5]
    together = changed(PIXELS, kinds, values)
    np.testing.assert_array_equal(together[0], PIXELS[0])
    for at in range(5):
        alone = changed(PIXELS[at : at + 1], kinds[at : at + 1], values[at : at + 1])
        np.testing.assert_array_equal(together[at], alone[0])


def test_the_same_in_tf_data():
    kinds, values = [1, 2, 3, 4, 5], [60, 4, 0, 0, 0.5]
    tensors = (PIXELS.astype(np.float32), np.array(kinds, np.float32), np.array(values, np.float32))
    dataset = tf.data.Dataset.from_tensors(tensors).map(tones.toned)
    np.testing.assert_allclose(next(iter(dataset)), changed(PIXELS, kinds, values), atol=1e-4)


def test_levels_by_hand():
    picture = np.array([0, 100, 200, 255], np.float32).reshape(1, 2, 2, 1).repeat(3, axis=3)

    def made(kind, value):
        return changed(picture, [kind], [value])[0, ..., 0].reshape(-1).tolist()

    assert made(tones.SOLARIZE, 200) == [0, 100, 55, 0]
    assert made(tones.POSTERIZE, 1) == [0, 0, 128, 128]
    assert made(tones.POSTERIZE, 0) == [0, 0, 0, 0]
    assert changed(picture / 2 + 10, [tones.AUTO_CONTRAST], [0])[0, ..., 0].reshape(-1).tolist() == pytest.approx(
        [0, 100, 200, 255]
    )
