"""What a format is given and what it does."""

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from tfxfer.formats import FormatFacts
from tfxfer.framing import Framing
from tfxfer.tasks import SINGLE_LABEL, Task

# From pictures, uint8 [n, size, size, 3] with any n, to what the network's outputs mean (`answers.meant`):
# probabilities, float32 [n, classes], or numbers.
Classify = Callable[[np.ndarray], np.ndarray]
# Pictures that are given to a runtime at once, however many are asked for: bounds the memory.
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        model: uint8 or float32 pixels on 0..255, `[batch, size, size, 3]`, RGB, to logits `[batch, classes]`, or what
            else the outputs of `task` are.
        class_names: in the order of the logits; names of labels or targets.
        representative: uint8 `[n, size, size, 3]`, pictures of the training split, on which int8 measures the range of
            each tensor. May be empty, then int8 is refused.
        framing: how pictures become squares.
        task: what the network tells of a picture.
    """

    model: keras.Model
    class_names: tuple[str, ...]
    representative: np.ndarray
    framing: Framing = dataclasses.field(default_factory=Framing)
    task: Task = SINGLE_LABEL

    @property
    def answer_name(self) -> str:
        """What files call what the outputs mean."""
        return "values" if self.task.kind == "regression" else "probabilities"

    @property
    def size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.model.input_shape[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format(FormatFacts):
    """A format that can be written and read back.

    Attributes:
        write: `write(subject, path)` writes one file, whose folder exists. Raises FormatError, with layer and op, where
            the format cannot hold the network.
        opened: `opened(path, subject)` reads that file, and nothing of the network but its structure, and returns a
            function from uint8 `[n, size, size, 3]` to probabilities, float32 `[n, classes]`, or numbers.
    """

    write: Callable[[Subject, pathlib.Path], None]
    opened: Callable[[pathlib.Path, Subject], Classify]


def in_batches(classify: Classify) -> Classify:
    """Returns `classify` for any number of pictures, given at most `BATCH` at once."""

    def every(pictures: np.ndarray) -> np.ndarray:
        starts = range(0, max(1, len(pictures)), BATCH)
        return np.concatenate([classify(pictures[start : start + BATCH]) for start in starts])

    return every


def label_lines(class_names: tuple[str, ...]) -> str:
    """Returns the text of a `labels.txt`: one class a line, whatever white space the names hold."""
    return "".join(" ".join(name.split()) + "\n" for name in class_names)
