"""The sources `csv:` and `parquet:`: a table with a row for each image, which names the image and its class.

It may name a split, a group and a weight too. Rows that cannot be used are refused here, all of them at once; a picture
that is not there is found where pictures are looked at, like one that cannot be decoded.
"""

import array
import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from tfxfer import recipes
from tfxfer.data import images, label_cells, parquet, splits, tables
from tfxfer.data.found import Found
from tfxfer.data.groups import Groups
from tfxfer.data.pictures import Encoded
from tfxfer.data.targets import NUMBER
from tfxfer.errors import DataError, suggest

LABEL_HEADINGS = ("label", "class", "class_name", "category")
SPLIT_HEADINGS = ("split",)
GROUP_HEADINGS = ("group",)
WEIGHT_HEADINGS = ("weight",)
_SURROGATE = re.compile("[\ud800-\udfff]")
# What a row says: the image (None where it lies in the file itself), the labels, the split, the group, the weight.
_Cells = tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class Listed(Encoded):
    """Pictures in files that a table names.

    Attributes:
        folder: of the table; names are relative to it.
        names: of the files, as the table gives them.
        rows: int32 `[pictures]`, in which row each stands.
    """

    folder: str
    names: Sequence[str]
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Returns what the table calls the file, and in which row."""
        return f"{self.names[index]}, row {self.rows[index]}"

    def file_name(self, index: int) -> str:
        """Returns the name of the file."""
        return os.path.basename(self.names[index])

    def content(self, index: int) -> bytes:
        """Returns the bytes of the file."""
        return images.read(os.path.join(self.folder, self.names[index]))


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Where the columns stand; None for one that is not there."""

    image: int
    labels: tuple[int, ...]
    split: int | None
    group: int | None
    weight: int | None

    @property
    def places(self) -> list[int | None]:
        return [self.image, *self.labels, self.split, self.group, self.weight]


@dataclasses.dataclass(frozen=True)
class _Named:
    """The columns' headings, for messages."""

    image: str
    labels: tuple[str, ...]
    split: str
    group: str
    weight: str


def check_columns(kind: str, file: str, asked: recipes.Data) -> None:
    """Refuses a table that is not there, or has not the columns; only its headings are read.

    Args:
        kind: "csv" or "parquet".
        file: path of it.
        asked: the headings of its columns.

    Raises:
        DataError: as `find_csv` and `find_parquet` do.
    """
    path = pathlib.Path(file).expanduser()
    if kind == "parquet":
        _choose(path, parquet.File(path).headings, asked)
        return
    with tables.open_csv(path) as table:
        _choose(path, table.headings, asked)


def find_csv(file: str, asked: recipes.Data, *, is_measured: bool = False) -> Found:
    """Returns the pictures that a CSV file names, one a row, paths being relative to its folder.

    Args:
        file: path of it.
        asked: the headings of its columns, where they are others than those that are known.
        is_measured: as in `label_cells.reader_for`.

    Raises:
        DataError: no CSV, a column that is not there, or rows that cannot be used.
    """
    path = pathlib.Path(file).expanduser()
    with tables.open_csv(path) as table:
        columns = _choose(path, table.headings, asked)
        problems = tables.Problems()
        rows, named = _of_csv(table, columns.places, problems), _named(table.headings, columns)
        reader = label_cells.reader_for(asked, named.labels, is_measured=is_measured)
        return _found(f"csv:{file}", path, named, reader, rows, problems)


