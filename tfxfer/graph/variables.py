"""Variables of layers: what gradients move and what they never do, and the layers within a layer."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import keras


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


def flatten(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns `layer` and every layer within it."""
    return [layer, *(inside for child in children_of(layer) for inside in flatten(child))]


def children_of(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers right within `layer`: of a model its layers, of others those that Keras tracks in them."""
    if isinstance(layer, keras.Model):
        return layer.layers
    # Private: attributes alone would miss layers in lists and dicts.
    return layer._flatten_layers(include_self=False, recursive=False)


def weights_of(operation: keras.Operation) -> list[keras.Variable]:
    """Returns the weights of a layer; [] of an operation that is none."""
    return list(getattr(operation, "weights", ()))


def movable_and_state(layer: keras.layers.Layer) -> tuple[list[keras.Variable], list[keras.Variable]]:
    """Returns the variables that gradients can move, whatever is frozen now, and those that none ever moves."""
    # Private: a flag of a variable says what is frozen now; these were made as no gradient's business.
    state = {id(variable) for inner in layer._flatten_layers() for variable in inner._non_trainable_variables}
    state.update(id(variable) for variable in held_by_lora(layer))
    weights = weights_of(layer)
    return [v for v in weights if id(v) not in state], [v for v in weights if id(v) in state]


def held_by_lora(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the kernels in `layer` that `enable_lora` has frozen for good: only what it added to them trains."""
    adapted = [inner for inner in layer._flatten_layers() if getattr(inner, "lora_enabled", False)]
    # Private: the property `kernel` is the sum of the kernel and what LoRA learned.
    kernels = [getattr(inner, name, None) for inner in adapted for name in ("_kernel", "_embeddings")]
    return [kernel for kernel in kernels if kernel is not None]


def size_of(variables: list[keras.Variable]) -> int:
    """Returns how many numbers the variables hold together."""
    return sum(math.prod(variable.shape) for variable in variables)
