"""Layer groups: what is frozen or trained together, from the graph of a Keras model."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import keras

from tfxfer import blocks
from tfxfer.errors import ConfigError, suggest
from tfxfer.facts import GroupFacts
from tfxfer.graph.calls import Call, calls_of, has_nested_models
from tfxfer.graph.inlining import inlined
from tfxfer.graph.steps import head_start, step_of
from tfxfer.graph.variables import Parted, VariablePart, flatten, movable_and_state, size_of, weights_of

# Activations whose gradient TensorFlow computes from what they give, which the next layer keeps anyway; and layers
# without weights that need what they read.
_BY_OUTPUT = ("linear", "relu", "relu6", "sigmoid", "tanh", "elu", "selu")
_BY_INPUT = (keras.layers.Multiply, keras.layers.MaxPooling2D, keras.layers.UnitNormalization)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerGroup:
    """A run of layers, or a part of one layer's variables, that are frozen or trained together.

    Attributes:
        name: such as `stem`, `stage2.block1`, `head`.
        layers: in the order in which they run.
        outputs: the tensors that leave the group's end, one or a few; empty where the network cannot be cut there.
        part: of the one layer in `layers`, where the group is less than that layer.
        needed: tensors that a backward pass through its layers needs; `normed` those that its batch norms read.
        normed: see there.
    """

    name: str
    layers: tuple[keras.layers.Layer, ...]
    outputs: tuple[keras.KerasTensor, ...]
    part: VariablePart | None = None
    needed: tuple[keras.KerasTensor, ...] = ()
    normed: tuple[keras.KerasTensor, ...] = ()

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Variables that gradients can move, whatever is frozen now: all but statistics and random state."""
        if self.part:
            return list(self.part.trainable)
        return [v for layer in self.layers for v in movable_and_state(layer)[0]]

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
        return [v for layer in self.layers for v in movable_and_state(layer)[1]]

    @property
    def variables(self) -> list[keras.Variable]:
        """All variables of the group."""
        if self.part:
            return [*self.part.trainable, *self.part.statistics]
        return [v for layer in self.layers for v in weights_of(layer)]

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
            parameters=size_of(trained),
            batch_norm_parameters=size_of(of_norm),
            tensors=len(trained),
            batch_norm_tensors=len(of_norm),
            statistics=size_of(self.statistics),
            legal_cut=bool(self.outputs),
            output_size=_numbers(self.outputs),
            activations=_numbers(self.needed),
            norm_inputs=_numbers(self.normed),
        )


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
    start = head_start(calls)
    steps = [step_of(call, head=at >= start) for at, call in enumerate(calls)]
    for block in blocks.find_blocks(steps, [id(tensor) for tensor in flat.outputs]):
        operations = [call.operation for call in calls[block.start : block.stop]]
        layers = [op for op in dict.fromkeys(operations) if isinstance(op, keras.layers.Layer) and id(op) not in seen]
        seen.update(id(layer) for layer in layers)
        cut = block.legal_cut and not nested
        outputs = tuple(tensors[number] for number in block.leaves) if cut else ()
        own = calls[block.start : block.stop]
        needed, normed = _read_by(own, _needs_its_inputs), _read_by(own, _is_batch_norm)
        group = LayerGroup(name=block.name, layers=tuple(layers), outputs=outputs, needed=needed, normed=normed)
        groups += _parts(group)
    return tuple(groups)


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


def _read_by(calls: Sequence[Call], chosen: Callable[[keras.Operation], bool]) -> tuple[keras.KerasTensor, ...]:
    """Returns the tensors that the calls of chosen operations read, each once."""
    read = {id(tensor): tensor for call in calls if chosen(call.operation) for tensor in call.inputs}
    return tuple(read.values())


def _is_batch_norm(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.layers.BatchNormalization)


def _needs_its_inputs(operation: keras.Operation) -> bool:
    """Whether the gradient of an operation is a function of what it reads, and not of what it gives, or of neither."""
    if _is_batch_norm(operation):
        return False  # only where its statistics, or gamma, move
    if isinstance(operation, keras.layers.Activation):
        return keras.activations.serialize(operation.activation) not in _BY_OUTPUT
    return bool(getattr(operation, "weights", ())) or isinstance(operation, _BY_INPUT)


def _numbers(tensors: Sequence[keras.KerasTensor]) -> int:
    """Returns how many numbers some tensors hold for one picture; extents that are not known count as none."""
    return sum(math.prod(extent or 0 for extent in tensor.shape[1:]) for tensor in tensors)


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
    if any(weights_of(layer) for layer in rest) or not parts:
        parts = [dataclasses.replace(group, layers=rest, outputs=()), *parts]
    return [*parts[:-1], dataclasses.replace(parts[-1], outputs=group.outputs)]
