"""What a SavedModel offers, found in its program without running it: what goes in, what comes out, what can train."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tfxfer.backbones.hub import reading
from tfxfer.errors import BackboneError, ConfigError, suggest

# Signatures that give features or something near, best first: names of TF Hub, of tf.saved_model.save, of Keras.
_SIGNATURES = ("image_feature_vector", "default", "serving_default", "serve")
_TF1_MODULE = "tfhub_module.pb"
_SERVE = "serve"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor that goes in or comes out: `name` is its key, "" where it comes alone; `shape` None if unknown."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str

    def __str__(self) -> str:
        extents = "unknown" if self.shape is None else ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name + ': ' if self.name else ''}{self.dtype} [{extents}]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parameter:
    """A hyper-parameter of the function: a tensor, or one of the Python `values` that were traced."""

    name: str
    tensor: Tensor | None
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.tensor or ' or '.join(map(repr, self.values))})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contract:
    """What a SavedModel offers.

    Attributes:
        kind: "reusable" if it is callable and can train; "signature" if it offers only signatures; "tf1" for modules
            and SavedModels of TensorFlow 1. The latter two are used frozen.
        endpoint: the name of the signature that is used; "__call__" for "reusable".
        tags: of the graph that is used, for "tf1".
        inputs: all that goes in but hyper-parameters.
        outputs: all that comes out, with "/" between the keys of nested structures.
        has_training: whether the function takes the argument `training`.
        parameters: its hyper-parameters.
        variables: numbers in all variables that the function reads.
        trainable_variables: how many variables the publisher lists as trainable.
    """

    kind: Literal["reusable", "signature", "tf1"]
    endpoint: str
    tags: tuple[str, ...] | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    has_training: bool
    parameters: tuple[Parameter, ...]
    variables: int
    trainable_variables: int

    @property
    def takes(self) -> Literal["images", "text", "video", "other"]:
        """What goes in, in the words of `BackboneCard.takes`."""
        if len(self.inputs) != 1 or self.inputs[0].shape is None:
            return "other"
        shape, dtype = self.inputs[0].shape, self.inputs[0].dtype
        if dtype == "string" and len(shape) == 1:
            return "text"
        is_float = dtype in ("float32", "float16", "bfloat16", "float64")
        if is_float and len(shape) in (4, 5) and shape[-1] in (3, None) and shape[0] is None:
            return "images" if len(shape) == 4 else "video"
        return "other"

    @property
    def described(self) -> str:
        """What goes in and comes out, in words."""
        return f"takes {'; '.join(map(str, self.inputs)) or 'nothing'} and gives {'; '.join(map(str, self.outputs))}"

    def why_frozen(self) -> str:
        """Returns why nothing in it can train, "" if something can."""
        if self.kind == "tf1":
            return "is a TF1 module, which offers only a signature"
        if self.kind == "signature":
            return f"offers only a signature ({self.endpoint!r}), which TensorFlow does not differentiate for training"
        if not self.variables:
            return "has no variables"
        return "" if self.trainable_variables else "lists no trainable variables: its publisher made it for inference"

    def choose_output(self, output: str) -> Tensor:
        """Returns the output called `output`; "" stands for the only one, or for the one that is called "default".

        Raises:
            ConfigError: there is none of this name, or several to choose from; the message lists them.
        """
        names = [tensor.name for tensor in self.outputs]
        if not output and len(names) == 1:
            return self.outputs[0]
        wanted = output or "default"
        if wanted in names:
            return self.outputs[names.index(wanted)]
        if names == [""]:
            raise ConfigError(f"output={output!r}: the SavedModel has one output without a name. Leave output out.")
        listed = "; ".join(map(str, self.outputs))
        if not output:
            option = f"output={names[0]!r}, in commands --config.backbone.output={names[0]}"
            raise ConfigError(f"the SavedModel has several outputs. Choose one, {option}: {listed}.")
        raise ConfigError(f"the SavedModel has no output {output!r}.{suggest(output, names)} It has: {listed}.")

    def check_arguments(self, arguments: Mapping[str, Any]) -> None:
        """Compares hyper-parameters with those that were traced.

        Raises:
            ConfigError: a name that the function does not have, or a value that it was not traced for.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        listed = "; ".join(map(str, self.parameters)) or "none"
        problems = [f"has no argument {name!r}.{suggest(name, known)}" for name in arguments if name not in known] + [
            f"does not take {name}={value!r}"
            for name, value in arguments.items()
            if name in known and not _fits(value, known[name])
        ]
        if problems:
            raise ConfigError(f"the SavedModel {'; it '.join(problems)} Its arguments: {listed}.")


