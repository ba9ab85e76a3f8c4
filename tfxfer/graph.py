"""The layer graph of a Keras model: in which order its layers run, where it can be cut, its layer groups.

Groups come from the graph, never from variable paths: in Keras 3 nested applications have no path prefix, and
paths change on reload. Where blocks begin and end is decided in `blocks`; here a Keras graph becomes its steps.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import keras

from tfxfer import blocks, outlines
from tfxfer.errors import BackboneError, ConfigError, suggest
from tfxfer.facts import GroupFacts, LayerFacts, Outline, VariableFacts

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


class VariablePart(Protocol):
    """A part of one layer's variables, which trains or stands still as one.

    Attributes:
        name: such as the common beginning of the variables' names.
        trainable: variables that gradients can move; `batch_norm` are those among them that are gamma or beta of a
            batch normalisation.
        statistics: variables that no gradient moves.
    """

    name: str
    trainable: tuple[keras.Variable, ...]
    batch_norm: tuple[keras.Variable, ...]
    statistics: tuple[keras.Variable, ...]


@runtime_checkable
class Parted(Protocol):
    """A layer that is a whole network inside, such as a SavedModel, and tells the parts of its variables."""

    batch_norm: str

    def variable_groups(self) -> Sequence[VariablePart]:
        """Returns the parts, input first; they cover all variables of the layer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerGroup:
    """A run of layers, or a part of one layer's variables, that are frozen or trained together.

    Attributes:
        name: such as `stem`, `stage2.block1`, `head`.
        layers: in the order in which they run.
        outputs: the tensors that leave the group's end, one or a few; empty where the network cannot be cut there.
        part: of the one layer in `layers`, where the group is less than that layer.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]
    outputs: tuple[keras.KerasTensor, ...]
    part: VariablePart | None = None

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Variables that gradients can move, whatever is frozen now: all but statistics and random state."""
        if self.part:
            return list(self.part.trainable)
        return [v for layer in self.layers for v in _split(layer)[0]]

    @property
    def batch_norm_variables(self) -> list[keras.Variable]:
        """Gamma and beta of the batch normalisations in the group."""
        if self.part:
            return list(self.part.batch_norm)
        norm = {id(v) for layer in self.batch_norms for v in layer.weights}
        return [v for v in self.trainable_variables if id(v) in norm]

    @property
    def statistics(self) -> list[keras.Variable]:
        """Variables that no gradient ever moves: moving means and variances, what LoRA holds, counters."""
        if self.part:
            return list(self.part.statistics)
        return [v for layer in self.layers for v in _split(layer)[1]]

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of the group."""
        if self.part:
            return [*self.part.trainable, *self.part.statistics]
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
        trained, of_norm = self.trainable_variables, self.batch_norm_variables
        return GroupFacts(
            name=self.name,
            layers=len(self.layers),
            parameters=_count(trained),
            batch_norm_parameters=_count(of_norm),
            tensors=len(trained),
            batch_norm_tensors=len(of_norm),
            statistics=_count(self.statistics),
            legal_cut=bool(self.outputs),
            output_size=sum(math.prod(extent or 0 for extent in tensor.shape[1:]) for tensor in self.outputs),
        )


@dataclasses.dataclass(frozen=True)
class Call:
    """One layer call of a graph: the operation, and the tensors it reads and writes."""

    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def layer_groups(model: keras.Model) -> tuple[LayerGroup, ...]:
    """Returns the layer groups of a built functional or sequential Keras model, input first.

    They cover every variable of the model exactly once, and end where its stages and blocks end (see `blocks`). Nested
    models are looked into; a model that has some cannot be cut, but its `inlined` twin can. A layer that holds a
    SavedModel gives one group for each part of its variables.

    Raises:
        BackboneError: the model has no layer graph (subclassed), or is not built.
    """
    nested = has_nested_models(model)
    flat = inlined(model) if nested else model
    calls = calls_of(flat)
    tensors = {id(tensor): tensor for call in calls for tensor in call.outputs}
    groups: list[LayerGroup] = []
    seen: set[int] = set()
    start = _head_start(calls)
    steps = [_step(call, head=at >= start) for at, call in enumerate(calls)]
    for block in blocks.find_blocks(steps, [id(tensor) for tensor in flat.outputs]):
        operations = [call.operation for call in calls[block.start : block.stop]]
        layers = [op for op in dict.fromkeys(operations) if isinstance(op, keras.layers.Layer) and id(op) not in seen]
        seen.update(id(layer) for layer in layers)
        cut = block.legal_cut and not nested
        outputs = tuple(tensors[number] for number in block.leaves) if cut else ()
        groups += _parts(LayerGroup(name=block.name, layers=tuple(layers), outputs=outputs))
    return tuple(groups)


@dataclasses.dataclass(frozen=True)
class Outlined:
    """A model and its outline.

    Attributes:
        groups: layer groups of the model.
        outline: its layers by name.
        layers: the layer of each of `outline.layers`.
        variables: the variable of each of `outline.variables`.
    """

    groups: tuple[LayerGroup, ...]
    outline: Outline
    layers: tuple[keras.layers.Layer, ...]
    variables: tuple[keras.Variable, ...]


def outline_of(model: keras.Model) -> Outlined:
    """Returns the outline of a built functional or sequential model: what addresses are looked up in.

    Raises:
        BackboneError: the model has no layer graph, or is not built.
    """
    groups = layer_groups(model)
    networks = _networks(model)
    positions: dict[int, list[tuple[str, int]]] = {}
    for name, counted in networks.items():
        for number, layer in enumerate(counted):
            for inner in flatten(layer):
                positions.setdefault(id(inner), []).append((name, number))
    holders = _holders(model)
    facts, layers, variables = [], [], []
    seen: set[int] = set()
    for group in groups:
        norms = {id(variable) for variable in group.batch_norm_variables}
        for layer, within, own in _owners(group, holders):
            own = [variable for variable in own if id(variable) not in seen]
            seen.update(id(variable) for variable in own)
            facts.append(
                LayerFacts(
                    name=layer.name,
                    group=group.name,
                    within=within,
                    positions=tuple(positions.get(id(layer), ())),
                    variables=tuple(
                        VariableFacts(name=v.name, size=_count([v]), batch_norm=id(v) in norms) for v in own
                    ),
                )
            )
            layers.append(layer)
            variables += own
    outline = Outline(
        name=model.name,
        groups=tuple(group.name for group in groups),
        layers=tuple(facts),
        lengths=tuple((name, len(counted)) for name, counted in networks.items()),
    )
    return Outlined(groups=groups, outline=outline, layers=tuple(layers), variables=tuple(variables))


def find_group(groups: Sequence[LayerGroup], name: str) -> range:
    """Returns the positions of the groups that `name` means: one group, or the groups of a stage.

    Raises:
        ConfigError: there is none; the message has the nearest name and the list.
    """
    names = [group.name for group in groups]
    found = blocks.named(names, name)
    if found is None:
        raise ConfigError(
            f"there is no layer group {name!r}.{suggest(name, blocks.addressable(names))} Groups: {', '.join(names)}."
        )
    return found


def is_head(operation: keras.Operation) -> bool:
    """Whether a layer is called as those are that `swap_head` puts on."""
    return bool(_HEAD_LAYER.fullmatch(operation.name))


def head_calls(model: keras.Model) -> list[Call]:
    """Returns the calls of the heads that `swap_head` put on `model`, and of what stands on them; [] without a head."""
    calls = calls_of(model)
    return calls[_head_start(calls) :]


def has_nested_models(model: keras.Model) -> bool:
    """Whether a layer of `model` is a functional or sequential model itself."""
    return any(_is_nested(call.operation) for call in calls_of(model))


def inlined(model: keras.Model) -> keras.Model:
    """Returns a functional model of the same layers and variables in which no model is nested in another.

    That is `model` itself if it is such a one. Nested models that are subclassed stay as they are: they have no graph.
    """
    if not isinstance(model, keras.Sequential) and not has_nested_models(model):
        return model
    _check_names(model)
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs]
    outputs = _replay(model, inputs)
    return keras.Model(
        inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs, name=model.name
    )


def called_on(model: keras.Model, tensor: keras.KerasTensor) -> keras.KerasTensor | list[keras.KerasTensor]:
    """Returns what `model` gives for `tensor`, by its own layers one by one and not as a model within a model."""
    outputs = _replay(model, [tensor])
    return outputs[0] if len(outputs) == 1 else outputs


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
    alive = blocks.crossing([_step(call) for call in calls], [id(tensor) for tensor in model.outputs])
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


def calls_of(model: keras.Model) -> list[Call]:
    """Returns the calls of a functional or sequential model in an order in which they can run."""
    return [Call(node.operation, tuple(node.input_tensors), tuple(node.outputs)) for node in _nodes(_functional(model))]


def crossings(model: keras.Model) -> list[tuple[Call, tuple[keras.KerasTensor, ...]]]:
    """Returns each call of `calls_of` with the tensors that later ones read across its end."""
    calls = calls_of(model)
    tensors = {id(tensor): tensor for call in calls for tensor in (*call.inputs, *call.outputs)}
    alive = blocks.crossing([_step(call) for call in calls], [id(tensor) for tensor in model.outputs])
    return [(call, tuple(tensors[key] for key in keys)) for call, keys in zip(calls, alive, strict=True)]


def input_of(model: keras.Model) -> keras.KerasTensor | list[keras.KerasTensor]:
    """Returns the input of a model in the structure that callers of a model made from it will use: bare if single."""
    return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)


def flatten(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns `layer` and every layer within it."""
    return [layer, *(inside for child in _children(layer) for inside in flatten(child))]


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers right within `layer`: of a model its layers, of others those that Keras tracks in them."""
    if isinstance(layer, keras.Model):
        return layer.layers
    # Private: attributes alone would miss layers in lists and dicts.
    return layer._flatten_layers(include_self=False, recursive=False)


def _functional(model: keras.Model) -> keras.Model:
    return (model._functional or model) if isinstance(model, keras.Sequential) and model.built else model


def _nodes(model: keras.Model) -> list:
    """Returns the nodes of a model's graph in an order in which they can run.

    Keras offers no public view of the graph of a model whose layers are used in more than one graph
    (`layer.input` raises then), so this reads `_nodes_by_depth`. tests/test_graph.py fails when it changes.
    """
    by_depth = getattr(model, "_nodes_by_depth", None)
    if not by_depth:
        raise BackboneError(
            f"model {model.name!r} has no layer graph: it is subclassed or not built. Call it once on an input, "
            "or make it with keras.Sequential or keras.Model(inputs, outputs)."
        )
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _replay(model: keras.Model, inputs: Sequence[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Calls every layer of `model`, and of the models nested in it, on new inputs; returns the outputs."""
    graph = _functional(model)
    known = dict(zip((id(tensor) for tensor in graph.inputs), inputs, strict=True))
    for node in _nodes(graph):
        if any(id(tensor) not in known for tensor in node.outputs):
            args, kwargs = node.arguments.fill_in(known)
            if _is_nested(node.operation):
                results = _replay(node.operation, keras.tree.flatten(args[0]))
            else:
                results = keras.tree.flatten(node.operation(*args, **kwargs))
            known.update(zip((id(tensor) for tensor in node.outputs), results, strict=True))
    return [known[id(tensor)] for tensor in graph.outputs]


