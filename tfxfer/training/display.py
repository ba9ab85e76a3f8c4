"""Keeps and shows what `fit` measures: a bar within an epoch, a line after it."""

import contextlib
import time
from collections.abc import Callable

import keras

from tfxfer import progress
from tfxfer.plans import StagePlan
from tfxfer.training.records import EpochRecord


class Recorder(keras.callbacks.Callback):
    """Collects an `EpochRecord` for each epoch, over one or more calls of `fit`."""

    def __init__(self, stage: StagePlan, tell: Callable[[int, EpochRecord], None]):
        """Makes a recorder that calls `tell` with each epoch's number, counted from 1, and its record."""
        super().__init__()
        self.epochs: list[EpochRecord] = []
        self._stage = stage
        self._tell = tell
        self._bar = contextlib.ExitStack()
        self._advance = None
        self._start = 0.0
        self._last = -1

    def on_train_begin(self, logs=None):
        """Opens the bar."""
        steps = self.params["steps"] * self.params["epochs"]
        bar = progress.bar(f"stage {self._stage.name}", steps, kind="steps")
        self._advance = self._bar.enter_context(bar)

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._last = -1
        self._start = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar."""
        # Several steps may run in one go; then `batch` is the last of them.
        self._advance(batch - self._last, f"loss {float(logs['loss']):.3f}" if logs else "")
        self._last = batch

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the record and tells of it."""
        record = EpochRecord(
            loss=float(logs["loss"]),
            accuracy=float(logs["accuracy"]),
            validation_loss=float(logs["val_loss"]),
            validation_accuracy=float(logs["val_accuracy"]),
            seconds=time.monotonic() - self._start,
        )
        self.epochs.append(record)
        self._tell(len(self.epochs), record)

    def on_train_end(self, logs=None):
        """Closes the bar."""
        self._bar.close()
