"""What is split in proportion where examples are of no single class: by their rarest label, or by bins of numbers.

Splits go by strata as by classes (`splits.assign`). What must stay together, copies of a picture or a group, is in one
stratum as a whole.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from tfxfer.data.splits import TEST, TRAIN, VALIDATION, Rule
from tfxfer.tasks import Kind

# Bins of numbers, at most; and what must stay together in each, at least, if not more parts are cut of it.
_MOST_BINS, _FEWEST_IN_BIN = 10, 10
# The splits, which are the least number of parts that a stratum must be enough for.
_SPLITS = 3


def parts(rule: Rule, test_fraction: float) -> int:
    """Returns how many a stratum must be for three splits, or for one in each fold of what the test leaves."""
    if rule.folds is None:
        return _SPLITS
    return max(_SPLITS, rule.folds + (test_fraction > 0), math.ceil(rule.folds / (1 - test_fraction)))


def strata(
    labels: np.ndarray, names: tuple[str, ...], kind: Kind, together: Sequence[str], parts: int = _SPLITS
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
        parts: what the function of that name says: no stratum is of fewer that must stay together, unless all are.
    """
    if kind in ("single_label", "ordinal"):
        return labels, names
    _, unit = np.unique(np.asarray(together, dtype=object).astype(str), return_inverse=True)
    units = int(unit.max(initial=-1)) + 1
    if kind == "multi_label":
        has = np.zeros((units, len(names)), bool)
        np.logical_or.at(has, unit, labels.astype(bool))
        # A label whose examples all have rarer ones has no stratum.
        there, of_unit = np.unique(_rarest(has, parts), return_inverse=True)
        called = (*names, "no label")
        return of_unit.astype(np.int32)[unit], tuple(called[stratum] for stratum in there)
    spread = labels.astype(np.float64).std(axis=0)
    standardised = (labels - labels.mean(axis=0)) / np.where(spread > 0, spread, 1)
    means = np.bincount(unit, standardised.mean(axis=1), units) / np.bincount(unit, minlength=units)
    bins = int(np.clip(units // max(_FEWEST_IN_BIN, parts), 1, _MOST_BINS))
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    of_unit = (ranks * bins // max(units, 1)).astype(np.int32)
    return of_unit[unit], tuple(f"tenth {number + 1} of the targets" for number in range(bins))


def _rarest(has: np.ndarray, fewest: int) -> np.ndarray:
    """Returns the rarest label of each unit, int32 `[units]`; the number of labels where it has none, or few share it.

    Args:
        has: bool `[units, labels]`.
        fewest: units that a label must be the rarest of.
    """
    units, count = has.shape
    found = np.full(units, count, np.int32)
    # Rarer labels come later and take over, and among equally rare ones the first does; of a number for each unit and
    # label there would be eight times as many bytes as the labels have.
    for label in np.argsort(has.sum(axis=0), kind="stable")[::-1]:
        found[has[:, label]] = label
    sizes = np.bincount(found, minlength=count + 1)
    found[sizes[found] < fewest] = count
    sizes = np.bincount(found, minlength=count + 1)
    if sizes[count] < fewest:
        found[found == count] = sizes.argmax()
    return found


def with_every_label(
    decided: np.ndarray,
    labels: np.ndarray,
    together: Sequence[str],
    wanted: Sequence[int],
    *,
    seed: int,
    pool: Sequence[int] = (TRAIN,),
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
        pool: the splits that together stand for training: what is moved comes from them. Of folds these are training
            and validation, which are cut from one whole: what went by one of them would differ between the folds.
    """
    decided = decided.copy()
    units: dict[str, list[int]] = {}
    for index, text in enumerate(together):
        units.setdefault(text, []).append(index)
    for label in np.argsort(labels.sum(axis=0), kind="stable"):
        for split in wanted:
            if labels[decided == split, label].any():
                continue
            texts = {together[index] for index in np.flatnonzero(np.isin(decided, pool) & (labels[:, label] > 0))}
            for text in sorted(texts, key=lambda text: _hash(seed, text)):
                members = units[text]
                rest = np.isin(decided, pool)
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
