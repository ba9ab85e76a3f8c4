"""Decides which example is for training, validation or test: by content and seed, never by listing order."""

import dataclasses
import hashlib
import itertools
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """How shares become splits.

    Attributes:
        proportions: what the shares are of: "class": of each class, to one example; "total": of all examples, to one,
            where classes too small for their share are made up for by others; "hash": of the range of hashes, so that
            what is added never moves anything, and the shares are met on average only.
        folds: into how many parts what is not for the test is cut, `fold` of which, from 0, is the validation; None:
            validation is a share.
        fold: see there.
    """

    proportions: str = "class"
    folds: int | None = None
    fold: int = 0


STRATIFIED = Rule()


def assign(
    keys: Sequence[str],
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    seed: int,
    validation_fraction: float,
    test_fraction: float,
    groups: Sequence[str | None] | None = None,
    rule: Rule = STRATIFIED,
    are_classes: bool = True,
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
        rule: how the shares become splits. With folds, each example that is not for the test is in the validation of
            one of them, and `validation_fraction` says nothing.
        are_classes: whether each split must have an example of each; of strata that are none it must have any.

    Raises:
        DataError: a class is too small to be in every split that is asked for, or a split is left empty.
    """
    together = keys if groups is None else [group or key for group, key in zip(groups, keys, strict=True)]
    places = _places(together, seed)
    # In the order of hashes: the test, then validation or the folds, then training, which is what is left.
    shares = [test_fraction, *([validation_fraction] if rule.folds is None else [1.0] * rule.folds)]
    if rule.proportions == "hash":
        codes = _by_hash(places, shares, rule)
    else:
        members = _members(labels, len(class_names))
        needed = sum(share > 0 for share in shares) + (rule.folds is None)
        _check_distinct(places, members, class_names, needed, has_groups=groups is not None)
        codes = _by_rank(places, members, shares, rule)
    _keep_together(places, codes)
    splits = np.full(len(keys), TRAIN, np.int8)
    splits[codes == len(shares) - 1 - (rule.fold if rule.folds else 0)] = VALIDATION
    splits[codes == len(shares)] = TEST
    wanted = [TRAIN, *_wanted(validation_fraction if rule.folds is None else 1, test_fraction)]
    if are_classes:
        _check_every_split(splits, labels, class_names, wanted, rule, has_groups=groups is not None)
    else:
        _check_none_empty(splits, wanted, rule)
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
            f"examples_per_class={each}, but these classes have fewer different images to train on: {some(small)}. "
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
            f"{some(list(broken.values()))}. Put each group into one split, or leave the groups out: "
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


def _check_distinct(
    places: np.ndarray, members: Sequence[np.ndarray], class_names: Sequence[str], needed: int, *, has_groups: bool
) -> None:
    """Refuses classes with fewer different contents, or groups, than parts.

    Raises:
        DataError: the message lists them.
    """
    counts = [len(np.unique(places[of])) for of in members]
    small = [f"{name} ({count})" for name, count in zip(class_names, counts, strict=True) if count < needed]
    if small:
        what, more = ("groups", "images of other groups") if has_groups else ("images", "images")
        raise DataError(
            f"too few different {what} to split, at least {needed} a class are needed: {some(small)}. Add "
            f"{more}, or remove the class."
        )


def _by_hash(places: np.ndarray, shares: Sequence[float], rule: Rule) -> np.ndarray:
    """Returns the part of each example, counted backwards, by where its hash lies in the range of all hashes."""
    test, *rest = shares
    widths = [test, *(rest if rule.folds is None else [(1 - test) / rule.folds] * rule.folds)]
    bounds = np.cumsum(widths)
    if rule.folds is not None:
        bounds[-1] = np.inf
    return (len(shares) - np.searchsorted(bounds, places / 2.0**64, side="right")).astype(np.int32)


def _by_rank(places: np.ndarray, members: Sequence[np.ndarray], shares: Sequence[float], rule: Rule) -> np.ndarray:
    """Returns the part of each example, counted backwards, by the rank of its hash in its class."""
    codes = np.zeros(len(places), np.int32)
    trains = rule.folds is None  # on what is left, which must not be nothing
    for of, wanted in zip(members, _counts([len(of) for of in members], shares, rule), strict=True):
        distinct, counts = np.unique(places[of], return_counts=True)
        ranks = np.searchsorted(distinct, places[of])
        begin = 0
        for part, share in enumerate(shares):
            behind = sum(later > 0 for later in shares[part + 1 :]) + trains
            most = len(distinct) - begin - behind
            end = begin + (_threshold(counts[begin:], wanted[part], most) if share > 0 else 0)
            codes[of[(begin <= ranks) & (ranks < end)]] = len(shares) - part
            begin = end
    return codes


def _counts(sizes: Sequence[int], shares: Sequence[float], rule: Rule) -> list[tuple[int, ...]]:
    """Returns, for each class, how many examples each part should have."""
    test = _shared(sizes, shares[0], rule)
    if rule.folds is None:
        return list(zip(test, _shared(sizes, shares[1], rule), strict=True))
    found, before = [], 0
    for size, asked in zip(sizes, test, strict=True):
        tests = (
            max(1, min(asked, size - rule.folds)) if asked else 0
        )  # each fold is to get one, where there are as many
        left = max(0, size - tests)
        # As if they were dealt out one by one; over all classes, so that folds are of one size in all.
        dealt = [-(-(before + left - fold) // rule.folds) + (fold - before) // rule.folds for fold in range(rule.folds)]
        found.append((tests, *dealt[:-1], size))  # the last takes what there is
        before += left if rule.proportions == "total" else 0
    return found


def _shared(sizes: Sequence[int], share: float, rule: Rule) -> list[int]:
    """Returns so many examples of each class as make up a share, of each or of all together; 0 only for 0."""
    if share <= 0:
        return [0] * len(sizes)
    if rule.proportions == "class":
        return [max(1, round(share * size)) for size in sizes]
    counts = [max(1, int(share * size)) for size in sizes]
    lacking = round(share * sum(sizes)) - sum(counts)
    by_remainder = sorted(range(len(sizes)), key=lambda label: (counts[label] - share * sizes[label], label))
    # What rounding down has lost goes to the largest remainders; what classes of a few got more, comes from the rest.
    step = 1 if lacking > 0 else -1
    for label in itertools.cycle(by_remainder[::step]):
        if not lacking or (step < 0 and max(counts) == 1):
            return counts
        if counts[label] + step >= 1:
            counts[label] += step
            lacking -= step
    return counts


def _check_every_split(
    splits: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    wanted: Sequence[int],
    rule: Rule,
    *,
    has_groups: bool,
) -> None:
    """Refuses splits in which a class is missing: by chance, or since what stands in several classes stays together.

    Raises:
        DataError: the message lists them.
    """
    lacking = []
    for split in wanted:
        counts = np.bincount(labels[splits == split], minlength=len(class_names))
        lacking += [f"{class_names[label]} ({NAMES[split]})" for label in np.flatnonzero(counts == 0)]
    if not lacking:
        return
    if rule.proportions == "hash":
        raise DataError(
            f"shares of the range of hashes leave these classes without an example in a split: {some(lacking)}. Take "
            "another --seed, add images, or write --config.data.proportions=class."
        )
    what, more = ("groups", "groups") if has_groups else ("images", "images of that class alone")
    raise DataError(
        f"{what} that stand in several classes stay together, which leaves these classes without an example in a "
        f"split: {some(lacking)}. Take another --seed, add {more}, or give a column split of your own."
    )


def _check_none_empty(splits: np.ndarray, wanted: Sequence[int], rule: Rule) -> None:
    """Refuses splits of which one has nothing, by chance, or since there are fewer examples than folds.

    Raises:
        DataError: the message lists them.
    """
    empty = " and ".join(NAMES[split] for split in wanted if not (splits == split).any())
    if empty and rule.proportions == "hash":
        raise DataError(
            f"shares of the range of hashes leave no example for {empty}. Take another --seed, add images, or write "
            "--config.data.proportions=class."
        )
    if empty:
        raise DataError(f"{len(splits):,} images leave none for {empty}. Add images, or take fewer folds.")


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
            f"{some(leaks)}. Remove one of each pair, or leave out the copy on the side of training with "
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


def some(items: Sequence[str], most: int = 5) -> str:
    """Returns the first of some names, and how many more there are."""
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest
