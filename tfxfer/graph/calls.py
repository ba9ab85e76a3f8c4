"""The layer calls of a Keras model, in an order in which they can run."""

import dataclasses

import keras

from tfxfer.errors import BackboneError


@dataclasses.dataclass(frozen=True)
class Call:
    """One layer call of a graph: the operation, and the tensors it reads and writes."""

    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def calls_of(model: keras.Model) -> list[Call]:
    """Returns the calls of a functional or sequential model in an order in which they can run."""
    return [
        Call(node.operation, tuple(node.input_tensors), tuple(node.outputs)) for node in nodes_of(functional_of(model))
    ]


def input_of(model: keras.Model) -> keras.KerasTensor | list[keras.KerasTensor]:
    """Returns the input of a model in the structure that callers of a model made from it will use: bare if single."""
    return model.inputs[0] if len(model.inputs) == 1 else list(model.inputs)


def has_nested_models(model: keras.Model) -> bool:
    """Whether a layer of `model` is a functional or sequential model itself."""
    return any(is_nested(call.operation) for call in calls_of(model))


def is_nested(operation: keras.Operation) -> bool:
    """Whether an operation is a functional or sequential model."""
    return isinstance(operation, keras.Model) and bool(getattr(functional_of(operation), "_nodes_by_depth", None))


def functional_of(model: keras.Model) -> keras.Model:
    """Returns the model that has the graph: of a built sequential one the functional one that it keeps."""
    return (model._functional or model) if isinstance(model, keras.Sequential) and model.built else model


def nodes_of(model: keras.Model) -> list:
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
