"""Examples handed over from Python: arrays, or a `tf.data.Dataset` that is read once."""

import collections
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxfer.data.found import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import DataError
from tfxfer.pixels import check_pixel_scale
from tfxfer.tasks import Kind

# Each class has a name and an output of the network: more are a mistake, such as numbers of products for classes.
MOST_CLASSES = 1_000_000


def find(data: Any, class_names: Sequence[str] | None = None, kind: Kind = "single_label") -> Found:
    """Returns the examples of `(images, labels)`, `(images, labels, weights)`, or a `tf.data.Dataset` of either.

    Args:
        data: `images`: uint8, or float on 0..255; `[examples, height, width]`, `[…, 1]` or `[…, 3]`, or a list
            of `[height, width, 3]` of any sizes. `labels`: `[examples]` of whole numbers from 0 or of texts; for
            multi_label `[examples, labels]` of 0 and 1, for regression numbers, `[examples]` or `[examples, targets]`.
            `weights`: `[examples]` of numbers above 0, by which examples count in the loss. A dataset gives such pairs,
            or threes, one by one or in batches.
        class_names: names of the labels 0, 1, …, or of the columns, each another one; by default the numbers, or the
            texts in order.
        kind: of the task; classes may get an order afterwards.

    Raises:
        DataError: shapes, scales, labels, names or weights that cannot be what they should be.
    """
    if hasattr(data, "as_numpy_iterator"):
        images, labels, *weights = _materialise(data, kind)
    elif isinstance(data, tuple | list) and len(data) in (2, 3):
        images, labels, *weights = data
    else:
        raise DataError(
            f"data is a {type(data).__name__}. Give a pair (images, labels), or (images, labels, weights), or a "
            "tf.data.Dataset of such pairs."
        )
    if getattr(labels, "ndim", 1) == 0 or not hasattr(labels, "__len__"):
        raise DataError(f"labels are the one value {labels!r:.100}, expected one label for each image: [examples].")
    if len(images) != len(labels):
        raise DataError(f"there are {len(images)} images but {len(labels)} labels.")
    if len(images) == 0:
        raise DataError("there are no examples: images and labels are empty.")
    check_pixel_scale(images)
    pictures = Arrays([_to_rgb(image) for image in images])
    weighed = _weights(weights[0], len(labels)) if weights else None
    class_names = None if class_names is None or len(class_names) == 0 else _names(class_names)
    if kind in ("multi_label", "regression"):
        targets, names = _columns(np.asarray(labels), class_names, kind)
        return Found("arrays:", pictures, targets, names, weights=weighed, kind=kind)
    numbers, names = _number(np.asarray(labels), class_names)
    return Found("arrays:", pictures, numbers, names, weights=weighed)


def _is_one(image: np.ndarray, label: np.ndarray, kind: Kind) -> bool:
    """Returns whether a dataset gave one example, and not a batch."""
    if kind == "multi_label":
        return np.ndim(label) == 1
    if kind == "regression" and np.ndim(label) == 1:  # several targets of one, or one of each of several
        return np.ndim(image) < 4 and (np.shape(image)[-1] in (1, 3) or len(image) != len(label))
    return np.ndim(label) == 0


def _materialise(dataset: Any, kind: Kind) -> tuple[list, ...]:
    parts: tuple[list, ...] | None = None
    for element in dataset.as_numpy_iterator():
        is_row = isinstance(element, tuple) and len(element) in ((2, 3) if parts is None else (len(parts),))
        is_one = is_row and _is_one(element[0], element[1], kind)
        length = () if is_one or not is_row else np.shape(element[1])[:1]
        if not is_row or any(np.shape(about)[:1] != length for about in element[2:]):
            raise DataError(
                "the dataset must give pairs (image, label), or all (image, label, weight), or batches of them."
            )
        parts = parts or tuple([] for _ in element)
        for part, given in zip(parts, element, strict=True):
            part.extend([given] if is_one else given)
    return parts or ([], [])


def _weights(weights: Any, count: int) -> np.ndarray:
    """Returns the weights of examples, float64 `[examples]`.

    Raises:
        DataError: no such numbers.
    """
    weights = np.asarray(weights)
    if weights.shape != (count,) or weights.dtype.kind not in "iuf":
        raise DataError(
            f"weights are {weights.dtype} {list(weights.shape)}, expected a number for each of the {count} images."
        )
    weights = weights.astype(np.float64)
    if len(wrong := np.flatnonzero(~((weights > 0) & np.isfinite(weights)))):
        raise DataError(
            f"{len(wrong)} of {count} weights are no finite numbers above 0, the first is weights[{wrong[0]}] = "
            f"{weights[wrong[0]]}. Leave out examples that are not to count."
        )
    return weights