def _is_nested(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.Model) and bool(getattr(_functional(operation), "_nodes_by_depth", None))


def _check_names(model: keras.Model) -> None:
    """Refuses a model in which two layers of models nested in it have one name, which no flat model may have."""
    owners: dict[str, tuple[keras.Operation, str]] = {}

    def look(inside: keras.Model) -> None:
        for call in calls_of(inside):
            operation = call.operation
            if _is_nested(operation):
                look(operation)
            elif not isinstance(operation, keras.layers.InputLayer):
                other, owner = owners.setdefault(operation.name, (operation, inside.name))
                if other is not operation:
                    raise BackboneError(
                        f"two layers in {model.name!r} are called {operation.name!r}: in {owner!r} and in "
                        f"{inside.name!r}. Give one of them another name where its model is made."
                    )

    look(model)


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


def _parts(group: LayerGroup) -> list[LayerGroup]:
    """Returns a group for each part of a layer that tells its parts, else the group itself."""
    parted = [layer for layer in group.layers if isinstance(layer, Parted)]
    if not parted:
        return [group]
    rest = tuple(layer for layer in group.layers if not isinstance(layer, Parted))
    parts = [
        LayerGroup(name=part.name, layers=(layer,), outputs=(), part=part)
        for layer in parted
        for part in layer.variable_groups()
    ]
    if any(_weights(layer) for layer in rest) or not parts:
        parts = [dataclasses.replace(group, layers=rest, outputs=()), *parts]
    return [*parts[:-1], dataclasses.replace(parts[-1], outputs=group.outputs)]


