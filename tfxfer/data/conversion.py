"""Makes of the classes that a source found what the task asks for: an order, or the numbers that they are called."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from tfxfer import recipes
from tfxfer.data.found import Found
from tfxfer.data.targets import LARGEST, NUMBER
from tfxfer.errors import DataError, suggest


def as_asked(found: Found, asked: recipes.Data) -> Found:
    """Returns what a source found as the task needs it.

    Args:
        found: classes, or what the task needs already.
        asked: the task, and the order of classes where they have one.

    Raises:
        DataError: classes that are no numbers where numbers are asked for, have no order, or are to be several.
    """
    kind = asked.kind
    if found.kind == kind:
        return found
    if kind == "regression":
        values = np.array([as_number(name, found.source) for name in found.class_names], np.float32)
        return dataclasses.replace(found, labels=values[found.labels][:, None], class_names=("target",), kind=kind)
    if kind == "ordinal":
        return _in_order(found, asked.class_order)
    raise DataError(
        f"task=multi_label, and each image of {found.source} is of one class. Write the labels of each into a table, "
        'image,labels and a.jpg,cat|dog, and --data=csv:… --config.data.label_separator="|".'
    )


def as_number(name: str, source: str) -> float:
    """Returns the number that a class or a cell is called.

    Raises:
        DataError: it is none.
    """
    if not NUMBER.fullmatch(name) or abs(float(name)) > LARGEST:
        raise DataError(
            f"task=regression, and {source} has {name!r}, which is no finite number. Write one, such as 3.5."
        )
    return float(name)


def _in_order(found: Found, order: Sequence[str]) -> Found:
    """Returns the same examples with their classes in order, the lowest first.

    Raises:
        DataError: names that have no order, or other names than that of the order.
    """
    names = found.class_names
    if not order:
        words = [name for name in names if not NUMBER.fullmatch(name)]
        if words:
            raise DataError(
                f"task=ordinal, and the classes of {found.source} are no numbers, which would have an order: "
                f"{', '.join(words[:5])}. Say the order: --config.data.class_order=<lowest>,…,<highest>"
            )
        order = sorted(names, key=float)
        same = [pair for pair in itertools.pairwise(order) if float(pair[0]) == float(pair[1])]
        if same:
            raise DataError(
                f"task=ordinal, and {found.source} has classes that are one number: {same[0][0]} and {same[0][1]}. "
                "Spell each number in one way."
            )
    unknown = [name for name in names if name not in order]
    missing = [name for name in order if name not in names]
    if unknown or missing:
        hint = suggest(unknown[0], order) if unknown else ""
        raise DataError(
            f"class_order is {', '.join(order)}; {found.source} has besides {', '.join(unknown) or 'nothing'}, and "
            f"lacks {', '.join(missing) or 'nothing'}.{hint} Name just the classes that are there."
        )
    places = np.array([order.index(name) for name in names], np.int32)
    return dataclasses.replace(found, labels=places[found.labels], class_names=tuple(order), kind="ordinal")