def find_parquet(file: str, asked: recipes.Data, *, is_measured: bool = False) -> Found:
    """Returns the pictures that a Parquet file names or holds, one a row.

    Args:
        file: path of it.
        asked: the headings of its columns, where they are others than those that are known.
        is_measured: as in `label_cells.reader_for`.

    Raises:
        DataError: no Parquet, a column that is not there or holds something else, or rows that cannot be used.
    """
    path = pathlib.Path(file).expanduser()
    opened = parquet.File(path)
    columns = _choose(path, opened.headings, asked)
    inside, notes = None, ()
    if opened.holds_bytes(columns.image):
        if opened.is_coarse(columns.image):
            inside = opened.copied(columns.image)
            notes = ("the file keeps too many images together to read one alone: they were copied for this run",)
        else:
            inside = opened.pictures(columns.image)
    wanted = [columns.image if inside is None else None, *columns.places[1:]]
    rows, named = _of_parquet(opened, wanted), _named(opened.headings, columns)
    reader = label_cells.reader_for(asked, named.labels, is_measured=is_measured)
    found = _found(f"parquet:{file}", path, named, reader, rows, tables.Problems())
    if inside is None:
        return found
    if len(inside) != len(found.labels):
        raise DataError(f"{path} has {len(found.labels):,} labels and {len(inside):,} images: it is damaged.")
    return dataclasses.replace(found, pictures=inside, notes=notes)


def _of_csv(
    table: tables.Table, places: Sequence[int | None], problems: tables.Problems
) -> Iterator[tuple[int, _Cells]]:
    width = len(table.headings)
    for number, row in table.rows:
        if len(row) != width:
            problems.add(number, f"{len(row)} cells, and the table has {width} columns. Put quotes around a comma")
        else:
            yield number, tuple(None if place is None else row[place].strip() for place in places)


def _of_parquet(opened: parquet.File, places: Sequence[int | None]) -> Iterator[tuple[int, _Cells]]:
    there = [place for place in places if place is not None]
    at = [None if place is None else there.index(place) for place in places]
    for number, row in opened.texts(there):
        yield number, tuple(None if place is None else row[place].strip() for place in at)


def _choose(path: pathlib.Path, headings: Sequence[str], asked: recipes.Data) -> _Columns:
    """Returns where the columns stand.

    Raises:
        DataError: one is not there, or several can be meant; all problems at once.
    """
    problems: list[str] = []

    def needed(wanted: str, known: Sequence[str], what: str, option: str) -> int:
        try:
            found = tables.places(path, headings, wanted or None, known)
        except DataError as error:
            problems.append(str(error))
            return -1
        if not found:
            tables.check_first_line(path, headings)
            *others, last = known
            near = next((heading for heading in headings if suggest(heading, known)), headings[0])
            problems.append(
                f"{path} has the columns {tables.listed(headings)}, none of them called {', '.join(others)} or {last}. "
                f"Say which holds the {what}: --{option}={near}."
            )
        # Of paths the first is taken, as `predict` does: a wrong one has no files. A wrong label would be learned.
        if len(found) > 1 and what == "labels":
            problems.append(
                f"{path} has the columns {tables.listed([headings[place] for place in found])}, and each may hold the "
                f"labels. Say which: --{option}={headings[found[0]]}."
            )
        return found[0] if found else -1

    def optional(wanted: str | None, known: Sequence[str]) -> int | None:
        if wanted is None:
            return None
        try:
            found = tables.places(path, headings, wanted or None, known)
        except DataError as error:
            problems.append(str(error))
            return None
        return found[0] if found else None

    columns = _Columns(
        needed(asked.image_column, tables.IMAGE_HEADINGS, "paths", "image_column"),
        tuple(needed(name, LABEL_HEADINGS, "labels", "label_column") for name in asked.label_columns or ("",)),
        optional(asked.split_column, SPLIT_HEADINGS),
        None if asked.group_by else optional(asked.group_column, GROUP_HEADINGS),
        optional(asked.weight_column, WEIGHT_HEADINGS),
    )
    if problems:
        raise DataError("\n".join(problems))
    return columns


def _named(headings: Sequence[str], columns: _Columns) -> _Named:
    image, *labels, split, group, weight = ("" if place is None else headings[place] for place in columns.places)
    return _Named(image, tuple(labels), split, group, weight)


