"""Encoded pictures to pixels within a TensorFlow graph: the same bytes as training, evaluation and prediction see.

A served network then needs no code around it. JPEG and PNG come out as `data.images` gives them, but for EXIF
orientation, which TensorFlow does not read, and CMYK, which it turns into light in its own way.
"""

import tensorflow as tf

from tfxfer.data import images
from tfxfer.framing import Framing

# Of a weight behind the point, as in Pillow's resampling of eight bits (src/libImaging/Resample.c): the sum of 255
# times all of them stays below 2³¹.
_BITS = 22
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# That are looked at for transparency: a file of nothing but tiny ones would take minutes. Others have a dozen.
_MOST_CHUNKS = 1_000
# Of libjpeg's scales, those that divide.
_SCALES = (8, 4, 2)


def decoded_batch(contents: tf.Tensor, size: int, framing: Framing) -> tf.Tensor:
    """Returns pixels uint8 `[batch, size, size, 3]`, RGB, of encoded pictures, text `[batch]`.

    Anything but JPEG and PNG, and what is beyond the limits of `data.images`, is an `InvalidArgumentError`.

    Args:
        contents: the bytes of files.
        size: of the result, in pixels.
        framing: how pictures become squares, as in `data.images.render`.
    """
    spec = tf.TensorSpec([size, size, 3], tf.uint8)
    # Few at a time: a large picture takes as much memory as all the small ones together.
    return tf.map_fn(
        lambda content: _decoded(content, size, framing), contents, fn_output_signature=spec, parallel_iterations=4
    )


def _decoded(content: tf.Tensor, size: int, framing: Framing) -> tf.Tensor:
    is_jpeg = tf.equal(tf.strings.substr(content, 0, len(_JPEG)), _JPEG)
    is_png = tf.equal(tf.strings.substr(content, 0, len(_PNG)), _PNG)
    checks = [
        tf.debugging.Assert(is_jpeg | is_png, ["a picture is neither JPEG nor PNG"]),
        tf.debugging.Assert(
            tf.strings.length(content) <= images.MOST_BYTES, [f"a picture has more than {images.MOST_BYTES >> 20} MiB"]
        ),
    ]
    with tf.control_dependencies(checks):
        content = tf.identity(content)
    pixels = tf.cond(is_jpeg, lambda: _jpeg(content, size, framing), lambda: _png(content, framing))
    return _resized(tf.ensure_shape(pixels, [None, None, 3]), size, framing)


