"""Auto-RGN: at the begin of each epoch every variable gets a rate in proportion to its relative gradient norm.

Lee et al. 2023, "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts": what a step would move most for its
size is what the new examples want changed.
"""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer import graph, optimizers, runtime
from tfxfer.errors import ConfigError
from tfxfer.models import statistics
from tfxfer.models.inference import on_one_replica
from tfxfer.optimizers import DifferentialLearningRate, loss_scaling

# Least share of its rate that a variable gets, so that everything that is to train moves.
FLOOR = 1e-3


class AutoRGN(keras.callbacks.Callback):
    """Sets the multipliers of a `DifferentialLearningRate` at the begin of each epoch, by measurement.

    >>> optimizer = tfxfer.DifferentialLearningRate(keras.optimizers.Adam(1e-3), {"...": 1.0}, model=model)
    >>> model.compile(optimizer, loss=loss)
    >>> model.fit(train, epochs=10, callbacks=[AutoRGN(train)])

    A variable's factor is the norm of its gradient over its own norm, mean over the batches, divided by the largest of
    all; its multiplier is that of the optimizer times the factor, and after `fit` again what it was before. The head
    keeps 1 and is left out: it is new, and what is small at its beginning would outdo all below it. So does a variable
    of zeros, whose relative norm has no end. Where no gradient gets through at all, as below a head of zeros, the
    factors stay as they were. The network is in inference mode meanwhile; nothing of it changes.

    The optimizer keeps its slots and its count of steps, but the train function is traced anew in each epoch: with the
    measuring that takes as long as some 30 steps (MobileNetV2, 96 pixels, batches of 32: 3 of them to measure, 30 to
    trace; `tools/bench_optimizer.py --only=auto_rgn`). Multipliers that the graph reads from variables would save that,
    and cost every step of everyone a read and a multiplication for each variable.

    Attributes:
        measured: for each epoch, the factor of each variable below the head, by its path.
    """

    def __init__(self, data: Iterable, *, batches: int = 5, floor: float = FLOOR):
        """Makes the callback.

        Args:
            data: batches (inputs, labels) or (inputs, labels, weights) that can be gone through again and again, such
                as a `tf.data.Dataset`; each epoch looks at the first.
            batches: how many, ≥ 1; five in the paper's program.
            floor: the least factor, 0 < floor ≤ 1, so that everything that is to train moves.

        Raises:
            ConfigError: an impossible argument.
        """
        super().__init__()
        if isinstance(batches, bool) or not isinstance(batches, int) or batches < 1:
            raise ConfigError(f"batches={batches!r} must be a whole number from 1 on.")
        if not 0 < floor <= 1:
            raise ConfigError(f"floor={floor!r} must be above 0 and at most 1.")
        self.measured: list[dict[str, float]] = []
        self._data, self._batches, self._floor = data, batches, floor
        self._planned: dict[int, float] = {}
        self._factors: dict[int, float] = {}
        self._traced: tuple[tuple, tf.types.experimental.PolymorphicFunction] | None = None
        self._goes_on: tuple[dict[str, Any], np.ndarray] | None = None
        self._epoch = -1

    def on_train_begin(self, logs=None):
        """Keeps the multipliers as they are.

        Raises:
            ConfigError: the optimizer of the model has none.
        """
        optimizer = self._optimizer()
        self.measured, self._planned, self._factors, self._traced = [], {}, {}, None
        for variable in (v for group in graph.layer_groups(self.model) for v in group.trainable_variables):
            with contextlib.suppress(LookupError, ConfigError):  # a rule may know only what trains
                self._planned[id(variable)] = optimizer.multiplier(variable)
        if self._goes_on is not None:
            told, factors = self._goes_on
            self.measured = list(told["measured"])
            if told["has_factors"]:
                body = self._body()
                self._factors = {id(v): float(factor) for v, factor in zip(body, factors, strict=True)}
                self._set()

    def get_state(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns what it knows in the middle of a `fit`, for a process that goes on with it: JSON types and arrays."""
        factors = [self._factors.get(id(variable), 1.0) for variable in self._body()]
        told = {"measured": self.measured, "has_factors": bool(self._factors), "epoch": self._epoch}
        return told, [np.array(factors)]

    def set_state(self, told: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
        """Takes what `get_state` gave, before `fit(initial_epoch=…)` of the same model, frozen as it was."""
        self._goes_on = told, arrays[0]

    def on_epoch_begin(self, epoch, logs=None):
        """Measures, and sets the multipliers.

        Raises:
            ConfigError: there are no batches, or none with labels.
        """
        self._epoch = epoch
        goes_on, self._goes_on = self._goes_on, None
        if goes_on is not None and goes_on[0]["epoch"] == epoch:
            return  # measured at the begin of the epoch, by another process
        body = self._body()
        if not body:
            return
        # Workers measure alike but for rounding.
        norms = runtime.workers_of(self.model.distribute_strategy).array_of_chief(self._relative_norms(body))
        # Infinite: a variable of zeros. Not a number: one of zeros without a gradient.
        largest = norms[np.isfinite(norms)].max(initial=0.0)
        if largest > 0:
            shares = np.where(np.isfinite(norms), np.maximum(self._floor, norms / largest), 1.0)
            self._factors = {id(variable): float(share) for variable, share in zip(body, shares, strict=True)}
            self._set()
        self.measured.append({variable.path: self._factors.get(id(variable), 1.0) for variable in body})

    def on_train_end(self, logs=None):
        """Sets the multipliers to what they were."""
        self._factors, self._traced = {}, None
        self._set()

    def _body(self) -> list[keras.Variable]:
        """Returns what trains below the head."""
        head = {id(variable) for variable in graph.layer_groups(self.model)[-1].trainable_variables}
        return [variable for variable in self.model.trainable_variables if id(variable) not in head]

    def _set(self) -> None:
        self._optimizer().set_multipliers(self._multiplier)
        # Multipliers are constants of the traced function. This is lazy: it is traced at the next step.
        self.model.make_train_function(force=True)

    def _multiplier(self, variable: keras.Variable) -> float:
        return self._planned[id(variable)] * self._factors.get(id(variable), 1.0)

    def _optimizer(self) -> DifferentialLearningRate:
        optimizer = optimizers.of(self.model)
        if optimizer is None:
            raise ConfigError(
                f"AutoRGN sets a rate for each variable, and {type(self.model.optimizer).__name__} has one for all. "
                "Compile with tfxfer.DifferentialLearningRate(optimizer, {'...': 1.0}, model=model)."
            )
        return optimizer

    def _relative_norms(self, body: list[keras.Variable]) -> np.ndarray:
        """Returns the norm of each variable's gradient over its own, mean over the batches."""
        norms = []
        for batch in statistics.up_to(self._batches, self._data):
            if not isinstance(batch, tuple | list) or len(batch) < 2:
                raise ConfigError("AutoRGN needs batches (inputs, labels): without labels there is no gradient.")
            norms.append(self._norms(batch, body).numpy())
        if not norms:
            raise ConfigError(
                "AutoRGN was given no batches, or a generator that is used up. Give what can be gone through in each "
                "epoch: a tf.data.Dataset or a list of batches."
            )
        self.model.reset_metrics()  # some losses count; the epoch has not begun
        own = np.array([np.linalg.norm(variable.numpy()) for variable in body])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.mean(norms, axis=0) / own

    def _norms(self, batch, body: list[keras.Variable]) -> tf.Tensor:
        key = tuple(map(id, body))
        if self._traced is None or self._traced[0] != key:
            signature = [statistics.signature_of(tuple(batch))]

            def norms(batch):
                return on_one_replica(
                    self.model.distribute_strategy, lambda own: _gradient_norms(self.model, body, own), batch
                )

            measure = tf.function(norms, input_signature=signature, autograph=False)
            self._traced = key, measure
        return self._traced[1](tuple(batch))


def _gradient_norms(model: keras.Model, variables: list[keras.Variable], batch) -> tf.Tensor:
    """Returns the norm of the gradient of each variable on a batch, float32 `[variables]`."""
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    scale = loss_scaling.scale_of(model.optimizer)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, labels, model(inputs, training=False), weights) * scale
    gradients = tape.gradient(loss, [v.value for v in variables], unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tf.stack([tf.cast(tf.norm(tf.convert_to_tensor(gradient)), tf.float32) / scale for gradient in gradients])
