"""Examples handed over from Python: arrays, or a `tf.data.Dataset` that is read once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxfer.data.examples import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import DataError
from tfxfer.pixels import check_pixel_scale
from tfxfer.tasks import Kind


def find(data: Any, class_names: Sequence[str] | None = None, kind: Kind = "single_label") -> Found:
    """Returns the examples of `(images, labels)`, `(images, labels, weights)`, or a `tf.data.Dataset` of either.

    Args:
        data: `images`: uint8, or float on 0..255; `[examples, height, width]`, `[…, 1]` or `[…, 3]`, or a list
            of `[height, width, 3]` of any sizes. `labels`: `[examples]` of whole numbers from 0 or of texts; for
            multi_label `[examples, labels]` of 0 and 1, for regression numbers, `[examples]` or `[examples, targets]`.
            `weights`: `[examples]` of numbers above 0, by which examples count in the loss. A dataset gives such pairs,
            or threes, one by one or in batches.
        class_names: names of the labels 0, 1, …, or of the columns; by default the numbers, or the texts in order.
        kind: of the task; classes may get an order afterwards.

    Raises:
        DataError: shapes, scales, labels or weights that cannot be what they should be.
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
    if len(images) != len(labels):
        raise DataError(f"there are {len(images)} images but {len(labels)} labels.")
    if len(images) == 0:
        raise DataError("there are no examples: images and labels are empty.")
    check_pixel_scale(images)
    pictures = Arrays([_to_rgb(image) for image in images])
    weighed = _weights(weights[0], len(labels)) if weights else None
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


def _number(labels: np.ndarray, class_names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if labels.ndim != 1:
        hint = " One-hot labels become numbers by labels.argmax(axis=1)." if labels.ndim == 2 else ""
        raise DataError(f"labels have shape {labels.shape}, expected one label for each image: [examples].{hint}")
    if labels.dtype.kind in "OSU":
        texts = [label.decode() if isinstance(label, bytes) else str(label) for label in labels]
        names = tuple(class_names or sorted(set(texts)))
        unknown = sorted(set(texts) - set(names))
        if unknown:
            raise DataError(f"labels {unknown[:5]} are not in class_names {names}.")
        return np.array([names.index(text) for text in texts], np.int32), names
    if labels.dtype.kind == "f" and not np.equal(labels, np.round(labels)).all():
        fraction = labels[np.not_equal(labels, np.round(labels))][0]
        raise DataError(f"labels are fractions such as {fraction}; classes are whole numbers from 0 or texts.")
    numbers = labels.astype(np.int32)
    count = len(class_names) if class_names else int(numbers.max()) + 1
    if numbers.min() < 0 or numbers.max() >= count:
        raise DataError(f"labels lie between {numbers.min()} and {numbers.max()}, expected 0 to {count - 1}.")
    return numbers, tuple(class_names or (str(number) for number in range(count)))


def _columns(labels: np.ndarray, class_names: Sequence[str] | None, kind: Kind) -> tuple[np.ndarray, tuple[str, ...]]:
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
    plain = ("target",) if is_numbers and count == 1 else tuple(map(str, range(count)))
    names = tuple(class_names or plain)
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
