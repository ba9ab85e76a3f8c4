"""A SavedModel as the backbone of the whole road: plan, training in part, bundle, and prediction with it."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import export, models, pipeline, training
from tfxfer.cli.main import main
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.export import saved_model
from tfxfer.framing import Framing

QUIET = {"show": lambda line: None}


def recipe(colours, handle, **changes):
    stages = (
        tfxfer.Stage(train="head", epochs=2, learning_rate=0.5),
        tfxfer.Stage(train=1, epochs=2, learning_rate=0.05),
    )
    return tfxfer.Recipe(
        **{"data": f"folder:{colours}", "backbone": handle, "stages": stages, "batch_size": 8, **changes}
    )


def test_the_whole_road_with_a_savedmodel_inside_which_a_part_trains(colours, reusable, tmp_path):
    report = tfxfer.run(recipe(colours, f"hub:{reusable}"), workdir=tmp_path / "run", **QUIET)
    assert [stage.moved for stage in report.history.stages][1] > 2
    assert all(parity.largest_difference < 1e-5 for parity in report.export)
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["what"]["image_size"] == 24
    assert len(plan["what"]["stages"][1]["trained"]) == 1
    bundle = export.open_bundle(tmp_path / "run" / "bundle")
    assert bundle.model.output_shape == (None, 3)


def test_our_bundle_is_a_backbone_for_the_next_task(colours, trained, tmp_path):
    handle, head = f"hub:{trained}/bundle/saved_model/1", tfxfer.Stage(train="head", epochs=4, learning_rate=0.5)
    report = tfxfer.run(recipe(colours, handle, stages=(head,)), workdir=tmp_path / "second", **QUIET)
    assert report.test.accuracy > 0.8


def test_groups_are_the_names_of_the_saved_variables(reusable):
    backbone = tfxfer.load_backbone(f"hub:{reusable}")
    names = [group.name for group in backbone.groups]
    assert len(names) >= 2
    assert not any(group.legal_cut for group in backbone.facts.groups[:-1])
    model = models.swap_head(backbone, tfxfer.heads.Linear(outputs=2))
    done = tfxfer.freeze(model, train=names[-1])
    assert done.trained == (names[-1], "head")
    last = {id(variable) for variable in backbone.groups[-1].trainable_variables}
    head = {id(variable) for variable in model.layers[-1].weights}
    assert {id(variable) for variable in model.trainable_variables} <= last | head
    assert head < {id(variable) for variable in model.trainable_variables}


def test_a_signature_alone_can_be_frozen_and_not_trained(of_tf1):
    model = models.swap_head(tfxfer.load_backbone(f"hub:{of_tf1}"), tfxfer.heads.Linear(outputs=2))
    assert len(tfxfer.freeze(model, train="head").trained) == 1
    with pytest.raises(BackboneError, match="offers only a signature"):
        tfxfer.freeze(model, train="all")


def answers_elsewhere(saved_models, folder):
    """What SavedModels give for the file pixels.npy in a process that has neither tfxfer nor Keras."""
    code = """
