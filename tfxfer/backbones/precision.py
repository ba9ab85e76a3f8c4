"""Lets a network compute in another precision; its variables, and what it takes and gives, stay float32.

Layers get Keras's dtype policies in place, and no global policy is set: what is built elsewhere meanwhile, or by
sources of any kind, has nothing to do with it.
"""

import keras

from tfxfer import graph
from tfxfer.backbones.hub.layer import SavedModelLayer
from tfxfer.backbones.on_pixels import FLOAT32
from tfxfer.recipes import ComputePrecision


def in_precision(model: keras.Model, precision: ComputePrecision) -> tuple[keras.Model, tuple[str, ...]]:
    """Returns a model of the same layers, which compute in `precision` from now on, in whatever model they are.

    What comes before the first layer with weights, the scale of pixels, stays float32, and so does a head of ours: a
    scale of 1/255 costs nothing, and rounds at the wrong place in half precision.

    Args:
        model: functional or sequential, from float32, with or without a head of `swap_head`.
        precision: a dtype policy of Keras.

    Returns:
        The model, and the names of layers that have a precision of their own and keep it: what runs a SavedModel or
        another library, and what has weights that are not float32.
    """
    flat = graph.inlined(model)
    calls = graph.calls_of(flat)
    exact = {id(call.operation) for call in [*_leading(calls), *graph.head_calls(flat)]}
    own: dict[str, None] = {}
    changed = False
    for call in calls:
        operation = call.operation
        if not isinstance(operation, keras.layers.Layer) or isinstance(operation, keras.layers.InputLayer):
            continue
        policy = "float32" if id(operation) in exact or operation.name.startswith(FLOAT32) else precision
        inside = graph.flatten(operation)
        if any(map(_has_its_own, inside)):
            own[operation.name] = None
            continue
        for layer in inside:
            if layer.dtype_policy != keras.dtype_policies.get(policy):
                layer.dtype_policy, changed = policy, True
    return graph.retraced(model) if changed else model, tuple(own)


def is_all_its_own(model: keras.Model, own: tuple[str, ...]) -> bool:
    """Whether no layer with weights, or none at all, is left beside those that keep a precision of their own."""
    operations = [call.operation for call in graph.calls_of(graph.inlined(model))]
    return bool(own) and not any(getattr(op, "weights", ()) and op.name not in own for op in operations)


def _leading(calls: list[graph.Call]) -> list[graph.Call]:
    """Returns the calls before the first layer with weights, those of fixed mean and variance included."""
    for at, call in enumerate(calls):
        layer = call.operation
        if getattr(layer, "weights", ()) and not isinstance(layer, keras.layers.Normalization):
            return calls[:at]
    return calls


def _has_its_own(layer: keras.layers.Layer) -> bool:
    foreign = isinstance(layer, SavedModelLayer | keras.layers.TFSMLayer | keras.layers.TorchModuleWrapper)
    floats = [variable for variable in layer.variables if "float" in variable.dtype]
    return foreign or layer.quantization_mode is not None or any(v.dtype != "float32" for v in floats)
