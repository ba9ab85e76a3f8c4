"""Linear changes of colour, as two matrices: one for the pixel, one for the mean colour of its picture.

A pixel x of a picture with the mean m becomes M·x + K·m, so that light, contrast, saturation, hue and grey, in whatever
order, are one change.
"""

import numpy as np
import tensorflow as tf

from tfxfer.augmentation import Augment

# What is drawn for a view: light, contrast, saturation, hue, and whether it is grey.
DRAWS = 5
# How many numbers a change has.
NUMBERS = 18
# Of red, green and blue in grey (ITU-R BT.601, as Pillow has it).
_GREY = np.array([0.299, 0.587, 0.114])
_TO_GREY = np.broadcast_to(_GREY, (3, 3))


def nothing(count: int) -> np.ndarray:
    """Returns changes that leave pictures as they are, float64 `[count, 2, 3, 3]`."""
    return scaled(np.ones(count))


def scaled(factor: np.ndarray) -> np.ndarray:
    """Returns changes that multiply colours; `factor` float64 `[views]`, ≥ 0."""
    return _changes(factor[:, None, None] * np.eye(3), 0.0)


def contrasted(factor: np.ndarray) -> np.ndarray:
    """Returns changes away from the grey of the mean colour (above 1), or to it (below 1)."""
    factor = factor[:, None, None]
    return _changes(factor * np.eye(3), (1 - factor) * _TO_GREY)


def saturated(factor: np.ndarray) -> np.ndarray:
    """Returns changes away from the grey of each pixel (above 1), or to it (below 1)."""
    factor = factor[:, None, None]
    return _changes(factor * np.eye(3) + (1 - factor) * _TO_GREY, 0.0)


def turned(angle: np.ndarray) -> np.ndarray:
    """Returns changes of hue: colours turned around the grey axis; `angle` in radians, float64 `[views]`."""
    cosine, sine = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return _changes(cosine * np.eye(3) + (1 - cosine) / 3 + sine * across, 0.0)


def followed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns changes that do what two do one after the other."""
    pixel, mean = second[:, 0] @ first[:, 0], second[:, 0] @ first[:, 1]
    return np.stack([pixel, mean + second[:, 1] @ (first[:, 0] + first[:, 1])], axis=1)


def drawn(draws: np.ndarray, augment: Augment) -> np.ndarray:
    """Returns the changes of views, float64 `[views, 2, 3, 3]`.

    Args:
        draws: float64 `[views, DRAWS]` in [0, 1).
        augment: what views may differ in, settled.
    """
    spread = 2 * draws - 1
    change = scaled(1 + augment.lightness * spread[:, 0])
    change = followed(change, contrasted(1 + augment.contrast * spread[:, 1]))
    change = followed(change, saturated(1 + augment.saturation * spread[:, 2]))
    change = followed(change, turned(2 * np.pi * augment.hue * spread[:, 3]))
    return followed(change, saturated(np.where(draws[:, 4] < augment.grey, 0.0, 1.0)))


def changed(pictures: tf.Tensor, changes: tf.Tensor) -> tf.Tensor:
    """Returns pictures in other colours, float32 0..255.

    Args:
        pictures: float32 `[batch, height, width, 3]`, 0..255.
        changes: float32 `[batch, 18]`.
    """
    changes = tf.reshape(changes, [-1, 2, 3, 3])
    mean = tf.reduce_mean(pictures, axis=[1, 2])
    offset = tf.linalg.matvec(changes[:, 1], mean)[:, None]
    pixels = tf.reshape(pictures, [tf.shape(pictures)[0], -1, 3])
    result = tf.linalg.matmul(pixels, changes[:, 0], transpose_b=True) + offset
    return tf.clip_by_value(tf.reshape(result, tf.shape(pictures)), 0.0, 255.0)


def _changes(pixel: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    return np.stack([pixel, np.broadcast_to(mean, pixel.shape)], axis=1)
