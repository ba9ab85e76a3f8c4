"""What stands in the columns of labels of a table: a class, several labels with a separator, 0 and 1, or numbers.

A reader takes one row after the other and keeps each different text once, so that a million rows stay small; at the end
it gives targets as `tasks.Task` describes them.
"""

import array
import math
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tfxfer import recipes
from tfxfer.data.targets import LARGEST, NUMBER
from tfxfer.errors import DataError
from tfxfer.tasks import Kind

_SHOWN = 5
_YES, _NO = ("1", "1.0", "true"), ("0", "0.0", "false")


class Reader(Protocol):
    """Reads the labels of a table.

    Attributes:
        kind: of the task that the targets are for; ordinal classes are classes until they have an order.
        may_be_empty: whether an empty cell says something.
        what: to write into a cell, in words.
    """

    kind: Kind
    may_be_empty: bool
    what: str

    def problem(self, texts: Sequence[str]) -> str:
        """Returns what is wrong with the labels of a row, with its column, and what to write; empty for nothing."""

    def add(self, row: int, texts: Sequence[str]) -> None:
        """Takes the labels of a row."""

    def __len__(self) -> int:
        """How many rows it has taken."""

    def differ(self, one: int, other: int) -> bool:
        """Whether the labels of two rows, counted as they were taken, are different."""

    def told(self, at: int) -> str:
        """Returns the labels of a row, for messages."""

    def finished(self, path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns targets, and the names of classes, labels or targets.

        Raises:
            DataError: the labels of all rows together cannot be right.
        """


def reader_for(asked: recipes.Data, headings: tuple[str, ...], *, is_measured: bool = False) -> Reader:
    """Returns what reads the columns of labels of these headings for a task.

    Args:
        asked: the task, and how cells hold labels.
        headings: of the columns.
        is_measured: whether a network that knows its labels is measured on the rows, each of which may have one.
    """
    if asked.kind == "regression":
        return _Numbers(headings)
    if asked.kind == "multi_label":
        if asked.label_separator:
            return _Sets(headings, asked.label_separator, may_be_absent=is_measured)
        return _Flags(headings)
    return _Classes(headings, may_be_fractions=asked.kind == "ordinal")


class _Spelled:
    """Keeps each different text once, with the row that it stands in first."""

    kind: Kind = "single_label"
    may_be_empty = False
    what = "Write the class, or remove the row"

    def __init__(self, headings: tuple[str, ...]):
        self._headings = headings
        self._codes = array.array("i")
        self._spelled: dict[tuple[str, ...], int] = {}  # by which they were met first
        self._first_rows: list[int] = []

    def problem(self, texts: Sequence[str]) -> str:
        if tuple(texts) in self._spelled:
            return ""
        for heading, text in zip(self._headings, texts, strict=True):
            if len(text.splitlines()) > 1:  # a quote that is closed in another row, too; labels.txt has a line for each
                return f"column {heading}: {text[:100]!r} has several lines. Write the class in one"
        return ""

    def add(self, row: int, texts: Sequence[str]) -> None:
        code = self._spelled.setdefault(tuple(texts), len(self._spelled))
        if code == len(self._first_rows):
            self._first_rows.append(row)
        self._codes.append(code)

    def __len__(self) -> int:
        return len(self._codes)

    def differ(self, one: int, other: int) -> bool:
        return self._codes[one] != self._codes[other]

    def told(self, at: int) -> str:
        return ", ".join(map(repr, list(self._spelled)[self._codes[at]]))


class _Classes(_Spelled):
    """One class in each row."""

    def __init__(self, headings: tuple[str, ...], *, may_be_fractions: bool):
        super().__init__(headings)
        self._may_be_fractions = may_be_fractions

    def finished(self, path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
        spelled = [text for (text,) in self._spelled]
        if not self._may_be_fractions:
            _check_no_fractions(path, self._headings[0], spelled, self._first_rows)
        _check_twins(path, self._headings[0], spelled, self._first_rows)
        names = tuple(sorted(spelled))
        places = {name: place for place, name in enumerate(names)}
        in_order = np.array([places[name] for name in spelled], np.int32)
        return in_order[np.array(self._codes)], names


class _Sets(_Spelled):
    """Any number of labels in each row, with a separator; an empty cell is an image without any."""

    kind: Kind = "multi_label"
    may_be_empty = True
    what = "Write its labels"

    def __init__(self, headings: tuple[str, ...], separator: str, *, may_be_absent: bool = False):
        super().__init__(headings)
        self._separator, self._may_be_absent = separator, may_be_absent

    def _labels(self, text: str) -> list[str]:
        return [label for label in map(str.strip, text.split(self._separator)) if label]

    def finished(self, path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
        cells = [self._labels(text) for (text,) in self._spelled]
        first: dict[str, int] = {}
        for labels, row in zip(cells, self._first_rows, strict=True):
            for label in labels:
                first.setdefault(label, row)
        if not first:
            raise DataError(f"{path}, column {self._headings[0]}: no row has a label. Write them, such as cat|dog.")
        if not self._may_be_absent and not any(self._separator in text for (text,) in self._spelled):
            raise DataError(
                f"{path}, column {self._headings[0]}: label_separator={self._separator!r} is in none of the cells, "
                f"such as {next(text for (text,) in self._spelled if text)!r}. Write what separates their labels, or, "
                "if each image has one, leave label_separator out."
            )
        _check_twins(path, self._headings[0], list(first), list(first.values()))
        names = tuple(sorted(first))
        places = {name: place for place, name in enumerate(names)}
        matrix = np.zeros((len(cells), len(names)), np.uint8)
        for at, labels in enumerate(cells):
            matrix[at, [places[label] for label in labels]] = 1
        return matrix[np.array(self._codes)], names


class _Flags(_Spelled):
    """A column of 0 and 1 for each label."""

    kind: Kind = "multi_label"
    what = "Write 0 or 1"

    def problem(self, texts: Sequence[str]) -> str:
        for heading, text in zip(self._headings, texts, strict=True):
            if text.lower() not in (*_YES, *_NO):
                return f"column {heading}: {text[:100]!r} is neither 0 nor 1. Write one of them"
        return ""

    def finished(self, path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
        _check_twins(path, "of labels", list(self._headings), [1] * len(self._headings))
        matrix = np.array([[text.lower() in _YES for text in texts] for texts in self._spelled], np.uint8)
        return matrix[np.array(self._codes)], self._headings


class _Numbers:
    """A number in each column."""

    kind: Kind = "regression"
    may_be_empty = False
    what = "Write a number, or remove the row"

    def __init__(self, headings: tuple[str, ...]):
        self._headings = headings
        self._values = array.array("f")

    def problem(self, texts: Sequence[str]) -> str:
        for heading, text in zip(self._headings, texts, strict=True):
            if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
                return f"column {heading}: {text} is no finite number. Write one, or remove the row"
            if not NUMBER.fullmatch(text):
                comma = " with a point" if NUMBER.fullmatch(text.replace(",", ".", 1)) else ""
                return (
                    f"column {heading}: {text[:100]!r} is no number. Write one{comma}, such as 3.5, or remove the row"
                )
            if abs(float(text)) > LARGEST:
                return f"column {heading}: {text[:100]} is beyond float32. Write it in another unit"
        return ""

    def add(self, row: int, texts: Sequence[str]) -> None:
        self._values.extend(map(float, texts))

    def __len__(self) -> int:
        return len(self._values) // len(self._headings)

    def _row(self, at: int) -> list[float]:
        width = len(self._headings)
        return self._values[at * width : (at + 1) * width].tolist()

    def differ(self, one: int, other: int) -> bool:
        return self._row(one) != self._row(other)

    def told(self, at: int) -> str:
        return ", ".join(f"{value:g}" for value in self._row(at))

    def finished(self, path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
        return np.array(self._values, np.float32).reshape(-1, len(self._headings)), self._headings


def _check_no_fractions(path: pathlib.Path, heading: str, spelled: Sequence[str], first_rows: Sequence[int]) -> None:
    """Refuses numbers that are no classes.

    Raises:
        DataError: names a number and its row.
    """
    if not all(map(NUMBER.fullmatch, spelled)):
        return
    fractions = [index for index, label in enumerate(spelled) if not math.isfinite(float(label)) or float(label) % 1]
    if fractions:
        at = fractions[0]
        raise DataError(
            f"{path}, row {first_rows[at]:,}, column {heading}: the labels are numbers such as {spelled[at]}, "
            "expected classes: names or whole numbers. Name the column of the classes, --label_column=…, or write "
            f"a word into them, such as v{spelled[at]}. To learn the numbers themselves, write --task=regression."
        )


def _check_twins(path: pathlib.Path, heading: str, spelled: Sequence[str], first_rows: Sequence[int]) -> None:
    """Refuses spellings of one class that would be two.

    Args:
        path: of the table.
        heading: of the labels.
        spelled: the different labels.
        first_rows: where each stands first.

    Raises:
        DataError: names labels and rows.
    """
    alike: dict[str, list[int]] = {}
    for index, label in enumerate(spelled):
        alike.setdefault(_without_case_and_blanks(label), []).append(index)
    twins = [indices for indices in alike.values() if len(indices) > 1]
    if twins:
        shown = "; ".join(
            " and ".join(f"{_told(spelled[index])} (row {first_rows[index]:,})" for index in indices)
            for indices in twins[:_SHOWN]
        )
        rest = f"; and {len(twins) - _SHOWN:,} more" if len(twins) > _SHOWN else ""
        raise DataError(
            f"{path}, column {heading}: labels differ by case or blanks only, and would be classes of their own: "
            f"{shown}{rest}. Spell each class in one way; if they are two, give them names that differ by more."
        )


def _without_case_and_blanks(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).split()).casefold()


def _told(label: str) -> str:
    """Returns a label so that its spelling can be seen: é may be one letter or two."""
    return repr(label) if unicodedata.is_normalized("NFC", label) else ascii(label)
