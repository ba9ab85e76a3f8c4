"""Writes answers as lines for people, as CSV and as JSON lines, and their features as an array."""

import csv
import json
import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol

import numpy as np

from tfxfer import answers
from tfxfer.display import clean
from tfxfer.labelling import outputs
from tfxfer.prediction import Answer
from tfxfer.tasks import Kind

# The header of a .npy ends at a multiple of 64 bytes; two lines have room for any number of rows.
_NPY_HEADER = 128


class Table(Protocol):
    """Takes answers one by one."""

    def add(self, answer: Answer) -> None:
        """Writes an answer."""


def table_of(
    kind: str,
    write: Callable[[str], object],
    class_names: tuple[str, ...],
    top: int,
    task: Kind = "single_label",
) -> Table:
    """Returns a table of that kind, which calls `write` with text, whole lines at a time.

    Args:
        kind: "csv", "jsonl" or "lines".
        write: takes text, in which names that are no UTF-8 have surrogates, as `os.fsdecode` makes them.
        class_names: in the order of the probabilities; names of labels or targets.
        top: how many classes each answer shows, the most probable first; 1 to their number. Of no meaning for numbers.
        task: kind of the task that the answers are of.
    """
    shape = _shape(task, class_names, top)
    return {outputs.CSV: _Csv, outputs.JSON_LINES: _JsonLines, outputs.LINES: _Lines}[kind](write, shape)


def encoded(text: str) -> bytes:
    """Returns text as UTF-8, with the bytes of names that are none as they were."""
    return text.encode("utf-8", "surrogateescape")


def write_to_standard_output(text: str) -> None:
    """Writes text at once, whatever the encoding of the terminal: a reader may be waiting for this answer."""
    sys.stdout.buffer.write(encoded(text))
    sys.stdout.buffer.flush()


class Embeddings:
    """Writes features as rows of a .npy file whose number of rows is known at its end only."""

    def __init__(self, stream: BinaryIO, width: int):
        """Begins the file.

        Args:
            stream: at its beginning.
            width: numbers in a row.
        """
        self._stream, self._width, self.rows = stream, width, 0
        self._write_header()

    def add(self, answer: Answer) -> None:
        """Writes the features of a picture, NaN where it cannot be read."""
        row = np.full(self._width, np.nan, np.float32) if answer.features is None else answer.features
        self._stream.write(row.astype("<f4").tobytes())
        self.rows += 1

    def finish(self) -> None:
        """Tells the file how many rows it has."""
        self._stream.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        """Writes version 1.0 of the format (`numpy.lib.format`), padded so that any number of rows has its place."""
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({self.rows}, {self._width}), }}"
        room = _NPY_HEADER - 10
        self._stream.write(b"\x93NUMPY\x01\x00" + room.to_bytes(2, "little") + f"{text:<{room - 1}}\n".encode())


class _Lines:
    def __init__(self, write: Callable[[str], object], shape: "Shape"):
        self._write, self._shape = write, shape

    def add(self, answer: Answer) -> None:
        said = clean(answer.problem) or clean(self._shape.line(answer.probabilities))
        self._write(f"{clean(answer.picture.name)}: {said}\n")


class _Csv:
    def __init__(self, write: Callable[[str], object], shape: "Shape"):
        self._shape = shape
        self._writer = csv.writer(_Writing(write), lineterminator="\n")
        self._writer.writerow(["image", *shape.columns(), "error"])

    def add(self, answer: Answer) -> None:
        given = answer.probabilities
        cells = [""] * len(self._shape.columns()) if given is None else self._shape.cells(given)
        self._writer.writerow([answer.picture.name, *cells, answer.problem])


class _JsonLines:
    def __init__(self, write: Callable[[str], object], shape: "Shape"):
        self._write, self._shape = write, shape

    def add(self, answer: Answer) -> None:
        record = {
            "image": answer.picture.name,
            **self._shape.record(answer.probabilities),
            "error": answer.problem or None,
        }
        line = json.dumps(record, ensure_ascii=False)
        if not _is_unicode(line):  # raw bytes would be no JSON; \udcff gives them back through os.fsencode
            line = json.dumps(record)
        self._write(line + "\n")


