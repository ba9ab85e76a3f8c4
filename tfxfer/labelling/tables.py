"""Writes answers as lines for people, as CSV and as JSON lines, and their features as an array."""

import csv
import json
import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol

import numpy as np

from tfxfer.display import clean
from tfxfer.labelling import outputs
from tfxfer.prediction import Answer

# The header of a .npy ends at a multiple of 64 bytes; two lines have room for any number of rows.
_NPY_HEADER = 128


class Table(Protocol):
    """Takes answers one by one."""

    def add(self, answer: Answer) -> None:
        """Writes an answer."""


def table_of(kind: str, write: Callable[[str], object], class_names: tuple[str, ...], top: int) -> Table:
    """Returns a table of that kind, which calls `write` with text, whole lines at a time.

    Args:
        kind: "csv", "jsonl" or "lines".
        write: takes text, in which names that are no UTF-8 have surrogates, as `os.fsdecode` makes them.
        class_names: in the order of the probabilities.
        top: how many classes each answer shows, the most probable first; 1 to their number.
    """
    return {outputs.CSV: _Csv, outputs.JSON_LINES: _JsonLines, outputs.LINES: _Lines}[kind](write, class_names, top)


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
    def __init__(self, write: Callable[[str], object], class_names: tuple[str, ...], top: int):
        self._write, self._names, self._top = write, class_names, top

    def add(self, answer: Answer) -> None:
        best = (
            f"{clean(name)} {100 * probability:.1f} %" for name, probability in _best(answer, self._names, self._top)
        )
        self._write(f"{clean(answer.picture.name)}: {clean(answer.problem) or '  '.join(best)}\n")


class _Csv:
    def __init__(self, write: Callable[[str], object], class_names: tuple[str, ...], top: int):
        self._names, self._top = class_names, top
        stream = _Writing(write)
        self._writer = csv.writer(stream, lineterminator="\n")
        columns = [f"{what}_{place}" for place in range(1, top + 1) for what in ("label", "probability")]
        self._writer.writerow(["image", *columns, "error"])

    def add(self, answer: Answer) -> None:
        best = _best(answer, self._names, self._top)
        cells = [cell for name, probability in best for cell in (name, f"{probability:.6f}")]
        self._writer.writerow([answer.picture.name, *cells, *[""] * (2 * self._top - len(cells)), answer.problem])


class _JsonLines:
    def __init__(self, write: Callable[[str], object], class_names: tuple[str, ...], top: int):
        self._write, self._names, self._top = write, class_names, top

    def add(self, answer: Answer) -> None:
        best = _best(answer, self._names, self._top)
        record = {
            "image": answer.picture.name,
            "predictions": [{"label": name, "probability": round(probability, 6)} for name, probability in best],
            "error": answer.problem or None,
        }
        line = json.dumps(record, ensure_ascii=False)
        if not _is_unicode(line):  # raw bytes would be no JSON; \udcff gives them back through os.fsencode
            line = json.dumps(record)
        self._write(line + "\n")


class _Writing:
    """What `csv.writer` writes to."""

    def __init__(self, write: Callable[[str], object]):
        self.write = write


def _best(answer: Answer, names: tuple[str, ...], top: int) -> list[tuple[str, float]]:
    """Returns the most probable classes with their probabilities; none where the picture cannot be read."""
    if answer.probabilities is None:
        return []
    best = np.argsort(-answer.probabilities, kind="stable")[:top]
    return [(names[index], float(answer.probabilities[index])) for index in best]


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
