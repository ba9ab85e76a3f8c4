"""What a name means in a model: the one grammar of freezing, rates, decay and cuts.

    head                  the last layer group, where `swap_head` made it; a layer group has any name of `layer_groups`
    stage3.block2         a layer group; `stage3`: all groups of that stage
    block5_conv1          a layer, nested ones included; a nested model: all its layers
    re:.*_bn$             every layer in whose name, or layer/variable name, the expression is found
    layers[:8]            layers by their position, in Python's notation, as `model.layers[:8]` in a tutorial
    vgg16.layers[:8]      the same within the nested model of that name, exactly its `.layers[:8]`

A name that is both a layer group's and a layer's means the group. Positions are those of the network that a tutorial
counts in: an input layer counts where it stands first, as in `model.layers`; layers of nested models count one by one
in their place, without their inputs; the layer that brings pixels into a backbone's convention does not count. So
`layers[:8]` of VGG16 ends with `block3_conv1` whether the application is the model, lies in a `Sequential`, or came by
`load_backbone`.
"""

import dataclasses
import re
from collections.abc import Sequence

import keras

from tfxfer import blocks, graph
from tfxfer.backbones import conventions
from tfxfer.errors import ConfigError, suggest

_SLICE = re.compile(r"(?:(?P<within>.+)\.)?layers\[(?P<first>(?:-?\d+)?)(?P<colon>:?)(?P<last>(?:-?\d+)?)\]")
_PATTERN = "re:"


@dataclasses.dataclass(frozen=True)
class Place:
    """A variable that gradients can move, and where it stands.

    Attributes:
        variable: of the model, or of a layer within a layer.
        layer: that owns it; the one that holds it where that is a network inside, such as a SavedModel.
        group: name of its layer group.
    """

    variable: keras.Variable
    layer: keras.layers.Layer
    group: str

    @property
    def name(self) -> str:
        """`layer/variable`, which unlike the path of the variable stays the same when a model is loaded again."""
        return f"{self.layer.name}/{self.variable.name}"


