"""Examples handed over from Python: arrays, or a `tf.data.Dataset` that is read once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxfer.data.examples import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import DataError


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


def check_pixel_scale(images: Any, sample: int = 256) -> None:
    """Refuses float pixels that are not on 0..255.

    Args:
        images: arrays of pixels, float or integer; a sample of up to `sample` of them is looked at.

    Raises:
        DataError: pixels in [0, 1], below 0 or above 255; the message says what to type.
    """
    step = max(1, len(images) // sample)
    looked_at = [np.asarray(image) for image in images[::step]]
    odd = next((array for array in looked_at if array.dtype.kind not in "buif" or array.size == 0), None)
    if odd is not None:
        given = f"has shape {odd.shape}" if odd.dtype.kind in "buif" else f"is {odd!s:.60}"
        raise DataError(
            f"an image {given}, expected pixels, numbers of shape [height, width, 3]. For files write "
            "Recipe(data='folder:<dir>')."
        )
    # NumPy's, because Python's min() loses a NaN that does not come first.
    least, most = float(np.min([a.min() for a in looked_at])), float(np.max([a.max() for a in looked_at]))
    if not np.isfinite([least, most]).all():
        raise DataError("some pixels are not finite numbers.")
    if least < 0 or most > 255:
        raise DataError(
            f"pixels lie between {least:g} and {most:g}, expected 0 to 255: they look normalised. Hand over the "
            "images as they were decoded; the model normalises them itself."
        )
    if most <= 1.0 and np.issubdtype(looked_at[0].dtype, np.floating):
        raise DataError(
            f"pixels lie between {least:g} and {most:g}, expected 0 to 255: they look like fractions. Multiply "
            "by 255: images = (images * 255).astype('uint8')."
        )


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