def _jpeg(content: tf.Tensor, size: int, framing: Framing) -> tf.Tensor:
    """Decodes at the scale that Pillow's `draft` chooses in `data.images`."""
    shape = tf.io.extract_jpeg_shape(content)
    with tf.control_dependencies([_within_limit(shape[0], shape[1])]):
        short, long = tf.minimum(shape[0], shape[1]), tf.maximum(shape[0], shape[1])
        least = tf.minimum(long // size, short) if framing.resize == "pad" else short // size

    def at(scale):
        # Pillow's default, while TensorFlow's is a faster transform that is off by one here and there.
        return lambda: tf.io.decode_jpeg(content, channels=3, ratio=scale, dct_method="INTEGER_ACCURATE")

    return tf.case([(least >= scale, at(scale)) for scale in _SCALES], default=at(1))


def _png(content: tf.Tensor, framing: Framing) -> tf.Tensor:
    """Decodes, and lays what is transparent on the background."""
    header = tf.io.decode_raw(tf.strings.substr(content, 16, 10), tf.uint8)
    # Width and height, most significant byte first; then the depth, and the type of colour.
    sides = tf.reduce_sum(tf.reshape(tf.cast(header[:8], tf.int64), [2, 4]) * [1 << 24, 1 << 16, 1 << 8, 1], axis=1)
    with tf.control_dependencies([_within_limit(sides[1], sides[0])]):
        is_wide, has_alpha = header[8] == 16, header[9] >= 4

    def narrow():
        # Where there is none, TensorFlow makes up a fourth channel, which is wrong below eight bits.
        return tf.cond(
            has_alpha | _has_transparency(content),
            lambda: _on_background(tf.cast(tf.io.decode_png(content, channels=4), tf.int32), framing),
            lambda: tf.io.decode_png(content, channels=3),
        )

    def wide():
        levels = tf.cast(tf.io.decode_png(content, channels=4, dtype=tf.uint16), tf.int32)
        # As Pillow has them: of colours the higher byte, while grey of one channel keeps all bits, and is rounded.
        is_rounded = header[9] == 0
        bytes_of = tf.where(is_rounded, (2 * levels + 257) // 514, tf.bitwise.right_shift(levels, 8))
        return _on_background(bytes_of, framing)

    return tf.cond(is_wide, wide, narrow)


def _has_transparency(content: tf.Tensor) -> tf.Tensor:
    """Tells whether a PNG has a chunk tRNS, by going from chunk to chunk up to the pixels, or the last of so many."""
    end = tf.strings.length(content)

    def is_before(at, found):
        return ~found & (at + 8 <= end) & (tf.strings.substr(content, at + 4, 4) != "IDAT")

    def step(at, _found):
        sizes = tf.cast(tf.io.decode_raw(tf.strings.substr(content, at, 4), tf.uint8), tf.int64)
        length = tf.reduce_sum(sizes * [1 << 24, 1 << 16, 1 << 8, 1])
        after = tf.minimum(tf.cast(at, tf.int64) + 12 + length, tf.cast(end, tf.int64))
        return tf.cast(after, tf.int32), tf.strings.substr(content, at + 4, 4) == "tRNS"

    start = (len(_PNG), tf.constant(False))
    _, found = tf.while_loop(is_before, step, start, maximum_iterations=_MOST_CHUNKS)
    return found


def _on_background(pixels: tf.Tensor, framing: Framing) -> tf.Tensor:
    """Returns uint8 `[…, 3]` of int32 `[…, 4]` on 0..255, with the rounding of Pillow's `alpha_composite`.

    See src/libImaging/AlphaComposite.c, for a ground without transparency.
    """
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    total = (colours * alpha + tf.constant(framing.colour) * (255 - alpha)) * 128 + (128 << 7)
    shifted = tf.bitwise.right_shift(total, 8) + total
    return tf.cast(tf.bitwise.right_shift(shifted, 15), tf.uint8)


def _within_limit(height: tf.Tensor, width: tf.Tensor) -> tf.Operation:
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    is_within = (height * width <= images.MOST_PIXELS) & (tf.maximum(height, width) <= images.MOST_SIDE)
    return tf.debugging.Assert(is_within, ["a picture is beyond the limit of pixels:", width, height])


def _resized(pixels: tf.Tensor, size: int, framing: Framing) -> tf.Tensor:
    """Does what `data.images.resize` does, to the bit."""
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    top = left = tf.constant(0.0, tf.float64)
    rows, columns = height, width
    if framing.resize == "pad":
        return _padded(pixels, size, framing)
    if framing.resize == "crop":
        rows = columns = tf.minimum(height, width)
        top, left = (tf.cast(side - rows, tf.float64) / 2 for side in (height, width))
    return _along(_along(pixels, 1, left, columns, size), 0, top, rows, size)


def _padded(pixels: tf.Tensor, size: int, framing: Framing) -> tf.Tensor:
    sides = tf.cast(tf.shape(pixels)[:2], tf.int64)
    longer, zero = tf.reduce_max(sides), tf.constant(0.0, tf.float64)
    rows, columns = tf.unstack(tf.cast(tf.maximum((2 * sides * size + longer) // (2 * longer), 1), tf.int32))
    height, width = tf.unstack(tf.shape(pixels)[:2])
    small = _along(_along(pixels, 1, zero, width, columns), 0, zero, height, rows)
    top, left = (size - rows) // 2, (size - columns) // 2
    edges = [[top, size - rows - top], [left, size - columns - left]]
    # One channel after another: `pad` knows one number.
    channels = [
        tf.pad(small[..., place], edges, constant_values=tf.constant(level, tf.uint8))
        for place, level in enumerate(framing.colour)
    ]
    return tf.ensure_shape(tf.stack(channels, axis=-1), [size, size, 3])


def _along(pixels: tf.Tensor, axis: int, start: tf.Tensor, length: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Resamples one axis, from `start` for `length` pixels, to `size`, with whole numbers for weights like Pillow."""
    places, weights = _taps(tf.shape(pixels)[axis], start, length, size)
    outer = [-1, 1, 1] if axis == 0 else [1, -1, 1]
    shape = tf.tensor_scatter_nd_update(tf.shape(pixels), [[axis]], [size])

    def add(tap, total):
        taken = tf.cast(tf.gather(pixels, places[:, tap], axis=axis), tf.int32)
        return tap + 1, total + taken * tf.reshape(weights[:, tap], outer)

    # One tap after another: all at once would take as many times the memory as there are.
    half = tf.fill(shape, 1 << (_BITS - 1))
    _, total = tf.while_loop(lambda tap, _: tap < tf.shape(weights)[1], add, (0, half), parallel_iterations=1)
    return tf.cast(tf.bitwise.right_shift(total, _BITS), tf.uint8)


def _taps(count: tf.Tensor, start: tf.Tensor, length: tf.Tensor, size: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns for each pixel of the result which pixels it takes and their weights, int32 `[size, taps]` both.

    A triangle, as wide as a pixel of the result on either side of its centre, at least a pixel of the source; numbers
    are cut as C cuts them.
    """
    scale = tf.cast(length, tf.float64) / tf.cast(size, tf.float64)
    reach = tf.maximum(scale, 1.0)
    centres = start + (tf.range(size, dtype=tf.float64) + 0.5) * scale
    first = tf.cast(tf.maximum(centres - reach + 0.5, 0), tf.int32)
    last = tf.minimum(tf.cast(centres + reach + 0.5, tf.int32), count)
    places = first[:, None] + tf.range(tf.reduce_max(last - first))[None]
    distance = tf.abs((tf.cast(places, tf.float64) - centres[:, None] + 0.5) / reach)
    weights = tf.where(places < last[:, None], tf.nn.relu(1 - distance), 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.minimum(places, count - 1), tf.cast(0.5 + weights * (1 << _BITS), tf.int32)
