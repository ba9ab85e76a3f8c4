"""Models without models in them, of the same layers and variables."""

from collections.abc import Sequence

import keras

from tfxfer.errors import BackboneError
from tfxfer.graph.calls import calls_of, functional_of, has_nested_models, is_nested, nodes_of


def inlined(model: keras.Model) -> keras.Model:
    """Returns a functional model of the same layers and variables in which no model is nested in another.

    That is `model` itself if it is such a one. Nested models that are subclassed stay as they are: they have no graph.
    """
    if not isinstance(model, keras.Sequential) and not has_nested_models(model):
        return model
    return retraced(model)


def retraced(model: keras.Model) -> keras.Model:
    """Returns a functional model of the same layers and variables, each called anew, with no model nested in another.

    That is for layers that give something else since they were called, such as numbers of another type.
    """
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


def _replay(model: keras.Model, inputs: Sequence[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Calls every layer of `model`, and of the models nested in it, on new inputs; returns the outputs."""
    graph = functional_of(model)
    known = dict(zip((id(tensor) for tensor in graph.inputs), inputs, strict=True))
    for node in nodes_of(graph):
        if any(id(tensor) not in known for tensor in node.outputs):
            args, kwargs = node.arguments.fill_in(known)
            if is_nested(node.operation):
                results = _replay(node.operation, keras.tree.flatten(args[0]))
            else:
                results = keras.tree.flatten(node.operation(*args, **kwargs))
            known.update(zip((id(tensor) for tensor in node.outputs), results, strict=True))
    return [known[id(tensor)] for tensor in graph.outputs]


def _check_names(model: keras.Model) -> None:
    """Refuses a model in which two layers of models nested in it have one name, which no flat model may have."""
    owners: dict[str, tuple[keras.Operation, str]] = {}

    def look(inside: keras.Model) -> None:
        for call in calls_of(inside):
            operation = call.operation
            if is_nested(operation):
                look(operation)
            elif not isinstance(operation, keras.layers.InputLayer):
                other, owner = owners.setdefault(operation.name, (operation, inside.name))
                if other is not operation:
                    raise BackboneError(
                        f"two layers in {model.name!r} are called {operation.name!r}: in {owner!r} and in "
                        f"{inside.name!r}. Give one of them another name where its model is made."
                    )

    look(model)
