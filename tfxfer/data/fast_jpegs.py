"""Decodes and shrinks JPEGs with simplejpeg and numba where both are installed: the bytes of Pillow, in less time.

simplejpeg wraps the same libjpeg-turbo as Pillow, and writes four bytes a pixel right into an array; the loops of
`resampling`, compiled, are some four times as fast as Pillow's. Both release the interpreter's lock.

What is unusual, and what is damaged, stays Pillow's, whose word on it counts.
"""

import functools
import io
import warnings
from collections.abc import Callable

import numpy as np
import PIL.Image

from tfxfer import decoders
from tfxfer.data import resampling
from tfxfer.framing import Framing

# What Pillow writes, so that `load` can compare them; libraries may round others differently.
_SUBSAMPLINGS = ("444", "422", "420", "Gray")
_SIZES_KEPT = 256
# As in Pillow's `draft`.
_SCALES = (8, 4, 2, 1)
# Larger ones, and the limits of what is read at all, are Pillow's and `images`'s.
_MOST_PIXELS = 60_000_000
_MOST_SIDE = 50_000
# Below this two of libjpeg's scales may come to the same size, and simplejpeg be asked for one and take the other.
_LEAST_SIDE = 64


class FastJpegs:
    """Decodes JPEGs; made by `load`."""

    def __init__(self):
        import simplejpeg

        self._header = simplejpeg.decode_jpeg_header
        self._decode = simplejpeg.decode_jpeg
        self._weigh, self._along_rows, self._along_columns = (
            _compiled(function) for function in (resampling.weigh, resampling.along_rows, resampling.along_columns)
        )
        # Most pictures of a set have one of few sizes.
        self.shrinking = functools.lru_cache(_SIZES_KEPT)(self._shrinking)

    def render(self, content: bytes, size: int, framing: Framing) -> np.ndarray | None:
        """Returns what `images.render` does of a JPEG that lies upright; None: leave it to Pillow.

        Args:
            content: the bytes of a file.
            size: in pixels.
            framing: how the picture becomes a square.
        """
        try:
            height, width, colours, subsampling = self._header(content)
            if colours not in ("YCbCr", "Gray") or subsampling not in _SUBSAMPLINGS:
                return None
            if min(height, width) < _LEAST_SIDE or max(height, width) > _MOST_SIDE or height * width > _MOST_PIXELS:
                return None
            across, down = framing.least(width, height, size)
            scale = next(scale for scale in _SCALES if scale <= max(1, min(width // across, height // down)))
            height, width = -(-height // scale), -(-width // scale)
            shrink = self.shrinking(height, width, size, framing)
            if shrink is None:
                return None
            least = {} if scale == 1 else {"min_height": height, "min_width": width}
            pixels = self._decode(content, "RGBX", **least)
        except Exception:  # damaged, or stranger than Pillow finds it: of what simplejpeg has no word for, a KeyError
            return None
        return shrink(pixels) if pixels.shape == (height, width, 4) else None

    def _shrinking(
        self, height: int, width: int, size: int, framing: Framing
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """Returns what makes a square, uint8 `[size, size, 3]`, of a picture; None: leave it to Pillow.

        It takes uint8 `[height, width, 4]`, contiguous, of which the fourth does not count.
        """
        place = framing.placed(width, height, size)
        across, shares = self._weigh(width, place.left, float(place.width), place.columns)
        down, weights = self._weigh(height, place.top, float(place.height), place.rows)
        top, bottom = int(down[0]), int(down[-1]) + weights.shape[1]
        if max(shares.shape[1], weights.shape[1]) > resampling.MOST_TAPS or bottom - top < resampling.LEAST_ROWS:
            return None

        def shrink(pixels: np.ndarray) -> np.ndarray:
            narrow = np.empty((bottom - top, 3 * place.columns), np.uint8)
            self._along_rows(pixels.view("<u4")[..., 0], across, shares, top, narrow)
            scaled = np.empty((place.rows, 3 * place.columns), np.uint8)
            self._along_columns(narrow, down, weights, top, scaled)
            scaled = scaled.reshape(place.rows, place.columns, 3)
            if scaled.shape[:2] == (size, size):
                return scaled
            square = np.empty((size, size, 3), np.uint8)
            square[:] = framing.colour
            square[place.row : place.row + place.rows, place.column : place.column + place.columns] = scaled
            return square

        return shrink


def is_jpeg(content: bytes) -> bool:
    """Tells whether a file begins as a JPEG does."""
    return content.startswith(b"\xff\xd8\xff")


def is_bare(content: bytes) -> bool:
    """Tells whether a JPEG has nothing before its pixels that could say how it lies (EXIF and XMP: a segment APP1)."""
    at = 2
    # Two bytes for the kind, then two for the length, which counts itself (ITU-T T.81, B.1.1.4).
    while at + 4 <= len(content) and content[at] == 0xFF:
        kind = content[at + 1]
        if kind == 0xDA:
            return True
        # Below 0xC0, from 0xD0 to 0xD9, and after padding there is no length.
        if kind == 0xE1 or kind < 0xC0 or 0xD0 <= kind <= 0xD9 or kind == 0xFF:
            return False
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False


def load(usual: Callable[[bytes, int, Framing], np.ndarray]) -> FastJpegs | None:
    """Returns what decodes JPEGs to the bytes of `usual`, or None where nothing installed does.

    The first time on a machine this takes seconds: what numba has compiled is kept beside the code, or for the user.

    Args:
        usual: `images.render`, to compare with.
    """
    if not decoders.installed():
        return None
    try:
        fast = FastJpegs()
        problem = "" if _agrees(fast, usual) else "they come to other pixels than Pillow"
    except Exception as error:  # libraries that do not fit NumPy or the machine raise whatever they like
        problem = str(error)
    if problem:
        warnings.warn(f"Pillow decodes all images, since {decoders.FAST} cannot be used here: {problem}.", stacklevel=2)
        return None
    return fast


def _compiled(function: Callable) -> Callable:
    import numba

    try:
        return numba.njit(function, nogil=True, cache=True)
    except RuntimeError:  # there is no folder that it could be kept in
        return numba.njit(function, nogil=True)


def _agrees(fast: FastJpegs, usual: Callable[[bytes, int, Framing], np.ndarray]) -> bool:
    """Tells whether pixels are the same at each scale of libjpeg, for each way to keep colours."""
    for kept in ("4:4:4", "4:2:2", "4:2:0", "L"):
        content = _sample(kept)
        # At a scale of 1, 2, 4 and 8.
        for size, resize in ((170, "squash"), (121, "crop"), (70, "pad"), (25, "squash")):
            framing = Framing(resize=resize)
            found = fast.render(content, size, framing)
            if found is None or not np.array_equal(found, usual(content, size, framing)):
                return False
    return True


def _sample(kept: str) -> bytes:
    """Returns a JPEG of waves, which have fine and coarse parts in each colour, and of sides that no block divides."""
    across, down = np.meshgrid(np.arange(317), np.arange(243))
    waves = [np.sin(across**1.6 / (20 + 7 * place) + down * (place + 1) / 5) for place in range(3)]
    image = PIL.Image.fromarray(np.uint8(128 + 120 * np.stack(waves, axis=-1)))
    stream = io.BytesIO()
    if kept == "L":
        image.convert("L").save(stream, "JPEG", quality=90)
    else:
        image.save(stream, "JPEG", quality=90, subsampling=kept)
    return stream.getvalue()
