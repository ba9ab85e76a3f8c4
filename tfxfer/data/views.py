"""Views of training pictures: each a function of seed, picture and number alone, so that it can be computed once."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfxfer.data.rows import Rows
from tfxfer.reuse import Augment

# Of splitmix64 (Steele, Lea & Flood 2014): the step between two states, and the two multipliers that mix one.
_STEP, _MIX1, _MIX2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
# What is drawn for a view: its angle, its two shifts and its zoom.
_DRAWS = 4


def with_views(rows: Rows, count: int, augment: Augment, *, seed: int) -> Rows:
    """Returns rows of pictures with so many views each, the pictures themselves first.

    Args:
        rows: uint8 `[pictures, size, size, 3]` with keys, one view each.
        count: of views, ≥ 1.
        augment: what a view may differ in.
        seed: of all draws.
    """
    if count == 1:
        return rows
    size = rows.all_rows.shape[1]
    keys = np.array([int(key[:16], 16) for key in rows.keys], np.uint64) ^ _mixed(np.uint64(seed) + _STEP)

    def parameters(positions: np.ndarray, views: np.ndarray) -> np.ndarray:
        return transforms(keys[positions], views, augment, size)

    places = np.broadcast_to(rows.places[:, None], (len(rows), count))
    return dataclasses.replace(rows, places=places, decode=warped, parameters=parameters)


def transforms(keys: np.ndarray, views: np.ndarray, augment: Augment, size: int) -> np.ndarray:
    """Returns where each pixel of a view comes from, float32 `[views, 8]`, as `warped` takes it.

    View 0 is the picture itself. Where views may be mirrored, 1 is its exact mirror image, and every other one from
    there on is mirrored.

    Args:
        keys: uint64, a number for each picture.
        views: int64, ≥ 0, the number of each view.
        augment: what they may differ in.
        size: height and width of the pictures, pixels.
    """
    draws = 2 * _uniform(keys, views, _DRAWS) - 1
    exact = views <= (1 if augment.flip else 0)
    angle = np.where(exact, 0, np.deg2rad(augment.rotation) * draws[:, 0])
    shift_x, shift_y = (np.where(exact, 0, augment.shift * size * draws[:, axis]) for axis in (1, 2))
    scale = np.where(exact, 1, 1 / (1 + augment.zoom * draws[:, 3]))
    mirrored = np.where((views % 2 == 1) & augment.flip, -1.0, 1.0)
    cosine, sine, middle = scale * np.cos(angle), scale * np.sin(angle), (size - 1) / 2
    ahead = (cosine * mirrored, -sine, sine * mirrored, cosine)
    moved_x = middle + shift_x - ahead[0] * middle - ahead[1] * middle
    moved_y = middle + shift_y - ahead[2] * middle - ahead[3] * middle
    nothing = np.zeros(len(keys))
    return np.stack([*ahead[:2], moved_x, *ahead[2:], moved_y, nothing, nothing], axis=1).astype(np.float32)


def warped(pictures: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
    """Returns views of pictures, float32 on their scale, bilinear; beyond an edge its pixels go on.

    Args:
        pictures: `[batch, height, width, channels]`.
        parameters: float32 `[batch, 8]` of `transforms`.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pictures, tf.float32),
        transforms=parameters,
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _uniform(keys: np.ndarray, views: np.ndarray, count: int) -> np.ndarray:
    """Returns numbers in [0, 1), float64 `[views, count]`: the outputs of a splitmix64 for each picture and view."""
    with np.errstate(over="ignore"):  # arithmetic is modulo 2⁶⁴
        start = _mixed(keys + _mixed(views.astype(np.uint64) * _STEP))
        states = start[:, None] + _STEP * np.arange(1, count + 1, dtype=np.uint64)
        return (_mixed(states) >> np.uint64(11)) / 2**53


def _mixed(state: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        state = (state ^ (state >> np.uint64(30))) * _MIX1
        state = (state ^ (state >> np.uint64(27))) * _MIX2
        return state ^ (state >> np.uint64(31))