def contract(folder: pathlib.Path) -> Contract:
    """Returns what the SavedModel in `folder` offers; reads its program only.

    Raises:
        BackboneError: it is damaged, or offers nothing that can be called.
    """
    path = pathlib.Path(folder) / reading.PROGRAM
    reading.check(folder)
    state = path.stat()
    return _contract(path.resolve(), state.st_mtime_ns, state.st_size, pathlib.Path(folder))


@functools.lru_cache(maxsize=8)
def _contract(path: pathlib.Path, _modified: int, _size: int, folder: pathlib.Path) -> Contract:
    """Returns the contract of a file; of several folders that lead to it any will do."""
    is_module = (folder / _TF1_MODULE).is_file()
    graphs = reading.read(folder).meta_graphs
    if len(graphs) == 1 and graphs[0].HasField("object_graph_def") and not is_module:
        try:
            return _of_objects(graphs[0], folder)
        except (IndexError, KeyError, ValueError, TypeError, AttributeError) as error:
            if isinstance(error, BackboneError):
                raise
            raise BackboneError(f"{path} is damaged: its object graph makes no sense ({error!r}).") from error
    graph = _graph_of_tf1(graphs, is_module=is_module)
    return _of_signatures(graph, folder, kind="tf1", variables=_variables_in(graph.graph_def))


def _of_objects(graph, folder: pathlib.Path) -> Contract:
    objects = graph.object_graph_def
    root = objects.nodes[0]
    call = _child(objects, root, "__call__")
    if call is None or not call.function.concrete_functions:
        signatures = _child(objects, root, "signatures")
        keyed = {child.local_name: objects.nodes[child.node_id] for child in signatures.children} if signatures else {}
        names = {name: node.bare_concrete_function.concrete_function_name for name, node in keyed.items()}
        counted = {name: _count(_bound(objects, [function])) for name, function in names.items()}
        return _of_signatures(graph, folder, kind="signature", variables=counted)
    names = call.function.concrete_functions
    traces = [_trace(call.function.function_spec, objects.concrete_functions[name]) for name in names]
    # Of several traces the most general one; inference before training, as that is what comes out.
    trace = min(traces, key=lambda trace: (trace.arguments.get("training") is True, -_freedom(trace.inputs)))
    others = sorted({name for each in traces for name in each.arguments} - {"training"})
    listed = _listed(objects, root, "variables")
    return Contract(
        kind="reusable",
        endpoint="__call__",
        tags=None,
        inputs=trace.inputs,
        outputs=trace.outputs,
        has_training=any(isinstance(each.arguments.get("training"), bool) for each in traces),
        parameters=tuple(p for name in others if (p := _parameter(name, traces)) is not None),
        variables=_count({**listed, **_bound(objects, names)}),
        trainable_variables=len(_listed(objects, root, "trainable_variables")),
    )


def _of_signatures(graph, folder: pathlib.Path, *, kind, variables: int | Mapping[str, int]) -> Contract:
    # Two underscores begin what TensorFlow runs itself, such as __saved_model_init_op.
    signatures = {n: value for n, value in graph.signature_def.items() if value.outputs and not n.startswith("__")}
    ranked = [*(name for name in _SIGNATURES if name in signatures), *signatures]
    if not ranked or (ranked[0] not in _SIGNATURES and len(signatures) > 1):
        raise BackboneError(
            f"{folder} cannot be called: it has neither __call__ nor a signature named one of "
            f"{', '.join(_SIGNATURES)}. Its signatures: {', '.join(signatures) or 'none'}."
        )
    chosen = signatures[ranked[0]]
    return Contract(
        kind=kind,
        endpoint=ranked[0],
        tags=tuple(graph.meta_info_def.tags) if kind == "tf1" else None,
        inputs=tuple(_tensor(name, info) for name, info in sorted(chosen.inputs.items())),
        outputs=tuple(_tensor(name, info) for name, info in sorted(chosen.outputs.items())),
        has_training=False,
        parameters=(),
        variables=variables if isinstance(variables, int) else variables.get(ranked[0], 0),
        trainable_variables=0,
    )


