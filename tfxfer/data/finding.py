"""Finds the pictures that a command line asks for: files, folders, globs, manifests and standard input.

Nothing is decoded here. What cannot be meant is an error before anything is loaded; a single picture that is not
there belongs to its row, like one that cannot be decoded.
"""

import dataclasses
import itertools
import os
import pathlib
import select
import sys
from collections.abc import Iterable, Iterator, Sequence

from tfxfer.data import folder, tables
from tfxfer.errors import ConfigError, DataError

STANDARD_INPUT = "-"
_MANIFESTS = frozenset((".csv", ".tsv"))
_MAGIC = frozenset("*?[")
# Of standard input, in bytes: far beyond any path (4,096 on Linux), and no memory to speak of.
_LONGEST_LINE = 65_536
_SHOWN = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """One picture that was asked for.

    Attributes:
        name: what tables and messages call it: its path as it was given.
        path: of its file; None where what was given cannot be a path.
        origin: the row and column that named it; empty where it was named directly.
        problem: why there is no path; else empty.
    """

    name: str
    path: str | None
    origin: str = ""
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Listing:
    """The pictures that were asked for, to be gone through once.

    Attributes:
        pictures: in order; None where standard input has nothing to read for the moment.
        count: how many there are; None where only the end of standard input will tell.
        is_gathered: whether a folder, a glob or a manifest stood for some of them.
    """

    pictures: Iterable[Picture | None]
    count: int | None
    is_gathered: bool


def find(words: Sequence[str], *, column: str | None = None) -> Listing:
    """Returns the pictures that these words name, in their order.

    A folder stands for every picture below it, a word with `*`, `?` or `[` that is no file for what matches it
    (`**` for folders at any depth), a `.csv` or `.tsv` for the paths in one of its columns, relative to its folder,
    and `-` for the lines of standard input, which is read as pictures are taken. No link to a folder is followed
    below a folder or by `**`, hidden files and notes (`folder.is_meant`) are passed over there.

    Args:
        words: as typed.
        column: of manifests, the heading of the paths; None: the first called image, path, file or filename, or the
            only one.

    Raises:
        DataError: a word that names nothing, a manifest without such a column or that is none; all of them at once.
        ConfigError: `column` where there is no manifest.
    """
    if column is not None and not any(_is_manifest(word) for word in words):
        raise ConfigError(f"--column={column} is of manifests, and none was given. Write it with a .csv file.")
    found: list[list[Picture] | None] = []  # None: standard input
    problems = []
    for word in words:
        try:
            found.append(None if word == STANDARD_INPUT else _named(word, column))
        except DataError as error:
            problems.append(str(error))
    if problems:
        rest = [f"and {len(problems) - _SHOWN:,} more."] if len(problems) > _SHOWN else []
        raise DataError("\n".join(problems[:_SHOWN] + rest))
    is_gathered = any(
        pictures is not None and [picture.path for picture in pictures] != [word]
        for word, pictures in zip(words, found, strict=True)
    )
    if None in found:
        # Read once, at its first mention: at the next it is at its end.
        each = (standard_input() if pictures is None else pictures for pictures in found)
        return Listing(itertools.chain.from_iterable(each), None, is_gathered)
    pictures = [picture for pictures in found for picture in pictures]
    return Listing(pictures, len(pictures), is_gathered)


def standard_input() -> Iterator[Picture | None]:
    """Yields a picture for each line of standard input as it comes, and None whenever there is none to read yet.

    Empty lines are passed over, and a carriage return at the end of a line.

    Raises:
        DataError: there is no standard input, or a line cannot be a path for its length.
    """
    if sys.stdin is None:
        raise DataError("there is no standard input. Give it paths, one a line: ls *.jpg | tfxfer predict … -")
    handle, begun = sys.stdin.fileno(), b""
    while True:
        # Asked beforehand, since whoever sends paths may wait for the answers to those sent before.
        if not select.select([handle], [], [], 0)[0]:
            yield None
            continue
        piece = os.read(handle, _LONGEST_LINE)
        *lines, begun = (begun + piece).split(b"\n")
        if not piece and begun:
            lines, begun = [begun], b""
        for line in lines:
            name = os.fsdecode(line.removesuffix(b"\r"))
            if name:
                yield _picture(name, name)
        if not piece:
            return
        if len(begun) > _LONGEST_LINE:
            raise DataError(f"a line of standard input has more than {_LONGEST_LINE:,} bytes, which is no path.")


