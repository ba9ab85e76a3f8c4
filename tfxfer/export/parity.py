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
from tfxfer.answers import meant
from tfxfer.data.rows import Rows, evenly
from tfxfer.errors import VerificationError
from tfxfer.evaluation import Parity
from tfxfer.export import core
from tfxfer.export.formats import Format, Subject
from tfxfer.tasks import SINGLE_LABEL, Task

# Test pictures that files are compared on, at most, evenly from the whole split.
_MOST_COMPARED = 2000
# On so many of them numbers are compared, and accuracy on all: the largest difference of rounding grows with how many
# one looks at.
_NUMBERS_COMPARED = 64
# Two calls on the same pictures differ by at most this: a GPU sums in any order.
_SAME = 1e-5
# A number may differ by so many times what a probability may, in standard deviations: a probability moves by a quarter
# of its logit at most. And by so many roundings of float32 besides, which are wide for 2,000 ± 1.
_OF_A_PROBABILITY, _ROUNDINGS = 4, 4 * np.finfo(np.float32).eps
# By how much accuracy may fall where a format is held to that: a point.
_LOST_ACCURACY = 0.01
# How often one picture is timed, and 32 at once; a first call of each is left out.
_CALLS, _BATCH_CALLS, _BATCH = 11, 5, 32


@dataclasses.dataclass(frozen=True)
class Reference:
    """What the network in memory answers.

    Attributes:
        model: from pixels on 0..255 to logits, or what else the outputs of `task` are.
        pictures: uint8 `[examples, height, width, 3]`, with `labels`, as in `tasks.Task`.
        labels: see there.
        task: of the model.
    """

    model: keras.Model
    pictures: np.ndarray
    labels: np.ndarray
    task: Task = SINGLE_LABEL

    @functools.cached_property
    def answers(self) -> np.ndarray:
        """What the outputs mean: probabilities, float32 `[examples, classes]`, or numbers `[examples, targets]`."""
        return meant(_in_batches(self.model, self.pictures), self.task)

    @functools.cached_property
    def features(self) -> np.ndarray:
        """Float32 `[examples, width]`: what the head reads."""
        return _in_batches(core.feature_vector_of(self.model), self.pictures)

    def right(self, answers: np.ndarray) -> float:
        """Returns how right answers are: the share of pictures whose class, or all of whose labels, are; R² of numbers.

        Of several numbers that is the mean of those that vary.
        """
        if self.task.kind != "regression":
            return float(_alike(_told(answers, self.task), _told_labels(self.labels, self.task)).mean())
        spread = ((self.labels - self.labels.mean(axis=0)) ** 2).mean(axis=0)
        varies = spread > 0
        if not varies.any():
            return 0.0
        error = ((answers.astype(np.float64) - self.labels) ** 2).mean(axis=0)
        return float((1 - error[varies] / spread[varies]).mean())

    def agreement(self, answers: np.ndarray) -> float | None:
        """Returns the share of pictures that are told the same class or labels; None for numbers."""
        if self.task.kind == "regression":
            return None
        return float(_alike(_told(answers, self.task), _told(self.answers, self.task)).mean())


def reference(model: keras.Model, rows: Rows) -> Reference:
    """Returns what files of `model` are compared with, on at most 2,000 of the test pictures `rows`."""
    chosen = evenly(len(rows), _MOST_COMPARED)
    return Reference(model, rows.take(chosen), rows.labels[chosen], rows.task)


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
    expected = reference.features if is_features else reference.answers
    answers = answer(reference.pictures)
    few = reference.pictures[:_BATCH]
    units = np.float32(reference.task.deviations or 1.0) if not is_features else np.float32(1.0)
    if not np.allclose(answer(few) / units, answer(few) / units, rtol=_SAME, atol=_SAME):
        raise VerificationError(f"{kind.file} answers the same pictures differently each time.")
    some = evenly(len(answers), _NUMBERS_COMPARED)
    is_numbers = reference.task.kind == "regression" and not is_features
    apart = np.abs(answers - expected)[some]
    difference = beyond = float((apart / units).max())
    if is_features:
        difference = beyond = difference / max(float(np.abs(expected[some]).max()), 1e-30)
    if is_numbers:
        rounded = _ROUNDINGS * np.abs(expected[some])
        beyond = float((np.maximum(apart - rounded, 0) / units).max())
    agreement = right = None
    if not is_features:
        agreement, right = reference.agreement(answers), reference.right(answers)
    limit = kind.limit and kind.limit * (_OF_A_PROBABILITY if is_numbers else 1)
    if limit is None:
        before = reference.right(reference.answers)
        if not right >= before - _LOST_ACCURACY:
            raise VerificationError(_lost(kind.file, right, before, len(reference.labels), is_numbers=is_numbers))
    elif not beyond <= limit:
        what = "numbers differ, in standard deviations, by" if is_numbers else "probabilities differ by"
        raise VerificationError(
            f"{kind.file} answers differently from the trained model: "
            f"{'features differ by a share of' if is_features else what} up to {difference:.2g}, allowed are "
            f"{limit:g}{' and roundings' if is_numbers else ''}."
        )
    return Parity(
        format=kind.name,
        file=kind.file,
        examples=len(reference.pictures),
        compared=len(some),
        largest_difference=difference,
        limit=limit,
        agreement=agreement,
        accuracy=None if is_numbers else right,
        r2=right if is_numbers else None,
        size_bytes=_size(path),
        one_ms=_median_ms(lambda: answer(few[:1]), _CALLS),
        batch_ms=_median_ms(lambda: answer(np.resize(few, (_BATCH, *few.shape[1:]))), _BATCH_CALLS),
    )


def _told(answers: np.ndarray, task: Task) -> np.ndarray:
    """Returns the most probable class `[examples]`, or for each label whether it is told `[examples, labels]`."""
    return answers >= 0.5 if task.kind == "multi_label" else answers.argmax(axis=1)


def _told_labels(labels: np.ndarray, task: Task) -> np.ndarray:
    return labels > 0 if task.kind == "multi_label" else labels


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns for each example whether it is the same in both, bool `[examples]`."""
    return (one == other).reshape(len(one), -1).all(axis=1)


def _lost(file: str, right: float, before: float, examples: int, *, is_numbers: bool) -> str:
    if is_numbers:
        return (
            f"{file} has R² {right:.3f} on {examples:,} test pictures, the network in memory {before:.3f}; "
            f"{_LOST_ACCURACY:g} less is allowed."
        )
    # One picture of so few is more than the point.
    few = " One of so few is more: check it on more, by --data=." if examples < 1 / _LOST_ACCURACY else ""
    return (
        f"{file} is right for {100 * right:.1f} % of {examples:,} test pictures, the network in memory for "
        f"{100 * before:.1f} %; a point less is allowed.{few}"
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
