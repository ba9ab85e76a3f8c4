"""Compares exported files, read back, with the network in memory, on test pictures."""

import dataclasses
import functools
import pathlib
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np

from tfxfer import prediction
from tfxfer.data.rows import Rows, evenly
from tfxfer.errors import VerificationError
from tfxfer.evaluation import Parity
from tfxfer.export import core
from tfxfer.export.formats import Format, Subject

# Test pictures that files are compared on, at most, evenly from the whole split.
_MOST_COMPARED = 2000
# On so many of them numbers are compared, and accuracy on all: the largest difference of rounding grows with how many
# one looks at.
_NUMBERS_COMPARED = 64
# Two calls on the same pictures differ by at most this: a GPU sums in any order.
_SAME = 1e-5
# By how much accuracy may fall where a format is held to that: a point.
_LOST_ACCURACY = 0.01
# How often one picture is timed, and 32 at once; a first call of each is left out.
_CALLS, _BATCH_CALLS, _BATCH = 11, 5, 32


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the network in memory answers.

    Attributes:
        model: from pixels on 0..255 to logits.
        pictures: uint8 `[examples, height, width, 3]`, with `labels`, whole numbers.
        labels: see there.
    """

    model: keras.Model
    pictures: np.ndarray
    labels: np.ndarray

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """Float32 `[examples, classes]`."""
        return prediction.softmax(_in_batches(self.model, self.pictures))

    @functools.cached_property
    def features(self) -> np.ndarray:
        """Float32 `[examples, width]`: what the head reads."""
        return _in_batches(core.feature_vector_of(self.model), self.pictures)

    @property
    def accuracy(self) -> float:
        """Share of pictures whose most probable class is theirs, in [0, 1]."""
        return float((self.probabilities.argmax(axis=1) == self.labels).mean())


def reference(model: keras.Model, rows: Rows) -> Reference:
    """Returns what files of `model` are compared with, on at most 2,000 of the test pictures `rows`."""
    chosen = evenly(len(rows), _MOST_COMPARED)
    return Reference(model, rows.take(chosen), rows.labels[chosen])


def compare(kind: Format, path: pathlib.Path, subject: Subject, reference: Reference) -> Parity:
    """Reads a file back and compares what it answers with the network in memory.

    Args:
        kind: its format.
        path: the file or folder.
        subject: what was exported.
        reference: what it must answer.

    Raises:
        VerificationError: it answers otherwise than its limit allows, or the second time otherwise than the first.
        FormatError: it cannot be read back.
    """
    answer = kind.opened(path, subject)
    is_features = kind.name == "feature_vector"
    expected = reference.features if is_features else reference.probabilities
    answers = answer(reference.pictures)
    few = reference.pictures[:_BATCH]
    if not np.allclose(answer(few), answer(few), rtol=_SAME, atol=_SAME):
        raise VerificationError(f"{kind.file} answers the same pictures differently each time.")
    some = evenly(len(answers), _NUMBERS_COMPARED)
    difference = float(np.abs(answers - expected)[some].max())
    if is_features:
        difference /= max(float(np.abs(expected[some]).max()), 1e-30)
    agreement = accuracy = None
    if not is_features:
        best = answers.argmax(axis=1)
        agreement = float((best == expected.argmax(axis=1)).mean())
        accuracy = float((best == reference.labels).mean())
    if kind.limit is None:
        if not accuracy >= reference.accuracy - _LOST_ACCURACY:
            raise VerificationError(
                f"{kind.file} is right for {100 * accuracy:.1f} % of {len(reference.labels):,} test "
                f"pictures, the network in memory for {100 * reference.accuracy:.1f} %; a point less is allowed."
            )
    elif not difference <= kind.limit:
        what = "features differ by a share of" if is_features else "probabilities differ by"
        raise VerificationError(
            f"{kind.file} answers differently from the trained model: {what} up to {difference:.2g}, allowed are "
            f"{kind.limit:g}."
        )
    return Parity(
        format=kind.name,
        file=kind.file,
        examples=len(reference.pictures),
        compared=len(some),
        largest_difference=difference,
        limit=kind.limit,
        agreement=agreement,
        accuracy=accuracy,
        size_bytes=_size(path),
        one_ms=_median_ms(lambda: answer(few[:1]), _CALLS),
        batch_ms=_median_ms(lambda: answer(np.resize(few, (_BATCH, *few.shape[1:]))), _BATCH_CALLS),
    )


def _in_batches(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    rows = Rows(pictures, np.zeros(len(pictures), np.int32), np.arange(len(pictures)), 0)
    return np.concatenate([prediction.logits_of(model, batch)[:count] for batch, count in rows.padded_batches(_BATCH)])


def _size(path: pathlib.Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _median_ms(call: Callable[[], object], times: int) -> float:
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)
