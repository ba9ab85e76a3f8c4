"""Which examples a race learns from, and on which it compares: never those of the test. Pure, on arrays."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from tfxfer.data import TEST, TRAIN, VALIDATION, Examples, rows
from tfxfer.scores import curves

# From so many validation examples on none are borrowed: a paired difference is then known to some 3 points.
ENOUGH = 400
# Of the training examples at most this share is borrowed, since with fewer of them other strategies are the best.
MOST_BORROWED = 0.25
_LOOKED_AT = 32


def without_test(examples: Examples) -> Examples:
    """Returns the training and validation examples."""
    return examples.some(np.flatnonzero(examples.splits != TEST))


def for_race(examples: Examples, seed: int) -> Examples:
    """Returns the examples with more of those to train on for validation, where these are few.

    What is borrowed is drawn in proportion of classes. Copies of a picture and groups go together, and no class loses
    its last training example.

    Args:
        examples: each of one class.
        seed: of the draw.
    """
    lacking = ENOUGH - int((examples.splits == VALIDATION).sum())
    splits = examples.splits.copy()
    if lacking > 0:
        mine = borrowed(examples.labels, examples.splits == TRAIN, _together(examples), lacking, seed)
        splits[mine] = VALIDATION
    return dataclasses.replace(examples, splits=splits, facts=_facts(examples, splits))


def looked_at_less(examples: Examples) -> Examples:
    """Returns the same examples with one batch of those for validation, the others being for nothing.

    A run looks at all of them behind each epoch, which may take longer than the epoch; a race, behind each rung.
    """
    held = examples.indices(VALIDATION)
    splits = examples.splits.copy()
    splits[np.delete(held, rows.evenly(len(held), _LOOKED_AT))] = TEST
    return dataclasses.replace(examples, splits=splits, facts=_facts(examples, splits))


def borrowed(labels: np.ndarray, is_trained: np.ndarray, together: Sequence[str], wanted: int, seed: int) -> np.ndarray:
    """Returns the positions of training examples that are compared on instead, int64.

    Args:
        labels: int `[examples]`, their classes.
        is_trained: bool `[examples]`, those that there are to choose from.
        together: of each example what must stay with others of the same text.
        wanted: how many, at most.
        seed: of the draw.
    """
    units: dict[str, list[int]] = collections.defaultdict(list)
    for index in np.flatnonzero(is_trained):
        units[together[index]].append(int(index))
    members = list(units.values())
    if not members:
        return np.zeros(0, np.int64)
    order = curves.stratified(labels[[unit[0] for unit in members]], np.random.default_rng(seed))
    left = np.bincount(labels[is_trained], minlength=int(labels.max()) + 1)
    room = min(wanted, int(MOST_BORROWED * is_trained.sum()))
    taken: list[int] = []
    for unit in (members[number] for number in order):
        takes = np.bincount(labels[unit], minlength=len(left))
        if len(unit) <= room - len(taken) and (left - takes)[takes > 0].min() >= 1:
            taken += unit
            left -= takes
    return np.array(sorted(taken), np.int64)


def _together(examples: Examples) -> list[str]:
    groups = examples.groups or (None,) * len(examples.labels)
    return [key if group is None else f"group {group}" for key, group in zip(examples.keys, groups, strict=True)]


def _facts(examples: Examples, splits: np.ndarray):
    """Returns the facts of examples in other splits; what is for the test has no part in a race."""
    facts, classes = examples.facts, len(examples.facts.class_names)
    train, validation = (np.bincount(examples.labels[splits == one], minlength=classes) for one in (TRAIN, VALIDATION))
    weights = facts.train_weights
    if examples.weights is not None:
        trained = splits == TRAIN
        sums = np.bincount(examples.labels[trained], examples.weights[trained], classes)
        weights = tuple((sums * trained.sum() / sums.sum()).tolist())
    return dataclasses.replace(
        facts,
        train_counts=tuple(train.tolist()),
        validation_counts=tuple(validation.tolist()),
        test_counts=(0,) * classes,
        train_weights=weights,
    )
