"""Decodes pictures to uint8 RGB, the same for training, evaluation and prediction; names what it cannot read."""

import contextlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps

from tfxfer import decoders
from tfxfer.data import fast_jpegs
from tfxfer.framing import Framing

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
# Beyond this a small file may unpack to gigabytes.
MOST_PIXELS = 100_000_000
# MPO: what many phones call .jpg, JPEGs one after the other, of which the first is the picture.
_JPEG = ("JPEG", "MPO")
# Modes that can be converted whatever the picture is, so that a check need not do it.
_ALWAYS_CONVERTED = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"))
_ON_WHITE = Framing()
_BILINEAR = PIL.Image.Resampling.BILINEAR
_ORIENTATION = PIL.ExifTags.Base.Orientation
# A picture that is narrow and very long would take gigabytes between its two passes of resizing.
MOST_SIDE = 50_000
MOST_BYTES = 256 << 20


class UnreadableImageError(ValueError):
    """A picture that cannot be decoded; the message is the reason."""


def read(path: str | os.PathLike) -> bytes:
    """Returns the bytes of a picture's file.

    Raises:
        UnreadableImageError: there is none, it cannot be read, it is beyond the limit, or it is no regular file: a pipe
            in a folder of pictures would be waited for, and a device read, for ever.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImageError("a folder" if stat.S_ISDIR(status.st_mode) else "no regular file")
            _check_bytes(status.st_size)
            with open(handle, "rb", closefd=False) as stream:
                return stream.read(status.st_size)
        finally:
            os.close(handle)
    except OSError as error:
        raise UnreadableImageError(f"cannot be read ({error.strerror})") from error


def render(content: bytes, size: int, framing: Framing) -> np.ndarray:
    """Returns an encoded picture as the network sees it: uint8 `[size, size, 3]`, RGB, upright, antialiased.

    A JPEG is decoded at the least scale (1, ½, ¼, ⅛) that leaves enough pixels. EXIF orientation is applied, what is
    transparent is laid on the background, 16 bits are scaled to 8, of animations the first frame is taken.

    Args:
        content: the bytes of a file that Pillow reads.
        size: in pixels.
        framing: how the picture becomes a square, on which background.

    Raises:
        UnreadableImageError: no picture, a truncated one, or one beyond the limits.
    """
    _check_bytes(len(content))
    fast = _fast.loaded() if fast_jpegs.is_jpeg(content) else None
    if fast is not None and (fast_jpegs.is_bare(content) or _lies_upright(content)):
        found = fast.render(content, size, framing)
        if found is not None:
            return found
    return _with_pillow(content, size, framing)


def hasten(pictures: int) -> None:
    """Lets what is installed for it decode JPEGs from here on, to the same bytes, where that pays.

    Args:
        pictures: how many are about to be decoded.
    """
    _fast.is_wanted |= decoders.choose(pictures, installed=decoders.installed())[0] == decoders.FAST


def decode(content: bytes, framing: Framing = _ON_WHITE) -> np.ndarray:
    """Returns an encoded picture in its own size, uint8 `[height, width, 3]`, RGB, upright; as `render` else.

    Raises:
        UnreadableImageError: as in `render`.
    """
    with _opened(content) as image:
        return np.asarray(_upright_rgb(image, framing))


def check(content: bytes) -> tuple[int, int]:
    """Decodes a picture as cheaply as it can be; returns its height and width in pixels, upright.

    A JPEG is decoded at an eighth of its size, which still reads every byte of it.

    Raises:
        UnreadableImageError: as in `render`.
    """
    with _opened(content) as image:
        height, width = image.height, image.width
        if image.format in _JPEG:
            image.draft(None, (1, 1))
        image.load()
        if image.mode not in _ALWAYS_CONVERTED:
            _rgb(image, _ON_WHITE)
        quarter_turn = image.getexif().get(_ORIENTATION, 1) >= 5
        return (width, height) if quarter_turn else (height, width)


def mode(content: bytes) -> str:
    """Returns what an encoded picture's pixels are, as Pillow calls it: RGB, L, P, CMYK, I;16, RGBA, …

    Raises:
        UnreadableImageError: no picture, or one beyond the limits.
    """
    with _opened(content) as image:
        return image.mode


def resize(pixels: np.ndarray, size: int, framing: Framing) -> np.ndarray:
    """Returns uint8 `[size, size, 3]`, antialiased (triangle filter), first the width, then the height.

    Args:
        pixels: uint8 `[height, width, 3]`.
        size: in pixels.
        framing: how the picture becomes a square.
    """
    return np.asarray(_framed(PIL.Image.fromarray(pixels), size, framing))


class _Fast:
    """What decodes JPEGs fast, loaded with the first of them; process-wide, since it changes no byte."""

    def __init__(self):
        self.is_wanted = False
        self._lock = threading.Lock()
        self._is_loaded, self._found = False, None

    def loaded(self) -> fast_jpegs.FastJpegs | None:
        """Returns it where it is wanted, and can be used."""
        if not self.is_wanted:
            return None
        with self._lock:
            if not self._is_loaded:
                self._is_loaded, self._found = True, fast_jpegs.load(_with_pillow)
        return self._found


_fast = _Fast()


def _with_pillow(content: bytes, size: int, framing: Framing) -> np.ndarray:
    with _opened(content) as image:
        _draft(image, size, framing)
        upright = _upright_rgb(image, framing)
    return np.asarray(_framed(upright, size, framing))


def _draft(image: PIL.Image.Image, size: int, framing: Framing) -> None:
    """Lets a JPEG be decoded smaller."""
    if image.format in _JPEG:
        image.draft(None, framing.least(*image.size, size))


def _lies_upright(content: bytes) -> bool:
    with _opened(content) as image:
        return _is_upright(image)


def _framed(image: PIL.Image.Image, size: int, framing: Framing) -> PIL.Image.Image:
    place = framing.placed(*image.size, size)
    # In two calls: which side comes first decides how bytes are rounded between them, and versions of Pillow differ.
    across = (place.left, 0, place.left + place.width, image.height)
    down = (0, place.top, place.columns, place.top + place.height)
    narrow = image.resize((place.columns, image.height), _BILINEAR, box=across)
    scaled = narrow.resize((place.columns, place.rows), _BILINEAR, box=down)
    if scaled.size == (size, size):
        return scaled
    square = PIL.Image.new("RGB", (size, size), framing.colour)
    square.paste(scaled, (place.column, place.row))
    return square


@contextlib.contextmanager
def _opened(content: bytes) -> Iterator[PIL.Image.Image]:
    """Opens a picture within the limits; every error of the block is that of an unreadable picture."""
    _check_bytes(len(content))
    try:
        with _quiet, PIL.Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_PIXELS or max(image.size) > MOST_SIDE:
                raise UnreadableImageError(f"{image.width}×{image.height} pixels are beyond the limit")
            if image.format in _JPEG:
                # At once: piece by piece, bytes are copied, and the interpreter's lock is waited for.
                image.decodermaxblock = len(content)
            yield image
    except UnreadableImageError:
        raise
    except PIL.Image.DecompressionBombError:  # Pillow's own limit, which comes first
        raise UnreadableImageError(f"it says it has more than {MOST_PIXELS:,} pixels, the limit") from None
    except PIL.UnidentifiedImageError:
        raise UnreadableImageError("no picture of a known format" if content else "empty file") from None
    except Exception as error:  # decoders raise whatever they like on broken files
        raise UnreadableImageError(f"cannot be decoded ({error})") from error


def _check_bytes(number: int) -> None:
    if number > MOST_BYTES:
        raise UnreadableImageError(f"larger than {MOST_BYTES >> 20} MiB")


class _Quiet:
    """Ignores warnings, about palettes and limits, while any thread is inside.

    `warnings.catch_warnings` changes the whole process: entered by two threads that leave in the order in which
    they came, it would leave all warnings off for good.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._ignored = warnings.catch_warnings(action="ignore")
                self._ignored.__enter__()
            self._inside += 1

    def __exit__(self, *_error) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._ignored.__exit__(None, None, None)


