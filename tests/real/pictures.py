"""The labelled photographs as ImageNet networks are evaluated on them."""

import numpy as np
import PIL.Image

from tfxfer.data import images

# Of the shorter side, the part that is left in the middle.
_CROP = 0.875


def batch(assets, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns uint8 `[24, size, size, 3]` and int labels `[24]`; `assets` is the module tools/fetch_assets.py."""
    pictures = assets.imagenet_pictures()
    pixels = np.stack([centre(images.decode(path.read_bytes()), size) for path, _ in pictures])
    return pixels, np.array([label for _, label in pictures])


def centre(pixels: np.ndarray, size: int) -> np.ndarray:
    """Returns the centre that holds 0.875 of the shorter side, brought to `size` pixels, bicubic."""
    image = PIL.Image.fromarray(pixels)
    scale = size / _CROP / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), PIL.Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))
