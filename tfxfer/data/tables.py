"""Tables of text in files: the rows of a CSV, which column is meant, and problems told all at once.

What the cells mean is left to who reads them: `finding` for prediction, `manifest` for training.
"""

import contextlib
import csv
import dataclasses
import io
import itertools
import pathlib
import stat
from collections.abc import Iterable, Iterator, Sequence

from tfxfer.data import images
from tfxfer.errors import DataError, suggest

IMAGE_HEADINGS = ("image", "path", "file", "filename")
_DELIMITERS = ",;\t"
# In characters. A cell has a limit of its own, that of the module csv: 131,072.
_LONGEST_LINE = 1 << 20
_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Table:
    """An open table, to be gone through once.

    Attributes:
        path: of its file.
        headings: of its columns, without blanks around them.
        rows: each with its number as spreadsheets count, the headings being row 1, and its cells; rows of blanks are
            passed over, and rows may have more or fewer cells than there are headings.
    """

    path: pathlib.Path
    headings: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]


@contextlib.contextmanager
def open_csv(path: pathlib.Path) -> Iterator[Table]:
    """Opens a CSV file: UTF-8 with or without a mark, separated by comma, semicolon or tab, as its first line tells.

    Bytes that are no UTF-8 become surrogates (`os.fsdecode`), since names of files may hold any. A file is read as rows
    are taken, and never more of a line than its limit.

    Raises:
        DataError: no such file, no headings, or, while rows are taken, what is no CSV.
    """
    with _text_of(path) as stream:
        lines = _lines(path, stream)
        first = next(lines, "")
        if not first:
            raise DataError(f"{path} is empty. Its first line names the columns: image,label")
        delimiter = max(_DELIMITERS, key=first.count)  # the first of equals
        rows = _rows(path, csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True))
        headings = tuple(heading.strip() for heading in next(rows))
        if not any(headings):
            raise DataError(f"{path} begins with an empty line. Its first line names the columns: image,label")
        filled = ((number, row) for number, row in enumerate(rows, start=2) if any(map(str.strip, row)))
        yield Table(path, headings, filled)


def check_regular(path: pathlib.Path) -> None:
    """Refuses what is no file with contents: a pipe would be waited for, and a device read, for ever.

    Raises:
        DataError: says what it is instead.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a folder. Write folder:{path} for a folder that has one sub-folder for each class.")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path} is no regular file.")


def places(path: pathlib.Path, headings: Sequence[str], asked: str | None, known: Iterable[str]) -> list[int]:
    """Returns where the columns stand that can be meant, in their order; upper and lower case are alike.

    Args:
        path: of the table.
        headings: of its columns.
        asked: the heading that was asked for, of exactly one column; None: all whose headings are known.
        known: headings in lower case.

    Raises:
        DataError: there is no column of the name that was asked for, or there are several of one name.
    """
    wanted = set(known) if asked is None else {asked.strip().lower()}
    found = [place for place, heading in enumerate(headings) if heading.lower() in wanted]
    names = [headings[place].lower() for place in found]
    for place, name in zip(found, names, strict=True):
        if names.count(name) > 1:
            shown = headings[place] if asked is None else asked
            raise DataError(f"{path} has {names.count(name)} columns called {shown!r}. Rename all but one.")
    if asked is not None and not found:
        raise DataError(f"{path} has no column {asked!r}.{suggest(asked, headings)} Columns: {listed(headings)}.")
    return found


def check_first_line(path: pathlib.Path, headings: Sequence[str]) -> None:
    """Refuses a table that begins with an image where headings should be.

    Raises:
        DataError: says what to write there.
    """
    for heading in headings:
        if pathlib.Path(heading).suffix.lower() in images.SUFFIXES:
            raise DataError(
                f"the first line of {path} is an image, {heading!r}, where its heading should be. Write "
                f"{'image there' if len(headings) == 1 else 'a line image,label above it'}."
            )


def listed(headings: Sequence[str], most: int = 20) -> str:
    """Returns headings for a message."""
    rest = f" and {len(headings) - most:,} more" if len(headings) > most else ""
    return ", ".join(map(repr, headings[:most])) + rest


class Problems:
    """Rows, or records, that cannot be used: counts all of them, keeps the first ones."""

    def __init__(self, unit: str = "row"):
        self.unit, self.count = unit, 0
        self._texts: list[str] = []

    def add(self, row: int, text: str, *, where: str = "") -> None:
        """Takes what is wrong with a row, and what to write instead; `where` is the file, if there are several."""
        self.count += 1
        if self.count <= _SHOWN:
            self._texts.append(f"  {where}{self.unit} {row:,}: {text}")

    def refuse(self, path: pathlib.Path) -> None:
        """Raises one error for all of them.

        Raises:
            DataError: there are some.
        """
        if self.count:
            rest = [f"  and {self.count - _SHOWN:,} more"] if self.count > _SHOWN else []
            rows = f"a {self.unit}" if self.count == 1 else f"{self.count:,} {self.unit}s"
            raise DataError("\n".join([f"{path} has {rows} that cannot be used:", *self._texts, *rest]))


@contextlib.contextmanager
def _text_of(path: pathlib.Path) -> Iterator[io.TextIOWrapper]:
    check_regular(path)
    try:
        stream = open(path, "rb")  # noqa: SIM115 – closed by the wrapper below
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    # Names of files need not be UTF-8; surrogates carry their bytes through to the system and to our tables.
    with io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text:
        if stream.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(f"{path} is UTF-16. Save it as UTF-8: iconv -f UTF-16 -t UTF-8 {path} > utf8.csv")
        yield text


def _lines(path: pathlib.Path, stream: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    try:
        while line := stream.readline(_LONGEST_LINE + 1):
            number += 1
            if len(line) > _LONGEST_LINE:
                raise DataError(
                    f"{path}, line {number:,} has more than {_LONGEST_LINE:,} characters, which is no row of a table. "
                    "Write a line for each image."
                )
            yield line
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


def _rows(path: pathlib.Path, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        where = f"{path}, line {reader.line_num:,}"
        if "field limit" in str(error):
            raise DataError(
                f"{where}: a cell has more than {csv.field_size_limit():,} characters. Look for a quote that is opened "
                "and never closed."
            ) from error
        raise DataError(f"{where}: no CSV ({error}).") from error
