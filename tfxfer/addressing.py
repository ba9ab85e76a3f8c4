"""The variables of a Keras model that an address means; what an address can be, `outlines` tells."""

import dataclasses

import keras

from tfxfer import graph, outlines


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
    """Every variable of a model that gradients can move, whatever is frozen now, input first.

    Attributes:
        model: which it is.
        groups: its layer groups.
        outline: its layers by name; `places` has a place for each of `outline.variables`.
    """

    def __init__(self, model: keras.Model):
        """Looks through a built functional or sequential model.

        Raises:
            BackboneError: the model has no layer graph, or is not built.
        """
        outlined = graph.outline_of(model)
        self.model, self.groups, self.outline = model, outlined.groups, outlined.outline
        owners = [
            (layer, facts.group)
            for layer, facts in zip(outlined.layers, outlined.outline.layers, strict=True)
            for _ in facts.variables
        ]
        self.places = tuple(Place(variable, *owner) for variable, owner in zip(outlined.variables, owners, strict=True))

    def at(self, address: str) -> tuple[Place, ...]:
        """Returns what an address means, in the order of the graph; never nothing.

        Raises:
            ConfigError: nothing is called so, or what is has no variables that gradients can move.
        """
        return tuple(self.places[number] for number in outlines.find(self.outline, address))
