"""Batches for training and prediction: rows of an array in an order that seed, stage and epoch decide alone."""

import functools
import hashlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxfer.data.rows import Rows

# Batches made ready while a step runs.
_AHEAD = 2


def order(count: int, *, seed: int, stage: int, epoch: int) -> np.ndarray:
    """Returns the order of `count` examples in one epoch, int64, a pure function of its arguments."""
    key = hashlib.sha256(f"order:{seed}:{stage}:{epoch}".encode()).digest()[:16]
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key)))
    return generator.permutation(count)


def training_batches(rows: Rows, *, batch_size: int, start: int, steps: int, seed: int, stage: int) -> tf.data.Dataset:
    """Returns `steps` batches of (rows, one-hot labels), epoch after epoch, each in its own order.

    The last batch of an epoch holds what is left.

    Args:
        rows: what to train on.
        batch_size: examples in a batch.
        start: number of batches of the stage that are passed over; costs nothing.
        steps: number of batches.
        seed: of the order, with `stage` and the epoch.
        stage: counted from 0.
    """
    per_epoch = -(-len(rows) // batch_size)

    @functools.lru_cache(maxsize=2)
    def order_of(epoch: int) -> np.ndarray:
        return order(len(rows), seed=seed, stage=stage, epoch=epoch)

    def places(step: int) -> np.ndarray:
        epoch, batch = divmod(int(step), per_epoch)
        return order_of(epoch)[batch * batch_size : (batch + 1) * batch_size]

    return _gather(tf.data.Dataset.range(start, start + steps), places, rows)


def ordered_batches(rows: Rows, *, batch_size: int) -> tf.data.Dataset:
    """Returns batches of (rows, one-hot labels) in order, each once."""
    steps = tf.data.Dataset.range(-(-len(rows) // batch_size))
    return _gather(steps, lambda step: np.arange(step * batch_size, min(len(rows), (step + 1) * batch_size)), rows)


def _gather(steps: tf.data.Dataset, places: Callable[[int], np.ndarray], rows: Rows) -> tf.data.Dataset:
    """One call of Python for a batch: NumPy gathers rows from memory or from a map of a file alike."""
    dtypes = (tf.as_dtype(rows.all_rows.dtype), tf.as_dtype(rows.all_labels.dtype))

    def pick(step):
        chosen = rows.places[places(step)]
        return rows.all_rows[chosen], rows.all_labels[chosen]

    def take(step):
        batch, labels = tf.numpy_function(pick, [step], dtypes, stateful=False)
        batch = tf.ensure_shape(batch, (None, *rows.all_rows.shape[1:]))
        return batch, tf.one_hot(tf.ensure_shape(labels, (None,)), rows.classes)

    # The thread that tunes a pipeline sleeps for up to a minute between its looks, and an iterator's end waits for it.
    # There is nothing to tune here.
    options = tf.data.Options()
    options.autotune.enabled = False
    return steps.map(take).prefetch(_AHEAD).with_options(options)
