"""Where a Keras model is cut for a new head: which tensor the head reads."""

import keras

from tfxfer import blocks, outlines
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.graph.calls import Call, calls_of
from tfxfer.graph.groups import LayerGroup, layer_groups
from tfxfer.graph.outline import outline_of
from tfxfer.graph.steps import head_calls, step_of


def feature_tensor(model: keras.Model, at: str | None = None) -> keras.KerasTensor:
    """Returns the tensor that a new head reads: the output of layer or group `at`, or what the old head reads.

    Raises:
        ConfigError: there is nothing called `at`.
        BackboneError: the model cannot be cut there, or nothing tells where its head begins.
    """
    calls = calls_of(model)
    if at is not None:
        return _tensor_at(model, calls, at)
    if ours := head_calls(model):
        return ours[0].inputs[0]
    # The old head begins where height and width end: at global pooling, or at flattening.
    alive = blocks.crossing([step_of(call) for call in calls], [id(tensor) for tensor in model.outputs])
    for call, tensors in zip(reversed(calls), reversed(alive), strict=True):
        if _pools_all(call) and len(tensors) == 1:  # squeeze-and-excitation pools too, beside its input
            return call.inputs[0]
    for call in reversed(calls):
        if any(len(tensor.shape) == 4 for tensor in call.outputs):
            return call.outputs[0]
    dense = [call for call in calls if isinstance(call.operation, keras.layers.Dense)]
    if not dense:
        raise BackboneError(f"{model.name!r} has neither a feature map nor a dense layer to cut at. Name a layer: at=…")
    return dense[-1].inputs[0]


def _tensor_at(model: keras.Model, calls: list[Call], at: str) -> keras.KerasTensor:
    groups = layer_groups(model)
    found = blocks.named([group.name for group in groups], at)
    named = [call for call in calls if call.operation.name == at]
    # A group that cannot be cut may bear the name of a layer that can.
    if found is not None and (len(groups[found[-1]].outputs) == 1 or not named):
        return _end_of(model, calls, groups[found[-1]], at)
    return (named or _calls_at(model, calls, at))[-1].outputs[0]


def _calls_at(model: keras.Model, calls: list[Call], at: str) -> list[Call]:
    """Returns the calls of the one layer that an address means."""
    outlined = outline_of(model)
    meant = {id(outlined.layers[number]) for number in outlines.layers(outlined.outline, at)}
    found = {}
    for call in calls:
        if id(call.operation) in meant:
            found.setdefault(call.operation.name, []).append(call)
    if len(found) > 1:
        names = list(found)
        some = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise ConfigError(f"{at!r} means {len(names)} layers of {model.name!r}, and a cut is at one: {some}.")
    if not found:
        raise BackboneError(f"{model.name!r} cannot be cut behind {at!r}, which is within one of its layers.")
    return next(iter(found.values()))


def _end_of(model: keras.Model, calls: list[Call], group: LayerGroup, at: str) -> keras.KerasTensor:
    outputs = group.outputs
    if not outputs:
        raise BackboneError(
            f"{model.name!r} cannot be cut behind {at!r}: what it gives is not known outside its layer."
        )
    if len(outputs) > 1:
        crossing = {id(tensor) for tensor in outputs}
        layers = [call.operation.name for call in calls if crossing & {id(tensor) for tensor in call.outputs}]
        raise BackboneError(
            f"{model.name!r} cannot be cut behind {at!r}, which {len(outputs)} tensors leave. Name the layer that "
            f"gives one of them: {' or '.join(layers)}."
        )
    return outputs[0]


def _pools_all(call: Call) -> bool:
    name = type(call.operation).__name__
    before, after = call.inputs[0].shape if call.inputs else (), call.outputs[0].shape
    return name.startswith("Global") or (
        "Pooling2D" in name and after[1:3] == (1, 1) and len(before) == 4 and before[1:3] != (1, 1)
    )
