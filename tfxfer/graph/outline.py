"""The outline of a Keras model: its layers by name, position and group, which addresses are looked up in."""

import dataclasses
from collections.abc import Iterator

import keras

from tfxfer import outlines
from tfxfer.facts import LayerFacts, Outline, VariableFacts
from tfxfer.graph.calls import is_nested
from tfxfer.graph.groups import LayerGroup, layer_groups
from tfxfer.graph.variables import Parted, children_of, flatten, size_of, weights_of


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
                        VariableFacts(name=v.name, size=size_of([v]), batch_norm=id(v) in norms) for v in own
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
        if is_nested(layer):
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
        children = children_of(layer)
        inner = {id(variable) for child in children for variable in weights_of(child)}
        yield layer, within, [v for v in weights_of(layer) if id(v) in movable and id(v) not in inner]
        for child in children:
            yield from walk(child, (*within, layer.name))

    for layer in group.layers:
        yield from walk(layer, holders.get(id(layer), ()))
