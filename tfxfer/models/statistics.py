"""Measures the statistics of batch norm anew: exact moments of a pass over examples instead of a moving average.

What a moving average holds lags behind the weights, and averaged weights (soups, WiSE-FT, EMA) have no statistics of
their own at all. One pass in which each batch norm normalises by its batch tells the moments of what it is given
("precise batch norm": Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", 3).
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tfxfer.errors import BackboneError, ConfigError, DataError
from tfxfer.models import batch_norm

BatchNorm = keras.layers.BatchNormalization
# Told of each call of a batch norm: the layer, numbers per channel in its batch, their mean and their variance.
Tell = Callable[[BatchNorm, tf.Tensor, tf.Tensor, tf.Tensor], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Refreshed:
    """What `refresh_statistics` did.

    Attributes:
        layers: names of the batch norms with new statistics.
        left_alone: names of the others: frozen, held by `StoredStatistics`, or not reached by the input; and of layers
            that are a network inside, whose batch norms nobody can tell.
        examples: how many were looked at, in `batches` batches.
        shift: the largest distance of a layer's old mean from its new one: root mean square over channels, in standard
            deviations of the old statistics.
    """

    layers: tuple[str, ...]
    left_alone: tuple[str, ...]
    examples: int
    batches: int
    shift: float

    def __str__(self) -> str:
        return (
            f"statistics of {len(self.layers)} batch norms measured on {self.examples:,} examples in {self.batches} "
            f"batches; means moved by up to {self.shift:.2g} standard deviations; {len(self.left_alone)} left alone"
        )


def refresh_statistics(
    model: keras.Model,
    dataset: Iterable,
    *,
    batches: int | None = None,
    which: Literal["moving", "all"] = "moving",
) -> Refreshed:
    """Replaces moving means and variances, in place, by the moments of one pass over `dataset`; changes nothing else.

    >>> print(refresh_statistics(model, training_batches, batches=100))
    statistics of 35 batch norms measured on 3,200 examples in 100 batches; …

    Each batch norm that is measured normalises by its batch, as in training, so give batches of the training size, as
    they are trained on. All other layers are in inference mode: with dropout on, variances would be those of a network
    that nobody predicts with (Li et al. 2019, "variance shift"). The variance is that of all examples together, not
    the mean of the batches' variances. Without any batch norm to measure nothing is read.

    Args:
        model: built; compiled or not.
        dataset: batches as for `fit`: inputs, or (inputs, labels) or (inputs, labels, weights), of which only the
            inputs are used.
        batches: how many to look at; all of them if not given.
        which: "moving": the batch norms whose statistics move in `fit` as the model is frozen now; "all": the frozen
            ones, and those held by `StoredStatistics`, too.

    Raises:
        ConfigError: arrays instead of batches, an endless dataset without `batches`, or an impossible argument.
        DataError: there are no batches, or they make NaN or infinity; the statistics are as before then.
        BackboneError: the model is not built.
    """
    _check(model, dataset, batches, which)
    every = batch_norm.all_batch_norms(model)
    chosen = every if which == "all" else batch_norm.moving_batch_norms(model)
    moments, examples, seen = _measure(model, chosen, dataset, batches) if chosen else ({}, 0, 0)
    done = [layer for layer in chosen if id(layer) in moments]
    for layer in done:
        _check_finite(layer, moments[id(layer)])
    shift = max((_assign(layer, moments[id(layer)]) for layer in done), default=0.0)
    names = [layer.name for layer in every if id(layer) not in moments]
    return Refreshed(
        layers=tuple(layer.name for layer in done),
        left_alone=(*names, *(layer.name for layer in batch_norm.networks_inside(model))),
        examples=examples,
        batches=seen,
        shift=shift,
    )


@contextlib.contextmanager
def batch_statistics(model: keras.Model, layers: Sequence[BatchNorm], tell: Tell | None = None) -> Iterator[None]:
    """Within it a call of `model` leaves every variable as it is, and `layers` normalise by their batch.

    They do so whatever `training` says, so that it can say False to all other layers. For tracing: what is computed
    within it is a tensor; numbers that layers would assign, such as statistics or metrics, are dropped at the end.

    Args:
        model: whose losses may be asked for within, too.
        layers: batch norms of it; without any it is inference that touches nothing.
        tell: called for each call of one of them.
    """
    before = [(layer, layer.momentum, layer.trainable, [v.trainable for v in layer.variables]) for layer in layers]
    # With momentum 0, starting from zeros, Keras's own update assigns exactly the moments of the batch.
    zeros = [(v, keras.ops.zeros(v.shape, v.dtype)) for layer in layers for v in _statistics(layer)]
    # In such a scope Keras asks regularisers for the losses of mapped values only, and fails for others.
    regularised = [(v, v.value) for v in model.trainable_variables if v.regularizer is not None]
    try:
        for layer in layers:
            layer.momentum = 0.0
            layer.trainable = True
            # Into the instance's own namespace, past Keras's tracking of attributes, which keeps no trace of it then.
            vars(layer)["call"] = functools.partial(_call, layer, layer.call, tell)
        with keras.StatelessScope(state_mapping=[*regularised, *zeros], collect_losses=True):
            yield
    finally:
        for layer, momentum, trainable, flags in before:
            vars(layer).pop("call", None)
            layer.momentum = momentum
            layer.trainable = trainable
            for variable, flag in zip(layer.variables, flags, strict=True):
                variable.trainable = flag


def signature_of(batch):
    """Returns `batch` with a `tf.TensorSpec` of any batch size in place of each tensor or array: one trace fits all."""
    return tf.nest.map_structure(
        lambda leaf: tf.TensorSpec([None, *leaf.shape[1:]], leaf.dtype),
        batch,
    )


def up_to(limit: int | None, batches: Iterable) -> Iterator:
    """Returns the first so many of `batches`, all if not given; no further one is computed."""
    for number, batch in enumerate(batches, start=1):
        yield batch
        if number == limit:
            return


@dataclasses.dataclass
class _Moments:
    """Mean and variance of numbers that come in batches, in float64 (Chan et al. 1979: no difference of squares)."""

    count: float = 0.0
    mean: np.ndarray | float = 0.0
    squares: np.ndarray | float = 0.0  # sum of squared distances from the mean

    @property
    def variance(self) -> np.ndarray:
        return self.squares / self.count

    def add(self, count: float, mean: np.ndarray, variance: np.ndarray) -> None:
        if not count:  # all masked
            return
        total, distance = self.count + count, mean - self.mean
        self.squares = self.squares + variance * count + distance**2 * (self.count * count / total)
        self.mean = self.mean + distance * (count / total)
        self.count = total


def _call(layer: BatchNorm, own_call: Callable, tell: Tell | None, inputs, training=None, mask=None):
    outputs = own_call(inputs, training=True, mask=mask)
    if tell:
        mean, variance = layer.moving_mean.value, layer.moving_variance.value
        count = tf.size(inputs, tf.int64) / tf.size(mean, tf.int64)
        if mask is not None:
            count *= tf.reduce_mean(tf.cast(mask, count.dtype))
        tell(layer, count, tf.cast(mean, tf.float32), tf.cast(variance, tf.float32))
    return outputs


def _measure(model, layers, dataset, limit) -> tuple[dict[int, _Moments], int, int]:
    called: list[BatchNorm] = []  # in the order of the tensors; filled while tracing, once
    told: list[tuple[tf.Tensor, ...]] = []

    def tell(layer, *moments):
        called.append(layer)
        told.append(moments)

    def step(inputs):
        called.clear(), told.clear()
        with batch_statistics(model, layers, tell):
            model(inputs, training=False)
        counts, means, variances = zip(*told, strict=True) if told else ((), (), ())
        # Three tensors, since each one costs a copy to the host.
        return [tf.stack(counts), tf.concat(means, 0), tf.concat(variances, 0)] if told else []

    measured: dict[int, _Moments] = {}
    concrete, examples, seen = None, 0, 0
    for batch in up_to(limit, dataset):
        inputs = tf.nest.map_structure(tf.convert_to_tensor, keras.utils.unpack_x_y_sample_weight(batch)[0])
        if concrete is None:
            spec = _spec_of(dataset, inputs)
            concrete = tf.function(step, input_signature=[spec], autograph=False).get_concrete_function()
        examples, seen = examples + int(tf.nest.flatten(inputs)[0].shape[0]), seen + 1
        results = [result.numpy().astype(np.float64) for result in concrete(inputs)]
        ends = np.cumsum([layer.moving_mean.shape[0] for layer in called])[:-1]
        parts = zip(results[0], *(np.split(values, ends) for values in results[1:]), strict=True) if results else ()
        for layer, moments in zip(called, parts, strict=True):
            measured.setdefault(id(layer), _Moments()).add(*moments)
    if not seen:
        raise DataError("the dataset has no batches, so there is nothing to measure statistics on.")
    return measured, examples, seen


def _spec_of(dataset: Iterable, inputs):
    """Returns the signature of inputs; extents of which a `tf.data.Dataset` says that they vary are None there."""
    if not isinstance(dataset, tf.data.Dataset):
        return signature_of(inputs)
    said = keras.utils.unpack_x_y_sample_weight(dataset.element_spec)[0]
    unknown = any(spec.shape.rank is None for spec in tf.nest.flatten(said))
    return signature_of(inputs if unknown else said)


def _statistics(layer: BatchNorm) -> list[keras.Variable]:
    deviation = getattr(layer, "moving_stddev", None)  # of batch renormalisation
    return [layer.moving_mean, layer.moving_variance, *([] if deviation is None else [deviation])]


def _assign(layer: BatchNorm, moments: _Moments) -> float:
    """Writes new statistics; returns how far the mean has moved."""
    old_mean, old_variance = layer.moving_mean.numpy().astype(np.float64), layer.moving_variance.numpy()
    layer.moving_mean.assign(moments.mean.astype(np.float32))
    layer.moving_variance.assign(moments.variance.astype(np.float32))
    if getattr(layer, "moving_stddev", None) is not None:
        layer.moving_stddev.assign(np.sqrt(moments.variance + layer.epsilon).astype(np.float32))
    return float(np.sqrt(np.mean((moments.mean - old_mean) ** 2 / (old_variance.astype(np.float64) + layer.epsilon))))


def _check_finite(layer: BatchNorm, moments: _Moments) -> None:
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.variance).all()):
        raise DataError(
            f"batch norm {layer.name!r} is given NaN or infinite numbers: the weights below it or the inputs hold "
            "such. No statistics were changed."
        )


def _check(model, dataset, batches, which) -> None:
    if which not in ("moving", "all"):
        raise ConfigError(f"which={which!r} is not one of 'moving', 'all'.")
    if batches is not None and (isinstance(batches, bool) or not isinstance(batches, int) or batches < 1):
        raise ConfigError(f"batches={batches!r} is not a whole number from 1 on. Leave it out for a whole pass.")
    if isinstance(dataset, np.ndarray | tf.Tensor | tuple):
        raise ConfigError(
            "dataset holds arrays, not batches. Type tf.data.Dataset.from_tensor_slices(inputs).batch(32)."
        )
    if (
        batches is None
        and isinstance(dataset, tf.data.Dataset)
        and dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    ):
        raise ConfigError("the dataset never ends. Say how many batches to look at: batches=100.")
    if not model.built:
        raise BackboneError(f"model {model.name!r} is not built. Call it once on an input.")