def _found(
    source: str,
    path: pathlib.Path,
    named: _Named,
    reader: label_cells.Reader,
    rows: Iterable[tuple[int, _Cells]],
    problems: tables.Problems,
) -> Found:
    """Reads every row once.

    Raises:
        DataError: rows that cannot be used, none, or labels that are no classes.
    """
    numbers, codes, weights = (array.array(kind) for kind in "ibd")
    names: list[str] = []
    groups: list[str] = []
    same: dict[str, str] = {}  # one text for a group, not one for each of its rows
    folder = str(path.parent)
    for number, cells in rows:
        problem = _problem(folder, named, cells, reader)
        if problem:
            problems.add(number, problem)
            continue
        name, *labels, split, group, weight = cells
        numbers.append(number)
        reader.add(number, labels)
        if name is not None:
            names.append(name)
        if split is not None:
            codes.append(splits.BY_NAME[split.lower()])
        if group is not None:
            groups.append(same.setdefault(group, group))
        if weight is not None:
            weights.append(float(weight))
    _check_one_label(names, reader, numbers, problems)
    problems.refuse(path)
    if not len(reader):
        raise DataError(f"{path} names no images: it has headings and no rows.")
    labels, class_names = reader.finished(path)
    return Found(
        source,
        Listed(folder, names, np.array(numbers, np.int32)),
        labels,
        class_names,
        np.array(codes, np.int8) if named.split else None,
        Groups(groups, f"the column {named.group!r}") if named.group else None,
        np.array(weights) if named.weight else None,
        kind=reader.kind,
    )


def _problem(folder: str, named: _Named, cells: _Cells, reader: label_cells.Reader) -> str:
    """Returns what is wrong with a row, and what to write instead; empty where nothing is."""
    name, *labels, split, _, weight = cells
    headings = (named.image, *named.labels, named.split, named.group, named.weight)
    for heading, text in zip(headings, cells, strict=True):
        if text is None:
            continue
        if not text and not (reader.may_be_empty and heading in named.labels):
            return f"column {heading}: the cell is empty. {_what_to_write(heading, named, reader)}"
        if "\0" in text:
            shown = text.replace("\0", "�")
            return f"column {heading}: {shown!r} holds NUL (�), which no name can. Write the table again without it"
        if not text.isascii() and _SURROGATE.search(text):
            # Names of files may hold any bytes, so those of a file that is there are right.
            if text is name and os.path.exists(os.path.join(folder, text)):
                continue
            return (
                f"column {heading}: {text!r} is no UTF-8. Save the table as UTF-8: iconv -f WINDOWS-1252 -t UTF-8 "
                "old.csv > new.csv"
            )
    if problem := reader.problem(labels):
        return problem
    if split is not None and split.lower() not in splits.BY_NAME:
        near = suggest(split, splits.NAMES)
        return f"column {named.split}: {split!r} is no split.{near} Write train, validation or test"
    if weight is not None and not (NUMBER.fullmatch(weight) and 0 < float(weight) < math.inf):
        return (
            f"column {named.weight}: {weight[:100]!r} is no number above 0. Write 1 for an example that counts as much "
            "as others do, remove the row of one that is not to count, or leave all weights out: "
            "--config.data.weight_column=none"
        )
    return ""


def _what_to_write(heading: str, named: _Named, reader: label_cells.Reader) -> str:
    if heading in named.labels:
        return reader.what
    return {
        named.image: "Write the path of the image, or remove the row",
        named.split: "Write train, validation or test",
        named.weight: "Write 1 for an example that counts as much as others do",
    }.get(heading, "Write a name of its own for an image that stands alone")


def _check_one_label(
    names: Sequence[str], reader: label_cells.Reader, numbers: Sequence[int], problems: tables.Problems
) -> None:
    """Looks for files that are named twice with different labels: one that is learned as two classes is none."""
    hint = {
        "multi_label": "Write all labels of an image into one row",
        "regression": "Keep one row for each image, such as one with their mean",
    }.get(reader.kind, "An image has one class: remove one of the rows")
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        other = first.setdefault(name, index)
        if reader.differ(other, index):
            here, there = reader.told(index), reader.told(other)
            problems.add(numbers[index], f"{name} is {here} here and {there} in row {numbers[other]:,}. {hint}")