def _number(labels: np.ndarray, class_names: tuple[str, ...] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if labels.ndim != 1:
        hint = " One-hot labels become numbers by labels.argmax(axis=1)." if labels.ndim == 2 else ""
        raise DataError(f"labels have shape {labels.shape}, expected one label for each image: [examples].{hint}")
    if labels.dtype.kind in "OSU":
        texts = [_text(label) for label in labels]
        names = class_names or _names(sorted(set(texts)))
        places = {name: place for place, name in enumerate(names)}
        unknown = sorted(set(texts) - set(places))
        if unknown:
            raise DataError(f"labels {unknown[:5]} are not in class_names {names}.")
        return np.array([places[text] for text in texts], np.int32), names
    if labels.dtype.kind not in "biuf":
        raise DataError(f"labels are {labels.dtype}; classes are whole numbers from 0 or texts.")
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise DataError("labels are infinite; classes are whole numbers from 0 or texts.")
    if labels.dtype.kind == "f" and not np.equal(labels, np.round(labels)).all():
        fraction = labels[np.not_equal(labels, np.round(labels))][0]
        raise DataError(f"labels are fractions such as {fraction}; classes are whole numbers from 0 or texts.")
    lowest, highest = int(labels.min()), int(labels.max())  # before the type changes, in which large ones are others
    count = len(class_names) if class_names else highest + 1
    if lowest < 0 or highest >= count:
        raise DataError(f"labels lie between {lowest} and {highest}, expected 0 to {count - 1}.")
    if count > MOST_CLASSES:
        raise DataError(
            f"labels go up to {highest:,}, and the numbers from 0 on are the classes, of which at most "
            f"{MOST_CLASSES:,} can be told apart. Number those that are there: "
            "class_names, labels = np.unique(labels, return_inverse=True)."
        )
    return labels.astype(np.int32), class_names or tuple(map(str, range(count)))


def _text(given: Any) -> str:
    """Returns a label or a name as a text.

    Raises:
        DataError: its bytes are none.
    """
    try:
        return given.decode() if isinstance(given, bytes) else str(given)
    except UnicodeDecodeError:
        raise DataError(f"the class {given!r:.100} is no UTF-8. Write texts of type str.") from None


def _names(given: Sequence[Any]) -> tuple[str, ...]:
    """Returns the names of classes, labels or targets.

    Raises:
        DataError: one that cannot be shown, one that stands there twice, or too many.
    """
    if len(given) > MOST_CLASSES:
        raise DataError(f"there are {len(given):,} classes, and at most {MOST_CLASSES:,} can be told apart.")
    names = tuple(map(_text, given))
    wrong = next((name for name in names if not name.strip() or not name.isprintable()), None)
    if wrong is not None:
        raise DataError(
            f"the class {wrong!r:.100} is no name: expected printable text that is not empty. Rename it in class_names "
            "and labels."
        )
    if len(set(names)) < len(names):
        twice = next(name for name, count in collections.Counter(names).items() if count > 1)
        raise DataError(f"class_names has {twice!r:.100} twice, expected another name for each class. Rename one.")
    return names


def _columns(labels: np.ndarray, class_names: tuple[str, ...] | None, kind: Kind) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns labels of 0 and 1, uint8, or numbers, float32, `[examples, columns]`, and what the columns are called."""
    is_numbers = kind == "regression"
    if is_numbers and labels.ndim == 1:
        labels = labels[:, None]
    if labels.ndim != 2 or labels.dtype.kind not in "biuf":
        expected = "numbers [examples] or [examples, targets]" if is_numbers else "0 and 1 as [examples, labels]"
        raise DataError(
            f"task={kind}, and labels have shape {labels.shape} and type {labels.dtype}, expected {expected}."
        )
    right = np.isfinite(labels.astype(np.float32)) if is_numbers else np.isin(labels, (0, 1))
    if not right.all():
        row, column = np.argwhere(~right)[0]
        raise DataError(
            f"the label of example {row}, column {column} is {labels[row, column]}, expected "
            f"{'a finite number of float32' if is_numbers else '0 or 1'} ({(~right).any(axis=1).sum():,} examples)."
        )
    count = labels.shape[1]
    names = class_names or (("target",) if is_numbers and count == 1 else tuple(map(str, range(count))))
    if len(names) != count:
        raise DataError(f"class_names has {len(names)} names, and labels have {count} columns.")
    return labels.astype(np.float32 if is_numbers else np.uint8), names


def _to_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise DataError(f"an image has shape {image.shape}, expected [height, width], [h, w, 1] or [h, w, 3].")
    pixels = np.clip(np.round(image), 0, 255).astype(np.uint8) if image.dtype != np.uint8 else image
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
