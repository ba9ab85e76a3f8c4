"""Batches for training and prediction: rows of an array in an order that seed, stage and epoch decide alone."""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfxfer.data import drawing
from tfxfer.data.mixing import Mix, with_weights
from tfxfer.data.rows import Rows
from tfxfer.tasks import Task

# Batches made ready while a step runs.
_AHEAD = 2
# One call of Python gathers so many batches at most, and bytes: for small rows the call costs more than the gathering.
_TOGETHER, _BYTES_TOGETHER = 64, 4 << 20


def order(count: int, *, seed: int, stage: int, epoch: int) -> np.ndarray:
    """Returns the order of `count` examples in one epoch, int64, a pure function of its arguments."""
    return drawing.generator("order", seed, stage, epoch).permutation(count)


def first_views(count: int, views: int, *, seed: int, stage: int) -> np.ndarray:
    """Returns which of its views each example begins with, int64 `[count]`, 0 ≤ view < `views`.

    From there on it shows all of them before it shows one again.
    """
    if views == 1:
        return np.zeros(count, np.int64)
    return drawing.generator("views", seed, stage, 0).integers(0, views, count)


def training_batches(
    rows: Rows,
    *,
    batch_size: int,
    start: int,
    steps: int,
    seed: int,
    stage: int,
    mix: Mix | None = None,
    each: Sequence[int] = (),
) -> tf.data.Dataset:
    """Returns `steps` batches of (rows, what `encoded` makes of labels), epoch after epoch, each in its own order.

    Where examples have weights they come third, float32 `[batch]`. The last batch of an epoch holds what is left. Of an
    example with several views each epoch shows one.

    Args:
        rows: what to train on.
        batch_size: examples in a batch.
        start: number of batches of the stage that are passed over; costs nothing.
        steps: number of batches.
        seed: of the order, with `stage` and the epoch.
        stage: counted from 0.
        mix: what is done to each batch, of `mixing.mixer`.
        each: how many examples of each class an epoch shows, as many in all as there are; empty: each once.
    """
    per_epoch = -(-len(rows) // batch_size)
    begin = first_views(len(rows), rows.views, seed=seed, stage=stage)

    @functools.lru_cache(maxsize=2)
    def in_epoch(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        which = {"seed": seed, "stage": stage, "epoch": epoch}
        if each:
            positions, turns = drawing.drawn(rows.labels, each, **which)
        else:
            positions, turns = order(len(rows), **which), epoch
        return positions, (begin[positions] + turns) % rows.views

    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        epoch, number = divmod(step, per_epoch)
        positions, views = in_epoch(epoch)
        part = slice(number * batch_size, (number + 1) * batch_size)
        return positions[part], views[part]

    return _gather(rows, batch, start, start + steps, batch_size, mix)


def ordered_batches(rows: Rows, *, batch_size: int) -> tf.data.Dataset:
    """Returns batches of (rows, what `encoded` makes of labels), and of weights if there are any, in order.

    Each example comes once, as it is.
    """

    def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
        positions = np.arange(step * batch_size, min((step + 1) * batch_size, len(rows)))
        return positions, np.zeros_like(positions)

    return _gather(rows, batch, 0, -(-len(rows) // batch_size), batch_size)


def encoded(labels: tf.Tensor, classes: int, task: Task) -> tf.Tensor:
    """Returns what a loss compares a network's outputs with, float32 `[batch, classes]`, also to be mixed.

    Args:
        labels: int32 `[batch]` where each example is of one class, which becomes 1 of zeros; else float32
            `[batch, classes]`, 0 and 1 for labels, which stay, and numbers of regression, which are standardised.
        classes: number of classes, labels or targets.
        task: that they are for.
    """
    if task.has_classes:
        return tf.one_hot(labels, classes)
    if task.kind == "multi_label":
        return labels
    return (labels - tf.constant(task.means, tf.float32)) / tf.constant(task.deviations, tf.float32)


def shared(dataset: tf.data.Dataset, strategy: tf.distribute.Strategy):
    """Returns a dataset whose batches the replicas of a strategy share, on all machines, as evenly as can be.

    Keras and TensorFlow split by static sizes, and stop at a first batch that does not divide. Here any batch of
    (inputs, labels) or (inputs, labels, weights) may be split. Each machine goes through the whole dataset and takes
    its shares.

    Beside its share a replica always gets the weights of the examples, above 0; 1 if there are none. Where no example
    is left for it, it gets all of the batch with weights of 0: layers need not bear nothing at all (oneDNN's
    convolutions fail), and the mean and variance over all replicas stay what they are.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return dataset

    def of_machine(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = replicas // context.num_input_pipelines
        first = own * context.input_pipeline_id

        def parts(inputs, labels, weights=None):
            count = tf.shape(labels, tf.int64)[0]
            weights = tf.ones([count]) if weights is None else weights

            def part(number):
                first, last = number * count // replicas, (number + 1) * count // replicas
                is_real = last > first
                first, last = tf.where(is_real, first, 0), tf.where(is_real, last, count)
                own = tf.where(is_real, weights[first:last], 0.0)
                return inputs[first:last], labels[first:last], own

            return tf.data.Dataset.range(first, first + own).map(part)

        split = dataset.flat_map(parts)
        if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
            # Else machines would agree before each step on whether there is one.
            split = split.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
        return split.with_options(dataset.options())

    return strategy.distribute_datasets_from_function(of_machine)


def gathered_together(batch_bytes: int) -> int:
    """Returns how many batches one call of Python gathers."""
    return max(1, min(_TOGETHER, _BYTES_TOGETHER // max(1, batch_bytes)))


def _gather(rows: Rows, batch: Callable, start: int, stop: int, batch_size: int, mix=None) -> tf.data.Dataset:
    """Returns the batches of steps `start` to `stop`; `batch` tells the positions and views of one.

    One call of Python for several batches: NumPy gathers rows from memory or from a map of a file alike.
    """
    shape, dtype = rows.all_rows.shape[1:], tf.as_dtype(rows.all_rows.dtype)
    together = gathered_together(batch_size * math.prod(shape) * dtype.size)
    numbers = rows.parameters_of(np.zeros(1, np.int64), np.zeros(1, np.int64)).shape[1]
    kind = np.int32 if rows.task.has_classes else np.float32

    weighs = rows.weights is not None

    def pick(first: int) -> tuple[np.ndarray, ...]:
        picked = [batch(step) for step in range(first, min(first + together, stop))]
        positions, views = (np.concatenate(parts) for parts in zip(*picked, strict=True))
        ends = np.cumsum([0, *(len(part) for part, _ in picked)])
        labels = rows.labels[positions].astype(kind)
        weights = rows.weights[positions] if weighs else np.empty(0, np.float32)
        return rows.take(positions, views), labels, rows.parameters_of(positions, views), ends, weights

    def take(first):
        kinds = (dtype, tf.as_dtype(kind), tf.float32, tf.int64, tf.float32)
        taken, labels, parameters, ends, weights = tf.numpy_function(pick, [first], kinds, stateful=False)
        targets = encoded(tf.ensure_shape(labels, (None, *rows.labels.shape[1:])), rows.classes, rows.task)
        parameters = tf.ensure_shape(parameters, (None, numbers))
        taken = tf.ensure_shape(taken, (None, *shape))
        decoded = rows.decode(taken, parameters) if rows.decode else taken
        told = (targets, tf.ensure_shape(weights, (None,))) if weighs else (targets,)
        return decoded, told, tf.ensure_shape(ends, (None,)), first

    def split(decoded, told, ends, first):
        def part(number):
            which = slice(ends[number], ends[number + 1])
            batch = decoded[which], *(about[which] for about in told)
            if not mix:
                return batch
            return with_weights(mix, *batch, first + number) if weighs else mix(*batch, first + number)

        return tf.data.Dataset.range(tf.size(ends, tf.int64) - 1).map(part)

    # The thread that tunes a pipeline sleeps for up to a minute between its looks, and an iterator's end waits for it.
    # There is nothing to tune here.
    options = tf.data.Options()
    options.autotune.enabled = False
    chunks = tf.data.Dataset.range(start, stop, together).map(take).prefetch(1)
    counted = chunks.flat_map(split).apply(tf.data.experimental.assert_cardinality(stop - start))
    return counted.prefetch(_AHEAD).with_options(options)
