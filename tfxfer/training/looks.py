"""Looks at validation within epochs, every so many steps, for curves that are finer than epochs."""

import time

import keras

from tfxfer import values
from tfxfer.data import batches
from tfxfer.training.checkpoints import arrays_of, assign
from tfxfer.training.records import LookRecord


class Looks(keras.callbacks.Callback):
    """Collects a `LookRecord` at every multiple of so many steps of a stage; at ends of epochs `fit` looks anyway.

    Training goes on as if nobody had looked: what the metrics have counted is put back.
    """

    def __init__(self, every: int, held_out, steps_per_epoch: int):
        """Makes a callback for one `fit` of a `Trainee`.

        Args:
            every: optimizer steps from one look to the next, ≥ 1.
            held_out: a dataset of the batches of the validation split.
            steps_per_epoch: of the stage.
        """
        super().__init__()
        self.records: list[LookRecord] = []
        self._every, self._held_out, self._steps_per_epoch = every, held_out, steps_per_epoch
        self._epoch = 0
        self._start = self._seconds_before = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock."""
        self._epoch = epoch
        self._start = time.monotonic() - self._seconds_before
        self._seconds_before = 0.0

    def on_train_batch_end(self, batch, logs=None):
        """Looks if it is time."""
        made = self._made
        looked = self.records[-1].step if self.records else 0  # perhaps by the process that this one goes on for
        if self.model.pace.is_caught_up and made % self._every == 0 and made % self._steps_per_epoch and made > looked:
            self._look(made)

    def on_epoch_end(self, epoch, logs=None):
        """Starts the clock of the next one."""
        self._start = time.monotonic()

    def steps_to_change(self) -> int:
        """Returns how many steps come before the next look."""
        return self._every - self._made % self._every

    def get_state(self):
        """Returns the records until now, and how long the present epoch has taken."""
        return {"looks": values.to_json(tuple(self.records)), "seconds": time.monotonic() - self._start}, ()

    def set_state(self, told, arrays):
        """Takes what another process has recorded."""
        self.records = [values.from_json(LookRecord, record) for record in told["looks"]]
        self._seconds_before = told["seconds"]

    @property
    def _made(self) -> int:
        return self._epoch * self._steps_per_epoch + self.model.pace.done

    def _look(self, step: int) -> None:
        model, begun = self.model, time.monotonic()
        counted = arrays_of(model.metrics_variables)
        shares = batches.shared(self._held_out.repeat(), model.distribute_strategy)
        model.pace.test.begin(len(self._held_out))
        result = model.evaluate(shares, steps=len(self._held_out), verbose=0, return_dict=True)
        assign(model.metrics_variables, counted)
        self.records.append(
            LookRecord(
                step=step,
                validation_loss=float(result["loss"]),
                validation_accuracy=float(result["accuracy"]) if "accuracy" in result else None,
                seconds=begun - self._start,
                took=time.monotonic() - begun,
            )
        )