def _networks(model: keras.Model) -> dict[str, list[keras.layers.Layer]]:
    """Returns the layers that `layers[…]` counts: of the whole model under "", and by name of it and each within it."""
    leaves = [layer for layer in _leaves(model) if not layer.name.startswith(outlines.PIXEL_CONVENTION)]
    own = {id(layer) for layer in model.layers}
    counted = [
        layer
        for number, layer in enumerate(leaves)
        if number == 0 or id(layer) in own or not isinstance(layer, keras.layers.InputLayer)
    ]
    networks = {"": counted}
    for layer in flatten(model):
        if _holds_layers(layer):
            networks.setdefault(layer.name, list(layer.layers))
    return networks


def _leaves(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers of a model, those of nested ones one by one."""
    return [leaf for inner in layer.layers for leaf in _leaves(inner)] if _holds_layers(layer) else [layer]


def _holds_layers(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model) and not isinstance(layer, Parted)


def _holders(model: keras.Model, names: tuple[str, ...] = ()) -> dict[int, tuple[str, ...]]:
    """Returns, for the `id` of each layer of a model nested in this one, the names of the models that hold it."""
    found: dict[int, tuple[str, ...]] = {}
    for layer in model.layers:
        if _is_nested(layer):
            found |= _holders(layer, (*names, layer.name))
        elif names:
            found[id(layer)] = names
    return found


def _owners(
    group: LayerGroup, holders: dict[int, tuple[str, ...]]
) -> Iterator[tuple[keras.layers.Layer, tuple[str, ...], list[keras.Variable]]]:
    """Yields each layer of a group, those within it too, with the names of what holds it and its own variables."""
    if group.part:
        yield group.layers[0], holders.get(id(group.layers[0]), ()), group.trainable_variables
        return
    movable = {id(variable) for variable in group.trainable_variables}

    def walk(layer: keras.layers.Layer, within: tuple[str, ...]):
        children = _children(layer)
        inner = {id(variable) for child in children for variable in _weights(child)}
        yield layer, within, [v for v in _weights(layer) if id(v) in movable and id(v) not in inner]
        for child in children:
            yield from walk(child, (*within, layer.name))

    for layer in group.layers:
        yield from walk(layer, holders.get(id(layer), ()))


def _head_start(calls: Sequence[Call]) -> int:
    """Returns the position of the first call of a head, behind which no other layer has weights; the end without one.

    Layers of others may be called so by chance, in the middle of a network.
    """
    start = len(calls)
    for at in reversed(range(len(calls))):
        operation = calls[at].operation
        if is_head(operation):
            start = at
        elif _weights(operation) or isinstance(operation, Parted):
            break
    return start


def _step(call: Call, *, head: bool = False) -> blocks.Step:
    operation, shape = call.operation, call.outputs[0].shape
    return blocks.Step(
        name=operation.name,
        kind=_kind(call),
        reads=tuple(id(tensor) for tensor in call.inputs),
        writes=tuple(id(tensor) for tensor in call.outputs),
        extent=math.prod(extent or 0 for extent in shape[1:-1]) if len(shape) > 2 and not head else 0,
        weights=bool(_weights(operation)) or isinstance(operation, Parted),
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
    if name != "Embedding" and any(len(v.shape) > 1 for v in _weights(operation)):
        return "dense"  # a layer of someone else's with a kernel: a block of its own
    return "other"


def _activates(operation: keras.Operation) -> bool:
    activation = getattr(operation, "activation", None)
    if activation is not None:
        return activation is not keras.activations.linear
    name = type(operation).__name__.lower()
    return any(word in name for word in _ACTIVATIONS)


def _weights(operation: keras.Operation) -> list[keras.Variable]:
    return list(getattr(operation, "weights", ()))


def _split(layer: keras.layers.Layer) -> tuple[list[keras.Variable], list[keras.Variable]]:
    """Returns the variables that gradients can move, whatever is frozen now, and those that none ever moves."""
    # Private: a flag of a variable says what is frozen now; these were made as no gradient's business.
    state = {id(variable) for inner in layer._flatten_layers() for variable in inner._non_trainable_variables}
    state.update(id(variable) for variable in held_by_lora(layer))
    weights = _weights(layer)
    return [v for v in weights if id(v) not in state], [v for v in weights if id(v) in state]


def held_by_lora(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the kernels in `layer` that `enable_lora` has frozen for good: only what it added to them trains."""
    adapted = [inner for inner in layer._flatten_layers() if getattr(inner, "lora_enabled", False)]
    # Private: the property `kernel` is the sum of the kernel and what LoRA learned.
    kernels = [getattr(inner, name, None) for inner in adapted for name in ("_kernel", "_embeddings")]
    return [kernel for kernel in kernels if kernel is not None]


def _count(variables: list[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)
