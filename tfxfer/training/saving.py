"""Writes checkpoints of a stage while it trains, and stops it between two steps when the process is asked to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from tfxfer import runtime
from tfxfer.training import checkpoints
from tfxfer.training.checkpoints import StageCheckpoint, StageCheckpoints
from tfxfer.training.trainees import Trainee


class Remembers(Protocol):
    """A callback that knows something of the steps before."""

    def get_state(self) -> tuple[Any, Sequence[np.ndarray]]:
        """Returns what it knows: JSON types, and arrays."""

    def set_state(self, told: Any, arrays: Sequence[np.ndarray]) -> None:
        """Takes that before `fit`, in a process that begins where another stopped."""


class Saver(keras.callbacks.Callback):
    """Writes a checkpoint when one is due; comes last among callbacks, since it keeps what the others have done."""

    def __init__(
        self,
        kept: StageCheckpoints,
        moved: Sequence[keras.Variable],
        remembering: Mapping[str, Remembers],
        *,
        is_asked: Callable[[], bool],
    ):
        """Makes a callback for one `fit` of a `Trainee`.

        Args:
            kept: where checkpoints are written.
            moved: what the stage may move of the model, in an order that every process has.
            remembering: other callbacks of this `fit` by name.
            is_asked: whether this process is to stop; then all that train together do.
        """
        super().__init__()
        self._kept, self._moved, self._remembering = kept, moved, dict(remembering)
        self._is_asked_here = is_asked
        self._epoch = 0
        self._metrics: list[np.ndarray] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Notes the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Writes a checkpoint if it is time.

        Raises:
            KeyboardInterrupt: the process was asked to stop; the checkpoint is written.
        """
        if self.model.pace.is_caught_up:
            self._metrics = checkpoints.arrays_of(self.model.metrics_variables)
            self._look(self._epoch, self.model.pace.done)

    def on_test_batch_end(self, batch, logs=None):
        """Stops within an evaluation, which begins anew in the process that goes on."""
        if self.model.pace.test.is_caught_up and self._metrics:
            self._look(self._epoch, self.model.pace.done, only_if_asked=True)

    def on_epoch_end(self, epoch, logs=None):
        """Likewise."""
        self._look(epoch + 1, 0)

    def _look(self, epoch: int, step: int, *, only_if_asked: bool = False) -> None:
        workers = runtime.workers_of(self.model.distribute_strategy)
        is_asked, is_due = workers.any(self._is_asked_here(), workers.is_chief and self._kept.is_due)
        if is_asked or (is_due and not only_if_asked):
            checkpoint = self._checkpoint(epoch, step)
            # Of what is no number the next step will tell; the checkpoint before it is the last good one.
            if all(np.isfinite(array).all() for array in checkpoint.numbers["weights"] if array.dtype.kind == "f"):
                self._kept.write(checkpoint)
        if is_asked:
            raise KeyboardInterrupt

    def _checkpoint(self, epoch: int, step: int) -> StageCheckpoint:
        told: dict[str, Any] = {
            "epoch": epoch,
            "step": step,
            "stopped": self.model.stop_training,
            "remembered": {},
        }
        numbers = {
            "weights": checkpoints.arrays_of(self._moved),
            "optimizer": checkpoints.arrays_of(self.model.optimizer.variables),
            # As the last step left them: an evaluation counts in the same ones.
            "metrics": self._metrics or checkpoints.arrays_of(self.model.metrics_variables),
        }
        for name, callback in self._remembering.items():
            told["remembered"][name], numbers[name] = callback.get_state()
        return StageCheckpoint(told=told, numbers=numbers)


def go_on(
    model: Trainee, checkpoint: StageCheckpoint, moved: Sequence[keras.Variable], remembering: Mapping[str, Remembers]
) -> None:
    """Puts a stage back to a checkpoint, before `fit`.

    Args:
        model: compiled, as the stage begins.
        checkpoint: of this stage.
        moved: as of `Saver`; `remembering` likewise.
        remembering: see there.
    """
    # What wakes makes slots, so callbacks come before the optimizer's numbers.
    for name, callback in remembering.items():
        callback.set_model(model)
        if name in checkpoint.told["remembered"]:  # looks within epochs may be asked for only now
            callback.set_state(checkpoint.told["remembered"][name], checkpoint.numbers.get(name, ()))
    checkpoints.assign(moved, checkpoint.numbers["weights"])
    checkpoints.assign(model.optimizer.variables, checkpoint.numbers["optimizer"])
