"""Tells why a variable that was to train stood still: nothing to learn, a step lost in rounding, or a fault.

What stands still by right, to the last bit: what no gradient reaches, such as a unit that is off on every example; what
has the gradient 0 by its place, such as a bias in front of batch norm by the batch, of which floating point leaves
noise; and what gets steps below half the spacing of numbers near it, such as a gain of 1 (6e-8) low in a
network under a steep decay of rates. What has a gradient whose step would have changed it was held by someone.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxfer.errors import VerificationError
from tfxfer.models import batch_norm, statistics
from tfxfer.models.inference import on_one_replica

# Gradients are measured at the end, and may have been smaller before; a rate may have been lower than what is given.
# Only what a step of a hundredth would have moved is a fault: a run is not to stop by mistake.
_MARGIN = 0.01
# Below this share of the norm of all gradients together one is noise: some hundred roundings of float32, 6e-8 each.
_NOISE = 1e-5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Idle:
    """A variable that was to train and did not move, by right.

    Attributes:
        path: of the variable.
        gradient: the largest number in its gradient, by size, on the batches looked at.
        reason: in words.
    """

    path: str
    gradient: float
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def explain(
    model: keras.Model,
    variables: Sequence[keras.Variable],
    batches: Iterable,
    *,
    steps_of: dict[int, float],
    scaled: bool,
    clip_norm: float = 0.0,
) -> tuple[Idle, ...]:
    """Returns why each of `variables` stood still.

    Gradients are those of training, but for random layers: where statistics of batch norm move, it normalises by the
    batch. Nothing of the model changes.

    Args:
        model: compiled, frozen as it trained.
        variables: of it, that train and did not move.
        batches: a few of (inputs, labels) that it trained on.
        steps_of: for the `id` of each variable, the rate that it had.
        scaled: whether the optimizer divides by the size of gradients, as Adam does, so that a step is about the rate;
            else it is the rate times the gradient.
        clip_norm: limit of the global norm of gradients; 0 for none.

    Raises:
        VerificationError: one has a gradient that should have moved it; the message names it.
    """
    if not variables:
        return ()
    *largest, norm = _gradients(model, variables, batches, clip_norm)
    found = []
    for variable, gradient in zip(variables, largest, strict=True):
        size = float(np.max(gradient, initial=0.0))
        direction = np.where(gradient > 0, 1.0, 0.0) if scaled else gradient
        rate = steps_of[id(variable)]
        if size == 0:
            reason = "no gradient reaches it"
        elif not np.isfinite(size):
            reason = "its gradient is beyond what the network computes in"
        elif size < _NOISE * norm:
            reason = f"its gradient is 0 but for rounding, {size:.2g}, where all together have a norm of {norm:.2g}"
        elif _moves(variable, _MARGIN * rate * direction):
            raise VerificationError(
                f"{variable.path} was to train at a rate of {rate:.2g}, its gradient is up to {size:.2g}, and it has "
                "not moved by one bit. Something holds it: a constraint, a callback that puts it back, or an optimizer "
                "that does not know it."
            )
        else:
            reason = (
                f"its gradient is up to {size:.2g}, and steps at a rate of {rate:.2g} are lost in rounding of "
                f"{variable.dtype}"
            )
        found.append(Idle(path=variable.path, gradient=size, reason=reason))
    return tuple(found)


def _moves(variable: keras.Variable, step: np.ndarray) -> bool:
    """Whether a step would change one number of it; in the precision of the variable."""
    value = keras.ops.convert_to_tensor(variable)
    step = keras.ops.cast(keras.ops.reshape(step, value.shape), value.dtype)
    less, more = keras.ops.subtract(value, step), keras.ops.add(value, step)
    return bool(keras.ops.any((less != value) & (more != value)))


def _gradients(model, variables, batches, clip_norm: float) -> list[np.ndarray]:
    """Returns for each variable the sizes of its gradient, float64, and at the end the norm of all gradients together.

    Each is the largest of all batches, element by element.
    """
    moving = batch_norm.moving_batch_norms(model)
    everything = model.trainable_variables
    place = {id(variable): number for number, variable in enumerate(everything)}
    wanted = [place[id(variable)] for variable in variables]
    measure, largest = None, None
    for batch in batches:
        if measure is None:
            measure = tf.function(
                lambda batch: on_one_replica(
                    model.distribute_strategy,
                    lambda own: _measured(model, everything, moving, own, wanted, clip_norm),
                    batch,
                ),
                input_signature=[statistics.signature_of(tuple(batch))],
                autograph=False,
            )
        sizes = [np.abs(gradient.numpy().astype(np.float64)) for gradient in measure(tuple(batch))]
        largest = sizes if largest is None else list(map(np.maximum, largest, sizes))
    model.reset_metrics()  # some losses count
    return largest


def _measured(model, everything, moving, batch, wanted, clip_norm) -> list[tf.Tensor]:
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    with statistics.batch_statistics(model, moving), tf.GradientTape() as tape:
        loss = model.compute_loss(inputs, labels, model(inputs, training=False), weights)
        loss *= tf.distribute.get_strategy().num_replicas_in_sync
    gradients = tape.gradient(loss, [v.value for v in everything], unconnected_gradients=tf.UnconnectedGradients.ZERO)
    norm = tf.linalg.global_norm(gradients)
    scale = clip_norm / tf.maximum(norm, clip_norm) if clip_norm else 1.0
    return [*(tf.convert_to_tensor(gradients[number]) * scale for number in wanted), norm * scale]