class Places:
    """Every variable of a model that gradients can move, whatever is frozen now, input first."""

    def __init__(self, model: keras.Model):
        """Looks through a built functional or sequential model.

        Raises:
            BackboneError: the model has no layer graph, or is not built.
        """
        self.model = model
        self.groups = graph.layer_groups(model)
        self.layers = _counted(model)
        self.places = tuple(place for group in self.groups for place in _places(group))

    def at(self, address: str) -> tuple[Place, ...]:
        """Returns what an address means, in the order of the graph; never nothing.

        Raises:
            ConfigError: nothing is called so, or what is has no variables that gradients can move.
        """
        if not isinstance(address, str):
            raise ConfigError(f"{address!r} is no address. Write the name of a layer group or layer, re:… or layers[…]")
        found = self._found(address)
        if not found:
            raise ConfigError(
                f"{address!r} has no variables that gradients can move, so it can neither train nor rest."
            )
        return found

    def layers_at(self, address: str) -> tuple[keras.layers.Layer, ...]:
        """Returns the layers that `layers[…]` means.

        Raises:
            ConfigError: it is written otherwise, or there are not so many layers.
        """
        match = _SLICE.fullmatch(address)
        if match is None or not (match["colon"] or match["first"]):
            raise ConfigError(
                f"{address!r} is not written as layers[:8], layers[-3:], layers[4:8] or layers[5], without steps."
            )
        layers = self._nested_layers(match["within"]) if match["within"] else self.layers
        first, last = (int(match[end]) if match[end] else None for end in ("first", "last"))
        if any(not -len(layers) <= end <= len(layers) for end in (first, last) if end is not None):
            raise ConfigError(f"{address!r} reaches beyond the {len(layers)} layers of {self._owner(match['within'])}.")
        picked = layers[first:last] if match["colon"] else layers[first : first + 1 or None]
        if not picked:
            raise ConfigError(
                f"{address!r} means no layer: {self._owner(match['within'])} has {len(layers)}, counted from 0."
            )
        return picked

    def _found(self, address: str) -> tuple[Place, ...]:
        names = [group.name for group in self.groups]
        positions = blocks.named(names, address)
        if positions is not None:
            wanted = {names[position] for position in positions}
            return tuple(place for place in self.places if place.group in wanted)
        if address.startswith(_PATTERN):
            return self._matching(address)
        named = [layer for layer in graph.flatten(self.model)[1:] if layer.name == address]
        if not named and is_slice(address):
            named = self.layers_at(address)
        if not named and address == graph.HEAD:  # whatever the last group of someone else's network is called
            return tuple(place for place in self.places if place.group == names[-1])
        if not named:
            self._refuse(address)
        return self._of([leaf for layer in named for leaf in graph.flatten(layer)])

    def _nested_layers(self, name: str) -> tuple[keras.layers.Layer, ...]:
        inner = [layer for layer in graph.flatten(self.model) if _is_nested(layer)]
        for model in inner:
            if model.name == name:
                return tuple(model.layers)
        names = [model.name for model in inner if model is not self.model]
        raise ConfigError(
            f"no model {name!r} is nested in {self.model.name!r}.{suggest(name, names)} "
            + (f"Nested are: {', '.join(names)}." if names else "None is: write layers[…] alone.")
        )

    def _owner(self, within: str | None) -> str:
        return repr(within or self.model.name)

    def _matching(self, address: str) -> tuple[Place, ...]:
        try:
            pattern = re.compile(address.removeprefix(_PATTERN))
        except re.error as error:
            raise ConfigError(f"{address!r} is no regular expression: {error}.") from None
        if pattern.pattern == "":
            raise ConfigError(f"{address!r} has no expression behind it: an empty one would match everything.")
        found = tuple(place for place in self.places if pattern.search(place.layer.name) or pattern.search(place.name))
        if not found:
            some = ", ".join(dict.fromkeys(place.name for place in self.places[:5]))
            raise ConfigError(f"{address!r} matches no variable of {self.model.name!r}. Names are like {some}.")
        return found

    def _of(self, layers: Sequence[keras.layers.Layer]) -> tuple[Place, ...]:
        wanted = {id(leaf) for layer in layers for leaf in graph.flatten(layer)}
        return tuple(place for place in self.places if id(place.layer) in wanted)

    def _refuse(self, address: str) -> None:
        groups = [group.name for group in self.groups]
        inner = [layer.name for layer in graph.flatten(self.model)[1:] if layer.weights]
        names = [*blocks.addressable(groups), *dict.fromkeys(inner)]
        raise ConfigError(
            f"{address!r} is neither a layer group nor a layer of {self.model.name!r}.{suggest(address, names)} "
            f"Groups: {', '.join(groups)}. More than one at a time: re:<expression>, layers[:8]."
        )


def is_slice(address: str) -> bool:
    """Whether an address is meant as positions, well written or not."""
    return address.startswith("layers[") or ".layers[" in address


def _counted(model: keras.Model) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers in the order in which `layers[…]` counts them."""
    leaves = [layer for layer in _leaves(model) if not layer.name.startswith(conventions.LAYER)]
    own = {id(layer) for layer in model.layers}
    return tuple(
        layer
        for number, layer in enumerate(leaves)
        if number == 0 or id(layer) in own or not isinstance(layer, keras.layers.InputLayer)
    )


def _leaves(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers of a model, those of nested ones one by one."""
    return [leaf for inner in layer.layers for leaf in _leaves(inner)] if _is_nested(layer) else [layer]


def _is_nested(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model) and not isinstance(layer, graph.Parted)


def _places(group: graph.LayerGroup) -> list[Place]:
    if group.part:
        return [Place(variable, group.layers[0], group.name) for variable in group.trainable_variables]
    owners, state = {}, set()
    for layer in group.layers:
        for inner in graph.flatten(layer):  # the innermost comes last and wins
            owners.update({id(variable): inner for variable in inner.weights})
        # Private: a flag of a variable says what is frozen now; these were made as no gradient's business.
        for inner in layer._flatten_layers():
            state.update(id(variable) for variable in inner._non_trainable_variables)
    return [
        Place(variable, owners[id(variable)], group.name)
        for variable in group.trainable_variables
        if id(variable) not in state
    ]
