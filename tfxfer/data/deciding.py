"""Decides where each picture stands: what a source leaves open is taken from training, by strata of its targets."""

from collections.abc import Sequence

import numpy as np

from tfxfer.data import pictures, splits, strata, targets
from tfxfer.data.found import Found
from tfxfer.errors import DataError

# What `Rule.proportions` does, in words.
_STRATIFIED = {
    "class": "stratified",
    "total": "stratified, with exact shares of all",
    "hash": "with fixed shares of hashes",
}
# What splits are stratified by, where that is not the class.
_STRATA = {"multi_label": " by the rarest label of each image", "regression": " by bins of the targets"}


def where_each_stands(
    found: Found, keys: Sequence[str], seed: int, fractions: dict[str, float], rule: splits.Rule
) -> tuple[np.ndarray, str]:
    """Returns the splits and, in words, where they come from: whatever the source lacks is taken from training."""
    groups = found.groups
    by = "content hash" if groups is None else f"hash of {groups.by}, {groups.count:,} groups,"
    ready = found.splits
    if rule.folds is not None:
        told = f"validation is fold {rule.fold} of {rule.folds} of what is not for the test"
        if ready is not None:  # what the source has for validation goes into the folds
            ready = np.where(ready == splits.VALIDATION, splits.TRAIN, ready).astype(np.int8)
    if ready is None:
        decided = _assigned(found, keys, np.arange(len(keys)), seed, fractions, rule)
        how = f"by {by} with seed {seed}, {_STRATIFIED[rule.proportions]}{_STRATA.get(found.kind, '')}"
        return decided, f"{how}; {told}{_lacking(found, decided)}" if rule.folds is not None else how
    if groups is not None:
        splits.check_groups(groups.names, found.pictures.name, ready, groups.by)
    missing = [name for code, name in enumerate(splits.NAMES) if code and not (ready == code).any()]
    if not missing or not (ready == splits.TRAIN).any():
        return ready, "the source's own" + _lacking(found, ready)
    decided = ready.copy()
    train = np.flatnonzero(ready == splits.TRAIN)
    check_training(found, found.labels[train])
    wanted = {
        f"{name}_fraction": fractions[f"{name}_fraction"] if name in missing else 0.0 for name in splits.NAMES[1:]
    }
    decided[train] = _assigned(found, keys, train, seed, wanted, rule)
    how = f"the source's own; {' and '.join(missing)} taken from train by {by} with seed {seed}"
    if rule.folds is not None:
        how += f"; {told}"
    return decided, how + _lacking(found, decided)


def _lacking(found: Found, decided: np.ndarray) -> str:
    """Returns in words which classes a source leaves out of a split that is there: measured there is the rest alone."""
    told, what = "", "label" if found.kind == "multi_label" else "class"
    for code, name in enumerate(splits.NAMES):
        counts = targets.count(found.labels[decided == code], found.kind, len(found.class_names))
        empty = [found.class_names[label] for label in np.flatnonzero(counts == 0)]
        if code != splits.TRAIN and empty and (decided == code).any():
            told += f"; no {name} example of {what} {splits.some(empty)}: add some, or nothing is measured of it"
    return told


def _assigned(
    found: Found, keys: Sequence[str], at: np.ndarray, seed: int, fractions: dict[str, float], rule: splits.Rule
) -> np.ndarray:
    """Returns the splits of the examples at these positions, by strata of their targets.

    With folds these are the same for each fold: labels are brought into the test alone, from all that is not for it.

    Raises:
        DataError: a stratum is too small to be in every split, or a label is missing in one other than a fold.
    """
    groups = None if found.groups is None else found.groups.at(at).names
    some = [keys[index] for index in at]
    together = some if groups is None else [group or key for group, key in zip(groups, some, strict=True)]
    labels, names = found.labels[at], found.class_names
    parts = strata.parts(rule, fractions["test_fraction"])
    strata_of, called = strata.strata(labels, names, found.kind, together, parts)
    are_classes = found.kind in ("single_label", "ordinal")
    decided = splits.assign(
        some, strata_of, called, seed=seed, groups=groups, rule=rule, are_classes=are_classes, **fractions
    )
    if found.kind == "multi_label":
        wanted = [split for split, name in enumerate(splits.NAMES) if fractions.get(f"{name}_fraction", 0) > 0]
        pool = (splits.TRAIN,)
        if rule.folds is not None:
            wanted, pool = [split for split in wanted if split == splits.TEST], (splits.TRAIN, splits.VALIDATION)
        decided = strata.with_every_label(decided, labels, together, wanted, seed=seed, pool=pool)
        if lacking := strata.lacking(decided, labels, names, (splits.TRAIN, *wanted)):
            raise DataError(
                "labels without an example in a split, where they could not be learned or measured: "
                f"{splits.some(lacking)}. Add images that have them, leave these labels out, or give a column split of "
                "your own."
            )
    return decided


def draw(found: Found, seen: pictures.Survey, decided: np.ndarray, seed: int, each: int) -> tuple[np.ndarray, str]:
    """Returns the positions of what remains when so many training examples of each class are drawn, and says so."""
    train = np.flatnonzero(decided == splits.TRAIN)
    keys = [seen.keys[index] for index in train]
    drawn = train[splits.draw(keys, found.labels[train], found.class_names, seed=seed, each=each)]
    remain = np.sort(np.concatenate([drawn, np.flatnonzero(decided != splits.TRAIN)]))
    told = f"; {each} training examples of each class drawn by content hash with seed {seed}, of {len(train):,}"
    return remain, told


def check_classes(found: Found, labels: np.ndarray, skipped: int) -> None:
    """Raises DataError where the labels of what can be read are not enough to tell anything apart.

    Args:
        found: by a source, with all its pictures.
        labels: of the readable ones.
        skipped: how many are not.
    """
    without = f" after {skipped} unreadable image(s) were left out" if skipped else ""
    if len(labels) == 0:
        raise DataError(f"{found.source} has no images{without}.")
    counts = targets.count(labels, found.kind, len(found.class_names))
    empty = [name for name, count in zip(found.class_names, counts, strict=True) if count == 0]
    if empty:
        what = "label" if found.kind == "multi_label" else "class"
        raise DataError(f"{found.source} has no image of {what} {', '.join(empty)}{without}. Remove the {what}.")
    if found.kind in ("single_label", "ordinal") and len(found.class_names) < 2:
        raise DataError(
            f"{found.source} has one class only, {found.class_names[0]!r}: there is nothing to tell apart. Make "
            "one folder for each class, or write the class of each image into the column of labels."
        )


def check_training(found: Found, labels: np.ndarray) -> None:
    """Raises DataError where these labels, of the examples to train on, leave something out that is to be learned."""
    if len(labels) == 0:
        how = "Put them into train/<class>/, or write train into the column of splits."
        if found.source.startswith("tfds:"):
            how = f"Name a part to train on: {found.source.partition('?')[0]}?train=train[:90%]&test=…"
        raise DataError(f"the split train of {found.source} has no images. {how}")
    counts = targets.count(labels, found.kind, len(found.class_names))
    untrained = [found.class_names[label] for label in np.flatnonzero(counts == 0)]
    if untrained:
        what = "label" if found.kind == "multi_label" else "class"
        raise DataError(f"{found.source} has no image to train on for {what} {', '.join(untrained)}. Add some.")
    if found.kind == "regression":
        targets.check_varies(labels, found.class_names, f"the split train of {found.source}")
