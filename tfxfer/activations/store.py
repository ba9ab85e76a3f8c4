"""Rows of activations, kept in memory or on disk, found by fingerprint and gathered by place.

    with DiskStore(key, tell=print) as store:
        with store.filling(fingerprints) as missing:
            for some in batches_of(missing):
                store.append(fingerprints[some], activations_of(some))
        places = store.places(fingerprints)
        batch = store.gather(places[:32])

Which row is where is the business of `table`, how numbers are kept that of `encoding`; the store on disk is
`disk.DiskStore`. One thread at a time uses a store.
"""

import abc
import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from tfxfer.activations.checksums import checksums
from tfxfer.activations.encoding import Encoding, Precision, stored_dtype
from tfxfer.activations.keys import as_fingerprints
from tfxfer.activations.table import CHECKED, DAMAGED, UNCHECKED, Table
from tfxfer.display import size_text
from tfxfer.errors import CacheError

# Rows in memory are allocated so many bytes at a time.
_BLOCK_BYTES = 64 << 20
# Rows are checked so many bytes at a time.
_CHECKED_AT_ONCE = 4 << 20


class CacheFullError(CacheError):
    """There is no room for more rows. What was being added is taken back; the others can be used."""


class DamagedRowsError(CacheError):
    """Rows that are not what was written. They are missing from now on; compute and append them again.

    Attributes:
        places: int64, of the damaged ones among those asked for.
    """

    def __init__(self, message: str, places: np.ndarray):
        super().__init__(message)
        self.places = places


