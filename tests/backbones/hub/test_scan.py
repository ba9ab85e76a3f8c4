"""A SavedModel that would do more than compute is refused before it runs, and one that only computes is not."""

import pathlib
import shutil

import pytest
import tensorflow as tf
from backbones.hub.conftest import SIZE, write_function
from tensorflow.core.protobuf import saved_model_pb2

from tfxfer.backbones.hub import reading, scan
from tfxfer.errors import BackboneError

PICTURES = tf.TensorSpec([None, SIZE, SIZE, 3])


def write(place: pathlib.Path, before) -> pathlib.Path:
    """A SavedModel that does `before(images)` when it is called."""

    def call(images):
        with tf.control_dependencies([before(images)]):
            return tf.reduce_mean(images, [1, 2])

    return write_function(place, call, PICTURES)


def changed(folder: pathlib.Path, change) -> pathlib.Path:
    """Changes the first graph of a SavedModel in its file."""
    path = folder / reading.PROGRAM
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    change(saved_model.meta_graphs[0])
    path.write_bytes(saved_model.SerializeToString())
    return folder


WRITERS = ["reusable", "sizeless", "of_tf_keras", "of_tfxfer", "of_archive", "exported", "saved", "of_tf1"]
WRITERS += ["with_table", "signature_with_table", "tf1_with_table", "tf1_text"]


@pytest.mark.parametrize("writer", WRITERS)
def test_saved_models_of_all_writers_pass(writer, request):
    assert scan.findings(request.getfixturevalue(writer)) == ()


FILE = {"filenames": ["/a"], "compression_type": "", "buffer_size": 1}
SAVED = {"prefix": "/a", "tensor_names": ["x"], "shape_and_slices": [""]}
RAW = tf.raw_ops


@pytest.mark.parametrize(
    ("op", "reason", "before"),
    [
        ("ReadFile", "files", lambda x: tf.io.read_file("/etc/hostname")),
        ("WriteFile", "files", lambda x: tf.io.write_file("/tmp/planted", "x")),
        ("MatchingFiles", "files", lambda x: tf.io.matching_files("/*")),
        ("PyFunc", "Python", lambda x: tf.numpy_function(lambda y: y, [x], tf.float32)),
        ("EagerPyFunc", "Python", lambda x: tf.py_function(lambda y: y, [x], tf.float32)),
        ("SaveV2", "files", lambda x: RAW.SaveV2(tensors=[x], **SAVED)),
        ("RestoreV2", "files", lambda x: RAW.RestoreV2(dtypes=[tf.float32], **SAVED)),
        ("PrintV2", "prints to", lambda x: tf.print("x", output_stream="file:///tmp/planted")),
        ("TextLineDataset", "data set", lambda x: RAW.TextLineDataset(**FILE)),
        ("TFRecordDataset", "data set", lambda x: RAW.TFRecordDataset(**FILE)),
        ("DebugIdentityV2", "address", lambda x: RAW.DebugIdentityV2(input=x, debug_urls=["file:///tmp/a"])),
        ("ImmutableConst", "files", lambda x: RAW.ImmutableConst(dtype="float", shape=[1], memory_region_name="/a")),
        ("Abort", "ends", lambda x: RAW.Abort()),
        ("FIFOQueueV2", "effects", lambda x: RAW.FIFOQueueV2(component_types=[tf.float32])),
    ],
)
def test_ops_beyond_the_network_are_refused_by_name_and_function(op, reason, before, tmp_path):
    folder = write(tmp_path / "planted", before)
    found = scan.findings(folder)
    assert {finding.op for finding in found} == {op}
    with pytest.raises(BackboneError, match=rf"{op} in function '__inference_.*{reason}.*--allow_unsafe_model_code"):
        scan.check(folder)
    scan.check(folder, allow_unsafe_model_code=True)


def test_printing_to_the_terminal_is_let_through(tmp_path):
    assert scan.findings(write(tmp_path / "prints", lambda x: tf.print(x))) == ()


def test_ops_are_found_in_branches_and_loops(tmp_path):
    def before(images):
        return tf.cond(tf.reduce_sum(images) > 0, lambda: tf.io.read_file("/a"), lambda: tf.constant(""))

    assert {finding.op for finding in scan.findings(write(tmp_path / "branch", before))} == {"ReadFile"}


def test_ops_that_this_tensorflow_does_not_know_are_refused(tmp_path):
    folder = write(tmp_path / "unknown", tf.identity)
    changed(folder, lambda graph: setattr(graph.graph_def.library.function[0].node_def[0], "op", "Sentencepiece9"))
    with pytest.raises(BackboneError, match=r"Sentencepiece9 in function .*unknown to this TensorFlow"):
        scan.check(folder)


@pytest.mark.parametrize("op", ["XlaCustomCallV2", "XlaCustomCall", "SymbolicGradient", "_Send"])
def test_ops_that_choose_native_code_are_refused(tmp_path, op):
    folder = write(tmp_path / "native", tf.identity)
    changed(folder, lambda graph: setattr(graph.graph_def.library.function[0].node_def[0], "op", op))
    with pytest.raises(BackboneError, match=f"{op} in function"):
        scan.check(folder)


def test_a_function_cannot_hide_behind_another_of_its_name(tmp_path):
    """TensorFlow takes the first of them, a table by name would look at the last."""

    def double(graph):
        functions = graph.graph_def.library.function
        writing = next(f for f in functions if any(node.op == "WriteFile" for node in f.node_def))
        harmless = type(writing)()
        harmless.CopyFrom(writing)
        del harmless.node_def[:]
        functions.append(harmless)

    folder = changed(write(tmp_path / "twice", lambda x: tf.io.write_file("/tmp/a", "b")), double)
    with pytest.raises(BackboneError, match=r"is refused: it holds the function .* twice"):
        scan.check(folder)


def test_a_table_may_be_filled_from_an_asset_but_from_no_other_file(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")

    def table_of(place):
        initializer = tf.lookup.TextFileInitializer(
            place, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        return tf.lookup.StaticHashTable(initializer, -1)

    table = table_of(str(tmp_path / "words.txt"))
    words = tf.TensorSpec([None], tf.string)
    first = write_function(tmp_path / "first", lambda text: table.lookup(text), words, table=table)
    assert scan.findings(first) == ()
    # Written a second time, the initialiser is called by another function.
    loaded = tf.saved_model.load(str(first))
    tf.saved_model.save(loaded, str(tmp_path / "second"))
    assert scan.findings(tmp_path / "second") == ()
    assert tf.saved_model.load(str(tmp_path / "second"))(tf.constant(["b"])).numpy() == [1]

    def elsewhere(graph):
        nodes = graph.object_graph_def.nodes
        asset = next(number for number, node in enumerate(nodes) if node.HasField("asset"))
        nodes[asset].constant.operation = "words"

    changed(tmp_path / "second", elsewhere)
    assert {f.reason for f in scan.findings(tmp_path / "second")} == {"reads a file that is no asset of the SavedModel"}


def test_a_table_filled_by_the_function_itself_is_refused(tmp_path):
    def before(images):
        handle = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        return tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=handle, filename="/etc/passwd", key_index=-2, value_index=-1
        )

    found = scan.findings(write(tmp_path / "table", before))
    assert [finding.op for finding in found] == ["InitializeTableFromTextFileV2"]


def test_the_saver_of_tf1_may_restore_its_own_file_only(of_tf1, tmp_path):
    def other_file(graph):
        node = next(node for node in graph.graph_def.node if node.op == "RestoreV2")
        node.input[0] = "elsewhere"
        graph.graph_def.node.add(name="elsewhere", op="Const")

    def in_the_output(graph):
        output = next(iter(graph.signature_def["default"].outputs.values()))
        output.name = "save/RestoreV2:0"

    def saved_while_restoring(graph):
        node = next(node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name)
        node.input.append("^save/SaveV2")

    for number, (change, op) in enumerate(
        [(other_file, "RestoreV2"), (in_the_output, "RestoreV2"), (saved_while_restoring, "SaveV2")]
    ):
        folder = changed(shutil.copytree(of_tf1, tmp_path / str(number)), change)
        assert op in {finding.op for finding in scan.findings(folder)}


def test_a_table_of_tf1_is_filled_from_an_asset_while_it_is_initialised_only(tf1_text, tmp_path):
    """At other times the graph's own name of the file holds, which may be any."""

    def filling(graph):
        return next(node for node in graph.graph_def.node if node.op.startswith("InitializeTableFrom"))

    def other_file(graph):
        filling(graph).input[1] = "elsewhere"
        graph.graph_def.node.add(name="elsewhere", op="Const")

    def while_answering(graph):
        next(node for node in graph.graph_def.node if node.op == "LookupTableFindV2").input.append(
            f"^{filling(graph).name}"
        )

    def while_restoring(graph):
        node = next(node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name)
        node.input.append(f"^{filling(graph).name}")

    def when_a_signature_names_it(graph):
        graph.signature_def["default"].outputs["more"].name = filling(graph).name

    def through_a_variable(graph):
        nodes = graph.graph_def.node
        nodes.add(name="kept", op="VarHandleOp")
        nodes.add(name="put", op="AssignVariableOp", input=["kept", filling(graph).input[1]])
        nodes.add(name="taken", op="ReadVariableOp", input=["kept"])
        filling(graph).input[1] = "taken"

    def in_a_function(graph):
        node, function = filling(graph), graph.graph_def.library.function.add()
        function.signature.name = "fill"
        for name in ("table", "path"):
            function.signature.input_arg.add(name=name)
        function.node_def.add().CopyFrom(node)
        function.node_def[0].input[:] = ["table", "path"]
        node.op = "StatefulPartitionedCall"
        node.attr["f"].func.name = "fill"

    def in_a_function_while_answering(graph):
        name = filling(graph).name
        in_a_function(graph)
        next(node for node in graph.graph_def.node if node.op == "LookupTableFindV2").input.append(f"^{name}")

    assert scan.findings(changed(shutil.copytree(tf1_text, tmp_path / "function"), in_a_function)) == ()
    changes = (other_file, while_answering, while_restoring, when_a_signature_names_it, through_a_variable)
    changes += (in_a_function_while_answering,)
    for number, change in enumerate(changes):
        folder = changed(shutil.copytree(tf1_text, tmp_path / str(number)), change)
        assert {f.reason for f in scan.findings(folder)} == {"reads a file that is no asset of the SavedModel"}


def test_an_asset_of_tf1_that_leads_out_of_the_savedmodel_is_refused(tf1_text, tmp_path):
    def outside(graph):
        (packed, *_) = graph.collection_def["saved_model_assets"].any_list.value
        packed.value = packed.value.replace(b"words.txt", b"../../a.x")

    def unreadable(graph):
        (packed, *_) = graph.collection_def["saved_model_assets"].any_list.value
        packed.value = packed.value[:-3]

    for change, message in (
        (outside, r"its asset '\.\./\.\./a\.x' leads out"),
        (unreadable, "list of assets cannot be read"),
    ):
        folder = changed(shutil.copytree(tf1_text, tmp_path / change.__name__), change)
        with pytest.raises(BackboneError, match=message):
            scan.check(folder)


def test_objects_are_no_excuse_for_a_saver_that_tensorflow_runs(reusable, tmp_path):
    """With a second graph TensorFlow loads as TF1 does, and runs the functions of the saver."""
    assert scan.findings(reusable) == ()
    folder = shutil.copytree(reusable, tmp_path / "two")
    path = folder / reading.PROGRAM
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    saved_model.meta_graphs.add().meta_info_def.tags.append("other")
    path.write_bytes(saved_model.SerializeToString())
    assert {"SaveV2", "RestoreV2"} <= {finding.op for finding in scan.findings(folder)}


def test_the_function_that_saves_is_refused_where_the_network_calls_it(reusable, tmp_path):
    def called(graph):
        functions = graph.graph_def.library.function
        saving = next(f.signature.name for f in functions if any(node.op == "SaveV2" for node in f.node_def))
        function = next(f for f in functions if "call" in f.signature.name)
        function.node_def.add(name="hidden", op="StatefulPartitionedCall").attr["f"].func.name = saving

    folder = changed(shutil.copytree(reusable, tmp_path / "calls"), called)
    assert "SaveV2" in {finding.op for finding in scan.findings(folder)}


def test_two_nodes_of_one_name_are_refused(reusable, tmp_path):
    def doubled(graph):
        nodes = graph.graph_def.library.function[0].node_def
        nodes.add().CopyFrom(nodes[0])

    folder = changed(shutil.copytree(reusable, tmp_path / "doubled"), doubled)
    assert {finding.reason for finding in scan.findings(folder)} == {"is there twice"}


def test_tensorflow_still_tells_which_ops_have_effects():
    assert scan._definition("ReadVariableOp").is_stateful
    assert not scan._definition("Conv2D").is_stateful
    assert scan._definition("NoSuchOp") is None
