"""A network as one graph of constants, which converters read, and whose ops can be traced back to layers.

Its input `images` is float32 `[batch, size, size, 3]`, RGB in [0, 1], as in the SavedModel; its output
`probabilities` is float32 `[batch, classes]`, or `values`, of regression, `[batch, targets]`. Layers are in inference
mode, so that no augmentation is in it.
"""

import dataclasses
import itertools

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tfxfer import answers
from tfxfer.errors import FormatError
from tfxfer.export.formats.format import Subject
from tfxfer.export.formats.quiet import quiet
from tfxfer.graph import variables
from tfxfer.tasks import SINGLE_LABEL, Task

INPUT = "images"
_CALL_OPS = ("PartitionedCall", "StatefulPartitionedCall")
# What marks a function, and a call of it, as one that XLA compiles as a whole, and that therefore stays one.
_NOT_INLINED = ("_XlaMustCompile", "_noinline")


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A network in which every variable has become a constant.

    Attributes:
        model: where it comes from.
        function: from one tensor, `images`, to a list of one, the probabilities.
    """

    model: keras.Model
    function: tf.types.experimental.ConcreteFunction

    @property
    def graph(self) -> tf.compat.v1.GraphDef:
        """The graph; functions are inlined."""
        return self.function.graph.as_graph_def()


def freeze(subject: Subject, format_name: str) -> Frozen:
    """Returns a network, from pixels to what its outputs mean, as a graph of constants.

    Variables are constants before any converter sees them: a SavedModel of the network itself would demand that every
    resource is found on it, and random state of augmentation is not.

    Args:
        subject: what is exported.
        format_name: for what is said if it is impossible.

    Raises:
        FormatError: it holds a resource that no constant replaces, such as a lookup table.
    """
    model = subject.model
    with quiet():
        function = _inlined(convert_variables_to_constants_v2(_trace(model, subject.task)))
    resources = [tensor for tensor in function.inputs if tensor.dtype in (tf.resource, tf.variant)]
    if resources:
        read_by = [
            (op.type, op.name)
            for op in function.graph.get_operations()
            if any(tensor is resource for tensor in op.inputs for resource in resources)
        ]
        raise FormatError(cannot_hold(format_name, model, read_by, "needs a table or another resource besides weights"))
    return Frozen(model, function)


def cannot_hold(format_name: str, model: keras.Model, ops: list[tuple[str, str]], reason: str) -> str:
    """Returns a sentence that names the layers and ops which keep `model` out of a format.

    Args:
        format_name: as in `--formats=`.
        model: the network.
        ops: types and names of the ops, as in its frozen graph; may be empty if none is known.
        reason: what is wrong with them.
    """
    layers = layers_of(model, [name for _, name in ops])
    found = dict.fromkeys(f"{layer} (op {kind})" for layer, (kind, _) in zip(layers, ops, strict=True))
    return (
        f"{format_name} cannot hold this network: {', '.join(found) or f'model {model.name!r}'} {reason}. "
        f"Leave {format_name} out of the formats, or replace the layer."
    )


def layers_of(model: keras.Model, op_names: list[str]) -> list[str]:
    """Returns, for each op of the frozen graph, the layer that made it, in words.

    Scopes of ops are names of layers made unique by numbers, so that a name alone does not tell `conv` called twice
    from `conv_1`. Therefore the layers are asked: the same trace once more tells which scope each was called in.
    """
    scopes: dict[str, keras.layers.Layer] = {}
    layers = variables.flatten(model)

    def asked(layer, call):
        def told(*arguments, **settings):
            scopes.setdefault(tf.get_current_name_scope(), layer)
            return call(*arguments, **settings)

        return told

    try:
        for layer in layers:
            # Into the instance's own namespace, past Keras's tracking of attributes, which keeps no trace of it then.
            vars(layer)["call"] = asked(layer, layer.call)
        _trace(model)
    finally:
        for layer in layers:
            vars(layer).pop("call", None)
    return [_said(model, scopes, name) for name in op_names]


def _inlined(function: tf.types.experimental.ConcreteFunction) -> tf.types.experimental.ConcreteFunction:
    """Returns `function` without the calls that freezing has left: those of functions which are to be compiled.

    Keras computes grouped convolutions in such, since TensorFlow on a processor has no other way to; converters have,
    once they see the convolution.
    """
    graph = function.graph.as_graph_def()
    if not any(node.op in _CALL_OPS for node in graph.node):
        return function
    # Under another name, since a name stands for one definition in a process.
    names = {each.signature.name: f"{each.signature.name}_to_inline" for each in graph.library.function}
    nodes = list(itertools.chain(graph.node, *(each.node_def for each in graph.library.function)))
    for each in graph.library.function:
        each.signature.name = names[each.signature.name]
    for each in (*graph.library.function, *nodes):
        for mark in _NOT_INLINED:
            each.attr.pop(mark, None)
        for value in each.attr.values():
            kind = value.WhichOneof("value")  # asked first, since to name one of them is to make it the kind
            for called in [value.func] if kind == "func" else value.list.func if kind == "list" else ():
                called.name = names.get(called.name, called.name)
    del graph.library.gradient[:]
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    inputs, outputs = (
        [imported.graph.get_tensor_by_name(tensor.name) for tensor in tensors]
        for tensors in (function.inputs, function.outputs)
    )
    return convert_variables_to_constants_v2(imported.prune(inputs, outputs))


def _said(model: keras.Model, scopes: dict[str, keras.layers.Layer], op_name: str) -> str:
    for call in _CALL_OPS:
        op_name = op_name.removeprefix(f"{call}/")
    within = [scope for scope in scopes if scope and op_name.startswith(f"{scope}/")]
    layer = scopes[max(within, key=len)] if within else model
    return f"layer {layer.name!r} ({type(layer).__name__})" if layer is not model else f"model {model.name!r}"


def _trace(model: keras.Model, task: Task = SINGLE_LABEL) -> tf.types.experimental.ConcreteFunction:
    size = model.input_shape[1]

    def serve(images):
        return answers.meant_in_graph(model(images * 255.0, training=False), task)

    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name=INPUT)
    return tf.function(serve, input_signature=[spec], autograph=False).get_concrete_function()
