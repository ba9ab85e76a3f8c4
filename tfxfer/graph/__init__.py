"""The layer graph of a Keras model: in which order its layers run, where it can be cut, its layer groups.

Groups come from the graph, never from variable paths: in Keras 3 nested applications have no path prefix, and
paths change on reload. Where blocks begin and end is decided in `blocks`; here a Keras graph becomes its steps.
"""

from tfxfer.graph.calls import Call, calls_of, has_nested_models, input_of
from tfxfer.graph.cutting import feature_tensor
from tfxfer.graph.groups import LayerGroup, find_group, layer_groups
from tfxfer.graph.inlining import called_on, inlined, retraced
from tfxfer.graph.outline import Outlined, outline_of
from tfxfer.graph.steps import crossings, head_calls, is_head
from tfxfer.graph.variables import Parted, VariablePart, flatten, held_by_lora, movable_and_state

__all__ = [
    "Call",
    "LayerGroup",
    "Outlined",
    "Parted",
    "VariablePart",
    "called_on",
    "calls_of",
    "crossings",
    "feature_tensor",
    "find_group",
    "flatten",
    "has_nested_models",
    "head_calls",
    "held_by_lora",
    "inlined",
    "input_of",
    "is_head",
    "layer_groups",
    "movable_and_state",
    "outline_of",
    "retraced",
]
