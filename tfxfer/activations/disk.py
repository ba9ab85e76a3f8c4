"""The store on disk: a folder for each key, shared by processes, continued after a kill."""

import contextlib
import errno
import os
import pathlib
import shutil
import stat
from collections.abc import Callable, Iterator

import numpy as np

from tfxfer.activations import header, inventory, locks, segments
from tfxfer.activations.checksums import checksums
from tfxfer.activations.keys import Key
from tfxfer.activations.store import CacheFullError, Store
from tfxfer.activations.table import DAMAGED, UNCHECKED
from tfxfer.display import size_text
from tfxfer.errors import CacheError, WorkdirError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ELSEWHERE = f"Set {inventory.VARIABLE} to a folder that can be written."


class DiskStore(Store):
    """Rows in the folder `<root>/<digest of the key>`; nothing is made there before something is appended.

    Memory holds about 65 bytes a row, whatever its size. Rows are checked when they are first read. Several processes
    may have it open; one at a time fills it, and one that is killed leaves what it had finished.

    Args:
        key: everything that decides the rows.
        root: the folder of all stores; default: `inventory.root()`.
        limit_bytes: that all stores of `root` may take together; None for what the disk holds.
        tell: is called with a sentence when it waits for another process.

    Raises:
        CacheError: what stands in the folder's place cannot be used.
    """

    def __init__(
        self,
        key: Key,
        root: str | os.PathLike | None = None,
        *,
        limit_bytes: int | None = None,
        tell: Callable[[str], None] = lambda _sentence: None,
    ):
        super().__init__(key.precision, key.row_shape)
        self.key = key
        self.folder = pathlib.Path(root or inventory.root()) / key.digest
        self._limit, self._tell = limit_bytes, tell
        self._use: int | None = None
        self._has_header = False
        self._shards: list[segments.MappedRows] = []
        self._homes: list[tuple[int, int]] = []  # segment and number of each of them
        self._numbers_of: dict[tuple[int, int], int] = {}
        self._entered: dict[int, int] = {}  # how many rows of each of them are in the table
        self._writer: segments.Writer | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the files and lets go of the store. It cannot be used afterwards; what was gathered stays valid."""
        self._drop_writer()
        self._shards = []
        if self._use is not None:
            os.close(self._use)
            self._use = None

    def _open(self) -> None:
        try:
            self._check_place()
            self._use = locks.hold_in_use(self.folder)
            self._read()
        except FileNotFoundError:
            return
        except OSError as error:
            raise CacheError(f"{self.folder} cannot be read ({error.strerror}). {_ELSEWHERE}") from error
        inventory.touch(self.folder)

    def _check_place(self) -> None:
        if not stat.S_ISDIR(os.lstat(self.folder).st_mode):
            raise CacheError(f"{self.folder} is no folder, or a link to one. Remove it.")

    def _read(self) -> None:
        """Takes in what is new in the folder."""
        found = None if self._has_header else header.read(self.folder)
        if found:
            self.encoding, self._has_header = found.encoding, True
        if not self._has_header:
            return
        for segment, shards in segments.find(self.folder, self.row_bytes).items():
            damaged = segments.read_damaged(self.folder, segment, sum(shards.values()))
            for shard, rows in shards.items():
                self._read_shard(segment, shard, rows, damaged)

    def _read_shard(self, segment: int, shard: int, rows: int, damaged: np.ndarray) -> None:
        """Enters the records of a shard that are new, as far as it has rows for them."""
        number, start = self._number(segment, shard), shard * segments.rows_of_shard(self.row_bytes)
        done = self._entered.get(number, 0)
        for records in segments.read_index(self.folder, segment, start + done, start + rows):
            places = np.arange(done, done + len(records))
            is_damaged = np.isin(segments.row_codes(np.full(len(records), shard), places), damaged)
            states = np.where(is_damaged, DAMAGED, UNCHECKED)
            self._enter(number, done, records["fingerprint"], records["checksum"], states)
            done += len(records)

    def _enter(self, number: int, first: int, names: np.ndarray, sums: np.ndarray, states) -> None:
        """Enters rows of a shard into the table, from row `first` on."""
        rows = np.arange(first, first + len(names))
        self._table.append(fingerprint=names, shard=number, row=rows, checksum=sums, state=states)
        self._entered[number] = first + len(names)

    def _number(self, segment: int, shard: int) -> int:
        home = (segment, shard)
        if home not in self._numbers_of:
            self._numbers_of[home] = len(self._shards)
            self._shards.append(segments.MappedRows(self.folder, segment, shard, self._words))
            self._homes.append(home)
        return self._numbers_of[home]

    def _take(self, places: np.ndarray) -> np.ndarray:
        if not len(places):
            return np.empty((0, self._words), np.uint64)
        shards, rows = self._table.column("shard")[places], self._table.column("row")[places]
        if (shards == shards[0]).all():
            return self._shards[shards[0]].take(rows)
        words = np.empty((len(places), self._words), np.uint64)
        for shard in np.unique(shards):
            meant = shards == shard
            words[meant] = self._shards[shard].take(rows[meant])
        return words

    def _write(self, names: np.ndarray, words: np.ndarray) -> None:
        sums = checksums(words, names)
        with self._faults():
            if not self._has_header:
                header.write(self.folder, self.key, self.encoding)
                self._has_header = True
            self._writer = self._writer or segments.Writer(self.folder, self.row_bytes)
            start = 0
            while start < len(names):
                part = slice(start, start + self._writer.room)
                shard, first = self._writer.write(names[part], words[part], sums[part])
                number = self._number(self._writer.segment, shard)
                self._enter(number, first, names[part], sums[part], UNCHECKED)
                start = part.stop

    @contextlib.contextmanager
    def _only_writer(self) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            with self._faults():
                self._make_folder()
                held.enter_context(locks.only_filler(self.folder, self._waits))
                self._read()
            yield

    def _make_folder(self) -> None:
        """Makes the folder if need be and holds it: nobody removes it from here on."""
        while self._use is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_place()
            with contextlib.suppress(FileNotFoundError):  # removed by another process in the meantime
                self._use = locks.hold_in_use(self.folder)
                break

    def _waits(self) -> None:
        self._tell(f"another run is computing the same activations ({self.folder}); waiting for it.")

    def _check_room(self, wanted: int) -> None:
        root = self.folder.parent
        free = shutil.disk_usage(root).free
        if wanted > free:
            raise CacheFullError(_no_room(root, f"{size_text(free)} are free there"))
        if self._limit is not None and (used := inventory.used_bytes(root)) + wanted > self._limit:
            raise CacheFullError(_no_room(root, f"{size_text(used)} of {size_text(self._limit)} are in use"))

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        """Turns faults of the medium into errors of ours; what goes on behind one begins a new segment."""
        try:
            yield
        except (OSError, WorkdirError) as error:
            self._drop_writer()
            cause = error if isinstance(error, OSError) else error.__cause__
            reason, number = getattr(cause, "strerror", None) or str(error), getattr(cause, "errno", None)
            if number in _NO_ROOM:
                raise CacheFullError(_no_room(self.folder.parent, reason)) from error
            raise CacheError(f"{self.folder} cannot be written ({reason}). {_ELSEWHERE}") from error
        except BaseException:
            self._drop_writer()
            raise

    def _drop_writer(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def _tell_damaged(self, places: np.ndarray) -> None:
        shards, rows = self._table.column("shard")[places], self._table.column("row")[places]
        for number in np.unique(shards):
            segment, shard = self._homes[number]
            meant = rows[shards == number]
            segments.note_damaged(self.folder, segment, segments.row_codes(np.full(len(meant), shard), meant))


def _no_room(root: pathlib.Path, reason: str) -> str:
    return (
        f"the cache in {root} is full ({reason}). Make room with tfxfer cache prune, or set {inventory.VARIABLE} to "
        "a folder with more."
    )