@dataclasses.dataclass(frozen=True)
class _Trace:
    """One traced call: what went in, what came out, and the other arguments by name."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arguments: dict[str, Any]


def _trace(specification, function) -> _Trace:
    positional, keyword = _value(function.canonicalized_input_signature)
    names = list(_value(specification.fullargspec)["args"])
    if names[:1] == ["self"]:
        names = names[1:]
    arguments = dict(zip(names[1:], positional[1:], strict=False)) | dict(keyword)
    inputs = flatten(positional[0]) if positional else {}
    return _Trace(
        inputs=tuple(_named(name, value) for name, value in inputs.items()),
        outputs=tuple(_named(name, v) for name, v in flatten(_value(function.output_signature)).items()),
        arguments=arguments,
    )


def flatten(structure: Any, name: str = "") -> dict[str, Any]:
    """Returns the leaves of nested dicts and lists by their path, such as "layers/0"; a bare leaf is called ""."""
    if isinstance(structure, Mapping):
        items: Iterator = iter(sorted(structure.items(), key=lambda item: str(item[0])))
    elif isinstance(structure, Sequence) and not isinstance(structure, str | bytes):
        items = enumerate(structure)
    else:
        return {name: structure}
    return {
        path: leaf
        for key, value in items
        for path, leaf in flatten(value, f"{name}/{key}" if name else str(key)).items()
    }


def _named(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return dataclasses.replace(value, name=name)
    return Tensor(name=name, shape=None, dtype="unknown" if value is None else str(value))


def _freedom(inputs: tuple[Tensor, ...]) -> int:
    return sum(99 if tensor.shape is None else tensor.shape.count(None) for tensor in inputs)


def _parameter(name: str, traces: list[_Trace]) -> Parameter | None:
    """Returns the hyper-parameter `name`, or None for an argument that was only ever traced as absent."""
    values = [trace.arguments[name] for trace in traces if name in trace.arguments]
    tensors = [value for value in values if isinstance(value, Tensor)]
    plain = tuple(dict.fromkeys(v for v in values if isinstance(v, bool | int | float | str)))
    if not tensors and not plain:
        return None
    return Parameter(name=name, tensor=tensors[0] if tensors else None, values=plain)


def _fits(value: Any, parameter: Parameter) -> bool:
    if parameter.tensor is None:
        return any(
            value == traced and isinstance(value, bool) == isinstance(traced, bool) for traced in parameter.values
        )
    if isinstance(value, str) or parameter.tensor.dtype == "string":
        return isinstance(value, str) and parameter.tensor.dtype == "string"
    if isinstance(value, bool) or parameter.tensor.dtype == "bool":
        return isinstance(value, bool) and parameter.tensor.dtype == "bool"
    return isinstance(value, int) or (isinstance(value, float) and "float" in parameter.tensor.dtype)


def _value(value) -> Any:
    """Returns a StructuredValue as Python values; tensors and what else has a type become `Tensor` or text."""
    kind = value.WhichOneof("kind")
    if kind in ("none_value", None):
        return None
    if kind in ("float64_value", "int64_value", "string_value", "bool_value"):
        return getattr(value, kind)
    if kind in ("list_value", "tuple_value"):
        return tuple(_value(each) for each in getattr(value, kind).values)
    if kind == "dict_value":
        return {key: _value(each) for key, each in value.dict_value.fields.items()}
    if kind == "named_tuple_value":
        return {pair.key: _value(pair.value) for pair in value.named_tuple_value.values}
    if kind in ("tensor_spec_value", "bounded_tensor_spec_value"):
        specification = getattr(value, kind)
        return Tensor(name="", shape=_shape(specification.shape), dtype=_dtype(specification.dtype))
    if kind == "type_spec_value":
        return value.type_spec_value.type_spec_class_name
    return kind


def _tensor(name: str, info) -> Tensor:
    return Tensor(name=name, shape=_shape(info.tensor_shape), dtype=_dtype(info.dtype))


def _shape(shape) -> tuple[int | None, ...] | None:
    return None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _dtype(number: int) -> str:
    import tensorflow as tf

    return tf.dtypes.as_dtype(number).name


def _child(objects, node, name: str):
    found = [objects.nodes[child.node_id] for child in node.children if child.local_name == name]
    return found[0] if found else None


def _listed(objects, root, name: str) -> dict[int, Any]:
    """Returns the variables in the list that the root object calls `name`, by node."""
    node = _child(objects, root, name)
    children = node.children if node is not None else ()
    return {c.node_id: objects.nodes[c.node_id] for c in children if objects.nodes[c.node_id].HasField("variable")}


def _bound(objects, functions: Sequence[str]) -> dict[int, Any]:
    """Returns the variables that functions read, by node."""
    inputs = [number for name in functions for number in objects.concrete_functions[name].bound_inputs]
    return {number: objects.nodes[number] for number in inputs if objects.nodes[number].HasField("variable")}


def _count(nodes: Mapping[int, Any]) -> int:
    return sum(math.prod(extent or 0 for extent in _shape(node.variable.shape) or ()) for node in nodes.values())


def _graph_of_tf1(graphs, *, is_module: bool):
    """Returns the graph that is used of a TF1 SavedModel: a module's without tags is the one for inference."""
    wanted = [set(), {_SERVE}] if is_module else [{_SERVE}, set()]
    for tags in wanted:
        for graph in graphs:
            if set(graph.meta_info_def.tags) == tags:
                return graph
    return graphs[0]


def _variables_in(graph) -> int:
    made = [node for node in graph.node if node.op in ("VariableV2", "Variable", "VarHandleOp")]
    return sum(math.prod(extent or 0 for extent in _shape(node.attr["shape"].shape) or ()) for node in made)
