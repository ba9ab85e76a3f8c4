"""A second look at every picture, for `tfxfer data check`: how bright it is, and what it resembles.

It decodes each picture once more at a reduced scale, which training does not wait for.
"""

import dataclasses
from collections.abc import Container

import numpy as np

from tfxfer.data import images, near_duplicates, pictures
from tfxfer.framing import Framing


@dataclasses.dataclass(frozen=True)
class Looks:
    """What the look found; zeros for unreadable pictures.

    Attributes:
        highest: uint8 `[pictures]`, the highest level of 32×32 pixels.
        contrasts: uint8 `[pictures]`, the largest difference of levels in a channel of these.
        pairs: int64 `[pairs, 2]`, which pictures are nearly the same, each pair ascending.
        compared_all: whether every picture was compared; False in sets that look all alike.
    """

    highest: np.ndarray
    contrasts: np.ndarray
    pairs: np.ndarray
    compared_all: bool


def look(shown: pictures.Pictures, unreadable: Container[int]) -> Looks:
    """Decodes every readable picture small, in parallel, and compares them."""
    count, side = len(shown), near_duplicates.SIDE
    highest, contrasts = np.zeros(count, np.uint8), np.zeros(count, np.uint8)
    hashes = np.zeros(count, np.uint64)
    levels = np.zeros((count, side // 2, side // 2), np.uint8)  # of one level: never like another

    def see(index: int) -> None:
        if index in unreadable:
            return
        try:
            pixels = shown.draw(index, side, Framing())
        except images.UnreadableImageError:  # it was readable a moment ago
            return
        grey = (pixels @ _LUMA).round().astype(np.uint8)
        highest[index], contrasts[index] = pixels.max(), np.ptp(pixels, axis=(0, 1)).max()
        hashes[index], levels[index] = near_duplicates.fingerprint(grey)

    for _ in pictures.in_parallel(see, count, "comparing images"):
        pass
    pairs, compared_all = near_duplicates.pairs(hashes, levels)
    return Looks(highest, contrasts, pairs, compared_all)


# ITU-R BT.601, as Pillow and JPEG weigh colours.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
