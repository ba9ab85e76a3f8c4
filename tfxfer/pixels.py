"""Finds pixels on another scale than 0..255, on the host, before a network sees them."""

from typing import Any

import numpy as np

from tfxfer.errors import DataError


def check_pixel_scale(images: Any, sample: int = 256) -> None:
    """Refuses float pixels that are not on 0..255.

    Args:
        images: arrays of pixels, float or integer; a sample of up to `sample` of them is looked at.

    Raises:
        DataError: pixels in [0, 1], below 0 or above 255; the message says what to type.
    """
    step = max(1, len(images) // sample)
    looked_at = [np.asarray(image) for image in images[::step]]
    odd = next((array for array in looked_at if array.dtype.kind not in "buif" or array.size == 0), None)
    if odd is not None:
        given = f"has shape {odd.shape}" if odd.dtype.kind in "buif" else f"is {odd!s:.60}"
        raise DataError(
            f"an image {given}, expected pixels, numbers of shape [height, width, 3]. For files write "
            "Recipe(data='folder:<dir>')."
        )
    # NumPy's, because Python's min() loses a NaN that does not come first.
    least, most = float(np.min([a.min() for a in looked_at])), float(np.max([a.max() for a in looked_at]))
    if not np.isfinite([least, most]).all():
        raise DataError("some pixels are not finite numbers.")
    if least < 0 or most > 255:
        raise DataError(
            f"pixels lie between {least:g} and {most:g}, expected 0 to 255: they look normalised. Hand over the "
            "images as they were decoded; the model normalises them itself."
        )
    if most <= 1.0 and np.issubdtype(looked_at[0].dtype, np.floating):
        raise DataError(
            f"pixels lie between {least:g} and {most:g}, expected 0 to 255: they look like fractions. Multiply "
            "by 255: images = (images * 255).astype('uint8')."
        )
