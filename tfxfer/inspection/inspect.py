"""Looks at every picture of a source and gathers what `findings` judges. Nothing is trained, TensorFlow not loaded."""

import dataclasses
import pathlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

from tfxfer import data, recipes
from tfxfer.data import Found, examples, looks, near_duplicates, pictures, splits, targets
from tfxfer.errors import DataError
from tfxfer.inspection import of_targets
from tfxfer.inspection.embedded import read_features
from tfxfer.inspection.finding import SHOWN
from tfxfer.inspection.inspected import Alike, ClassCounts, Inspected, Pairs, Place

_DARK, _SHORT_SIDE = 16, 32
# Of pairs that are kept, for the contact sheet and the page.
_PAIRS = 24


def inspect(recipe: recipes.Data, *, seed: int, embeddings: pathlib.Path | None = None) -> tuple[Inspected, Found]:
    """Returns what there is to know about a set of pictures, and the pictures.

    Args:
        recipe: the source and how to treat it.
        seed: of the splits that training would make.
        embeddings: features of the pictures, a .npy that predict wrote with its table; they count for what is nearly
            the same, beside a perceptual hash. None: the hash alone.

    Raises:
        ConfigError: an unknown source.
        DataError: a source that cannot be read at all, or no features of its pictures.
    """
    found = data.find(recipe)
    features = None if embeddings is None else read_features(embeddings, found)
    seen = pictures.survey(found.pictures)
    looked = looks.look(found.pictures, seen.bad)
    notes = found.notes
    if features is not None:
        looked, told = _with_features(looked, features)
        notes = (*notes, told)
    decided, split, refused = _splits(found, seen, recipe, seed)
    at, firsts = _Places(found, decided), _firsts(seen.keys)
    readable = np.array([index for index in range(len(found.labels)) if index not in seen.bad], np.int64)
    sizes = seen.sizes[readable]
    short = readable[sizes.min(axis=1, initial=1 << 30) < _SHORT_SIDE]
    is_dark = looked.highest[readable] < _DARK
    dark, blank = readable[is_dark], readable[(looked.contrasts[readable] == 0) & ~is_dark]
    name = found.pictures.name
    return Inspected(
        source=found.source,
        images=len(found.labels),
        classes=_classes(found, decided, readable),
        split=split,
        refused=refused,
        heights=_spread(sizes[:, 0]),
        widths=_spread(sizes[:, 1]),
        small=len(short),
        smallest=tuple(f"{name(index)} ({seen.sizes[index, 1]}×{seen.sizes[index, 0]})" for index in short[:SHOWN]),
        modes=tuple(Counter(seen.modes[index] for index in readable).most_common()),
        unreadable=tuple(seen.bad.values()),
        copies=at.sorted(_again(firsts)),
        near=at.sorted(looked.pairs[firsts[looked.pairs[:, 0]] != firsts[looked.pairs[:, 1]]]),
        compared_all=looked.compared_all,
        dark=len(dark),
        first_dark=tuple(map(name, dark[:SHOWN])),
        blank=len(blank),
        first_blank=tuple(map(name, blank[:SHOWN])),
        notes=notes,
        kind=found.kind,
        split_sizes=tuple(int((decided[readable] == code).sum()) for code in range(len(splits.NAMES))),
        **_of_targets(found, decided, readable),
    ), found


def _with_features(looked: looks.Looks, features: np.ndarray) -> tuple[looks.Looks, str]:
    """Returns the looks with the pairs that features find, too, and what was compared."""
    more, compared_all = near_duplicates.pairs_of_features(features)
    both = np.unique(np.concatenate([looked.pairs, more]), axis=0)
    known = int(np.isfinite(features).all(axis=1).sum())
    told = (
        f"compared by a perceptual hash and by the features of {known:,} of {len(features):,} images, which found "
        f"{len(both) - len(looked.pairs):,} of {len(both):,} pairs alone"
    )
    return dataclasses.replace(looked, pairs=both, compared_all=looked.compared_all and compared_all), told


