"""Which stores there are on disk, what they take, and which go."""

import contextlib
import dataclasses
import io
import os
import pathlib
import re
import time
import uuid
from collections.abc import Sequence

import rich.console
import rich.table
import rich.text

from tfxfer.activations import header, locks, segments
from tfxfer.activations.keys import Key
from tfxfer.display import clean, size_text
from tfxfer.errors import CacheError

VARIABLE = "TFXFER_CACHE_DIR"
_FOLDER = re.compile(r"[0-9a-f]{16}")
# What a removal that was killed has left.
_GOING = re.compile(r"\.removing-[0-9a-f]{16}-[0-9a-f]{32}")
# Wider than any table, so that nothing is cut where nobody folds it; what a file says may be of any length.
_NO_LIMIT, _LONGEST = 10_000, 60
# A header that a killed process has left half-written.
_HALF_HEADER = re.compile(r"\.tfxfer-header\.json\..*")


@dataclasses.dataclass(frozen=True)
class StoredActivations:
    """A store on disk.

    Attributes:
        folder: of it.
        key: what decides its rows; None if its header is damaged.
        rows: that were finished.
        bytes: that its files take.
        last_used: seconds since 1970.
    """

    folder: pathlib.Path
    key: Key | None
    rows: int
    bytes: int
    last_used: float


def root() -> pathlib.Path:
    """Returns the folder of all stores: `$TFXFER_CACHE_DIR`, or that of the user's caches."""
    if own := os.environ.get(VARIABLE):
        return pathlib.Path(own).expanduser()
    if everything := os.environ.get("TFXFER_CACHE"):
        return pathlib.Path(everything).expanduser() / "activations"
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(caches).expanduser() / "tfxfer" / "activations"


def touch(folder: pathlib.Path) -> None:
    """Notes that a store is used now; in a read-only folder that is not noted."""
    try:
        os.utime(folder / header.NAME, follow_symlinks=False)
    except OSError:
        return


def stores(folder: pathlib.Path) -> tuple[StoredActivations, ...]:
    """Returns the stores in a folder, the last used first."""
    found = []
    for place in _folders(folder, _FOLDER):
        try:
            said = header.read(place)
            damaged = False
        except CacheError:
            said, damaged = None, True
        if said or damaged:
            found.append(_described(place, said.key if said else None))
    return tuple(sorted(found, key=lambda store: -store.last_used))


def used_bytes(folder: pathlib.Path) -> int:
    """Returns what the files of all stores in a folder take."""
    return sum(_size(place) for place in _folders(folder, _FOLDER))


@dataclasses.dataclass(frozen=True)
class Pruned:
    """What became of the stores that were to go.

    Attributes:
        gone: those that were removed.
        in_use: those that another process has open.
        failed: those that could not be removed, each with the reason.
    """

    gone: tuple[StoredActivations, ...]
    in_use: tuple[StoredActivations, ...]
    failed: tuple[tuple[StoredActivations, str], ...]


def prune(folder: pathlib.Path, *, older_than_days: float | None = None, to_bytes: float | None = None) -> Pruned:
    """Removes stores that are not in use, the longest unused first.

    Only folders that have a name of ours, our header and no other files than ours are removed.

    Args:
        folder: of all stores.
        older_than_days: removes what was last used before that.
        to_bytes: removes until the rest takes no more.
    """
    for rest in _folders(folder, _GOING):
        with contextlib.suppress(OSError):
            _remove_files(rest)
    found = stores(folder)
    left = sum(store.bytes for store in found)
    gone, in_use, failed = [], [], []
    for store in reversed(found):
        too_old = older_than_days is not None and store.last_used < time.time() - 86_400 * older_than_days
        if not too_old and (to_bytes is None or left <= to_bytes):
            continue
        try:
            if _remove(store):
                gone.append(store)
                left -= store.bytes
            else:
                in_use.append(store)
        except CacheError as error:
            failed.append((store, str(error)))
        except OSError as error:
            failed.append((store, error.strerror or str(error)))
    return Pruned(tuple(gone), tuple(in_use), tuple(failed))


