"""What a SavedModel offers is read from its program alone, and damaged or hostile programs are refused."""

import shutil

import pytest
import tensorflow as tf
from backbones.hub.conftest import SIZE, write_function
from tensorflow.core.protobuf import saved_model_pb2

from tfxfer.backbones.hub import reading
from tfxfer.backbones.hub.contract import contract, flatten
from tfxfer.errors import BackboneError


@pytest.mark.parametrize(
    ("writer", "kind", "has_training", "variables", "trainable"),
    [
        ("reusable", "reusable", True, 3 * 3 * 3 * 4 + 3 * 3 * 4 * 4 + 2 * 12, 6),
        ("of_tf_keras", "reusable", True, 112 + 16 + 148, 6),
        ("of_tfxfer", "reusable", True, 112 + 16 + 148, 6),
        ("of_archive", "reusable", True, 112 + 16 + 148, 6),
        ("exported", "signature", False, 112 + 16 + 148, 0),
        ("saved", "signature", False, 112 + 16 + 148, 0),
        ("of_tf1", "tf1", False, 108, 0),
    ],
)
def test_each_writer_is_understood(writer, kind, has_training, variables, trainable, request):
    offer = contract(request.getfixturevalue(writer))
    assert (offer.kind, offer.has_training) == (kind, has_training)
    assert offer.trainable_variables == trainable
    assert offer.variables == variables
    assert offer.takes == "images"
    assert offer.inputs[0].shape == (None, SIZE, SIZE, 3)
    assert offer.outputs[0].shape == (None, 4)


def test_of_several_traces_the_most_general_one_counts(tmp_path):
    function = tf.function(lambda images: images)
    for size in (8, None, 16):
        function.get_concrete_function(tf.TensorSpec([None, size, size, 3]))
    module = tf.train.Checkpoint()
    module.__call__ = function
    tf.saved_model.save(module, str(tmp_path / "sizes"))
    assert contract(tmp_path / "sizes").inputs[0].shape == (None, None, None, 3)


@pytest.mark.parametrize(
    ("spec", "takes"),
    [
        (tf.TensorSpec([None], tf.string), "text"),
        (tf.TensorSpec([None, None, 8, 8, 3]), "video"),
        (tf.TensorSpec([None, None, None, None]), "images"),
        (tf.TensorSpec([None, 8, 8, 1]), "other"),
        (tf.TensorSpec([1, 8, 8, 3]), "other"),
        (tf.TensorSpec([None, 8, 8, 3], tf.uint8), "other"),
        (tf.TensorSpec([None, 100, 1]), "other"),
        (tf.TensorSpec(None), "other"),
    ],
)
def test_what_goes_in_is_told_from_shape_and_type(spec, takes, tmp_path):
    assert contract(write_function(tmp_path / "module", tf.identity, spec)).takes == takes


def test_a_changed_file_is_read_again(reusable, of_tf1, tmp_path):
    folder = shutil.copytree(reusable, tmp_path / "module")
    assert contract(folder) is contract(folder)
    shutil.copy(of_tf1 / reading.PROGRAM, folder / reading.PROGRAM)
    assert contract(folder).kind == "tf1"


def test_leaves_are_named_by_their_path():
    assert flatten({"b": [1, 2], "a": {"c": 3}}) == {"a/c": 3, "b/0": 1, "b/1": 2}
    assert flatten(4) == {"": 4}


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "large", "missing", "second"])
def test_damaged_programs_are_refused(damage, reusable, tmp_path, monkeypatch):
    folder = shutil.copytree(reusable, tmp_path / "module")
    program = folder / reading.PROGRAM
    if damage == "empty":
        program.write_bytes(b"")
    elif damage == "cut":
        program.write_bytes(program.read_bytes()[:-100])
    elif damage == "text":
        program.write_text("this is no program")
    elif damage == "large":
        monkeypatch.setattr(reading, "MOST_BYTES", 1000)
    elif damage == "missing":
        program.unlink()
    else:
        (folder / "saved_model.pbtxt").write_text("")
    with pytest.raises(BackboneError, match=r"saved_model\.pb"):
        contract(folder)


def test_references_to_objects_that_are_not_there_are_refused(reusable, tmp_path):
    folder = shutil.copytree(reusable, tmp_path / "module")
    saved_model = saved_model_pb2.SavedModel.FromString((folder / reading.PROGRAM).read_bytes())
    saved_model.meta_graphs[0].object_graph_def.nodes[0].children[0].node_id = 10_000
    (folder / reading.PROGRAM).write_bytes(saved_model.SerializeToString())
    with pytest.raises(BackboneError, match="object graph makes no sense"):
        contract(folder)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "link"])
def test_assets_outside_the_folder_are_refused(name, of_tfxfer, tmp_path):
    folder = shutil.copytree(of_tfxfer, tmp_path / "module")
    saved_model = saved_model_pb2.SavedModel.FromString((folder / reading.PROGRAM).read_bytes())
    assert contract(folder)
    saved_model.meta_graphs[0].asset_file_def[0].filename = name
    (folder / reading.PROGRAM).write_bytes(saved_model.SerializeToString())
    (tmp_path / "secret").write_text("x")
    (folder / "assets" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BackboneError, match="out of"):
        contract(folder)


def test_a_saved_model_without_anything_to_call_is_refused(tmp_path):
    tf.saved_model.save(tf.train.Checkpoint(v=tf.Variable(1.0)), str(tmp_path / "bare"))
    with pytest.raises(BackboneError, match=r"cannot be called: .*Its signatures: none"):
        contract(tmp_path / "bare")