_quiet = _Quiet()


def _upright_rgb(image: PIL.Image.Image, framing: Framing) -> PIL.Image.Image:
    image.load()
    if not _is_upright(image):  # else it would be copied
        image = PIL.ImageOps.exif_transpose(image)
    return _rgb(image, framing)


def _is_upright(image: PIL.Image.Image) -> bool:
    return image.getexif().get(_ORIENTATION, 1) == 1


def _rgb(image: PIL.Image.Image, framing: Framing) -> PIL.Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode == "F":
        raise UnreadableImageError("its pixels are fractions, and nothing says on which scale")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        ground = PIL.Image.new("RGBA", image.size, (*framing.colour, 255))
        image = PIL.Image.alpha_composite(ground, image.convert("RGBA"))
    return image.convert("RGB")


def _eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Returns grey of 16 bits in 8, with the one level that may be transparent."""
    levels = np.asarray(image)
    scaled = np.clip(np.round(levels.astype(np.float32) / 257), 0, 255).astype(np.uint8)
    grey = PIL.Image.fromarray(scaled)
    if "transparency" not in image.info:
        return grey
    seen = np.where(levels == image.info["transparency"], 0, 255).astype(np.uint8)
    return PIL.Image.merge("LA", (grey, PIL.Image.fromarray(seen)))
