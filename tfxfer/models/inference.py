"""What a network computes, whatever strategy it was made under."""

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# One traced function for each network.
_functions: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def predict_on_batch(model: keras.Model, batch):
    """Returns the answers of a network in inference mode on one batch, as NumPy arrays, by this process alone.

    Under a strategy `predict_on_batch` of Keras gives every replica the whole batch and joins their answers, for which
    workers would wait for each other. Here one device computes them, and one of several workers can.
    """
    if model.distribute_strategy.num_replicas_in_sync == 1:
        return model.predict_on_batch(batch)
    if model not in _functions:
        called = weakref.proxy(model)  # else the function would keep the network for ever
        _functions[model] = tf.function(
            lambda inputs: called(inputs, training=False), autograph=False, reduce_retracing=True
        )
    return tf.nest.map_structure(np.asarray, _functions[model](batch))


def at_once(batch_size: int, shape: Sequence[int], *, pixels: int) -> int:
    """Returns how many pictures to give a network at once: on a GPU a batch, without one no more than suits memory.

    Args:
        batch_size: pictures of a batch, ≥ 1.
        shape: of a picture, height and width first.
        pixels: that pictures may have together, but for a single one.
    """
    if tf.config.list_logical_devices("GPU"):
        return batch_size
    return max(1, min(batch_size, pixels // math.prod(shape[:2])))


def on_one_replica(strategy: tf.distribute.Strategy, function: Callable, *arguments: Any) -> Any:
    """Returns what a function returns in the context of a replica, of which each does the same; for tracing.

    Outside of one a variable of several replicas has no gradient. Keras divides losses there by the number of
    replicas, for whose sum it takes them.
    """
    found = strategy.run(function, args=arguments)
    return tf.nest.map_structure(lambda own: strategy.experimental_local_results(own)[0], found)
