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

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
# Beyond this a small file may unpack to gigabytes.
MOST_PIXELS = 100_000_000
# MPO: what many phones call .jpg, JPEGs one after the other, of which the first is the picture.
_JPEG = ("JPEG", "MPO")
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


def decode(content: bytes, *, least_size: int | None = None) -> np.ndarray:
    """Returns an encoded picture as uint8 `[height, width, 3]`, RGB, upright.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8, of animations
    the first frame is taken.

    Args:
        content: the bytes of a file that Pillow reads.
        least_size: lets a JPEG be decoded at a reduced scale (½, ¼, ⅛) whose sides are at least this long.

    Raises:
        UnreadableImageError: no picture, a truncated one, or one beyond the limits.
    """
    with _opened(content) as image:
        if least_size is not None and image.format in _JPEG:
            image.draft(None, (least_size, least_size))
        return _to_rgb(image)


def check(content: bytes) -> tuple[int, int]:
    """Decodes a picture as cheaply as it can be; returns its height and width in pixels, upright.

    A JPEG is decoded at an eighth of its size, which still reads every byte of it.

    Raises:
        UnreadableImageError: as in `decode`.
    """
    with _opened(content) as image:
        height, width = image.height, image.width
        if image.format in _JPEG:
            image.draft(None, (1, 1))
        _to_rgb(image)
        quarter_turn = image.getexif().get(PIL.ExifTags.Base.Orientation, 1) >= 5
        return (width, height) if quarter_turn else (height, width)


def resize(pixels: np.ndarray, size: int, policy: str) -> np.ndarray:
    """Returns uint8 `[size, size, 3]`, antialiased (triangle filter), first the width, then the height.

    Args:
        pixels: uint8 `[height, width, 3]`.
        size: in pixels.
        policy: "squash" both sides to `size`, or "crop" the centre after scaling the shorter side.
    """
    image = PIL.Image.fromarray(pixels)
    left = top = 0.0
    right, bottom = image.size
    if policy == "crop":
        short = min(image.size)
        left, top = (image.width - short) / 2, (image.height - short) / 2
        right, bottom = left + short, top + short
    # In two calls: which side comes first decides how bytes are rounded between them, and versions of Pillow differ.
    bilinear = PIL.Image.Resampling.BILINEAR
    narrow = image.resize((size, image.height), bilinear, box=(left, 0, right, image.height))
    return np.asarray(narrow.resize((size, size), bilinear, box=(0, top, size, bottom)))


@contextlib.contextmanager
def _opened(content: bytes) -> Iterator[PIL.Image.Image]:
    """Opens a picture within the limits; every error of the block is that of an unreadable picture."""
    _check_bytes(len(content))
    try:
        with _quiet, PIL.Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MOST_PIXELS or max(image.size) > MOST_SIDE:
                raise UnreadableImageError(f"{image.width}×{image.height} pixels are beyond the limit")
            yield image
    except UnreadableImageError:
        raise
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


def _to_rgb(image: PIL.Image.Image) -> np.ndarray:
    image.load()
    upright = PIL.ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        scaled = np.asarray(upright).astype(np.float32) / 257
        upright = PIL.Image.fromarray(np.clip(np.round(scaled), 0, 255).astype(np.uint8))
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        ground = PIL.Image.new("RGBA", upright.size, (255, 255, 255, 255))
        upright = PIL.Image.alpha_composite(ground, upright)
    return np.asarray(upright.convert("RGB"))
