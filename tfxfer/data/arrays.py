"""Examples handed over from Python: arrays, or a `tf.data.Dataset` that is read once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxfer.data.examples import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import DataError
from tfxfer.pixels import check_pixel_scale


def find(data: Any, class_names: Sequence[str] | None = None) -> Found:
    """Returns the examples of `(images, labels)` or of a `tf.data.Dataset` of such pairs.

    Args:
        data: `images`: uint8, or float on 0..255; `[examples, height, width]`, `[…, 1]` or `[…, 3]`, or a list
            of `[height, width, 3]` of any sizes. `labels`: `[examples]` of whole numbers from 0 or of texts.
            A dataset gives such pairs one by one or in batches.
        class_names: names of the labels 0, 1, …; by default the numbers, or the texts in order.

    Raises:
        DataError: shapes, scales or labels that cannot be what they should be.
    """
    if hasattr(data, "as_numpy_iterator"):
        images, labels = _materialise(data)
    elif isinstance(data, tuple | list) and len(data) == 2:
        images, labels = data
    else:
        raise DataError(
            f"data is a {type(data).__name__}. Give a pair (images, labels) or a tf.data.Dataset of such pairs."
        )
    if len(images) != len(labels):
        raise DataError(f"there are {len(images)} images but {len(labels)} labels.")
    if len(images) == 0:
        raise DataError("there are no examples: images and labels are empty.")
    check_pixel_scale(images)
    numbers, names = _number(np.asarray(labels), class_names)
    return Found("arrays:", Arrays([_to_rgb(image) for image in images]), numbers, names)


def _materialise(dataset: Any) -> tuple[list, list]:
    images, labels = [], []
    for element in dataset.as_numpy_iterator():
        if not isinstance(element, tuple) or len(element) != 2:
            raise DataError("the dataset must give pairs (image, label), or batches of them.")
        image, label = element
        if np.ndim(label) == 0:
            images.append(image)
            labels.append(label)
        else:
            images.extend(image)
            labels.extend(label)
    return images, labels


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


def _to_rgb(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise DataError(f"an image has shape {image.shape}, expected [height, width], [h, w, 1] or [h, w, 3].")
    pixels = np.clip(np.round(image), 0, 255).astype(np.uint8) if image.dtype != np.uint8 else image
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