class Store(abc.ABC):
    """Rows of one shape and precision.

    Attributes:
        precision: of the numbers kept.
        row_shape: of one row.
        encoding: how numbers are kept; of uint8 None until the first rows are there, whose range it has.
        row_bytes: bytes of one row, with what pads it to whole words of 8 bytes.
    """

    def __init__(self, precision: Precision, row_shape: Sequence[int]):
        self.precision = precision
        self.row_shape = tuple(row_shape)
        self.encoding = None if precision == "uint8" else Encoding(precision)
        self._numbers = math.prod(self.row_shape)
        if not self.row_shape or self._numbers < 1:
            raise CacheError(f"rows of shape {self.row_shape} hold nothing that could be kept.")
        self._words = -(-self._numbers * stored_dtype(precision).itemsize // 8)
        self.row_bytes = 8 * self._words
        self._table = Table()
        self._is_filling = False

    @property
    def rows(self) -> int:
        """Number of rows that can be used."""
        return self._table.healthy

    @property
    def bytes(self) -> int:
        """Bytes of the rows that can be used."""
        return self.rows * self.row_bytes

    def missing(self, fingerprints) -> np.ndarray:
        """Returns the positions, int64 and rising, of fingerprints without a row; of equal ones the first."""
        names = as_fingerprints(fingerprints)
        absent = np.flatnonzero(self._table.find(names) < 0)
        return np.sort(absent[np.unique(names[absent], return_index=True)[1]])

    def places(self, fingerprints) -> np.ndarray:
        """Returns where the rows of fingerprints are, int64, for `gather`; valid as long as the store is open.

        Raises:
            CacheError: a row is missing.
        """
        places = self._table.find(as_fingerprints(fingerprints))
        if absent := np.count_nonzero(places < 0):
            raise CacheError(f"{absent:,} of {len(places):,} rows are missing. Append those of missing() first.")
        return places

    def gather(self, places: np.ndarray) -> np.ndarray:
        """Returns rows as they are kept: `encoding.dtype`, `[n, *row_shape]`, in the order of `places`.

        Raises:
            DamagedRowsError: some are not what was written.
        """
        places = np.asarray(places, np.int64)
        words = self._take(places)
        states = self._table.column("state")[places]
        if (states != CHECKED).any():
            damaged = self._find_damaged(places, states, words)
            if len(damaged):
                raise DamagedRowsError(f"{len(damaged):,} cached rows are damaged; they count as missing now.", damaged)
        flat = words.view(stored_dtype(self.precision))[:, : self._numbers]
        return flat.reshape(-1, *self.row_shape)

    def damaged(self, places: np.ndarray) -> np.ndarray:
        """Returns those of `places` whose rows are not what was written, after reading all that were not read yet."""
        found = []
        step = max(1, _CHECKED_AT_ONCE // self.row_bytes)
        places = np.sort(np.asarray(places, np.int64))
        for start in range(0, len(places), step):
            some = places[start : start + step]
            states = self._table.column("state")[some]
            if (states != CHECKED).any():
                some, states = some[states != CHECKED], states[states != CHECKED]
                found.append(self._find_damaged(some, states, self._take(some)))
        return np.concatenate(found) if found else np.empty(0, np.int64)

    @contextlib.contextmanager
    def filling(self, fingerprints) -> Iterator[np.ndarray]:
        """Allows `append` within the block, to this process alone, and yields what is `missing` then.

        Where nothing is missing, nothing is waited for and nothing needs to be writable.

        Raises:
            CacheFullError: there is no room for what is missing.
            CacheError: nothing can be written there.
        """
        if self._is_filling:
            raise RuntimeError("the store is being filled already, by the same code.")
        missing = self.missing(fingerprints)
        if not len(missing):
            yield missing
            return
        with self._only_writer():
            missing = self.missing(fingerprints)  # again: another process may have filled it while this one waited
            self._check_room(len(missing) * self.row_bytes)
            self._is_filling = True
            try:
                yield missing
            finally:
                self._is_filling = False

    def append(self, fingerprints, rows: np.ndarray) -> None:
        """Adds rows, or replaces those of the same fingerprints. Only within `filling`.

        Args:
            fingerprints: of the rows.
            rows: float32 `[n, *row_shape]`, or what a graph has already cast to float16 or bfloat16.

        Raises:
            CacheRangeError: a number that the precision cannot hold.
            CacheFullError: there is no more room.
        """
        if not self._is_filling:
            raise RuntimeError("append is for the block of filling().")
        names = as_fingerprints(fingerprints)
        if rows.shape != (len(names), *self.row_shape):
            raise CacheError(f"rows {rows.shape} for {len(names)} fingerprints and rows of shape {self.row_shape}.")
        if not len(names):
            return
        self.encoding = self.encoding or Encoding.of(self.precision, rows)
        self._write(names, self._padded(self.encoding.encode(rows)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @abc.abstractmethod
    def close(self) -> None:
        """Gives back files and memory. The store cannot be used afterwards; what was gathered stays valid."""

    @abc.abstractmethod
    def _take(self, places: np.ndarray) -> np.ndarray:
        """Returns rows as uint64 `[n, words]`, unchecked; zeros for one that is nowhere."""

    @abc.abstractmethod
    def _write(self, names: np.ndarray, words: np.ndarray) -> None:
        """Keeps rows and enters them into the table."""

    @abc.abstractmethod
    def _only_writer(self) -> contextlib.AbstractContextManager:
        """Keeps other processes from appending during the block."""

    @abc.abstractmethod
    def _check_room(self, wanted: int) -> None:
        """Raises CacheFullError if so many bytes more have no room."""

    @abc.abstractmethod
    def _tell_damaged(self, places: np.ndarray) -> None:
        """Lets other processes know that rows are damaged."""

    def _find_damaged(self, places: np.ndarray, states: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Checks rows, remembers what came out, and returns the places of those that are damaged."""
        fresh = states == UNCHECKED
        unread = places[fresh]
        sums = checksums(words if fresh.all() else words[fresh], self._table.column("fingerprint")[unread])
        good = sums == self._table.column("checksum")[unread]
        self._table.mark(unread[good], CHECKED)
        if not good.all():
            self._table.mark(unread[~good], DAMAGED)
            self._tell_damaged(unread[~good])
        return np.unique(np.concatenate([unread[~good], places[states == DAMAGED]]))

    def _padded(self, encoded: np.ndarray) -> np.ndarray:
        flat = np.ascontiguousarray(encoded).reshape(len(encoded), -1)
        if flat[:1].nbytes == self.row_bytes:
            return flat.view(np.uint64)
        whole = np.zeros((len(flat), self.row_bytes // flat.itemsize), flat.dtype)
        whole[:, : self._numbers] = flat
        return whole.view(np.uint64)


class MemoryStore(Store):
    """Rows in memory, gone when it is closed.

    Args:
        precision: of the numbers kept.
        row_shape: of one row.
        limit_bytes: of all rows; None for no limit.
    """

    def __init__(self, precision: Precision, row_shape: Sequence[int], *, limit_bytes: int | None = None):
        super().__init__(precision, row_shape)
        self._limit = math.inf if limit_bytes is None else limit_bytes
        self._rows_of_block = max(1, _BLOCK_BYTES // self.row_bytes)
        self._blocks: list[np.ndarray] = []

    def close(self) -> None:
        """Gives back the memory."""
        self._blocks, self._table = [], Table()

    def _take(self, places: np.ndarray) -> np.ndarray:
        if len(self._blocks) == 1:
            return self._blocks[0][places]
        blocks, rows = np.divmod(places, self._rows_of_block)
        words = np.empty((len(places), self._words), np.uint64)
        for block in np.unique(blocks):
            meant = blocks == block
            words[meant] = self._blocks[block][rows[meant]]
        return words

    def _write(self, names: np.ndarray, words: np.ndarray) -> None:
        self._check_room(words.nbytes)  # of examples whose number nobody knew nothing was asked before
        start, end = len(self._table), len(self._table) + len(names)
        while len(self._blocks) * self._rows_of_block < end:
            self._blocks.append(np.empty((self._rows_of_block, self._words), np.uint64))
        blocks, rows = np.divmod(np.arange(start, end), self._rows_of_block)
        for block in np.unique(blocks):
            self._blocks[block][rows[blocks == block]] = words[blocks == block]
        self._table.append(fingerprint=names, shard=0, row=0, checksum=0, state=CHECKED)

    def _only_writer(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def _tell_damaged(self, places: np.ndarray) -> None:
        raise AssertionError("rows in memory are not checked")

    def _check_room(self, wanted: int) -> None:
        if len(self._table) * self.row_bytes + wanted > self._limit:
            raise CacheFullError(
                f"activations of {size_text(wanted)} do not fit beside {size_text(self.bytes)} within "
                f"{size_text(self._limit)} of memory. Keep them on disk: store='disk'."
            )
