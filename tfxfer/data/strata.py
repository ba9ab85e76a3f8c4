"""What is split in proportion where examples are of no single class: by their rarest label, or by bins of numbers.

Splits go by strata as by classes (`splits.assign`). What must stay together, copies of a picture or a group, is in one
stratum as a whole.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from tfxfer.data.splits import TEST, TRAIN, VALIDATION
from tfxfer.tasks import Kind

# Bins of numbers, at most; and what must stay together in each, at least.
_MOST_BINS, _FEWEST_IN_BIN = 10, 10
# Fewer than that cannot be in three splits.
_FEWEST = 3


def strata(
    labels: np.ndarray, names: tuple[str, ...], kind: Kind, together: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the stratum of each example, int32 `[examples]`, and what each stratum is called.

    Of classes these are the classes. Of labels an example is in the stratum of its rarest one, so that rare labels,
    which chance would leave out of a split, are shared out first (the idea of Sechidis, Tsoumakas & Vlahavas 2011, "On
    the Stratification of Multi-Label Data", with a threshold for each label in the place of their greedy order). Of
    numbers they are up to ten bins of equally many, by the mean of the standardised targets.

    Args:
        labels: as in `tasks.Task`.
        names: of classes, labels or targets.
        kind: of the task.
        together: of each example what must stay in one split with others of the same text.
    """
    if kind in ("single_label", "ordinal"):
        return labels, names
    _, unit = np.unique(np.asarray(together, dtype=object).astype(str), return_inverse=True)
    units = int(unit.max(initial=-1)) + 1
    if kind == "multi_label":
        has = np.zeros((units, len(names)), bool)
        np.logical_or.at(has, unit, labels.astype(bool))
        # A label whose examples all have rarer ones has no stratum.
        there, of_unit = np.unique(_rarest(has), return_inverse=True)
        called = (*names, "no label")
        return of_unit.astype(np.int32)[unit], tuple(called[stratum] for stratum in there)
    spread = labels.astype(np.float64).std(axis=0)
    standardised = (labels - labels.mean(axis=0)) / np.where(spread > 0, spread, 1)
    means = np.bincount(unit, standardised.mean(axis=1), units) / np.bincount(unit, minlength=units)
    bins = int(np.clip(units // _FEWEST_IN_BIN, 1, _MOST_BINS))
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    of_unit = (ranks * bins // max(units, 1)).astype(np.int32)
    return of_unit[unit], tuple(f"tenth {number + 1} of the targets" for number in range(bins))


def _rarest(has: np.ndarray) -> np.ndarray:
    """Returns the rarest label of each unit, int32; the number of labels where it has none, or too few share it."""
    units, count = has.shape
    counts = has.sum(axis=0)
    # Among labels that are equally rare the first.
    found = np.where(has, counts[None], units + 1).argmin(axis=1) if count else np.zeros(units, int)
    found = np.where(has.any(axis=1), found, count)
    sizes = np.bincount(found, minlength=count + 1)
    found = np.where(sizes[found] < _FEWEST, count, found)
    sizes = np.bincount(found, minlength=count + 1)
    if sizes[count] < _FEWEST:
        found = np.where(found == count, sizes.argmax(), found)
    return found.astype(np.int32)


def with_every_label(
    decided: np.ndarray, labels: np.ndarray, together: Sequence[str], wanted: Sequence[int], *, seed: int
) -> np.ndarray:
    """Returns splits in which every label has a positive example, where few moves from training can bring that about.

    A label whose examples have rarer ones too is left to chance by `strata`. Where chance has left it out of a split,
    what has the lowest hash of what has it moves there from training, with all that must stay together with it, unless
    that would take the last example of some label out of training.

    Args:
        decided: int8 `[examples]`.
        labels: uint8 `[examples, labels]`.
        together: as for `strata`.
        wanted: the splits that are to have every label besides training.
        seed: of the hash.
    """
    decided = decided.copy()
    units: dict[str, list[int]] = {}
    for index, text in enumerate(together):
        units.setdefault(text, []).append(index)
    for label in np.argsort(labels.sum(axis=0), kind="stable"):
        for split in wanted:
            if labels[decided == split, label].any():
                continue
            texts = {together[index] for index in np.flatnonzero((decided == TRAIN) & (labels[:, label] > 0))}
            for text in sorted(texts, key=lambda text: _hash(seed, text)):
                members = units[text]
                rest = decided == TRAIN
                rest[members] = False
                lost = labels[members].any(axis=0) & ~labels[rest].any(axis=0)
                if not lost.any():
                    decided[members] = split
                    break
    return decided


def lacking(decided: np.ndarray, labels: np.ndarray, names: Sequence[str], wanted: Sequence[int]) -> list[str]:
    """Returns, in words, the labels without a positive example in one of these splits."""
    said = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
    return [
        f"{names[label]} ({labels[:, label].sum()} in all, none in {said[split]})"
        for split in wanted
        for label in np.flatnonzero(labels[decided == split].sum(axis=0) == 0)
    ]


def _hash(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"label:{seed}:{text}".encode("utf-8", "surrogateescape")).digest()
