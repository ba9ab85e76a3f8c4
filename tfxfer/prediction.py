"""From pictures to logits and probabilities, for evaluation, parity checks and `tfxfer predict` alike."""

import collections
import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np

from tfxfer import graph, models, progress
from tfxfer.answers import meant, softmax
from tfxfer.data import images
from tfxfer.data.finding import Picture
from tfxfer.data.rows import Rows
from tfxfer.framing import Framing
from tfxfer.tasks import SINGLE_LABEL, Task

__all__ = ["Answer", "decoding_threads", "logits", "logits_of", "predict_files", "read", "softmax", "with_features"]

# Batches that may be read or decoded while the network computes one: enough that neither waits for the other where a
# few pictures take long.
_BATCHES_AHEAD = 3
# How long no path may come before a batch that is not full is answered, and how often is looked for one.
_SECONDS_OF_PATIENCE = 0.1
_SECONDS_BETWEEN_LOOKS = 0.01
_END = object()


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


def with_features(model: keras.Model) -> keras.Model:
    """Returns a network that gives the logits and the features below the head, `[rows, …]` each.

    Raises:
        BackboneError: the model has no head of `swap_head`.
    """
    return keras.Model(graph.input_of(model), [model.output, models.pooled_features(model)])


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a network says of one picture.

    Attributes:
        picture: as it was asked for.
        probabilities: float32 `[classes]`, or `[labels]`; for regression numbers in the user's units `[targets]`. None
            where it cannot be read.
        features: float32 `[features]`; None where it cannot be read, or the network gives none.
        problem: why it cannot be read; else empty.
    """

    picture: Picture
    probabilities: np.ndarray | None
    features: np.ndarray | None
    problem: str = ""


def predict_files(
    model: keras.Model,
    pictures: Iterable[Picture | None],
    *,
    framing: Framing,
    task: Task = SINGLE_LABEL,
    batch_size: int = 32,
    threads: int | None = None,
) -> Iterator[Answer]:
    """Yields an answer to each picture, in order, while the next ones are decoded.

    All batches have one shape, the last is padded. A few batches of decoded pictures are held at most. Close the
    generator to end its threads early (`contextlib.closing`).

    Args:
        model: from pixels to logits, or one of `with_features`.
        pictures: of a `finding.Listing`; where None comes, nothing is to be had for the moment, and what has come is
            answered.
        framing: how pictures become squares, as in training.
        task: that the model was made for.
        batch_size: pictures at a time, ≥ 1.
        threads: that decode; None: one for each core.
    """
    size = model.input_shape[1]
    pool = concurrent.futures.ThreadPoolExecutor(threads or decoding_threads(), thread_name_prefix="decoding")
    try:
        for batch in _batches(pictures, lambda picture: pool.submit(read, picture, size, framing), batch_size):
            yield from _answers(model, batch, batch_size, task)
    finally:
        pool.shutdown(cancel_futures=True)


def decoding_threads() -> int:
    """Returns how many threads decode: one for each core, since decoders release the interpreter's lock."""
    return min(32, os.cpu_count() or 1)


def read(picture: Picture, size: int, framing: Framing) -> np.ndarray | str:
    """Returns a picture as uint8 `[size, size, 3]`, RGB, or why it cannot be read."""
    try:
        if picture.path is None:
            raise images.UnreadableImageError(picture.problem)
        return images.render(images.read(picture.path), size, framing)
    except images.UnreadableImageError as error:
        return f"{picture.origin}: {error}" if picture.origin else str(error)


_Decoded = list[tuple[Picture, np.ndarray | str]]


def _batches(
    pictures: Iterable[Picture | None], submit: Callable[[Picture], concurrent.futures.Future], batch_size: int
) -> Iterator[_Decoded]:
    """Yields what was read in batches, smaller ones at the end and whenever no picture comes for a moment."""
    source, is_open = iter(pictures), True
    waiting: collections.deque[tuple[Picture, concurrent.futures.Future]] = collections.deque()
    batch: _Decoded = []
    quiet_since = None
    while is_open or waiting:
        while is_open and len(waiting) < _BATCHES_AHEAD * batch_size:
            picture = next(source, _END)
            if picture is None:
                break
            if picture is _END:
                is_open = False
                break
            waiting.append((picture, submit(picture)))
        if waiting:
            quiet_since = None
            picture, future = waiting.popleft()
            batch.append((picture, future.result()))
        elif is_open:
            now = time.monotonic()
            quiet_since = quiet_since or now
            if batch and now - quiet_since > _SECONDS_OF_PATIENCE:
                yield batch
                batch = []
            else:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _answers(model: keras.Model, batch: _Decoded, batch_size: int, task: Task) -> Iterator[Answer]:
    readable = [pixels for _, pixels in batch if not isinstance(pixels, str)]
    if readable:
        padded = np.stack(readable + readable[-1:] * (batch_size - len(readable)))
        found = models.predict_on_batch(model, padded)
        values, features = found if isinstance(found, list) else (found, [None] * batch_size)
        results = zip(meant(values, task), features, strict=True)
    for picture, pixels in batch:
        if isinstance(pixels, str):
            yield Answer(picture, None, None, pixels)
        else:
            yield Answer(picture, *next(results))
