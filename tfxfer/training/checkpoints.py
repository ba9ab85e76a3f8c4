"""Where a stage was when it was interrupted: written every so often, read back bit for bit.

A checkpoint within a stage holds what it moves: weights that train, state that no gradient moves, the optimizer's
state, the sums of metrics; and as JSON the position and what callbacks know. What is frozen is as the stage before left
it.
"""

import dataclasses
import io
import json
import math
import pathlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer import files, runtime
from tfxfer.runtime import Workers

# Names of the tensors in a checkpoint: `numbers/0/.ATTRIBUTES/VARIABLE_VALUE`.
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_TOLD = "told"
_RATE = "rate.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageCheckpoint:
    """What a stage was at one step.

    Attributes:
        told: JSON types: position, records, what callbacks know.
        numbers: arrays by the name of their group, in order.
    """

    told: dict[str, Any]
    numbers: Mapping[str, Sequence[np.ndarray]]


class StageCheckpoints:
    """The checkpoints of one stage in a folder, the newest last."""

    def __init__(
        self,
        folder: pathlib.Path | None = None,
        *,
        seconds: float = math.inf,
        keep: int = 1,
        note: Callable[[str], None] = print,
        facts: Mapping[str, Any] | None = None,
        workers: Workers | None = None,
    ):
        """Opens a folder that need not exist.

        Args:
            folder: of this stage alone; None: nothing is kept.
            seconds: from one checkpoint to the next.
            keep: how many stay.
            note: called with a line where one cannot be written or read.
            facts: JSON types that must be the same when one is read: of another run it is none.
            workers: that train together: the chief writes and reads, and tells the others. None: this process alone.
        """
        self._workers = workers or runtime.alone()
        self._folder = folder if self._workers.is_chief else None
        self._seconds, self._keep = seconds, keep
        self._note, self._facts = note, dict(facts or {})
        self._last = self._start = time.monotonic()
        self._seconds_before = 0.0
        self._is_new = True
        self._rate: float | None = None

    @property
    def stage_seconds(self) -> float:
        """How long the stage has taken, in all processes that went on with it."""
        return self._seconds_before + time.monotonic() - self._start

    @property
    def rate(self) -> float | None:
        """The rate that the stage goes on with, where that is no longer its plan's."""
        return json.loads(self._workers.from_chief(lambda: json.dumps(self._own_rate()).encode()))

    def lower_rate(self, rate: float) -> None:
        """Keeps the rate that the stage goes on with."""
        self._rate = rate
        self._workers.from_chief(lambda: self._write_rate(rate) or b"")

    def _write_rate(self, rate: float) -> None:
        if self._folder is not None:
            files.write_json(self._folder / _RATE, {"rate": rate})

    @property
    def in_words(self) -> str:
        """What is kept, in a sentence."""
        kept = self._workers.of_chief(len(self._paths()))
        return f"{kept} checkpoints of the stage are kept." if kept else "The stage has no checkpoint yet."

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self._seconds

    def write(self, checkpoint: StageCheckpoint) -> None:
        """Writes a checkpoint beside those that are there, and lets the oldest go.

        A full disk costs nothing but this checkpoint, and is told.
        """
        if self._folder is None:
            return
        told = json.dumps({"facts": self._facts, "stage_seconds": self.stage_seconds, **checkpoint.told})
        with tf.device("cpu:0"):
            groups = {name: [tf.Variable(array) for array in arrays] for name, arrays in checkpoint.numbers.items()}
            written = tf.train.Checkpoint(**{_TOLD: tf.Variable(told)}, **groups)
        manager = tf.train.CheckpointManager(written, str(self._folder), self._keep, checkpoint_name="checkpoint")
        number = self._number() + 1
        try:
            manager.save(checkpoint_number=number)
        except (tf.errors.OpError, OSError) as error:
            for part in self._folder.glob(f"checkpoint-{number}.*"):  # half of it would only keep the disk full
                part.unlink()
            self._note(f"the checkpoint could not be written ({_first_line(error)}); training goes on without it.")
        self._last = time.monotonic()

    def newest(self) -> StageCheckpoint | None:
        """Returns the newest checkpoint that can be read whole; None without one.

        Each tensor has a checksum, so that one that was cut short or altered is found, told, and the one before taken.
        """
        if self._workers.count == 1:
            return self._newest()
        content = self._workers.from_chief(lambda: _packed(self._newest()))
        return _unpacked(content)

    def _newest(self) -> StageCheckpoint | None:
        for path in sorted(self._paths(), key=_number_of, reverse=True):
            try:
                checkpoint = _read(path)
            except (tf.errors.OpError, OSError, ValueError, LookupError, RuntimeError) as error:
                self._note(
                    f"{path.name} of {self._folder} cannot be read ({_first_line(error)}); trying the one before."
                )
                continue
            if self._is_ours(checkpoint.told.pop("facts", None)):
                seconds = checkpoint.told.pop("stage_seconds")
                self._seconds_before = seconds if self._is_new else self._seconds_before
                self._is_new = False
                return checkpoint
        return None

    def drop(self, *, keep: bool) -> bool:
        """Removes the newest checkpoint, and all others if they are not to be kept; returns whether any are left."""
        return self._workers.from_chief(lambda: self._drop(keep=keep)) != b""

    def _drop(self, *, keep: bool) -> bytes:
        number = self._number() if keep else "*"
        for path in self._folder.glob(f"checkpoint-{number}.*") if self._folder is not None else ():
            path.unlink()
        return b"left" * bool(self._paths())

    def _own_rate(self) -> float | None:
        if self._folder is not None and (self._folder / _RATE).exists():
            return float(files.read_json(self._folder / _RATE)["rate"])
        return self._rate

    def _is_ours(self, facts: Mapping[str, Any] | None) -> bool:
        return facts == self._facts

    def _paths(self) -> list[pathlib.Path]:
        if self._folder is None:
            return []
        return [path.with_suffix("") for path in self._folder.glob("checkpoint-*.index")]

    def _number(self) -> int:
        return max(map(_number_of, self._paths()), default=0)


