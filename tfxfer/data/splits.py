"""Decides which example is for training, validation or test: by content and seed, never by listing order."""

import hashlib
from collections.abc import Sequence

import numpy as np

from tfxfer.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")


def assign(
    keys: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
) -> np.ndarray:
    """Returns the split of each example, int8 `[examples]`: 0 train, 1 validation, 2 test.

    Each example's place is a hash of its content and the seed. Within each class the lowest hashes go to the
    test and the next to validation, up to a threshold of the class, so the shares are met to one example.
    Equal contents have equal hashes and stay together, also across classes; where files lie and what they are
    called changes nothing. A fraction of 0 leaves its split empty; otherwise every split gets an example of each class.

    Raises:
        DataError: a class is too small to be in every split that is asked for.
    """
    digests = (hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in keys)
    # Without the type NumPy makes float64 of numbers on both sides of 2^63.
    places = np.array([int.from_bytes(digest[:8]) for digest in digests], np.uint64)
    splits = np.full(len(keys), TRAIN, np.int8)
    needed = 1 + (validation_fraction > 0) + (test_fraction > 0)
    small = []
    for label, name in enumerate(class_names):
        members = np.flatnonzero(labels == label)
        distinct, counts = np.unique(places[members], return_counts=True)
        if len(distinct) < needed:
            small.append(f"{name} ({len(distinct)})")
            continue
        test = _threshold(counts, test_fraction * len(members), len(distinct) - needed + 1)
        validation = test + _threshold(counts[test:], validation_fraction * len(members), len(distinct) - test - 1)
        ranks = np.searchsorted(distinct, places[members])
        splits[members[ranks < validation]] = VALIDATION
        splits[members[ranks < test]] = TEST
    _keep_copies_together(places, splits)
    if small:
        raise DataError(
            f"too few different images to split, at least {needed} a class are needed: {_some(small)}. Add "
            "images, or remove the class."
        )
    return splits


def _keep_copies_together(places: np.ndarray, splits: np.ndarray) -> None:
    """Puts copies that stand in several classes, whose thresholds differ a little, where the latest of them is."""
    _, owner = np.unique(places, return_inverse=True)
    latest = np.zeros(owner.max(initial=-1) + 1, splits.dtype)
    np.maximum.at(latest, owner, splits)
    splits[:] = latest[owner]


def _threshold(counts: np.ndarray, wanted: float, most: int) -> int:
    """Returns how many of the distinct contents, in order, make about `wanted` examples; 0 only for 0."""
    if wanted <= 0:
        return 0
    reached = np.cumsum(counts)
    return int(np.clip(np.searchsorted(reached, round(wanted)) + 1, 1, max(1, most)))


def check_no_leak(keys: Sequence[str], names: Sequence[str], splits: np.ndarray) -> None:
    """Refuses examples that lie in two splits.

    Raises:
        DataError: equal contents in different splits; the message lists pairs.
    """
    first: dict[str, int] = {}
    leaks = []
    for index, key in enumerate(keys):
        other = first.setdefault(key, index)
        if splits[other] != splits[index]:
            pair = f"{names[other]} ({NAMES[splits[other]]}) = {names[index]} ({NAMES[splits[index]]})"
            leaks.append(pair)
    if leaks:
        raise DataError(
            f"{len(leaks)} image(s) stand in two splits, so the measured accuracy would be too high: "
            f"{_some(leaks)}. Remove one of each pair, or leave out the copy on the side of training with "
            "--config.data.on_duplicate=drop."
        )


def without_leaks(keys: Sequence[str], splits: np.ndarray) -> np.ndarray:
    """Returns the positions of the examples that remain when no picture may stand in two splits.

    Of the copies in different splits those in the test remain, else those in validation.
    """
    latest: dict[str, int] = {}
    for key, split in zip(keys, splits.tolist(), strict=True):
        latest[key] = max(split, latest.get(key, TRAIN))
    return np.array([index for index, key in enumerate(keys) if splits[index] == latest[key]], np.int64)


def _some(items: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest
