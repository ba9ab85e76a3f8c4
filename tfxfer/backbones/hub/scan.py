"""Looks through every op of a SavedModel before anything of it runs: a SavedModel is a program.

Ops that only compute are let through. Of ops with effects, those that a network needs are let through by name
(variables, tables, random numbers, control flow); files, processes, other machines, Python and ops that this
TensorFlow does not know are refused. Two uses of files are legitimate: the saver's own, and tables filled from
an asset of the SavedModel.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tfxfer.backbones.hub import reading
from tfxfer.errors import BackboneError

if TYPE_CHECKING:
    from tensorflow.core.framework import node_def_pb2
    from tensorflow.core.protobuf import meta_graph_pb2

_SHOWN = 5
_REFUSED = (
    (r"PyFunc", "runs Python"),
    (r"Dataset|Iterator", "opens a data set"),
    (r"Debug|^Copy(Host)?$", "sends what passes through to an address of its choice"),
    (r"Remote|Rpc|Send|Recv|Collective|Nccl|WorkerHeartbeat|DistributedTPU", "talks to other processes"),
    (r"^Abort$", "ends the process"),
    # Stateless by their definition, and yet a custom call names a native function of this process.
    (r"^Xla(CustomCall|Launch|Host|Recv|Send)|^SymbolicGradient$|^_|TPU|Tpu", "runs native code of its choice"),
    (
        r"File|Save|Restore|Checkpoint|Summary|Reader|Remap|Vocab|LMDB|^RecordInput$|^ImmutableConst$"
        r"|^(Decode|Encode)Proto|^FixedUnigramCandidateSampler$",
        "reads or writes files",
    ),
)
# Ops with effects that stay inside the network.
_EFFECTS_WITHIN = re.compile(
    r"VarHandleOp|VarIsInitializedOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VariableShape|Variable(V2)?"
    r"|TemporaryVariable|DestroyResourceOp|DisableCopyOnRead|Resource(Gather|GatherNd|StridedSliceAssign)"
    r"|Resource(Scatter|Apply|SparseApply)\w+"
    r"|StatefulPartitionedCall|If|While|Case|Assert|CheckNumerics(V2)?|GuaranteeConst|DeviceIndex|Empty|DeepCopy"
    r"|Random\w+|ParameterizedTruncatedNormal|TruncatedNormal|Multinomial|Stateful(Random|Standard|Truncated|Uniform)\w+"
    r"|StatelessRandomGetAlg|Rng(ReadAndSkip|Skip)|NonDeterministicInts|SampleDistortedBoundingBox(V2)?"
    r"|(All|LearnedUnigram|LogUniform|ThreadUnsafeUnigram|Uniform)CandidateSampler"
    r"|(Anonymous)?(Mutable)?(Dense)?HashTable(OfTensors)?(V2)?"
    r"|InitializeTableV2|LookupTable\w+|TensorArray\w*|Stack\w*|CudnnRNN\w*|(Sentencepiece|FastSentencepiece)\w+"
)
_SAVES = frozenset({"Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"})
_RESTORES = frozenset({"Restore", "RestoreSlice", "RestoreV2"})
_TABLES_FROM_FILES = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_INITIALIZERS = ("saved_model_main_op", "legacy_init_op", "table_initializer", "init_op", "saved_model_train_op")


@dataclasses.dataclass(frozen=True)
class Finding:
    """An op that is refused: its kind, the function that it is in ("" for the main graph), and why."""

    op: str
    function: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} in {f'function {self.function!r}' if self.function else 'the main graph'} ({self.reason})"


def check(folder: pathlib.Path, *, allow_unsafe_model_code: bool = False) -> None:
    """Refuses a SavedModel with ops that reach beyond the network.

    Raises:
        BackboneError: there are some, and `allow_unsafe_model_code` is not set; the message names them.
    """
    found = findings(folder)
    if not found or allow_unsafe_model_code:
        return
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    raise BackboneError(
        f"the SavedModel in {folder} is refused. A SavedModel is a program, and this one would do more than compute: "
        f"{'; '.join(map(str, found[:_SHOWN]))}{more}. If you trust it as you trust a program, add "
        "--allow_unsafe_model_code."
    )


def findings(folder: pathlib.Path) -> tuple[Finding, ...]:
    """Returns the ops of the SavedModel in `folder` that are refused, each kind once for each function.

    Raises:
        BackboneError: two functions bear the same name, so that one could hide behind the other.
    """
    graphs = reading.read(folder).meta_graphs
    for graph in graphs:
        _check_names(folder, graph)
    # As TensorFlow decides: several graphs are loaded as TF1 loads them, whatever objects they tell of.
    has_objects = len(graphs) == 1 and graphs[0].HasField("object_graph_def")
    programs = [_Program(graph, has_objects=has_objects) for graph in graphs]
    return tuple(dict.fromkeys(finding for program in programs for finding in program.findings()))


def _check_names(folder: pathlib.Path, graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Refuses functions that bear one name: below they are looked up by it."""
    counts = collections.Counter(function.signature.name for function in graph.graph_def.library.function)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise BackboneError(f"the SavedModel in {folder} is refused: it holds the function {twice[0]} twice.")


class _Program:
    """One MetaGraph: its main graph, called "" below, and its functions.

    Args:
        graph: the MetaGraph.
        has_objects: whether TensorFlow loads objects and functions, and never runs the main graph.
    """

    def __init__(self, graph: meta_graph_pb2.MetaGraphDef, *, has_objects: bool):
        self._graph = graph
        self._has_objects = has_objects
        self._functions = {function.signature.name: function for function in graph.graph_def.library.function}
        self._bodies = {name: {node.name: node for node in f.node_def} for name, f in self._functions.items()}
        self._bodies[""] = {node.name: node for node in graph.graph_def.node}
        self._arguments = {name: [a.name for a in f.signature.input_arg] for name, f in self._functions.items()}
        self._assets = {_node_of(asset.tensor_info.name) for asset in reading.assets(graph)}
        self._callers: dict[str, list[tuple[str, node_def_pb2.NodeDef]]] = {}
        for place, body in self._bodies.items():
            for node in body.values():
                for name in self._called(node):
                    self._callers.setdefault(name, []).append((place, node))
        self._saving, self._restoring, self._saving_functions = self._of_saver()
        self._computing = set() if has_objects else self._beyond_initializing()

    def findings(self) -> Iterator[Finding]:
        """Yields what is refused."""
        # Read from the lists, since a name that is there twice hides a node in `_bodies`.
        yield from self._of_body("", self._graph.graph_def.node)
        for name, function in self._functions.items():
            yield from self._of_body(name, function.node_def)

    def _of_body(self, place: str, nodes: Iterable[node_def_pb2.NodeDef]) -> Iterator[Finding]:
        seen = set()
        for node in nodes:
            reason = "is there twice" if node.name in seen else self._reason(place, node)
            seen.add(node.name)
            if reason:
                yield Finding(node.op, place, reason)

    def _reason(self, place: str, node: node_def_pb2.NodeDef) -> str:
        """Returns why an op is refused, "" if it is not."""
        if node.op in _SAVES | _RESTORES and self._is_of_saver(place, node):
            return ""
        if node.op in _TABLES_FROM_FILES:
            return "" if self._is_asset(place, node) else "reads a file that is no asset of the SavedModel"
        if node.op in ("Print", "PrintV2"):
            stream = node.attr["output_stream"].s.decode(errors="replace")
            return f"prints to {stream!r}" if "file:" in stream else ""
        for pattern, reason in _REFUSED:
            if re.search(pattern, node.op):
                return reason
        if node.op in self._functions:
            return ""
        definition = _definition(node.op)
        if definition is None:
            return "is unknown to this TensorFlow; import the package that brings it first"
        if definition.is_stateful and not _EFFECTS_WITHIN.fullmatch(node.op):
            return "has effects that a network does not need"
        return ""

    # What belongs to the saver.

    def _of_saver(self) -> tuple[set[str], set[str], set[str]]:
        """Returns the main graph's nodes that only save, those that only restore, and functions only they call."""
        saver = self._graph.saver_def
        saving = self._ancestors([saver.save_tensor_name])
        restoring = self._ancestors([saver.restore_op_name])
        run = self._ancestors(
            [
                *(info.name for signature in self._graph.signature_def.values() for info in signature.outputs.values()),
                *(n for key in _INITIALIZERS for n in self._graph.collection_def[key].node_list.value),
            ]
        )
        only_saving, only_restoring = saving - restoring - run, restoring - run
        program = set(self._bodies[""]) - only_saving - only_restoring
        reached = self._reached(program, self._graph.object_graph_def.concrete_functions)
        of_saver = self._reached(only_saving | only_restoring, ()) - reached
        return only_saving, only_restoring, of_saver

    def _is_of_saver(self, place: str, node: node_def_pb2.NodeDef) -> bool:
        if place:
            # With an object graph TensorFlow restores on its own and never calls these.
            return self._has_objects and place in self._saving_functions
        if node.op in _SAVES:
            return node.name in self._saving
        filename = _node_of(self._graph.saver_def.filename_tensor_name)
        return node.name in self._restoring and _node_of(node.input[0]) == filename

    def _ancestors(self, fetches: Iterable[str]) -> set[str]:
        """Returns the nodes of the main graph that run when `fetches` are asked for."""
        found, left = set(), [_node_of(name) for name in fetches if name]
        while left:
            name = left.pop()
            if name not in found and name in self._bodies[""]:
                found.add(name)
                left += [_node_of(tensor) for tensor in self._bodies[""][name].input]
        return found

    def _reached(self, nodes: set[str], functions: Iterable[str]) -> set[str]:
        """Returns the functions that nodes of the main graph, or `functions`, lead to."""
        left = [*functions, *(name for node in nodes for name in self._called(self._bodies[""][node]))]
        found: set[str] = set()
        while left:
            name = left.pop()
            if name not in found and name in self._functions:
                found.add(name)
                left += [inner for node in self._functions[name].node_def for inner in self._called(node)]
        return found

    def _called(self, node: node_def_pb2.NodeDef) -> list[str]:
        names = [node.op] if node.op in self._functions else []
        for value in node.attr.values():
            names += [value.func.name] if value.HasField("func") else [function.name for function in value.list.func]
        return names

    # What is an asset.

    def _is_asset(self, place: str, node: node_def_pb2.NodeDef) -> bool:
        """Whether the file name that a table is filled from is, on all ways it can come, an asset."""
        if len(node.input) < 2 or (not place and node.name in self._computing):
            return False
        left, seen = [(place, _node_of(node.input[1]))], set()
        while left:
            here, name = left.pop()
            if (here, name) in seen:
                continue
            seen.add((here, name))
            origins = self._origins(here, name)
            if origins is None:
                return False
            left += origins
        return True

    def _beyond_initializing(self) -> set[str]:
        """Returns the nodes of a main graph of TF1 that run at other times than while it is initialised.

        Only then TensorFlow puts paths of assets in place of the names that the graph has, which may be of any file.
        """
        saver, signatures = self._graph.saver_def, self._graph.signature_def
        outputs = [info.name for n, s in signatures.items() if not n.startswith("__") for info in s.outputs.values()]
        read = [tensor for node in self._bodies[""].values() if node.op != "NoOp" for tensor in node.input]
        return self._ancestors([*outputs, *read, saver.save_tensor_name, saver.restore_op_name])

    def _origins(self, place: str, name: str) -> list[tuple[str, str]] | None:
        """Returns where a tensor comes from, [] if it is an asset, None if it may be something else."""
        if not place and name in self._assets:
            return []
        if name in self._arguments.get(place, ()):
            return self._origins_of_argument(place, self._arguments[place].index(name))
        node = self._bodies[place].get(name)
        if self._has_objects and not place and node is not None and node.op == "ReadVariableOp" and node.input:
            return self._origins_of_variable(_node_of(node.input[0]))
        return [(place, _node_of(node.input[0]))] if node is not None and node.op == "Identity" and node.input else None

    def _origins_of_variable(self, variable: str) -> list[tuple[str, str]] | None:
        """Returns what the main graph, which keeps the paths of assets in variables, puts into one."""
        assigned = [n for n in self._bodies[""].values() if n.op == "AssignVariableOp" and len(n.input) > 1]
        return [("", _node_of(n.input[1])) for n in assigned if _node_of(n.input[0]) == variable] or None

    def _origins_of_argument(self, function: str, position: int) -> list[tuple[str, str]] | None:
        objects = self._graph.object_graph_def
        origins, is_fed = [], False
        if function in objects.concrete_functions:
            bound = objects.concrete_functions[function].bound_inputs
            number = position - (len(self._arguments[function]) - len(bound))
            if number < 0 or bound[number] >= len(objects.nodes) or not objects.nodes[bound[number]].HasField("asset"):
                return None
            is_fed = True
        for place, node in self._callers.get(function, ()):
            inputs = [name for name in node.input if not name.startswith("^")]
            is_call = node.op in _CALLS or node.op == function
            if not is_call or position >= len(inputs) or (not place and node.name in self._computing):
                return None
            origins.append((place, _node_of(inputs[position])))
        return origins if origins or is_fed else None


def _node_of(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _definition(op: str):
    # No public way tells whether an op has effects. tests/backbones/hub/test_scan.py fails when this changes.
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)
