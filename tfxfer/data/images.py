"""Decodes pictures to uint8 RGB, the same for training, evaluation and prediction; names what it cannot read."""

import io
import warnings

import numpy as np
import PIL.Image
import PIL.ImageOps

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))
# Beyond this a small file may unpack to gigabytes.
MOST_PIXELS = 100_000_000
MOST_BYTES = 256 << 20


class UnreadableImageError(ValueError):
    """A picture that cannot be decoded; the message is the reason."""


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
    if len(content) > MOST_BYTES:
        raise UnreadableImageError(f"larger than {MOST_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about palettes and limits, both handled here
            with PIL.Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UnreadableImageError(f"{image.width}×{image.height} pixels are beyond the limit")
                if least_size is not None and image.format == "JPEG":
                    image.draft(None, (least_size, least_size))
                return _to_rgb(image)
    except UnreadableImageError:
        raise
    except PIL.UnidentifiedImageError:
        raise UnreadableImageError("no picture of a known format" if content else "empty file") from None
    except Exception as error:  # decoders raise whatever they like on broken files
        raise UnreadableImageError(f"cannot be decoded ({error})") from error


def resize(pixels: np.ndarray, size: int, policy: str) -> np.ndarray:
    """Returns uint8 `[size, size, 3]`, antialiased (triangle filter).

    Args:
        pixels: uint8 `[height, width, 3]`.
        size: in pixels.
        policy: "squash" both sides to `size`, or "crop" the centre after scaling the shorter side.
    """
    image = PIL.Image.fromarray(pixels)
    box = None
    if policy == "crop":
        short = min(image.size)
        left, top = (image.width - short) / 2, (image.height - short) / 2
        box = (left, top, left + short, top + short)
    return np.asarray(image.resize((size, size), PIL.Image.Resampling.BILINEAR, box=box))


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
