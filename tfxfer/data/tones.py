"""Changes of colour that are not linear, each made on those pictures of a batch alone that it was drawn for.

They are what Pillow's `ImageOps` and `ImageEnhance.Sharpness` make of each picture by itself. Keras's layers are not:
`Equalization` takes one histogram for the whole batch, `RandomSharpness` darkens edges, `Solarization` and
`RandomPosterization` draw for themselves, and `AutoContrast` refuses a batch of no picture.
"""

import tensorflow as tf

# What can be drawn for a view, by its number; the value beside it is given in brackets.
NOTHING, SOLARIZE, POSTERIZE, AUTO_CONTRAST, EQUALIZE, SHARPEN = range(6)
_LEVELS = 256


def toned(pictures: tf.Tensor, kinds: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns pictures, each changed as was drawn for it, float32 0..255.

    Args:
        pictures: float32 `[batch, height, width, 3]`, 0..255.
        kinds: float32 `[batch]`, whole numbers as above.
        values: float32 `[batch]`: the threshold, the bits, or the factor; nothing for the others.
    """
    kinds = tf.cast(kinds, tf.int32)
    for kind, change in _CHANGES.items():
        which = tf.where(kinds == kind)
        some = change(tf.gather_nd(pictures, which), tf.gather_nd(values, which))
        pictures = tf.tensor_scatter_nd_update(pictures, which, some)
    return pictures


def solarized(pictures: tf.Tensor, thresholds: tf.Tensor) -> tf.Tensor:
    """Returns pictures in which what is at least the threshold, 0 to 256, is 255 less it."""
    return tf.where(pictures < _shaped(thresholds), pictures, 255.0 - pictures)


def posterized(pictures: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Returns pictures of which the highest bits are left, 0 to 8; the others are 0."""
    step = _shaped(2.0 ** (8.0 - bits))
    return tf.floor(tf.round(pictures) / step) * step


def auto_contrasted(pictures: tf.Tensor, _values=None) -> tf.Tensor:
    """Returns pictures in which each channel goes from 0 to 255, unless it is of one level."""
    low, high = (reduce(pictures, axis=[1, 2], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    stretched = tf.minimum((pictures - low) * (255.0 / tf.maximum(high - low, 1e-3)), 255.0)
    return tf.where(high > low, stretched, pictures)


def equalized(pictures: tf.Tensor, _values=None) -> tf.Tensor:
    """Returns pictures whose levels are, in each channel, about equally frequent (`PIL.ImageOps.equalize`)."""
    shape = tf.shape(pictures)
    planes = shape[0] * shape[3]
    levels = tf.cast(tf.round(tf.transpose(pictures, [0, 3, 1, 2])), tf.int32)
    levels = tf.reshape(levels, [planes, -1])
    own = levels + _LEVELS * tf.range(planes)[:, None]
    counts = tf.math.unsorted_segment_sum(tf.ones_like(tf.reshape(own, [-1])), tf.reshape(own, [-1]), planes * _LEVELS)
    counts = tf.reshape(counts, [planes, _LEVELS])
    highest = tf.reduce_max(levels, axis=1, keepdims=True)
    at_highest = tf.gather(counts, highest, batch_dims=1)
    step = (tf.reduce_sum(counts, axis=1, keepdims=True) - at_highest) // 255
    table = (step // 2 + tf.cumsum(counts, axis=1, exclusive=True)) // tf.maximum(step, 1)
    table = tf.where(step == 0, tf.range(_LEVELS)[None], tf.minimum(table, 255))
    result = tf.reshape(tf.gather(table, levels, batch_dims=1), [shape[0], shape[3], shape[1], shape[2]])
    return tf.cast(tf.transpose(result, [0, 2, 3, 1]), tf.float32)


def sharpened(pictures: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Returns pictures away from a smoothed one (above 1), or to it (below 1); the outermost pixels stay."""
    # Each pixel and its eight neighbours, itself five times; a convolution of no picture at all would fail.
    inner = pictures[:, 1:-1, 1:-1]
    three = pictures[:, :, :-2] + pictures[:, :, 1:-1] + pictures[:, :, 2:]
    smooth = (three[:, :-2] + three[:, 1:-1] + three[:, 2:] + 4 * inner) / 13
    inner = tf.clip_by_value(smooth + _shaped(factors) * (inner - smooth), 0.0, 255.0)
    rows = tf.concat([pictures[:, 1:-1, :1], inner, pictures[:, 1:-1, -1:]], axis=2)
    return tf.concat([pictures[:, :1], rows, pictures[:, -1:]], axis=1)


_CHANGES = {
    SOLARIZE: solarized,
    POSTERIZE: posterized,
    AUTO_CONTRAST: auto_contrasted,
    EQUALIZE: equalized,
    SHARPEN: sharpened,
}


def _shaped(numbers: tf.Tensor) -> tf.Tensor:
    return numbers[:, None, None, None]
