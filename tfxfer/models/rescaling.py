"""Scales a trained head, so that the stage that follows begins with logits of an ordinary size.

A head that has learned alone may end in large weights, and their size is the size of the gradients that reach the
backbone when it wakes: in our own trials LP-FT diverged from such heads.
"""

from collections.abc import Iterable

import keras
import numpy as np

from tfxfer import graph
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.models.inference import predict_on_batch


def rescale_head(model: keras.Model, batches: Iterable[np.ndarray]) -> float | dict[str, float]:
    """Scales the last dense layer in place, so that the standard deviation of the logits is 1; returns the factor.

    >>> rescale_head(model, [images[:256]])
    0.183...

    That is the deviation of all numbers in the logits of all examples. One factor for the kernel and the bias leaves
    the order of the logits, and with it every prediction, as it was. A head whose kernel is zero, or whose logits are
    all the same, is left alone.

    Args:
        model: that ends in logits, of one head or of a dict of heads, or what is behind a cut of such a model.
        batches: what goes into it, without labels; a few hundred examples are enough.

    Returns:
        The factor, 1.0 for a head that was left alone; for several heads a dict of them by name.

    Raises:
        BackboneError: the model does not end in a dense layer without activation, or the layer's kernel is held at a
            length.
        ConfigError: there are no batches, or the logits are not finite.
    """
    single = not isinstance(model.output, dict)
    outputs = {"": model.output} if single else model.output
    dense = {name: _last_dense(model, tensor) for name, tensor in outputs.items()}
    collected: dict[str, list[np.ndarray]] = {name: [] for name in outputs}
    for batch in batches:
        logits = predict_on_batch(model, batch)
        for name, values in ({"": logits} if single else logits).items():
            collected[name].append(np.asarray(values, np.float64).ravel())
    if not all(collected.values()):
        raise ConfigError("rescale_head was given no batches, so there are no logits to measure.")
    factors = {name: _scale(dense[name], np.concatenate(values)) for name, values in collected.items()}
    return factors[""] if single else factors


def _scale(layer: keras.layers.Dense, logits: np.ndarray) -> float:
    deviation = float(logits.std())
    if not np.isfinite(deviation):
        raise ConfigError(
            f"the logits of {layer.name!r} are not finite: the training before has diverged. Lower its learning rate."
        )
    if deviation == 0 or not np.any(layer.kernel.numpy()):
        return 1.0
    for variable in [layer.kernel] + ([layer.bias] if layer.use_bias else []):
        variable.assign(variable.value / deviation)
    return 1.0 / deviation


def _last_dense(model: keras.Model, logits: keras.KerasTensor) -> keras.layers.Dense:
    """Returns the dense layer that makes these logits, looked for through reshaping."""
    made = {id(tensor): call for call in graph.calls_of(model) for tensor in call.outputs}
    call = made[id(logits)]
    while isinstance(call.operation, keras.layers.Reshape):
        call = made[id(call.inputs[0])]
    layer = call.operation
    if isinstance(layer, keras.Model):
        return _last_dense(layer, layer.outputs[0])
    if not isinstance(layer, keras.layers.Dense) or layer.activation is not keras.activations.linear:
        raise BackboneError(
            f"{model.name!r} ends in {layer.name!r}, and only a dense layer without activation can be rescaled: one "
            "of heads.Linear, heads.MLP or heads.Cosine with a learned scale."
        )
    if layer.kernel_constraint is not None:
        raise BackboneError(f"the kernel of {layer.name!r} is held by {layer.kernel_constraint}: it cannot be scaled.")
    return layer
