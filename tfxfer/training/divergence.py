"""Finds out where a loss that is no number, or far too large, comes from."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tfxfer import graph

# A loss from here on does not come down again: cross-entropy begins at the logarithm of the number of classes.
LARGEST_LOSS = 1e4
# Begins what the graph says of a loss beyond that.
_BEYOND = "tfxfer: the loss of a step is"
# So many examples at a time are followed through the layers.
_EXAMPLES = 4


class DivergedError(Exception):
    """The loss of a step is no number, or far too large.

    Attributes:
        step: of the optimizer, counted from 0.
        has_moved: whether the weights are those behind the step.
        fault: what is at fault, in words, where that is known already; else "".
    """

    def __init__(self, step: int, *, has_moved: bool, fault: str = ""):
        """Takes the step, whether it was made, and what is known of the cause."""
        super().__init__(f"step {step}")
        self.step, self.has_moved, self.fault = step, has_moved, fault


def is_sane(loss: tf.Tensor) -> tf.Tensor:
    """Returns whether a loss is a number that is not far too large."""
    return tf.abs(tf.cast(loss, tf.float32)) < LARGEST_LOSS  # false for NaN


@contextlib.contextmanager
def before_anything_moves(loss: tf.Tensor, *, asserts: bool) -> Iterator[None]:
    """Lets what a block adds to the graph run only where the loss is sane; else the step is an error.

    Without `asserts` it does nothing: on replicas, one that stopped would leave the others waiting for it for ever.
    """
    if not asserts:
        yield
        return
    with tf.control_dependencies([tf.debugging.Assert(is_sane(loss), [_BEYOND, loss])]):
        yield


def is_told_by(error: tf.errors.OpError) -> bool:
    """Whether an error comes from `before_anything_moves`."""
    return isinstance(error, tf.errors.InvalidArgumentError) and _BEYOND in str(error)


def at_fault(model: keras.Model, batch) -> str:
    """Returns in words where the first number that is none arises: in the weights, the inputs, or behind a layer.

    Args:
        model: functional, with the weights that the step began with.
        batch: the inputs of that step.
    """
    for variable in model.variables:
        if "float" in variable.dtype and not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            return f"the weights of {variable.path}, by the step before"
    flat = graph.inlined(model)
    calls = [call for call in graph.calls_of(flat) if call.inputs]
    tensors = [tensor for call in calls for tensor in call.outputs]
    names = [call.operation.name for call in calls for _ in call.outputs]
    followed = keras.Model(graph.input_of(flat), tensors, name="followed")
    for start in range(0, len(tf.nest.flatten(batch)[0]), _EXAMPLES):
        some = tf.nest.map_structure(lambda tensor, at=start: tensor[at : at + _EXAMPLES], batch)
        if not all(_is_finite(tensor) for tensor in tf.nest.flatten(some)):
            return "the inputs"
        for name, values in zip(names, keras.tree.flatten(followed(some, training=True)), strict=True):
            if not _is_finite(values):
                return f"what comes out of {name}"
    return "the loss, of outputs that are finite but far apart"


def _is_finite(values) -> bool:
    numbers = tf.convert_to_tensor(values)
    # NumPy does not count bfloat16 among its floating types.
    return not numbers.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(tf.cast(numbers, tf.float32))))
