"""Labelled rows of an array, picked by position and never copied."""

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some labelled rows of an array, none of them copied.

    Attributes:
        all_rows: `[…, …]`, an array or a memory map.
        all_labels: int32, one for each of `all_rows`.
        places: int64, which of them are meant, in order.
        classes: number of classes.
    """

    all_rows: np.ndarray
    all_labels: np.ndarray
    places: np.ndarray
    classes: int

    def __len__(self) -> int:
        return len(self.places)

    @property
    def labels(self) -> np.ndarray:
        """Labels of the rows that are meant, int32."""
        return self.all_labels[self.places]

    def padded_batches(self, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yields every row once, in order: batches of exactly `batch_size` rows, and how many of them count."""
        for start in range(0, len(self), batch_size):
            places = self.places[start : start + batch_size]
            full = np.resize(places, batch_size) if len(places) < batch_size else places
            yield self.all_rows[full], len(places)