def _splits(found: Found, seen: pictures.Survey, recipe: recipes.Data, seed: int) -> tuple[np.ndarray, str, str]:
    """Returns the split of each picture, -1 where nobody knows it, how they came about, and why they cannot."""
    where, how, refused = np.full(len(found.labels), -1, np.int8), "", ""
    if found.splits is not None:
        where = found.splits
    settings = {
        "seed": seed,
        "fractions": {"validation_fraction": recipe.validation_fraction, "test_fraction": recipe.test_fraction},
        "rule": splits.Rule(proportions=recipe.proportions, folds=recipe.folds, fold=recipe.fold),
    }
    try:
        where, how = examples.splits_of(found, seen, **settings)
        each = recipe.examples_per_class
        examples.decide(found, seen, on_bad_image="skip", on_duplicate="drop", examples_per_class=each, **settings)
    except DataError as error:
        refused = str(error)
    return where, how, refused


def _classes(found: Found, decided: np.ndarray, readable: np.ndarray) -> tuple[ClassCounts, ...]:
    if found.kind == "regression":
        return ()
    labels, count = found.labels[readable], len(found.class_names)

    def counts(of: np.ndarray) -> list[int]:
        return targets.count(of, found.kind, count).tolist()

    each = [counts(labels[decided[readable] == split]) for split in (splits.TRAIN, splits.VALIDATION, splits.TEST)]
    return tuple(
        ClassCounts(name=name, images=images, train=train, validation=validation, test=test)
        for name, images, train, validation, test in zip(found.class_names, counts(labels), *each, strict=True)
    )


def _of_targets(found: Found, decided: np.ndarray, readable: np.ndarray) -> dict:
    """Returns what is known of labels, or of numbers, by the names of `Inspected`."""
    labels, names = found.labels[readable], found.class_names
    if found.kind == "multi_label":
        return {"labels": of_targets.label_facts(labels, names)}
    if found.kind != "regression":
        return {}
    return {
        "targets": of_targets.target_facts(
            labels, decided[readable], names, lambda index: found.pictures.name(int(readable[index]))
        ),
        "same_targets": of_targets.same_targets(labels, names),
    }


def _firsts(keys: Sequence[str]) -> np.ndarray:
    """Returns of each picture the first one with its content, int64 `[pictures]`; without a key it is its own."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(key, index) if key else index for index, key in enumerate(keys)], np.int64)


def _again(firsts: np.ndarray) -> np.ndarray:
    """Returns each picture that is one again, with the first, int64 `[pairs, 2]`."""
    again = np.flatnonzero(firsts != np.arange(len(firsts)))
    return np.stack([firsts[again], again], axis=1)


class _Places:
    """What there is to say of a picture by its position."""

    def __init__(self, found: Found, decided: np.ndarray):
        self._found, self._splits = found, decided

    def sorted(self, pairs: np.ndarray) -> Alike:
        """Returns pairs, int64 `[pairs, 2]`, by what divides them; only those that are shown become objects."""
        one, other = pairs.T
        apart = self._splits[one] != self._splits[other]
        alike = self._found.labels[one] == self._found.labels[other]
        alike = alike if alike.ndim == 1 else alike.all(axis=1)
        kinds = {"across_splits": apart, "across_classes": ~apart & ~alike, "within": ~apart & alike}
        return Alike(**{name: self._pairs(pairs[of]) for name, of in kinds.items()})

    def _pairs(self, pairs: np.ndarray) -> Pairs:
        first = tuple((self._place(one), self._place(other)) for one, other in pairs[:_PAIRS])
        return Pairs(count=len(pairs), first=first)

    def _place(self, index: int) -> Place:
        split = int(self._splits[index])
        return Place(
            index=int(index),
            name=self._found.pictures.name(index),
            class_name=targets.told(self._found.labels[index], self._found.class_names),
            split="" if split < 0 else splits.NAMES[split],
        )


def _spread(lengths: np.ndarray) -> tuple[int, int, int]:
    if not len(lengths):
        return (0, 0, 0)
    return int(lengths.min()), int(np.median(lengths)), int(lengths.max())
