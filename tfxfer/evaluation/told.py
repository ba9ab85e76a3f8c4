"""Lists what a network tells of each test example, `report/test.csv`, so that two can be compared on the same ones."""

import csv
import dataclasses
import io
import pathlib
from collections.abc import Sequence

import numpy as np

from tfxfer import answers, files
from tfxfer.display import clean
from tfxfer.errors import WorkdirError
from tfxfer.tasks import Task

TOLD = "test.csv"
_HEADINGS = ("image", "class", "told", "probability")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """What stands in such a file.

    Attributes:
        examples: in order, the name of each and its class.
        right: bool `[examples]`, whether its class was told.
    """

    examples: tuple[tuple[str, str], ...]
    right: np.ndarray


def write_told(
    folder: pathlib.Path,
    names: Sequence[str],
    logits: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    task: Task,
) -> None:
    """Writes the list, for a task in which an example is of one class; else nothing.

    Args:
        folder: of the report.
        names: of the examples.
        logits: float32 `[examples, outputs]`, as in `tasks.Task`; `labels` likewise.
        labels: see there.
        class_names: in the order of the logits.
        task: see there.

    Raises:
        WorkdirError: it cannot be written.
    """
    if not task.has_classes:
        return
    probabilities = answers.meant(logits, task)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADINGS)
    for name, label, own in zip(names, labels, probabilities, strict=True):
        told = int(own.argmax())
        writer.writerow([clean(name), clean(class_names[label]), clean(class_names[told]), f"{own[told]:.6g}"])
    files.write_text(folder / TOLD, text.getvalue())


def read_told(folder: pathlib.Path) -> Told | None:
    """Returns what stands in the list; None where a run of an older version has left none.

    Raises:
        WorkdirError: it cannot be read, or is another file.
    """
    path = folder / TOLD
    if not path.exists():
        return None
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            headings, *rows = csv.reader(stream)
    except (OSError, ValueError, csv.Error) as error:
        raise WorkdirError(f"{path} cannot be read ({error}).") from error
    if tuple(headings) != _HEADINGS or any(len(row) != len(_HEADINGS) for row in rows):
        raise WorkdirError(f"{path} is no list of what was told. Remove the run that it belongs to.")
    return Told(
        examples=tuple((name, label) for name, label, _, _ in rows),
        right=np.array([label == told for _, label, told, _ in rows], bool),
    )
