"""The files of a store: what each writer appended, as raw rows and an index of them.

`000001-00000.rows` has the rows of the first writer, one behind the other, up to a GiB in a file; `000001.index` a
record of 24 bytes for each row that it finished, in the same order: what is where follows from the number. A row is
written before its record, and a segment belongs to one writer for ever: so whatever is killed at whatever moment, each
whole record speaks of a whole row, and nothing has to be repaired. (What a power failure may still lose, the checksum
finds.) `000001.damaged` lists rows that a reader found altered, 8 bytes each.
"""

import contextlib
import errno
import mmap
import os
import pathlib
import re
import stat

import numpy as np

from tfxfer.activations.regular_files import open_regular

RECORD = np.dtype([("fingerprint", "S16"), ("checksum", "<u8")])
_INDEX = re.compile(r"(\d{6})\.index")
_ROWS = re.compile(r"(\d{6})-(\d{5})\.rows")
_DAMAGED = re.compile(r"(\d{6})\.damaged")
_SHARD_BYTES = 1 << 30
# So that what is read of the index of one shard, whoever wrote it, is at most 24 MB.
_MOST_ROWS = 1 << 20
_RECORDS_AT_ONCE = 1 << 16


def is_ours(name: str) -> bool:
    """Whether a file of a store may have this name."""
    return any(form.fullmatch(name) for form in (_INDEX, _ROWS, _DAMAGED))


def is_index(name: str) -> bool:
    """Whether a file of this name is an index, of a record for each row."""
    return bool(_INDEX.fullmatch(name))