def arrays_of(variables: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Returns the values of variables."""
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    """Puts values into variables.

    Raises:
        ValueError: they are not as many, or of other shapes.
    """
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _read(path: pathlib.Path) -> StageCheckpoint:
    reader = tf.train.load_checkpoint(str(path))
    told = json.loads(reader.get_tensor(_TOLD + _VALUE))
    numbers: dict[str, dict[int, np.ndarray]] = {}
    for name in reader.get_variable_to_shape_map():
        found = re.fullmatch(rf"(\w+)/(\d+){re.escape(_VALUE)}", name)
        if found:
            numbers.setdefault(found[1], {})[int(found[2])] = reader.get_tensor(name)
    return StageCheckpoint(told=told, numbers={name: [own[at] for at in sorted(own)] for name, own in numbers.items()})


def _packed(checkpoint: StageCheckpoint | None) -> bytes:
    """Returns a checkpoint as bytes, `b""` for none."""
    if checkpoint is None:
        return b""
    content = io.BytesIO()
    numbers = {f"{name}/{at}": array for name, arrays in checkpoint.numbers.items() for at, array in enumerate(arrays)}
    np.savez(content, **{_TOLD: np.frombuffer(json.dumps(checkpoint.told).encode(), np.uint8)}, **numbers)
    return content.getvalue()


def _unpacked(content: bytes) -> StageCheckpoint | None:
    """Returns what `_packed` was given."""
    if not content:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as kept:
        told, numbers = json.loads(kept[_TOLD].tobytes()), {}
        for key in kept.files:  # in order of their numbers
            if key != _TOLD:
                numbers.setdefault(key.partition("/")[0], []).append(kept[key])
    return StageCheckpoint(told=told, numbers=numbers)


def _number_of(path: pathlib.Path) -> int:
    return int(re.sub(r"\D", "", path.name) or 0)


def _first_line(error: Exception) -> str:
    return str(getattr(error, "message", error)).strip().split("\n")[0][:120]
