"""Keeps and shows what `fit` measures: a bar within an epoch, a line after it."""

import contextlib
import time
from collections.abc import Callable

import keras

from tfxfer import progress, values
from tfxfer.objectives import Metric
from tfxfer.plans import StagePlan
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import objectives
from tfxfer.training.records import EpochRecord


class Recorder(keras.callbacks.Callback):
    """Collects an `EpochRecord` for each epoch, over one `fit` of a `Trainee`."""

    def __init__(
        self,
        stage: StagePlan,
        tell: Callable[[int, EpochRecord], None],
        task: Task = SINGLE_LABEL,
        metrics: tuple[Metric, ...] = (),
    ):
        """Makes a recorder that calls `tell` with each epoch's number, counted from 1, and its record.

        Args:
            stage: that is trained.
            tell: see there.
            task: that it is trained for.
            metrics: that were asked for besides those of the task.
        """
        super().__init__()
        self.epochs: list[EpochRecord] = []
        self._stage, self._task, self._metrics = stage, task, metrics
        self._tell = tell
        self._bar = contextlib.ExitStack()
        self._advance = None
        self._epoch = 0
        self._start = 0.0
        self._seconds_before = 0.0
        self._shown = 0

    def on_train_begin(self, logs=None):
        """Opens the bar."""
        bar = progress.bar(f"stage {self._stage.name}", self._stage.steps, kind="steps")
        self._advance = self._bar.enter_context(bar)

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._epoch = epoch
        self._start = time.monotonic() - self._seconds_before
        self._seconds_before = 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar."""
        pace = self.model.pace
        if pace.is_caught_up:
            made = self._epoch * self._stage.steps_per_epoch + pace.done
            self._advance(made - self._shown, f"loss {logs['loss']:.3f}")
            self._shown = made

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the record and tells of it."""
        record = EpochRecord(
            loss=float(logs["loss"]),
            accuracy=float(logs["accuracy"]) if self._task.has_classes else None,
            validation_loss=float(logs["val_loss"]),
            validation_accuracy=float(logs["val_accuracy"]) if self._task.has_classes else None,
            seconds=time.monotonic() - self._start,
            others=objectives.scores_of(logs, self._task, self._metrics),
        )
        self.epochs.append(record)
        self._start = time.monotonic()
        self._tell(len(self.epochs), record)

    def on_train_end(self, logs=None):
        """Closes the bar."""
        self.close()

    def close(self) -> None:
        """Closes the bar, also where `fit` has ended by an error."""
        self._bar.close()

    def get_state(self):
        """Returns the records until now, and how long the present epoch has taken."""
        return {"epochs": values.to_json(tuple(self.epochs)), "seconds": time.monotonic() - self._start}, ()

    def set_state(self, told, arrays):
        """Takes what another process has recorded."""
        self.epochs = [values.from_json(EpochRecord, record) for record in told["epochs"]]
        self._seconds_before = told["seconds"]
