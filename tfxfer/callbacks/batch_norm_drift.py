"""Warns in `fit` when the statistics that batch norm stores do not fit the network that it trains.

While a network trains, batch norm normalises by the batch; whoever uses it later gets the stored moving averages. If
those lag behind, training looks well and evaluation does not, and nothing says why.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from tfxfer.errors import ConfigError
from tfxfer.models import batch_norm, statistics


class BatchNormDriftWarning(UserWarning):
    """The loss with stored statistics is far above the loss with those of the batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drift:
    """One measurement: the loss on the held batches with either statistics, all else being equal.

    Attributes:
        epoch: after which it was taken, counted from 0 as `fit` does.
        train_loss: mean loss with the batches' own statistics, as in training.
        eval_loss: mean loss with the stored ones, as in evaluation and prediction.
        penalty: the part of both that weight regularisers add.
    """

    epoch: int
    train_loss: float
    eval_loss: float
    penalty: float

    @property
    def gap(self) -> float:
        """By how much the stored statistics make the loss worse; NaN or infinity where they make it that."""
        return self.eval_loss - self.train_loss

    @property
    def ratio(self) -> float:
        """The gap as a share of the loss in train mode, without what weight regularisers add."""
        return self.gap / max(self.train_loss - self.penalty, keras.config.epsilon())


class BatchNormDrift(keras.callbacks.Callback):
    """Compares, after epochs, the loss under batch statistics with that under stored statistics, and warns of a gap.

    >>> model.fit(train, validation_data=validation, callbacks=[BatchNormDrift(validation)])

    Only batch norm differs between the two: dropout and all other layers are in inference mode in both. Weights,
    statistics, metrics and random state stay bit for bit as they are. Only those batch norms count whose statistics
    move as the model is frozen at that moment; without any, nothing is computed. Inside a layer that is a network of
    its own (a SavedModel) nothing can be told apart.

    It warns once in a `fit`: when two measurements in a row are beyond the limits, or the last one is. A single one
    early on is no news, since statistics follow the weights with a delay in every run.

    Args:
        data: batches (inputs, labels) or (inputs, labels, weights) of the training batch size, or one such batch of
            arrays. The first of them are kept in memory, so that a dataset that shuffles is asked only once.
        batches: how many to keep, ≥ 1.
        ratio: share of the train-mode loss, > 0, from which on a gap counts. The default is the tenth by which a
            healthy run does not differ: normalising by a batch adds noise, so that its loss lies above that of good
            stored statistics, not below.
        gap: least gap in units of the loss, ≥ 0, so that losses near zero, whose ratios are noise, do not warn.
        every: epochs from one measurement to the next, ≥ 1.
        tell: called with the message; if not given, it is a `BatchNormDriftWarning`.

    Attributes:
        measured: the `Drift` of each measurement, in order.

    Raises:
        ConfigError: an impossible argument, no batches, or batches without labels.
    """

    def __init__(
        self,
        data: Iterable | tuple,
        *,
        batches: int = 8,
        ratio: float = 0.1,
        gap: float = 0.05,
        every: int = 1,
        tell: Callable[[str], None] | None = None,
    ):
        super().__init__()
        _check(batches=batches, ratio=ratio, gap=gap, every=every)
        self.measured: list[Drift] = []
        self._held = _held(data, batches)
        self._ratio, self._gap, self._every = ratio, gap, every
        self._tell = tell or _warn
        self._told = False
        self._functions: dict[tuple[int, ...], Callable] = {}
        self._goes_on: dict[str, Any] = {"measured": [], "told": False}

    def on_train_begin(self, logs=None):
        """Forgets what was measured in a `fit` before; the model may have been compiled or frozen anew since."""
        told, self._goes_on = self._goes_on, {"measured": [], "told": False}
        self.measured, self._told = [Drift(**drift) for drift in told["measured"]], told["told"]
        self._functions.clear()

    def get_state(self) -> tuple[dict[str, Any], list]:
        """Returns what it knows in the middle of a `fit`, for a process that goes on with it: JSON types and arrays."""
        return {"measured": [dataclasses.asdict(drift) for drift in self.measured], "told": self._told}, []

    def set_state(self, told: dict[str, Any], arrays: list) -> None:
        """Takes what `get_state` gave, before `fit(initial_epoch=…)`."""
        self._goes_on = told

    def on_epoch_end(self, epoch, logs=None):
        """Measures, and warns if this measurement and the one before are beyond the limits."""
        if (epoch + 1) % self._every:
            return
        moving = batch_norm.moving_batch_norms(self.model)
        if not moving:
            self.measured = []  # what was measured before says nothing about the model as it is frozen now
            return
        self.measured.append(self._measure(epoch, moving))
        if len(self.measured) > 1 and all(map(self._is_beyond, self.measured[-2:])):
            self._say()

    def on_train_end(self, logs=None):
        """Warns if the last measurement is beyond the limits."""
        if self.measured and self._is_beyond(self.measured[-1]):
            self._say()
        self._functions.clear()

    def _is_beyond(self, drift: Drift) -> bool:
        # Written so that NaN is beyond: stored statistics that make it of a finite loss are the worst there are. Where
        # both are NaN, the weights are at fault.
        return math.isfinite(drift.train_loss) and not (drift.gap <= self._gap or drift.ratio <= self._ratio)

    def _say(self) -> None:
        if not self._told:
            self._told = True
            self._tell(_message(self.measured[-1]))

    def _measure(self, epoch: int, moving: list[keras.layers.BatchNormalization]) -> Drift:
        # A layer's `trainable` is part of the graph, so another set of moving layers is another function.
        key = tuple(id(layer) for layer in moving)
        if key not in self._functions:
            spec = statistics.signature_of(self._held[0])
            self._functions[key] = tf.function(
                lambda batch: _losses(self.model, moving, batch), input_signature=[spec], autograph=False
            ).get_concrete_function()
        totals, examples = [0.0, 0.0, 0.0], 0
        for batch in self._held:
            size = tf.nest.flatten(batch)[0].shape[0]
            losses = self._functions[key](batch)
            totals = [total + size * float(loss) for total, loss in zip(totals, losses, strict=True)]
            examples += size
        train, stored, penalty = (total / examples for total in totals)
        return Drift(epoch=epoch, train_loss=train, eval_loss=stored, penalty=penalty)


