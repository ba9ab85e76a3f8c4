"""Opens one backbone and says what it is made of; needs Keras."""

import dataclasses

from tfxfer import graph
from tfxfer.backbones.loading import inspect, load_backbone
from tfxfer.backbones.registry import find_source
from tfxfer.facts import BackboneFacts, GroupFacts

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerLine:
    """One layer of a group.

    Attributes:
        name: as Keras has it.
        kind: its class.
        parameters: numbers in all its variables.
        shape: of what it gives for one picture; None where it is in no graph of its own.
    """

    name: str
    kind: str
    parameters: int
    shape: Shape | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupLine:
    """One layer group.

    Attributes:
        facts: what it is.
        shapes: of the tensors that leave it, for one picture; none without a legal cut.
        layers: in the order in which they run; of a part of one layer, that layer.
    """

    facts: GroupFacts
    shapes: tuple[Shape, ...]
    layers: tuple[LayerLine, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """One backbone as it was opened.

    Attributes:
        facts: what was found about it.
        has_weights: whether its pretrained weights are on this machine; where not, it was built with random ones.
        input_shape: what goes in, for one picture, without the batch.
        groups: input first.
    """

    facts: BackboneFacts
    has_weights: bool
    input_shape: Shape
    groups: tuple[GroupLine, ...]


def describe(
    handle: str, *, image_size: int | None = None, output: str = "", allow_unsafe_model_code: bool = False
) -> Description:
    """Returns what the backbone `handle` is made of, with random weights where the pretrained ones are not here.

    Args:
        handle: `source:name`.
        image_size: height and width in pixels; by default the native size.
        output: which one of a network that has several.
        allow_unsafe_model_code: whether code that its file brings may run.

    Raises:
        ConfigError: no such source or name, or a size below the network's least.
        BackboneError: it cannot be opened, or is refused.
    """
    source, name = find_source(handle)
    source.card(name)
    if not source.has_weights(name):
        # Sources that know nothing of a network before they have its file fetch it now.
        inspect(handle, weights="random", output=output, allow_unsafe_model_code=allow_unsafe_model_code)
    present = source.has_weights(name)
    backbone = load_backbone(
        handle,
        image_size=image_size,
        weights="pretrained" if present else "random",
        output=output,
        allow_unsafe_model_code=allow_unsafe_model_code,
    )
    calls = graph.calls_of(graph.inlined(backbone.model))
    shapes = {id(call.operation): tuple(call.outputs[0].shape[1:]) for call in calls}
    return Description(
        facts=backbone.facts,
        has_weights=present,
        input_shape=tuple(backbone.model.inputs[0].shape[1:]),
        groups=tuple(_group_line(group, shapes) for group in backbone.groups),
    )


def _group_line(group: graph.LayerGroup, shapes: dict[int, Shape]) -> GroupLine:
    layers = tuple(
        LayerLine(
            name=layer.name,
            kind=type(layer).__name__,
            parameters=layer.count_params(),
            shape=shapes.get(id(layer)),
        )
        for layer in group.layers
    )
    outputs = tuple(tuple(tensor.shape[1:]) for tensor in group.outputs)
    return GroupLine(facts=group.facts, shapes=outputs, layers=layers)
