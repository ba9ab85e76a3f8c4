"""Labelled rows of an array, picked by position and never copied."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from tfxfer.tasks import SINGLE_LABEL, Task


class Gathered(Protocol):
    """What rows are gathered from: an array, a memory map of a file, or a store of cached activations."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, then the shape of one."""

    @property
    def dtype(self) -> np.dtype:
        """As the rows lie there."""

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """Returns the rows at int64 `[rows]`, in this order."""


class Decode(Protocol):
    """How rows as they lie there become what the network takes, in a TensorFlow graph."""

    def __call__(self, rows: Any, parameters: Any) -> Any:
        """Returns float32 of the shape of `rows`; `parameters` float32 `[rows, …]`, those of their views."""


class Parameters(Protocol):
    """What makes one view of an example differ from another."""

    def __call__(self, positions: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Returns float32 `[rows, numbers]` for the views of the examples at these positions."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some labelled rows of an array, none of them copied.

    Attributes:
        all_rows: `[…, …]`, an array, a memory map, or anything rows can be gathered from.
        labels: as in `tasks.Task`, one for each example that is meant: int32 `[rows]` where each is of one class.
        places: int64 `[rows]`, which of `all_rows` are meant, in order; or `[rows, views]`, where each example has
            several, one of which is shown in an epoch, the example as it is being the first.
        classes: number of classes, labels or targets.
        keys: hex digests of what each example is, for stores that outlive a run; None where nobody knows.
        decode: how rows become what the network takes; None: as they are.
        parameters: of views, for `decode`; None where it needs none.
        weights: float32 `[rows]`, above 0, of each example in the loss; None: all 1.
        task: that the labels are for.
    """

    all_rows: Gathered
    labels: np.ndarray
    places: np.ndarray
    classes: int
    keys: tuple[str, ...] | None = None
    decode: Decode | None = None
    parameters: Parameters | None = None
    weights: np.ndarray | None = None
    task: Task = SINGLE_LABEL

    def __len__(self) -> int:
        return len(self.places)

    @property
    def views(self) -> int:
        """How many views each example has, itself among them."""
        return self.places.shape[1] if self.places.ndim == 2 else 1

    def take(self, positions: np.ndarray, views: np.ndarray | int = 0) -> np.ndarray:
        """Returns the rows at these positions of `places`, as they lie there."""
        return self.all_rows[self.places[positions, views] if self.places.ndim == 2 else self.places[positions]]

    def parameters_of(self, positions: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Returns the parameters of these views, float32 `[rows, numbers]`; no numbers where there are none."""
        if self.parameters is None:
            return np.empty((len(positions), 0), np.float32)
        return self.parameters(positions, views)

    def padded_batches(self, batch_size: int) -> Iterator[tuple[np.ndarray, int]]:
        """Yields every example as it is once, in order: batches of exactly `batch_size`, and how many count."""
        for start in range(0, len(self), batch_size):
            positions = np.arange(start, min(start + batch_size, len(self)))
            yield self.take(np.resize(positions, batch_size)), len(positions)


def evenly(count: int, most: int) -> np.ndarray:
    """Returns at most `most` of the positions below `count`, int64, at equal distances.

    So that of examples in the order of their classes every class has some.
    """
    return np.linspace(0, count - 1, min(most, count)).round().astype(np.int64)