def rows_of_shard(row_bytes: int) -> int:
    """Returns how many rows go into one file."""
    return min(max(1, _SHARD_BYTES // row_bytes), _MOST_ROWS)


def find(folder: pathlib.Path, row_bytes: int) -> dict[int, dict[int, int]]:
    """Returns for each segment, in order, its shards with the number of whole rows that each holds."""
    names = sorted(os.listdir(folder))
    found = {int(match[1]): {} for match in map(_INDEX.fullmatch, names) if match}
    for match in filter(None, map(_ROWS.fullmatch, names)):
        with contextlib.suppress(FileNotFoundError):
            state = os.lstat(folder / match[0])
            if int(match[1]) in found and stat.S_ISREG(state.st_mode):
                rows = min(state.st_size // row_bytes, rows_of_shard(row_bytes))
                found[int(match[1])][int(match[2])] = rows
    return found


def read_index(folder: pathlib.Path, segment: int, start: int, stop: int):
    """Yields the whole records from number `start` to before `stop`, some at a time; none of what is no file."""
    with contextlib.suppress(OSError), open(open_regular(_index(folder, segment), os.O_RDONLY), "rb") as stream:
        stream.seek(start * RECORD.itemsize)
        while start < stop:
            data = stream.read(min(_RECORDS_AT_ONCE, stop - start) * RECORD.itemsize)
            count = len(data) // RECORD.itemsize
            if not count:
                return
            yield np.frombuffer(data, RECORD, count)
            start += count


def read_damaged(folder: pathlib.Path, segment: int, most: int) -> np.ndarray:
    """Returns the codes of `row_codes` that were noted as damaged, at most so many."""
    try:
        with open(open_regular(_damaged(folder, segment), os.O_RDONLY), "rb") as stream:
            data = stream.read(8 * most)
    except OSError:
        return np.empty(0, np.uint64)
    return np.frombuffer(data, "<u8", len(data) // 8)


def note_damaged(folder: pathlib.Path, segment: int, codes: np.ndarray) -> None:
    """Notes rows as damaged where the folder can be written; where not, each reader finds them again."""
    with contextlib.suppress(OSError):
        handle = open_regular(_damaged(folder, segment), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(handle, codes.astype("<u8").tobytes())  # at once, so that two processes do not mix theirs
        finally:
            os.close(handle)


def row_codes(shards: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns one uint64 for each row of a segment."""
    return (shards.astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


class MappedRows:
    """The rows of one shard, memory-mapped: they take no memory that the system could not take back.

    Nothing of ours shortens a file that another may have mapped: only rows without a record are ever taken back.
    """

    def __init__(self, folder: pathlib.Path, segment: int, shard: int, words: int):
        self._path = _rows(folder, segment, shard)
        self._mapped = np.empty((0, words), np.uint64)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Returns rows, uint64 `[n, words]`; zeros for one that the file does not hold."""
        if rows.max() >= len(self._mapped):
            self._map()
        if rows.max() < len(self._mapped):
            return self._mapped[rows]
        taken = np.zeros((len(rows), self._mapped.shape[1]), np.uint64)
        there = rows < len(self._mapped)
        taken[there] = self._mapped[rows[there]]
        return taken

    def _map(self) -> None:
        words = self._mapped.shape[1]
        with contextlib.suppress(OSError):
            handle = open_regular(self._path, os.O_RDONLY)
            try:
                rows = os.fstat(handle).st_size // (8 * words)
                if rows > len(self._mapped):
                    raw = mmap.mmap(handle, rows * 8 * words, access=mmap.ACCESS_READ)
                    self._mapped = np.frombuffer(raw, np.uint64).reshape(rows, words)
            finally:
                os.close(handle)


class Writer:
    """Appends rows to a new segment. Only one process at a time may make one in a folder.

    Attributes:
        segment: its number.
    """

    def __init__(self, folder: pathlib.Path, row_bytes: int):
        self._folder, self._row_bytes = folder, row_bytes
        self._limit = rows_of_shard(row_bytes)
        self._shard, self._shard_handle, self._rows, self._records = -1, -1, self._limit, 0
        names = [re.match(r"(\d{6})[.-]", name) for name in os.listdir(folder) if is_ours(name)]
        self.segment = 1 + max((int(match[1]) for match in names), default=0)
        self._index_handle = _create(_index(folder, self.segment))

    @property
    def room(self) -> int:
        """How many rows one `write` may have now, ≥ 1."""
        return self._limit - self._rows or self._limit

    def write(self, fingerprints: np.ndarray, words: np.ndarray, checksums: np.ndarray) -> tuple[int, int]:
        """Appends at most `room` rows, all or none; returns the number of their shard and of the first row.

        Raises:
            OSError: there is no room, or another fault of the medium. The writer must be closed then.
        """
        if self._rows == self._limit:
            self._next_shard()
        records = np.empty(len(words), RECORD)
        records["fingerprint"], records["checksum"] = fingerprints, checksums
        try:
            _write_all(self._shard_handle, words)
            _write_all(self._index_handle, records)
        except BaseException:  # an interrupt as well: the index must not speak of what is not there
            os.ftruncate(self._index_handle, self._records * RECORD.itemsize)
            os.ftruncate(self._shard_handle, self._rows * self._row_bytes)
            raise
        first, self._rows, self._records = self._rows, self._rows + len(words), self._records + len(words)
        return self._shard, first

    def close(self) -> None:
        """Closes the files."""
        for handle in (self._index_handle, self._shard_handle):
            if handle >= 0:
                os.close(handle)
        self._index_handle = self._shard_handle = -1

    def _next_shard(self) -> None:
        if self._shard_handle >= 0:
            os.close(self._shard_handle)
            self._shard_handle = -1
        self._shard_handle = _create(_rows(self._folder, self.segment, self._shard + 1))
        self._shard, self._rows = self._shard + 1, 0


def _index(folder: pathlib.Path, segment: int) -> pathlib.Path:
    return folder / f"{segment:06d}.index"


def _rows(folder: pathlib.Path, segment: int, shard: int) -> pathlib.Path:
    return folder / f"{segment:06d}-{shard:05d}.rows"


def _damaged(folder: pathlib.Path, segment: int) -> pathlib.Path:
    return folder / f"{segment:06d}.damaged"


def _create(path: pathlib.Path) -> int:
    return open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)


def _write_all(handle: int, array: np.ndarray) -> None:
    rest = memoryview(np.ascontiguousarray(array).view(np.uint8)).cast("B")
    while rest:
        written = os.write(handle, rest)
        if not written:
            raise OSError(errno.EIO, "nothing was written")
        rest = rest[written:]
