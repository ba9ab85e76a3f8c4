"""Writes files and folders so that what was there is never overwritten or left half-written."""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from tfxfer.errors import ConfigError, WorkdirError

Path = str | os.PathLike
# Begins the name of everything that is written beside its place.
_BESIDE = ".tfxfer-"


def check_writable(folder: Path) -> None:
    """Makes `folder` if need be, and a file in it for a moment.

    Raises:
        WorkdirError: it cannot be made or written.
    """
    with replacing(pathlib.Path(folder) / ".writable") as beside:
        beside.touch()
    (pathlib.Path(folder) / ".writable").unlink(missing_ok=True)  # of another process, perhaps, which does the same


def check_new(path: Path, *, overwrite: bool) -> None:
    """Refuses to write where there is something, unless it may be replaced.

    Raises:
        WorkdirError: there is something.
    """
    if pathlib.Path(path).exists() and not overwrite:
        raise WorkdirError(f"{path} exists and is not overwritten. Choose another --output, or write --overwrite.")


def write_text(path: Path, text: str) -> None:
    """Writes a file beside its place and renames it: a reader sees the old file or the new one."""
    path = pathlib.Path(path)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def check_page(path: Path, *, flag: str = "--html", overwrite: bool = False) -> None:
    """Refuses what is no name of an HTML file, or one that is there, before what is to be written there is made.

    Raises:
        ConfigError: it does not end in `.html`.
        WorkdirError: it exists.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{flag}={path} is no HTML file. Write {flag}=report.html.")
    if path.exists() and not overwrite:
        raise WorkdirError(f"{path} exists and is not overwritten. Write --overwrite, or choose another name.")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON types to a file, two spaces deep, beside its place and renamed."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Returns the JSON types in a file.

    Raises:
        WorkdirError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkdirError(f"{path} cannot be read ({error}).") from error


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[pathlib.Path]:
    """Gives a path beside `path` to write a file to; the block's end renames it to `path`.

    Args:
        path: of the file.
        overwrite: whether it may be there at the end.

    Raises:
        WorkdirError: the folder cannot be written, or the file is there and may not be.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{_BESIDE}{path.name}.", suffix="".join(path.suffixes), dir=path.parent)
    except OSError as error:
        raise WorkdirError(f"{path.parent} cannot be written ({error.strerror}). Choose another folder.") from error
    os.close(handle)
    beside = pathlib.Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        if overwrite:
            beside.replace(path)
        else:
            _link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _link(beside: pathlib.Path, path: pathlib.Path) -> None:
    """Gives a file its name, unless there is one of that name: of two that look at once, both see none."""
    try:
        path.hardlink_to(beside)
    except FileExistsError:
        raise WorkdirError(
            f"{path} has appeared meanwhile and is not overwritten, so what was to be written there is lost. Choose "
            "another name."
        ) from None
    except OSError:  # a file system without links
        if path.exists():
            raise WorkdirError(f"{path} has appeared meanwhile and is not overwritten. Choose another name.") from None
        beside.replace(path)


@contextlib.contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[pathlib.Path]:
    """Gives a folder beside `path` to fill; the block's end renames it to `path`.

    Args:
        path: must not exist,
        overwrite: but for then, when it is put aside, and removed once the new one is in its place.

    Raises:
        WorkdirError: `path` exists, or its parent cannot be written.
    """
    # Where a link leads is where it goes; and `.` has a name then.
    path = pathlib.Path(path).resolve()
    if path.exists() and not overwrite:
        raise WorkdirError(f"{path} exists and is not overwritten. Remove it or choose another folder.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(prefix=f"{_BESIDE}{path.name}.", dir=path.parent))
    except OSError as error:
        raise WorkdirError(f"{path.parent} cannot be written ({error.strerror}). Choose another folder.") from error
    try:
        beside.chmod(0o755)
        yield beside
        if overwrite and path.exists():
            _exchange(beside, path)
        else:
            beside.replace(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _exchange(beside: pathlib.Path, path: pathlib.Path) -> None:
    """Puts a folder in the place of another, which is there again if that fails."""
    # No name of a leftover, which would be removed: a kill between the two renames leaves the old one under this.
    aside = path.with_name(f"{path.name}.before-{beside.name.rpartition('.')[2]}")
    try:
        path.replace(aside)
        beside.replace(path)
    except BaseException:
        if aside.exists() and not path.exists():
            aside.replace(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path, *, older_than: float = 0.0) -> None:
    """Removes what a killed process left half-written below `folder`.

    Args:
        folder: which no other process may be writing,
        older_than: but for what was begun within so many seconds.
    """
    for leftover in list(pathlib.Path(folder).rglob(f"{_BESIDE}*")):
        if older_than and time.time() - leftover.stat().st_mtime < older_than:
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Returns the hex digest of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
