"""What TensorBoard shows of a `fit`: loss, metrics, the rate of each group, speed, and where a step's time goes."""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator

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
        self,
        folder: str | os.PathLike,
        *,
        batch_size: int,
        every: float = 1.0,
        profile_steps: range | None = None,
        show: Callable[[str], None] = print,
    ):
        """Makes the callback; the folder is made when something is written.

        Args:
            folder: for TensorBoard's files.
            batch_size: examples in a step.
            every: seconds from one writing to the next, ≥ 0.
            profile_steps: optimizer steps that are profiled, for TensorBoard's page of that name.
            show: called with a line where nothing can be written.
        """
        super().__init__()
        self._folder, self._batch_size, self._every = pathlib.Path(folder), batch_size, every
        self._profile, self._show = profile_steps, show
        self._profiling = self._failed = False
        self._writer = None
        self._steps, self._last = 0, 0.0

    def on_train_begin(self, logs=None):
        """Opens the file."""
        self._failed = False
        with self._told():
            self._writer = tf.summary.create_file_writer(str(self._folder))
        self._steps, self._last = self._step(), time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the clock: what lies between epochs is no step."""
        self._steps, self._last = self._step(), time.monotonic()

    def on_train_batch_begin(self, batch, logs=None):
        """Starts the profiler if it is time."""
        if self._profile and not self._profiling and self._step() in self._profile:
            with self._told():
                tf.profiler.experimental.start(str(self._folder))
                self._profiling = True

    def on_train_batch_end(self, batch, logs=None):
        """Writes scalars if it is time."""
        pace = getattr(self.model, "pace", None)
        if pace is not None and not pace.is_caught_up:
            return
        if self._profiling and self._step() not in self._profile:
            self._stop_profiling()
        if time.monotonic() - self._last >= self._every and not self._failed:
            self._write(logs or {}, getattr(pace, "waited", None))

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's scalars."""
        if self._failed:
            return
        with self._told(), self._writer.as_default(self._step()):
            for name, value in (logs or {}).items():
                tf.summary.scalar(name.replace("val_", "validation/", 1) if name.startswith("val_") else name, value)
            self._writer.flush()

    def on_train_end(self, logs=None):
        """Closes the file."""
        self.close()

    def close(self) -> None:
        """Closes the file, also where `fit` has ended by an error."""
        self._stop_profiling()
        if self._writer is not None:
            with self._told():
                self._writer.close()
            self._writer = None

    def steps_to_change(self) -> int | None:
        """Returns how many steps the optimizer makes until the profile begins or ends; None for never."""
        bounds = (self._profile.start, self._profile.stop) if self._profile else ()
        return min((bound - self._step() for bound in bounds if bound > self._step()), default=None)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Says once that nothing can be written, such as on a full disk, and lets training go on without."""
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            if not self._failed:
                first = str(error).strip().split("\n")[0][:120]
                self._show(f"events for TensorBoard cannot be written ({first}); training goes on without them.")
            self._failed = True

    def _write(self, logs, waited: float | None) -> None:
        now, step = time.monotonic(), self._step()
        made, seconds = max(1, step - self._steps), now - self._last
        with self._told(), self._writer.as_default(step):
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
            self._profiling = False
            with self._told():
                tf.profiler.experimental.stop()

    def _step(self) -> int:
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
