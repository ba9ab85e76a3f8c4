"""What was found out about a set of pictures. Values only."""

import dataclasses

from tfxfer.facts import BadImage


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """One class: its pictures in all that can be read, and in each split; the splits are 0 where nobody knows them."""

    name: str
    images: int
    train: int
    validation: int
    test: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """One picture: its name, its class, and its split, "" where nobody knows it; `index` is its position."""

    index: int
    name: str
    class_name: str
    split: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pictures that are alike: how many pairs there are, and the first of them."""

    count: int = 0
    first: tuple[tuple[Place, Place], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Alike:
    """Pairs of pictures that are alike: in two splits, else in two classes, else neither."""

    across_splits: Pairs = Pairs()
    across_classes: Pairs = Pairs()
    within: Pairs = Pairs()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspected:
    """A set of pictures.

    Attributes:
        source: as the recipe names it.
        images: how many there are, with those that cannot be read.
        classes: in the order of the logits.
        split: how the splits came about, in words; "" where training would refuse to make them.
        refused: why training would refuse the set even if it left unreadable pictures and copies out; "" where not.
        heights: least, median and largest of the readable pictures, in pixels; `widths` likewise.
        widths: see there.
        smallest: pictures with a side below 32 pixels, the first of them, with their size; `small` is their number.
        small: see there.
        modes: what the pixels are, as Pillow calls it, and of how many pictures, the most common first.
        unreadable: pictures that cannot be read.
        copies: exact ones.
        near: pictures that are nearly the same.
        compared_all: whether all were compared for that.
        dark: number of pictures without any level above 15, of 255; the first of them are `first_dark`.
        first_dark: see there.
        blank: number of other pictures of one colour all over; the first of them are `first_blank`.
        first_blank: see there.
        notes: what else the source says.
    """

    source: str
    images: int
    classes: tuple[ClassCounts, ...]
    split: str = ""
    refused: str = ""
    heights: tuple[int, int, int] = (0, 0, 0)
    widths: tuple[int, int, int] = (0, 0, 0)
    smallest: tuple[str, ...] = ()
    small: int = 0
    modes: tuple[tuple[str, int], ...] = ()
    unreadable: tuple[BadImage, ...] = ()
    copies: Alike = Alike()
    near: Alike = Alike()
    compared_all: bool = True
    dark: int = 0
    first_dark: tuple[str, ...] = ()
    blank: int = 0
    first_blank: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
