"""What was found out about a set of pictures. Values only."""

import dataclasses

from tfxfer.facts import BadImage
from tfxfer.tasks import Kind


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassCounts:
    """One class: its pictures in all that can be read, and in each split; the splits are 0 where nobody knows them."""

    name: str
    images: int
    train: int
    validation: int
    test: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Together:
    """Two labels: on how many pictures both are, and `of` how many each is."""

    one: str
    other: str
    images: int
    of: tuple[int, int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelFacts:
    """Labels of which a picture may have several.

    Attributes:
        unlabelled: pictures that have none.
        most: of one picture; `mean` of all.
        mean: see there.
        together: pairs that stand together, the most frequent ones first, at most ten.
        same: pairs of which neither is ever without the other.
    """

    unlabelled: int = 0
    most: int = 0
    mean: float = 0.0
    together: tuple[Together, ...] = ()
    same: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetFacts:
    """One number that is told of pictures, in the user's units.

    Attributes:
        name: of it.
        quartiles: least, a quarter, half and three quarters of them up to here, largest.
        mean: of all; `deviation` the standard deviation.
        deviation: see there.
        split_means: of train, validation and test; None where one has nothing, or nobody knows it.
        far: how many lie beyond three times the distance of the quartiles from them; `first_far` the farthest, with
            their pictures.
        first_far: see there.
        commonest: the most frequent number, and how often it is there.
    """

    name: str
    quartiles: tuple[float, float, float, float, float]
    mean: float
    deviation: float
    split_means: tuple[float | None, ...] = (None, None, None)
    far: int = 0
    first_far: tuple[str, ...] = ()
    commonest: tuple[float, int] = (0.0, 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """One picture: its name, its class (or labels, or numbers), and its split, "" where nobody knows it.

    `index` is its position.
    """

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
    """Pairs of pictures that are alike: in two splits, else in two classes (or with other labels), else neither."""

    across_splits: Pairs = Pairs()
    across_classes: Pairs = Pairs()
    within: Pairs = Pairs()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inspected:
    """A set of pictures.

    Attributes:
        source: as the recipe names it.
        images: how many there are, with those that cannot be read.
        classes: in the order of the logits; of labels each, of which a picture may count in several; none of numbers.
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
        kind: of the task.
        split_sizes: pictures in train, validation and test; None where the classes tell.
        labels: for multi_label, how they stand together.
        targets: for regression, each number.
        same_targets: pairs of them that tell each other, with their correlation.
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
    kind: Kind = "single_label"
    split_sizes: tuple[int, int, int] | None = None
    labels: LabelFacts | None = None
    targets: tuple[TargetFacts, ...] = ()
    same_targets: tuple[tuple[str, str, float], ...] = ()

    @property
    def in_splits(self) -> tuple[int, int, int]:
        """How many pictures are in train, validation and test."""
        if self.split_sizes is not None:
            return self.split_sizes
        return tuple(sum(getattr(one, split) for one in self.classes) for split in ("train", "validation", "test"))