def listing_text(found: Sequence[StoredActivations], folder: pathlib.Path) -> str:
    """Returns the table of stores, and what they take together."""
    if not found:
        return f"no cached activations in {clean(str(folder))}.\n"
    table = rich.table.Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    for name in ("store", "network", "cut behind"):
        table.add_column(name, no_wrap=True)
    for name in ("size\n(px)", "kept as", "rows", "bytes", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    for store in found:
        table.add_row(*(rich.text.Text(clean(word)) for word in _words(store)))
    console = rich.console.Console(file=io.StringIO(), width=_NO_LIMIT, color_system=None, highlight=False)
    console.print(table)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    total = size_text(sum(store.bytes for store in found))
    return "\n".join([*lines, "", f"{total} in {clean(str(folder))}. Remove some: tfxfer cache prune --help"]) + "\n"


def pruned_text(pruned: Pruned, folder: pathlib.Path) -> str:
    """Returns what was removed and what is left, in words."""
    count, left = len(pruned.gone), sum(store.bytes for store in stores(folder))
    freed = size_text(sum(store.bytes for store in pruned.gone))
    lines = [f"removed {count} store{'s' if count != 1 else ''}, {freed}; {size_text(left)} are left."]
    lines += [f"{clean(str(store.folder))} stays: it is in use." for store in pruned.in_use]
    return "\n".join(lines) + "\n"


def _words(store: StoredActivations) -> list[str]:
    key = store.key
    words = [key.network, key.cut, str(key.image_size or "–"), key.precision] if key else ["damaged", "–", "–", "–"]
    short = [word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…" for word in words]
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(store.last_used))
    return [store.folder.name, *short, f"{store.rows:,}", size_text(store.bytes), day]


def _described(place: pathlib.Path, key: Key | None) -> StoredActivations:
    rows = sum(entry.stat(follow_symlinks=False).st_size for entry in _entries(place) if segments.is_index(entry.name))
    used = os.lstat(place / header.NAME).st_mtime
    return StoredActivations(place, key, rows // segments.RECORD.itemsize, _size(place), used)


def _remove(store: StoredActivations) -> bool:
    """Removes a store, unless it is in use; returns whether it did."""
    if store.key is None:
        raise CacheError("its header is damaged; remove the folder by hand")
    if strange := [entry.name for entry in _entries(store.folder) if not _is_ours(entry)]:
        raise CacheError(f"{clean(strange[0])} in it is not of tfxfer")
    with locks.nobody_else(store.folder) as alone:
        if alone:
            # Renamed first: whoever opens the store from here on begins an empty one.
            going = store.folder.with_name(f".removing-{store.folder.name}-{uuid.uuid4().hex}")
            store.folder.rename(going)
            _remove_files(going)
        return alone


def _remove_files(folder: pathlib.Path) -> None:
    """Removes the files of a store and the folder, if nothing else is in it."""
    for entry in _entries(folder):
        if _is_ours(entry):
            pathlib.Path(entry.path).unlink(missing_ok=True)  # two processes may finish one removal
    with contextlib.suppress(OSError):
        folder.rmdir()


def _is_ours(entry: os.DirEntry) -> bool:
    name = entry.name
    known = name in (header.NAME, locks.IN_USE, locks.FILLING) or _HALF_HEADER.fullmatch(name) or segments.is_ours(name)
    return bool(known) and entry.is_file(follow_symlinks=False)


def _folders(folder: pathlib.Path, form: re.Pattern) -> list[pathlib.Path]:
    """Returns the folders in `folder`, none of them a link, whose names have a form."""
    return [
        pathlib.Path(entry.path)
        for entry in _entries(folder)
        if form.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
    ]


def _entries(folder: pathlib.Path) -> list[os.DirEntry]:
    """Returns what is in a folder by name; nothing where it is none or cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _size(folder: pathlib.Path) -> int:
    """Returns the bytes of the files in a folder; of one that goes in the meantime 0."""
    total = 0
    for entry in _entries(folder):
        with contextlib.suppress(FileNotFoundError):
            total += entry.stat(follow_symlinks=False).st_size
    return total
