"""Random erasing (Zhong et al. 2020): a rectangle of a view gets one colour."""

import numpy as np
import tensorflow as tf

# What is drawn for a view: whether, area, aspect, two places, and red, green and blue.
DRAWS = 8
# How many numbers a rectangle has: first and last row and column, the last ones not in it, and its colour.
NUMBERS = 7
# Share of the area, and how much wider than high or higher than wide, as the paper has them for small pictures; its
# upper 0.4 is 0.33 in later programs.
_AREA, _ASPECT = (0.02, 0.33), 3.3


def drawn(draws: np.ndarray, share: float, size: int, still: np.ndarray) -> np.ndarray:
    """Returns a rectangle for each view, float64 `[views, 7]`; an empty one where nothing is erased.

    Args:
        draws: float64 `[views, DRAWS]` in [0, 1).
        share: of the views in which something is erased, 0 to 1.
        size: height and width of the pictures, pixels.
        still: bool `[views]`, those in which nothing is.
    """
    area = _AREA[0] + (_AREA[1] - _AREA[0]) * draws[:, 1]
    aspect = _ASPECT ** (2 * draws[:, 2] - 1)
    erased = (draws[:, 0] < share) & ~still
    edges = []
    for along, place in ((area * aspect, draws[:, 3]), (area / aspect, draws[:, 4])):
        length = np.minimum(size, np.round(size * np.sqrt(along)))
        first = np.floor(place * (size - length + 1))
        edges += [first, np.where(erased, first + length, first)]
    return np.stack([*edges, *(np.floor(256 * draws[:, 5 + channel]) for channel in range(3))], axis=1)


def erased(pictures: tf.Tensor, rectangles: tf.Tensor) -> tf.Tensor:
    """Returns pictures with their rectangles in one colour each.

    Args:
        pictures: float32 `[batch, height, width, 3]`, 0..255.
        rectangles: float32 `[batch, 7]`.
    """
    inside = within(tf.shape(pictures), *tf.unstack(rectangles[:, :4], axis=1))
    return tf.where(inside[..., None], rectangles[:, None, None, 4:], pictures)


def within(shape: tf.Tensor, top: tf.Tensor, bottom: tf.Tensor, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Returns which pixels lie in a rectangle of each picture, bool `[batch, height, width]`.

    Args:
        shape: int32 `[batch, height, width, …]`.
        top: float32 `[batch]`, the first row; `bottom` the first one behind it, `left` and `right` likewise.
        bottom: see there.
        left: see there.
        right: see there.
    """
    rows, columns = (tf.range(shape[axis]) for axis in (1, 2))
    rows, columns = tf.cast(rows, tf.float32)[None], tf.cast(columns, tf.float32)[None]
    in_row = (rows >= top[:, None]) & (rows < bottom[:, None])
    in_column = (columns >= left[:, None]) & (columns < right[:, None])
    return in_row[:, :, None] & in_column[:, None, :]