def _losses(model: keras.Model, moving, batch) -> list[tf.Tensor]:
    """Returns the loss under the statistics of the batch, under the stored ones, and what weight regularisers add."""
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    losses = []
    for layers in (moving, ()):
        with statistics.batch_statistics(model, layers):
            predictions = model(inputs, training=False)
            losses.append(model.compute_loss(inputs, labels, predictions, weights))
    regularised = [v for v in model.trainable_variables if v.regularizer is not None]
    penalties = [keras.ops.sum(v.regularizer(v)) for v in regularised]
    # In the scope of a strategy Keras divides losses by the number of replicas, for whose sum it takes them.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    found = (*(loss * replicas for loss in losses), sum(penalties, tf.zeros(())))
    return [tf.cast(loss, tf.float32) for loss in found]


def _message(drift: Drift) -> str:
    return (
        f"after epoch {drift.epoch + 1} the loss is {drift.eval_loss:.3g} with the stored statistics of batch norm, as "
        f"in evaluation, but {drift.train_loss:.3g} with those of the batches, as in training: the stored ones lag "
        "behind. "
        "Measure them anew with tfxfer.refresh_statistics(model, training_batches); let them follow faster with "
        "tfxfer.set_batch_norm_momentum(model, tfxfer.batch_norm_momentum(steps_per_epoch)) before fit; or keep the "
        'pretrained ones: tfxfer.freeze(model, train=…, batch_norm="frozen"), in a recipe Stage(batch_norm="frozen").'
    )


def _warn(message: str) -> None:
    warnings.warn(message, BatchNormDriftWarning, stacklevel=2)


def _held(data, limit: int) -> list:
    """Returns the first batches, as tensors."""
    batches = [data] if isinstance(data, tuple) else statistics.up_to(limit, data)
    # What is absent from a batch is None there, which TensorFlow's nests hold like a tensor.
    held = [tf.nest.map_structure(tf.convert_to_tensor, tuple(batch)) for batch in batches if _has_labels(batch)]
    if not held:
        raise ConfigError("data has no batches, so there is nothing to compare losses on.")
    return held


def _has_labels(batch) -> bool:
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise ConfigError(
            "data holds batches without labels, and a loss needs them. Give batches (inputs, labels), or one batch as "
            "a tuple of arrays: BatchNormDrift((inputs, labels))."
        )
    return True


def _check(*, batches: int, ratio: float, gap: float, every: int) -> None:
    problems = [
        f"{name}={value!r} is not a whole number from 1 on"
        for name, value in (("batches", batches), ("every", every))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1
    ]
    if not isinstance(ratio, int | float) or not 0 < ratio < float("inf"):
        problems.append(f"ratio={ratio!r} is not a number above 0, such as 0.1 for a tenth")
    if not isinstance(gap, int | float) or not 0 <= gap < float("inf"):
        problems.append(f"gap={gap!r} is not a number from 0 on, in units of the loss")
    if problems:
        raise ConfigError("; ".join(problems) + ".")
