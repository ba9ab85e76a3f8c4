"""What TensorBoard shows of a `fit`: loss, metrics, the rate of each group, speed, and where a step's time goes."""

import os
import pathlib
import time

import keras
import tensorflow as tf

from tfxfer import optimizers


class Events(keras.callbacks.Callback):
    """Writes scalars for TensorBoard.

    >>> model.fit(train, epochs=5, callbacks=[Events("runs/photos/events", batch_size=32)])

    Names: `loss` and the metrics as they stand in the epoch, `validation/…` after it, `rate/<group>` (that of each name
    of a `DifferentialLearningRate`), `images_per_second`, `step/seconds` and, in a run of tfxfer whose steps take 10 ms
    or more, `step/data` and `step/compute`, the seconds in which a step waits for data and those that are left. The
    step is the optimizer's.
    """

    def __init__(
        self, folder: str | os.PathLike, *, batch_size: int, every: float = 1.0, profile_steps: range | None = None
    ):
        """Makes the callback; the folder is made when something is written.

        Args:
            folder: for TensorBoard's files.
            batch_size: examples in a step.
            every: seconds from one writing to the next, ≥ 0.
            profile_steps: optimizer steps that are profiled, for TensorBoard's page of that name.
        """
        super().__init__()
        self._folder, self._batch_size, self._every = pathlib.Path(folder), batch_size, every
        self._profile = profile_steps
        self._profiling = False
        self._writer = None
        self._steps, self._last = 0, 0.0

    def on_train_begin(self, logs=None):
        """Opens the file."""
        self._writer = tf.summary.create_file_writer(str(self._folder))
        self._steps, self._last = self._step(), time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock: what lies between epochs is no step."""
        self._steps, self._last = self._step(), time.monotonic()

    def on_train_batch_begin(self, batch, logs=None):
        """Starts the profiler if it is time."""
        if self._profile and not self._profiling and self._step() in self._profile:
            tf.profiler.experimental.start(str(self._folder))
            self._profiling = True

    def on_train_batch_end(self, batch, logs=None):
        """Writes scalars if it is time."""
        pace = getattr(self.model, "pace", None)
        if pace is not None and not pace.is_caught_up:
            return
        if self._profiling and self._step() not in self._profile:
            self._stop_profiling()
        if time.monotonic() - self._last >= self._every:
            self._write(logs or {}, getattr(pace, "waited", None))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's scalars."""
        with self._writer.as_default(self._step()):
            for name, value in (logs or {}).items():
                tf.summary.scalar(name.replace("val_", "validation/", 1) if name.startswith("val_") else name, value)
        self._writer.flush()

    def on_train_end(self, logs=None):
        """Closes the file."""
        self._stop_profiling()
        self._writer.close()

    def _write(self, logs, waited: float | None) -> None:
        now, step = time.monotonic(), self._step()
        made, seconds = max(1, step - self._steps), now - self._last
        with self._writer.as_default(step):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
            own = optimizers.of(self.model)
            rates = own.effective_rates() if own else {"all": float(self.model.optimizer.learning_rate)}
            for name, rate in rates.items():
                tf.summary.scalar(f"rate/{name}", rate)
            tf.summary.scalar("images_per_second", made * self._batch_size / max(seconds, 1e-9))
            tf.summary.scalar("step/seconds", seconds / made)
            if waited is not None:
                tf.summary.scalar("step/data", waited)
                tf.summary.scalar("step/compute", seconds / made - waited)
        self._steps, self._last = step, now

    def _stop_profiling(self) -> None:
        if self._profiling:
            tf.profiler.experimental.stop()
            self._profiling = False

    def _step(self) -> int:
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