import sys
sys.modules["tfxfer"] = sys.modules["keras"] = None
import numpy as np, tensorflow as tf
folder, *places = sys.argv[1:]
fractions = np.load(folder + "/pixels.npy").astype("float32") / 255
np.save(folder + "/logits.npy", [tf.saved_model.load(place)(fractions) for place in places])
"""
    command = [sys.executable, "-c", code, folder, *saved_models]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return np.load(folder / "logits.npy")


@pytest.fixture
def pixels(tmp_path) -> np.ndarray:
    """Six pictures of noise, which also lie in the file pixels.npy."""
    made = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    np.save(tmp_path / "pixels.npy", made)
    return made


@pytest.mark.slow
def test_a_tf1_module_from_a_shell_to_a_bundle_that_needs_it_no_more(program, colours, of_tf1, pixels, tmp_path):
    """Its variables are none of Keras's, and yet the exported function reads them."""
    module = shutil.copytree(of_tf1, tmp_path / "module")
    trained = program("train", f"--data=folder:{colours}", f"--backbone=hub:{module}", "--workdir=run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    shutil.rmtree(module)
    bundle = tmp_path / "run" / "bundle"
    (found,) = answers_elsewhere([bundle / "saved_model" / "1"], tmp_path)
    np.testing.assert_allclose(found, export.open_bundle(bundle).model(pixels), atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3
    assert main(["evaluate", f"--bundle={bundle}"]) == 0
    assert main(["predict", f"--bundle={bundle}", str(colours / "red" / "000.png")]) == 0


@pytest.mark.parametrize(
    "writer",
    [
        "with_table",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("tf1_with_table", "exported", "signature_with_table", "of_tf1")
        ),
    ],
)  # fmt: skip
def test_what_a_savedmodel_keeps_from_keras_is_in_the_bundle(writer, colours, pixels, request, tmp_path):
    """Words, tables and what fills them: none of it trains, and yet the answer hangs on it."""
    module = shutil.copytree(request.getfixturevalue(writer), tmp_path / "module")
    given = recipe(colours, f"hub:{module}", stages=(tfxfer.Stage(train="head", epochs=1, learning_rate=0.5),))
    report = tfxfer.run(given, workdir=tmp_path / "run", **QUIET)
    assert all(parity.largest_difference < 1e-5 for parity in report.export)
    shutil.rmtree(module)
    bundle, again = tmp_path / "run" / "bundle", tmp_path / "again"
    model = export.open_bundle(bundle).model
    saved_model.write(model, saved_model.Offer("logits", ("blue", "green", "red")), again)
    backbone = tfxfer.load_backbone(f"hub:{bundle}/saved_model/1")
    answers = [*answers_elsewhere([bundle / "saved_model" / "1", again], tmp_path), backbone.model(pixels)]
    for found in answers:
        np.testing.assert_allclose(found, model(pixels), atol=1e-5)
    if writer == "of_tf1":
        assert backbone.facts.card.parameters == 3 * 3 * 3 * 4 + 4 * 3 + 3


def test_text_and_video_and_pictures_are_told_apart(colours, tf1_text, tmp_path):
    import tensorflow as tf

    from . import conftest

    place = conftest.write_function(
        tmp_path / "text", lambda texts: tf.cast(tf.strings.length(texts), tf.float32)[:, None] * [1.0, 2.0],
        tf.TensorSpec([None], tf.string),
    )  # fmt: skip
    backbone = tfxfer.load_backbone(f"hub:{place}")
    assert (backbone.facts.card.takes, backbone.facts.channels, backbone.facts.feature_channels) == ("text", 0, 2)
    video = conftest.write_function(
        tmp_path / "video", lambda video: tf.reduce_mean(video, [1, 2, 3]), tf.TensorSpec([None, None, 24, 24, 3])
    )
    for kind, folder in (("text", place), ("text", tf1_text), ("video", video)):
        with pytest.raises(BackboneError, match=rf"takes {kind}, not pictures.* As a feature extractor"):
            tfxfer.run(recipe(colours, f"hub:{folder}"), workdir=tmp_path / "run", **QUIET)


def test_another_size_than_the_traced_one_is_refused(colours, reusable, tmp_path):
    with pytest.raises((BackboneError, ConfigError), match="24"):
        tfxfer.run(recipe(colours, f"hub:{reusable}", image_size=32), workdir=tmp_path / "run", **QUIET)


def test_the_flag_of_consent_reaches_the_scan(tmp_path):
    import tensorflow as tf

    from . import conftest

    def reads_a_file(images):
        length = tf.cast(tf.strings.length(tf.io.read_file("x")), tf.float32)
        return tf.reduce_mean(images, [1, 2]) + 0.0 * length

    spec = tf.TensorSpec([None, 24, 24, 3], tf.float32)
    place = conftest.write_function(tmp_path / "module", reads_a_file, spec)
    with pytest.raises(BackboneError, match="allow_unsafe_model_code"):
        tfxfer.load_backbone(f"hub:{place}")
    assert tfxfer.load_backbone(f"hub:{place}", allow_unsafe_model_code=True).model.output_shape == (None, 3)
    keras.backend.clear_session()


def test_what_cannot_train_is_planned_with_a_head_alone_and_other_plans_are_refused(colours, of_tf1, tmp_path):
    handle = f"hub:{of_tf1}"
    automatic = recipe(colours, handle, stages="auto")
    assert pipeline.prepare(automatic).plan.what.stages[0].trained == ()
    with pytest.raises(
        ConfigError, match=r"cannot train, only a head on its features\. Write --stages=feature_extraction"
    ):
        pipeline.prepare(recipe(colours, handle, stages="full"))


def test_a_link_out_of_the_folder_is_refused(reusable, tmp_path):
    folder = shutil.copytree(reusable, tmp_path / "linked")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "variables" / "y.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(BackboneError, match=r"variables/y\.txt is a link out of it"):
        tfxfer.load_backbone(f"hub:{folder}")


def test_features_are_float32_under_mixed_precision(reusable):
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        assert tfxfer.load_backbone(f"hub:{reusable}").model.outputs[0].dtype == "float32"
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


def test_what_cannot_train_has_a_head_that_trains_and_the_run_does_not_end_in_an_error(colours, of_tf1, tmp_path):
    """Behind the stages everything is to train again that can."""
    ready = pipeline.prepare(recipe(colours, f"hub:{of_tf1}", stages=(tfxfer.Stage(train="head", epochs=1),)))
    model = models.swap_head(ready.backbone, ready.plan.what.head)
    pixels = ready.examples.pixels(ready.plan.what.image_size, Framing())
    history = training.fit(model, ready.examples, pixels, ready.plan, tmp_path, tell=lambda *_: None)
    assert [stage.moved for stage in history.stages] == [2]
    assert {variable.path.split("/")[0] for variable in model.trainable_variables} == {"head_logits"}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_savedmodel_has_a_precision_of_its_own(colours, reusable, policy):
    with pytest.raises(ConfigError) as caught:
        pipeline.prepare(recipe(colours, f"hub:{reusable}", precision=policy), with_seconds=False)
    assert f"precision={policy}, and hub:{reusable} computes in a precision of its own" in str(caught.value)
    assert str(caught.value).endswith("Write --precision=float32, which leaves it as it is.")
