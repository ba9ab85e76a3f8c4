"""Which row is where: fingerprints, places and checksums in arrays of about 65 bytes a row, nothing of the rows."""

import numpy as np

from tfxfer.activations.keys import FINGERPRINT

# States of a row: not read yet, found to be what was written, found to be something else.
UNCHECKED, CHECKED, DAMAGED = 0, 1, 2
_COLUMNS = {"fingerprint": FINGERPRINT, "shard": np.int32, "row": np.uint32, "checksum": np.uint64, "state": np.uint8}


class Table:
    """The rows of a store. A row's place is its number here and stays so."""

    def __init__(self):
        self._size = 0
        self._columns = {name: np.empty(0, kind) for name, kind in _COLUMNS.items()}
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return self._size

    def column(self, name: str) -> np.ndarray:
        """Returns one of the columns `fingerprint`, `shard`, `row`, `checksum`, `state`; a view to read."""
        return self._columns[name][: self._size]

    def append(self, **columns) -> None:
        """Adds rows: an array for each column, or one value for all of them."""
        count = len(columns["fingerprint"])
        end = self._size + count
        if end > len(self._columns["state"]):
            room = max(end, self._size + self._size // 4, 1024)
            for name, old in self._columns.items():
                self._columns[name] = np.empty(room, old.dtype)
                self._columns[name][: self._size] = old[: self._size]
        for name, value in columns.items():
            self._columns[name][self._size : end] = value
        self._size, self._sorted = end, None

    def mark(self, places: np.ndarray, state: int) -> None:
        """Gives rows a state."""
        self._columns["state"][places] = state
        if state == DAMAGED:
            self._sorted = None

    @property
    def healthy(self) -> int:
        """Number of rows that are not known to be damaged."""
        return int(np.count_nonzero(self.column("state") != DAMAGED))

    def find(self, fingerprints: np.ndarray) -> np.ndarray:
        """Returns the place of each fingerprint, int64; −1 where there is no undamaged row, the last of several."""
        if self._sorted is None:
            places = np.flatnonzero(self.column("state") != DAMAGED)
            names = self.column("fingerprint")[places]
            order = np.argsort(names, kind="stable")
            self._sorted = names[order], places[order]
        names, places = self._sorted
        if not len(names):
            return np.full(len(fingerprints), -1, np.int64)
        at = np.searchsorted(names, fingerprints, side="right") - 1
        return np.where(names[at] == fingerprints, places[at], -1)
