"""How a picture of any shape becomes the square that a network sees: what happens to its sides, and what lies below.

The same in training, evaluation, prediction and the graph of a served network; `data/images.py` and
`export/encoded.py` do it.
"""

import dataclasses
import re
from typing import Literal

from tfxfer import values

Resize = Literal["squash", "crop", "pad"]
_NAMED = {"white": (255, 255, 255), "black": (0, 0, 0)}
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Framing:
    """How pictures become squares of pixels.

    Attributes:
        resize: "squash" to the square; "crop" its centre after scaling the shorter side; or "pad": the whole picture
            after scaling the longer side, in the middle of the background.
        background: what shows through transparent pixels, and around a padded picture: "white", "black" or "#rrggbb".
    """

    resize: Resize = "squash"
    background: str = "white"

    def __post_init__(self):
        """Refuses what is no policy or no colour."""
        values.refuse(self, values.check_fields(self) or colour_problems(self.background))

    @property
    def colour(self) -> tuple[int, int, int]:
        """Of the background: red, green and blue, 0 to 255."""
        if self.background in _NAMED:
            return _NAMED[self.background]
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue

    def least(self, width: int, height: int, size: int) -> tuple[int, int]:
        """Returns how many pixels across and down a picture must keep if it is decoded smaller, for a square of `size`.

        So many on its shorter side; where it is padded, on its longer one, and at least one on the other.
        """
        if self.resize != "pad":
            return size, size
        return (size, 1) if width >= height else (1, size)

    def placed(self, width: int, height: int, size: int) -> "Placement":
        """Returns where a picture of `width` by `height` pixels lands in a square of `size`; all ≥ 1."""
        if self.resize == "pad":
            longer = max(width, height)
            # The nearest whole number, in whole numbers: the graph of a served network must come to the same.
            columns, rows = (max(1, (2 * side * size + longer) // (2 * longer)) for side in (width, height))
            return Placement(0.0, 0.0, width, height, columns, rows, (size - columns) // 2, (size - rows) // 2)
        if self.resize == "crop":
            short = min(width, height)
            return Placement((width - short) / 2, (height - short) / 2, short, short, size, size, 0, 0)
        return Placement(0.0, 0.0, width, height, size, size, 0, 0)

    def __str__(self) -> str:
        if self.resize != "pad" and self.background == Framing.background:
            return self.resize
        return f"{self.resize}, on {self.background}"


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Which part of a picture is scaled to what, and where that lands.

    Attributes:
        left: where the part begins, in pixels of the picture; `top` likewise.
        top: see there.
        width: of the part, in pixels of the picture; `height` likewise.
        height: see there.
        columns: of the square that it takes; `rows` likewise.
        rows: see there.
        column: the first of those; `row` likewise.
        row: see there.
    """

    left: float
    top: float
    width: int
    height: int
    columns: int
    rows: int
    column: int
    row: int


def colour_problems(background: str) -> list[str]:
    """Returns a sentence where `background` is no colour."""
    if background in _NAMED or _HEX.fullmatch(background):
        return []
    return [f"background={background!r} is no colour; write {', '.join(_NAMED)} or #rrggbb, such as #808080 for grey"]
