"""Layer calls as the steps that `blocks` looks at, what is alive between them, and which are those of a head."""

import math
import re
from collections.abc import Sequence

import keras

from tfxfer import blocks
from tfxfer.graph.calls import Call, calls_of
from tfxfer.graph.variables import Parted, weights_of

# Layers of the heads that `swap_head` builds: `head_logits`, and of one head among several `head_species_logits`.
_HEAD_LAYER = re.compile(
    r"head_(pool|pool_max|concat|"
    r"([A-Za-z_]\w*?_)?(dropout(_\d+)?|hidden_\d+|norm_\d+|relu_\d+|features|unit|cosine|column|scale|logits))"
)
_SPATIAL = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "StoredStatistics")
_ACTIVATIONS = ("activation", "relu", "elu", "selu", "gelu", "silu", "swish", "softmax", "sigmoid", "tanh", "clip")


def crossings(model: keras.Model) -> list[tuple[Call, tuple[keras.KerasTensor, ...]]]:
    """Returns each call of `calls_of` with the tensors that later ones read across its end."""
    calls = calls_of(model)
    tensors = {id(tensor): tensor for call in calls for tensor in (*call.inputs, *call.outputs)}
    alive = blocks.crossing([step_of(call) for call in calls], [id(tensor) for tensor in model.outputs])
    return [(call, tuple(tensors[key] for key in keys)) for call, keys in zip(calls, alive, strict=True)]


def is_head(operation: keras.Operation) -> bool:
    """Whether a layer is called as those are that `swap_head` puts on."""
    return bool(_HEAD_LAYER.fullmatch(operation.name))


def head_calls(model: keras.Model) -> list[Call]:
    """Returns the calls of the heads that `swap_head` put on `model`, and of what stands on them; [] without a head."""
    calls = calls_of(model)
    return calls[head_start(calls) :]


def head_start(calls: Sequence[Call]) -> int:
    """Returns the position of the first call of a head, behind which no other layer has weights; the end without one.

    Layers of others may be called so by chance, in the middle of a network.
    """
    start = len(calls)
    for at in reversed(range(len(calls))):
        operation = calls[at].operation
        if is_head(operation):
            start = at
        elif weights_of(operation) or isinstance(operation, Parted):
            break
    return start


def step_of(call: Call, *, head: bool = False) -> blocks.Step:
    """Returns a call as a step; `head` says whether it is one of a head."""
    operation, shape = call.operation, call.outputs[0].shape
    return blocks.Step(
        name=operation.name,
        kind=_kind(call),
        reads=tuple(id(tensor) for tensor in call.inputs),
        writes=tuple(id(tensor) for tensor in call.outputs),
        extent=math.prod(extent or 0 for extent in shape[1:-1]) if len(shape) > 2 and not head else 0,
        weights=bool(weights_of(operation)) or isinstance(operation, Parted),
        activates=_activates(operation),
        head=head,
    )


def _kind(call: Call) -> blocks.Kind:
    operation, name = call.operation, type(call.operation).__name__
    if isinstance(operation, _DEPTHWISE):
        return "depthwise"
    if isinstance(operation, _SPATIAL):
        pointwise = "Separable" not in name and all(extent == 1 for extent in operation.kernel_size)
        return "pointwise" if pointwise else "spatial"
    if "Attention" in name:
        return "attention"
    if isinstance(operation, (keras.layers.Dense, keras.layers.EinsumDense)):
        return "pointwise" if len(call.outputs[0].shape) > 2 else "dense"
    if name in _NORMS:
        return "norm"
    if name == "Multiply":
        return "gate"
    if name.startswith("ZeroPadding"):
        return "padding"
    if len({id(tensor) for tensor in call.inputs}) > 1:
        return "merge"
    if name != "Embedding" and any(len(v.shape) > 1 for v in weights_of(operation)):
        return "dense"  # a layer of someone else's with a kernel: a block of its own
    return "other"


def _activates(operation: keras.Operation) -> bool:
    activation = getattr(operation, "activation", None)
    if activation is not None:
        return activation is not keras.activations.linear
    name = type(operation).__name__.lower()
    return any(word in name for word in _ACTIVATIONS)
