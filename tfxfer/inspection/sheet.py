"""A contact sheet of pairs of pictures, as a PNG: one looks at them to know whether they are the same."""

import io
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw

from tfxfer.data import images
from tfxfer.data.pictures import Pictures
from tfxfer.framing import Framing
from tfxfer.inspection.inspected import Place

_SIDE, _GAP, _HEAD, _IN_A_ROW = 96, 8, 14, 4


def pairs_sheet(pictures: Pictures, pairs: Sequence[tuple[Place, Place]]) -> bytes:
    """Returns a PNG with the pictures of each pair side by side under its number, from 1; four pairs in a row."""
    width, height = 2 * _SIDE + _GAP, _HEAD + _SIDE + _GAP
    rows, columns = -(-len(pairs) // _IN_A_ROW), min(len(pairs), _IN_A_ROW)
    sheet = PIL.Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * height + _GAP), "white")
    pen = PIL.ImageDraw.Draw(sheet)
    for number, pair in enumerate(pairs):
        left = _GAP + number % _IN_A_ROW * (width + _GAP)
        top = _GAP + number // _IN_A_ROW * height
        pen.text((left, top - 2), str(number + 1), fill="black")
        for side, place in enumerate(pair):
            tile = PIL.Image.fromarray(_tile(pictures, place.index))
            sheet.paste(tile, (left + side * (_SIDE + 1), top + _HEAD - 2))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def _tile(pictures: Pictures, index: int) -> np.ndarray:
    try:
        return pictures.draw(index, _SIDE, Framing())
    except images.UnreadableImageError:  # it was readable when it was compared
        return np.full((_SIDE, _SIDE, 3), 224, np.uint8)