def _named(word: str, column: str | None) -> list[Picture]:
    if not word:
        raise DataError("an empty word names no image. Write . for the folder you are in.")
    path = pathlib.Path(word)
    if _exists(path):
        if path.is_dir():
            inside = folder.files_in(path)
            if not inside:
                raise DataError(f"the folder {word} has no images.")
            return [_picture(str(file), str(file)) for file in inside]
        return _manifest(path, column) if _is_manifest(word) else [_picture(word, word)]
    if not _MAGIC & set(word):
        raise DataError(f"{word} does not exist.")
    matches = _matches(word)
    if not matches:
        raise DataError(f"{word} matches no image. Folders at any depth are **: 'photos/**/*.jpg', in quotes.")
    return [_picture(match, match) for match in matches]


def _exists(path: pathlib.Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be looked at ({getattr(error, 'strerror', None) or error}).") from error


def _is_manifest(word: str) -> bool:
    return pathlib.Path(word).suffix.lower() in _MANIFESTS and not os.path.isdir(word)


def _picture(name: str, path: str, origin: str = "") -> Picture:
    if "\0" in path:
        # Programs that read tables stumble over it.
        return Picture(name.replace("\0", "�"), None, origin, "a path cannot hold NUL")
    return Picture(name, path, origin)


def _matches(word: str) -> list[str]:
    """Returns the files that a glob matches, sorted; unlike `glob.glob`, follows no link to a folder at `**`."""
    parts = pathlib.Path(word).parts  # a shell has put the home folder in the place of ~, or it was in quotes
    fixed = list(itertools.takewhile(lambda part: not _MAGIC & set(part), parts))
    pattern = list(parts[len(fixed) :])
    if pattern[-1] == "**":  # matches folders alone
        pattern.append("*")
    root = pathlib.Path(*fixed)
    wants_hidden = any(part.startswith(".") for part in pattern)
    try:
        found = [
            match
            for match in root.glob("/".join(pattern))
            if match.is_file()
            and folder.is_meant(match.name.lstrip("."))
            and (wants_hidden or not any(part.startswith(".") for part in match.relative_to(root).parts))
        ]
    except (ValueError, OSError) as error:
        raise DataError(f"{word} is no pattern ({error}). Write it like 'photos/**/*.jpg'.") from error
    return sorted({str(match) for match in found})


def _manifest(path: pathlib.Path, column: str | None) -> list[Picture]:
    """Returns the pictures that a table names, one a row.

    Raises:
        DataError: no table, one without the column, or without rows.
    """
    with tables.open_csv(path) as table:
        place = _place(path, table.headings, column)
        pictures = [_cell(path, number, table.headings, place, row) for number, row in table.rows]
    if not pictures:
        raise DataError(f"{path} names no images: it has headings and no rows.")
    return pictures


def _place(path: pathlib.Path, headings: Sequence[str], column: str | None) -> int:
    """Returns the position of the column with the paths."""
    places = tables.places(path, headings, column, tables.IMAGE_HEADINGS)
    if places:
        return places[0]
    tables.check_first_line(path, headings)
    if len(headings) > 1:
        *names, last = tables.IMAGE_HEADINGS
        raise DataError(
            f"{path} has the columns {tables.listed(headings)}, none of them called {', '.join(names)} or {last}. Say "
            f"which holds the paths: --column={headings[0]}."
        )
    return 0


def _cell(path: pathlib.Path, number: int, headings: Sequence[str], place: int, row: list[str]) -> Picture:
    origin = f"{path.name}, row {number}, column {headings[place]}"
    if len(row) != len(headings):
        # A path with a delimiter in it, without quotes, would name another file.
        problem = f"the row has {len(row)} cells, and the table {len(headings)} columns"
        return Picture(row[place] if place < len(row) else "", None, origin, problem)
    name = row[place].strip()
    if not name:
        return Picture("", None, origin, "the cell is empty")
    return _picture(name, os.path.join(path.parent, name), origin)