class Shape(Protocol):
    """What an answer of a task looks like; `given` is what a network's outputs mean, float32 `[names]`."""

    def line(self, given: np.ndarray) -> str:
        """Returns it for people."""

    def columns(self) -> list[str]:
        """Returns the headings of its cells."""

    def cells(self, given: np.ndarray) -> list[str]:
        """Returns its cells."""

    def record(self, given: np.ndarray | None) -> dict[str, object]:
        """Returns it as JSON; with nothing in it where the picture cannot be read."""


class _ClassShape:
    """The most probable classes with their probabilities; of classes in order the expected rank too."""

    def __init__(self, names: tuple[str, ...], top: int, *, in_order: bool = False):
        self._names, self._top, self._in_order = names, top, in_order

    def line(self, given: np.ndarray) -> str:
        rank = f"  rank {_rank(given):.2f} of 0 to {len(given) - 1}" if self._in_order else ""
        return "  ".join(f"{name} {100 * p:.1f} %" for name, p in _best(given, self._names, self._top)) + rank

    def columns(self) -> list[str]:
        columns = [f"{what}_{place}" for place in range(1, self._top + 1) for what in ("label", "probability")]
        return [*columns, "expected_rank"] if self._in_order else columns

    def cells(self, given: np.ndarray) -> list[str]:
        cells = [cell for name, p in _best(given, self._names, self._top) for cell in (name, f"{p:.6f}")]
        return [*cells, f"{_rank(given):.4f}"] if self._in_order else cells

    def record(self, given: np.ndarray | None) -> dict[str, object]:
        best = [] if given is None else _best(given, self._names, self._top)
        found: dict[str, object] = {"predictions": [{"label": name, "probability": round(p, 6)} for name, p in best]}
        if self._in_order:
            found["expected_rank"] = None if given is None else round(_rank(given), 4)
        return found


class _LabelShape(_ClassShape):
    """The labels that a picture has, probability at least a half; and the most probable ones, whether it has them."""

    def _told(self, given: np.ndarray) -> list[str]:
        return [name for name, p in _best(given, self._names, len(given)) if p >= 0.5]

    def line(self, given: np.ndarray) -> str:
        told = len(self._told(given))
        if not told:
            return f"none ({_ClassShape(self._names, 1).line(given)})"
        return _ClassShape(self._names, told).line(given)

    def columns(self) -> list[str]:
        return ["labels", *super().columns()]

    def cells(self, given: np.ndarray) -> list[str]:
        return ["|".join(self._told(given)), *super().cells(given)]

    def record(self, given: np.ndarray | None) -> dict[str, object]:
        return {"labels": [] if given is None else self._told(given), **super().record(given)}


class _NumberShape:
    """A number for each target, in the user's units."""

    def __init__(self, names: tuple[str, ...]):
        self._names = names

    def line(self, given: np.ndarray) -> str:
        return "  ".join(f"{name} {value:.6g}" for name, value in zip(self._names, given.tolist(), strict=True))

    def columns(self) -> list[str]:
        return list(self._names)

    def cells(self, given: np.ndarray) -> list[str]:
        return [f"{value:.7g}" for value in given.tolist()]

    def record(self, given: np.ndarray | None) -> dict[str, object]:
        values = [None] * len(self._names) if given is None else [float(f"{value:.7g}") for value in given.tolist()]
        return {"values": dict(zip(self._names, values, strict=True))}


def _shape(kind: Kind, names: tuple[str, ...], top: int) -> Shape:
    if kind == "regression":
        return _NumberShape(names)
    return _LabelShape(names, top) if kind == "multi_label" else _ClassShape(names, top, in_order=kind == "ordinal")


class _Writing:
    """What `csv.writer` writes to."""

    def __init__(self, write: Callable[[str], object]):
        self.write = write


def _best(given: np.ndarray, names: tuple[str, ...], top: int) -> list[tuple[str, float]]:
    """Returns the most probable classes with their probabilities."""
    best = np.argsort(-given, kind="stable")[:top]
    return [(names[index], float(given[index])) for index in best]


def _rank(given: np.ndarray) -> float:
    return float(answers.expected_ranks(given[None])[0])


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
