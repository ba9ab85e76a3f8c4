"""Where the pixels of a view come from: matrices from places in the view to places in the picture, and the warp."""

import numpy as np
import tensorflow as tf

from tfxfer.augmentation import Augment

# What is drawn for a view: its angle, its two shifts and its zoom; then area, aspect and place of its crop.
DRAWS = 8
# Mirror images in the order of the views: whether left and right, and whether top and bottom change places.
_MIRRORS = {
    "none": ((1, 1),),
    "horizontal": ((1, 1), (-1, 1)),
    "vertical": ((1, 1), (1, -1)),
    "both": ((1, 1), (-1, 1), (1, -1), (-1, -1)),
}


def exact(views: np.ndarray, augment: Augment) -> np.ndarray:
    """Returns which views are the picture itself or an exact mirror image, bool `[views]`."""
    return views < len(_MIRRORS[augment.flip])


def matrices(draws: np.ndarray, views: np.ndarray, augment: Augment, size: int) -> np.ndarray:
    """Returns from which place in the picture each place in a view comes, float64 `[views, 3, 3]`, in pixels.

    Places are columns (x, y, 1), the middle of the first pixel being (0, 0, 1). View 0 is the picture itself. Where
    views may be mirrored, the next ones are its exact mirror images, and from there on mirrored ones take turns.

    Args:
        draws: float64 `[views, DRAWS]` in [0, 1).
        views: int64, ≥ 0, the number of each view.
        augment: what they may differ in, settled.
        size: height and width of the pictures, pixels.
    """
    still = exact(views, augment)
    spread = 2 * draws - 1
    angle = np.where(still, 0, np.deg2rad(augment.rotation) * spread[:, 0])
    shifts = [np.where(still, 0, augment.shift * size * spread[:, axis]) for axis in (1, 2)]
    scale = np.where(still, 1, 1 / (1 + augment.zoom * spread[:, 3]))
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    moved = centred(_rows((cosine, -sine, shifts[0]), (sine, cosine, shifts[1])), size)
    if augment.crop_area < 1:
        moved = moved @ _crops(draws[:, 4:DRAWS], still, augment, size)
    mirrors = np.array(_MIRRORS[augment.flip])[views % len(_MIRRORS[augment.flip])]
    return moved @ centred(_rows((mirrors[:, 0], 0, 0), (0, mirrors[:, 1], 0)), size)


def centred(matrix: np.ndarray, size: int) -> np.ndarray:
    """Returns matrices of places counted from the first pixel, of such whose places count from the middle."""
    middle = (size - 1) / 2
    there, back = np.eye(3), np.eye(3)
    there[:2, 2], back[:2, 2] = middle, -middle
    return there @ matrix @ back


def as_transforms(matrix: np.ndarray) -> np.ndarray:
    """Returns matrices as `warped` takes them, float32 `[…, 8]`."""
    return matrix.reshape(*matrix.shape[:-2], 9)[..., :8].astype(np.float32)


def warped(pictures: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """Returns views of pictures, float32 on their scale, bilinear; beyond an edge its pixels go on.

    Args:
        pictures: `[batch, height, width, channels]`.
        transforms: float32 `[batch, 8]` of `as_transforms`.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(pictures, tf.float32),
        transforms=transforms,
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )


def _crops(draws: np.ndarray, still: np.ndarray, augment: Augment, size: int) -> np.ndarray:
    """Returns matrices from a view to the rectangle of the picture that it shows, as random resized crop draws it.

    Where a rectangle would be wider or higher than the picture it has its width or height, and less area.
    """
    area = augment.crop_area + (1 - augment.crop_area) * draws[:, 0]
    aspect = augment.crop_aspect ** (2 * draws[:, 1] - 1)
    shares = [np.where(still, 1, np.minimum(1, np.sqrt(share))) for share in (area * aspect, area / aspect)]
    # The middle of a pixel lies half a pixel behind its edge, in the view as in the picture.
    first = [(1 - share) * draws[:, 2 + axis] * size + (share - 1) / 2 for axis, share in enumerate(shares)]
    first = [np.where(still, 0, place) for place in first]
    return _rows((shares[0], 0, first[0]), (0, shares[1], first[1]))


def _rows(*rows) -> np.ndarray:
    """Returns matrices `[views, 3, 3]` of two rows of numbers or arrays `[views]`, the third being (0, 0, 1)."""
    flat = np.broadcast_arrays(*(number for row in (*rows, (0.0, 0.0, 1.0)) for number in row))
    return np.stack(flat, axis=-1).reshape(-1, 3, 3).astype(np.float64)
