"""Decides which example is for training, validation or test: by content and seed, never by listing order."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from tfxfer.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2
NAMES = ("train", "validation", "test")
# What folders and tables call them, in lower case.
BY_NAME = {
    "train": TRAIN, "training": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
    "test": TEST, "testing": TEST,
}  # fmt: skip


def assign(
    keys: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    groups: Sequence[str | None] | None = None,
) -> np.ndarray:
    """Returns the split of each example, int8 `[examples]`: 0 train, 1 validation, 2 test.

    Each example's place is a hash of the seed and its content, or its group where it has one. Within each class the
    lowest hashes go to the test and the next to validation, up to a threshold of the class, so the shares are met to
    one example, or to one group. Equal contents have equal hashes and stay together, and so do groups, also across
    classes; where files lie and what they are called changes nothing. A fraction of 0 leaves its split empty; otherwise
    every split gets an example of each class.

    What is added to a class moves nothing in another one, and in its own at most what stands next to a threshold, by
    as many examples as the shares grow. What stands in several classes, copies or a group, is where the latest of their
    thresholds puts it, so that it can follow an addition to any of them.

    Args:
        keys: of the contents; equal where these are.
        labels: int `[examples]`, positions in `class_names`.
        class_names: for errors.
        seed: of the hash.
        validation_fraction: share of each class, 0 <= f < 1; `test_fraction` likewise, their sum below 1.
        groups: for each example, what must stay together; None for one that stands alone.

    Raises:
        DataError: a class is too small to be in every split that is asked for.
    """
    together = keys if groups is None else [group or key for group, key in zip(groups, keys, strict=True)]
    places = _places(together, seed)
    splits = np.full(len(keys), TRAIN, np.int8)
    needed = 1 + (validation_fraction > 0) + (test_fraction > 0)
    small = []
    for name, members in zip(class_names, _members(labels, len(class_names)), strict=True):
        distinct, counts = np.unique(places[members], return_counts=True)
        if len(distinct) < needed:
            small.append(f"{name} ({len(distinct)})")
            continue
        test = _threshold(counts, test_fraction * len(members), len(distinct) - needed + 1)
        validation = test + _threshold(counts[test:], validation_fraction * len(members), len(distinct) - test - 1)
        ranks = np.searchsorted(distinct, places[members])
        splits[members[ranks < validation]] = VALIDATION
        splits[members[ranks < test]] = TEST
    _keep_together(places, splits)
    if small:
        what, more = ("images", "images") if groups is None else ("groups", "images of other groups")
        raise DataError(
            f"too few different {what} to split, at least {needed} a class are needed: {_some(small)}. Add "
            f"{more}, or remove the class."
        )
    if groups is not None:
        _check_every_split(splits, labels, class_names, (TRAIN, *_wanted(validation_fraction, test_fraction)))
    return splits


def draw(keys: Sequence[str], labels: np.ndarray, class_names: Sequence[str], *, seed: int, each: int) -> np.ndarray:
    """Returns the positions of so many examples of each class, int64, ascending: those of the lowest hashes.

    Of copies one counts. With the same seed a smaller draw is part of a larger one, and what is added to the data
    replaces as many examples as it has hashes below those that were drawn.

    Args:
        keys: of the contents.
        labels: int `[examples]`, positions in `class_names`.
        class_names: for errors.
        seed: of the hash, which is another than that of splits.
        each: examples of each class, at least 1.

    Raises:
        DataError: a class has fewer different ones; the message lists them.
    """
    places = _places(keys, seed, "draw:")
    drawn, small = [], []
    for name, members in zip(class_names, _members(labels, len(class_names)), strict=True):
        _, first = np.unique(places[members], return_index=True)  # in the order of places
        if len(first) < each:
            small.append(f"{name} ({len(first)})")
        drawn.append(members[first[:each]])
    if small:
        raise DataError(
            f"examples_per_class={each}, but these classes have fewer different images to train on: {_some(small)}. "
            "Ask for fewer, or add some."
        )
    return np.sort(np.concatenate(drawn))


def check_groups(groups: Sequence[str | None], name: Callable[[int], str], splits: np.ndarray, by: str) -> None:
    """Refuses groups that lie in two splits.

    Args:
        groups: of each example.
        name: says what messages call an example.
        splits: of each example.
        by: what makes the groups, in words.

    Raises:
        DataError: the message lists pairs of examples.
    """
    first: dict[str, int] = {}
    broken: dict[str, str] = {}
    for index, group in enumerate(groups):
        if group is None:
            continue
        other = first.setdefault(group, index)
        if splits[other] != splits[index] and group not in broken:
            broken[group] = f"{group!r}: {name(other)} ({NAMES[splits[other]]}), {name(index)} ({NAMES[splits[index]]})"
    if broken:
        raise DataError(
            f"{len(broken)} group(s), by {by}, stand in two splits, so the measured accuracy would be too high: "
            f"{_some(list(broken.values()))}. Put each group into one split, or leave the groups out: "
            "--config.data.group_column=none, and no group_by."
        )


def _places(keys: Sequence[str], seed: int, purpose: str = "") -> np.ndarray:
    """Returns hashes, uint64 `[keys]`, of the seed and each key."""
    digests = (hashlib.sha256(f"{purpose}{seed}:{key}".encode("utf-8", "surrogateescape")).digest() for key in keys)
    # Without the type NumPy makes float64 of numbers on both sides of 2^63.
    return np.fromiter((int.from_bytes(digest[:8]) for digest in digests), np.uint64, len(keys))


def _members(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Returns the positions of the examples of each class, ascending; one sort, however many classes there are."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, classes)))


def _wanted(validation_fraction: float, test_fraction: float) -> list[int]:
    return [split for split, share in ((VALIDATION, validation_fraction), (TEST, test_fraction)) if share > 0]


def _check_every_split(
    splits: np.ndarray, labels: np.ndarray, class_names: Sequence[str], wanted: Sequence[int]
) -> None:
    """Refuses groups so large, or in so many classes, that a class is missing in a split.

    Raises:
        DataError: the message lists them.
    """
    lacking = []
    for split in wanted:
        counts = np.bincount(labels[splits == split], minlength=len(class_names))
        lacking += [f"{class_names[label]} ({NAMES[split]})" for label in np.flatnonzero(counts == 0)]
    if lacking:
        raise DataError(
            "groups that stand in several classes stay together, which leaves these classes without an example in a "
            f"split: {_some(lacking)}. Take another --seed, add groups, or give a column split of your own."
        )


def _keep_together(places: np.ndarray, splits: np.ndarray) -> None:
    """Puts what stands in several classes, whose thresholds differ a little, where the latest of them is."""
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


def check_no_leak(keys: Sequence[str], name: Callable[[int], str], splits: np.ndarray) -> None:
    """Refuses examples that lie in two splits.

    Args:
        keys: of the contents.
        name: says what messages call an example.
        splits: of each example.

    Raises:
        DataError: equal contents in different splits; the message lists pairs.
    """
    first: dict[str, int] = {}
    leaks = []
    for index, key in enumerate(keys):
        other = first.setdefault(key, index)
        if splits[other] != splits[index]:
            leaks.append(f"{name(other)} ({NAMES[splits[other]]}) = {name(index)} ({NAMES[splits[index]]})")
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
