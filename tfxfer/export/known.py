"""Which pictures a network was trained on: short hashes in its bundle, so that measuring on them can be told of.

They are of contents, the first eight bytes of SHA-256, little-endian, ascending. Whoever holds a picture can find out
by them whether it was trained on; nothing else can be read from them.
"""

import pathlib
from collections.abc import Iterable

import numpy as np

from tfxfer import data

FILE = "trained_on.u64"
# Of more, eight bytes each, a bundle would have to be much larger; then nobody is told.
_MOST = 10_000_000


def known_contents(examples: data.Examples) -> np.ndarray:
    """Returns the hashes of the training pictures, uint64 `[different ones]`, ascending; none of too many."""
    train = examples.indices(data.TRAIN)
    return np.unique(_short(examples.keys[at] for at in train)) if len(train) <= _MOST else np.empty(0, np.uint64)


def write_known(folder: pathlib.Path, known: np.ndarray) -> None:
    """Writes hashes into a bundle that has just been made; no file for none."""
    if len(known):
        known.astype("<u8").tofile(folder / FILE)


def read_known(folder: pathlib.Path) -> np.ndarray:
    """Returns the hashes in a bundle; none in those of older versions."""
    path = folder / FILE
    return np.fromfile(path, "<u8").astype(np.uint64) if path.is_file() else np.empty(0, np.uint64)


def count_known(examples: data.Examples, split: int, known: np.ndarray) -> int:
    """Returns how many examples of a split have a content that was trained on."""
    return int(np.isin(_short(examples.keys[at] for at in examples.indices(split)), known).sum())


def _short(keys: Iterable[str]) -> np.ndarray:
    return np.array([int(key[:16], 16) for key in keys], np.uint64)
