"""The layer graph of a Keras model: in which order its layers run, where it can be cut, its layer groups.

Groups come from the graph, never from variable paths: in Keras 3 nested applications have no path prefix, and
paths change on reload. Layer names are read as hints for where blocks begin; a hint that does not fall on a
legal cut is not followed.
"""

import dataclasses
import math
import re
from collections.abc import Sequence

import keras

from tfxfer.errors import BackboneError, suggest
from tfxfer.facts import GroupFacts

HEAD = "head"

# Layer names that announce a block: ours, then those of keras.applications (MobileNetV2, ResNet50, VGG16).
_BLOCK_NAMES = re.compile(
    r"^(head(?=_(?:pool|concat|dropout|hidden|logits))|head_conv|block\d+|expanded_conv|block_\d+|conv\d_block\d+)(?:_|$)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerGroup:
    """A run of layers that are frozen or trained together.

    Attributes:
        name: such as `stem`, `block3`, `head`.
        layers: in the order in which they run.
        output: the one tensor that leaves the group's end; None where more than one leaves, so that the
            network cannot be cut there.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]
    output: keras.KerasTensor | None

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Variables that gradients can move, whatever is frozen now: all but statistics and random state."""
        return [v for layer in self.layers for v in _weights(layer) if not _is_state(layer, v)]

    @property
    def statistics(self) -> list[keras.Variable]:
        """Variables that no gradient ever moves: moving means and variances."""
        return [v for layer in self.layers for v in _weights(layer) if _is_state(layer, v)]

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of the group."""
        return [v for layer in self.layers for v in _weights(layer)]

    @property
    def batch_norms(self) -> list[keras.layers.BatchNormalization]:
        """The batch normalisation layers of the group, nested ones included."""
        return [
            inner
            for layer in self.layers
            for inner in flatten(layer)
            if isinstance(inner, keras.layers.BatchNormalization)
        ]

    @property
    def facts(self) -> GroupFacts:
        """The group in numbers."""
        trained = self.trainable_variables
        norm = {id(v) for layer in self.batch_norms for v in layer.weights}
        of_norm = [v for v in trained if id(v) in norm]
        return GroupFacts(
            name=self.name,
            layers=len(self.layers),
            parameters=_count(trained),
            batch_norm_parameters=_count(of_norm),
            tensors=len(trained),
            batch_norm_tensors=len(of_norm),
            statistics=_count(self.statistics),
            legal_cut=self.output is not None,
            output_size=0 if self.output is None else math.prod(extent or 0 for extent in self.output.shape[1:]),
        )


@dataclasses.dataclass(frozen=True)
class Call:
    """One layer call of a graph: the operation, and the tensors it reads and writes."""

    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def layer_groups(model: keras.Model) -> tuple[LayerGroup, ...]:
    """Returns the layer groups of a built functional or sequential Keras model, input first.

    They cover every variable of the model exactly once. Boundaries are legal cuts (one tensor crosses) where
    a block begins: by the layer names of networks known here, else before each layer with a kernel. A nested
    model is one layer.

    Raises:
        BackboneError: the model has no layer graph (subclassed), or is not built.
    """
    calls = calls_of(model)
    ends = _legal_cuts(model, calls)
    hints = [match[1] if (match := _BLOCK_NAMES.match(call.operation.name)) else None for call in calls]
    hinted = len({hint for hint in hints if hint} - {HEAD, "head_conv"}) > 1
    starts = _block_starts(calls, ends, hints, hinted)
    groups = []
    for start, stop in zip(starts, [*starts[1:], len(calls)], strict=True):
        layers = [call.operation for call in calls[start:stop] if isinstance(call.operation, keras.layers.Layer)]
        seen = {id(layer) for group in groups for layer in group.layers}
        layers = tuple(dict.fromkeys(layer for layer in layers if id(layer) not in seen))
        output = ends.get(stop - 1)
        if stop == len(calls):
            output = model.outputs[0] if len(model.outputs) == 1 else None
        groups.append(LayerGroup(name=_name(layers, stem=start == 0 and hinted), layers=layers, output=output))
    return tuple(_unique_names(groups))


def find_group(groups: Sequence[LayerGroup], name: str) -> int:
    """Returns the index of the group called `name`.

    Raises:
        BackboneError: there is none; the message has the nearest name and the list.
    """
    names = [group.name for group in groups]
    if name not in names:
        raise BackboneError(f"there is no layer group {name!r}.{suggest(name, names)} Groups: {', '.join(names)}.")
    return names.index(name)


def calls_of(model: keras.Model) -> list[Call]:
    """Returns the calls of a functional or sequential model in an order in which they can run.

    Keras offers no public view of the graph of a model whose layers are used in more than one graph
    (`layer.input` raises then), so this reads `_nodes_by_depth`. tests/test_graph.py fails when it changes.
    """
    if isinstance(model, keras.Sequential) and model.built:
        model = model._functional or model
    by_depth = getattr(model, "_nodes_by_depth", None)
    if not by_depth:
        raise BackboneError(
            f"model {model.name!r} has no layer graph: it is subclassed or not built. Call it once on an input, "
            "or make it with keras.Sequential or keras.Model(inputs, outputs)."
        )
    return [
        Call(node.operation, tuple(node.input_tensors), tuple(node.outputs))
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
    ]


def input_of(model: keras.Model) -> keras.KerasTensor | list[keras.KerasTensor]:
    """Returns the input of a model in the structure that callers of a model made from it will use: bare if single."""
    return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)


def flatten(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns `layer` and every layer within it."""
    inner = [inside for child in getattr(layer, "layers", None) or _wrapped(layer) for inside in flatten(child)]
    return [layer, *inner]


def _wrapped(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    return [value for value in vars(layer).values() if isinstance(value, keras.layers.Layer)]


def _legal_cuts(model: keras.Model, calls: list[Call]) -> dict[int, keras.KerasTensor]:
    """Returns, for each position after which exactly one tensor is still needed, that tensor."""
    last_use = {}
    for position, call in enumerate(calls):
        for tensor in call.inputs:
            last_use[id(tensor)] = position
    for tensor in model.outputs:
        last_use[id(tensor)] = len(calls)
    alive, cuts = {}, {}
    for position, call in enumerate(calls):
        alive.update({id(tensor): tensor for tensor in call.outputs})
        alive = {key: tensor for key, tensor in alive.items() if last_use.get(key, -1) > position}
        if len(alive) == 1:
            cuts[position] = next(iter(alive.values()))
    return cuts


def _block_starts(
    calls: list[Call], ends: dict[int, keras.KerasTensor], hints: list[str | None], hinted: bool
) -> list[int]:
    """Returns the positions at which groups begin; the first is 0."""
    legal = [position + 1 for position in ends if position + 1 < len(calls)]
    named = [p for p in legal if hints[p] and hints[p] != hints[p - 1]]
    after = [p for p in legal if not hints[p] and hints[p - 1] and _has_kernel(calls[p].operation)]
    if hinted:
        candidates = {*named, *after}
    else:
        candidates = {*named, *(p for p in legal if _has_kernel(calls[p].operation))}
    starts = [0]
    for position in sorted(candidates):
        # A group without weights decides nothing: it is the beginning of the next one.
        if any(_weights(call.operation) for call in calls[starts[-1] : position]):
            starts.append(position)
    return starts


def _has_kernel(operation: keras.Operation) -> bool:
    return any(len(v.shape) >= 2 for v in _weights(operation))


def _weights(operation: keras.Operation) -> list[keras.Variable]:
    return list(getattr(operation, "weights", ()))


def _is_state(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """Whether no gradient ever moves `variable`, whatever is frozen now.

    `layer.non_trainable_weights` lists everything once a layer is frozen; a variable of its own is state when
    batch norm keeps it as moving statistics.
    """
    for inner in flatten(layer):
        if isinstance(inner, keras.layers.BatchNormalization):
            if any(variable is statistic for statistic in (inner.moving_mean, inner.moving_variance)):
                return True
        elif isinstance(inner, keras.layers.Normalization) and any(variable is v for v in inner.weights):
            return True
    return False


def _count(variables: list[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _name(layers: tuple[keras.layers.Layer, ...], *, stem: bool) -> str:
    hints = [match[1] for layer in layers if (match := _BLOCK_NAMES.match(layer.name))]
    if hints:
        return hints[0]
    if stem:
        return "stem"
    return next((layer.name for layer in layers if _has_kernel(layer)), layers[0].name if layers else "group")


def _unique_names(groups: list[LayerGroup]) -> list[LayerGroup]:
    counts: dict[str, int] = {}
    result = []
    for group in groups:
        counts[group.name] = counts.get(group.name, 0) + 1
        again = counts[group.name] > 1
        result.append(dataclasses.replace(group, name=f"{group.name}.{counts[group.name]}") if again else group)
    return result
