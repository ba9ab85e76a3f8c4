"""From pictures to logits and probabilities, for evaluation, parity checks and `tfxfer predict` alike."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import keras
import numpy as np

from tfxfer import models, progress
from tfxfer.data import images
from tfxfer.data.rows import Rows


def logits(model: Callable, rows: Rows, *, batch_size: int = 32) -> np.ndarray:
    """Returns the model's logits for all rows, float32 `[rows, classes]`.

    Args:
        model: a Keras model from pixels to logits.
        rows: uint8 pictures.
        batch_size: every batch has this size, the last one is padded.
    """
    parts = []
    with progress.bar("predicting", len(rows), kind="images") as advance:
        for batch, count in rows.padded_batches(batch_size):
            parts.append(logits_of(model, batch)[:count])
            advance(count)
    return np.concatenate(parts)


def logits_of(model: keras.Model, batch: np.ndarray) -> np.ndarray:
    """Returns the model's logits for one batch, float32 `[rows, classes]`."""
    return models.predict_on_batch(model, batch)


def softmax(values: np.ndarray) -> np.ndarray:
    """Returns probabilities, float32 `[rows, classes]`, of logits of that shape."""
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def predict_files(
    model: keras.Model, paths: Iterable[Path], *, resize: str, batch_size: int = 32
) -> Iterator[tuple[Path, np.ndarray | str]]:
    """Yields each path with its probabilities, float32 `[classes]`, or with why it cannot be read.

    Args:
        model: from pixels to logits.
        paths: image files.
        resize: "squash" or "crop", as in training.
        batch_size: pictures at a time.
    """
    size = model.input_shape[1]
    batch: list[tuple[Path, np.ndarray | str]] = []
    for path in paths:
        batch.append((path, _read(path, size, resize)))
        if len(batch) == batch_size:
            yield from _predict(model, batch, batch_size)
            batch = []
    yield from _predict(model, batch, batch_size)


def _read(path: Path, size: int, resize: str) -> np.ndarray | str:
    try:
        return images.resize(images.decode(path.read_bytes(), least_size=size), size, resize)
    except images.UnreadableImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _predict(model, batch, batch_size: int) -> Iterator[tuple[Path, np.ndarray | str]]:
    readable = [pixels for _, pixels in batch if not isinstance(pixels, str)]
    if readable:
        rows = Rows(np.stack(readable), np.zeros(len(readable), np.int32), np.arange(len(readable)), 0)
        results = iter(softmax(logits(model, rows, batch_size=batch_size)))
    for path, pixels in batch:
        yield path, pixels if isinstance(pixels, str) else next(results)
