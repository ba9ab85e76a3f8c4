"""The whole road on three colours: run, run again, stop and go on."""

import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
from conftest import tiny_recipe

import tfxfer
from tfxfer import augmentation, pipeline, plans, training
from tfxfer.errors import DataError, WorkdirError

pytestmark = pytest.mark.usefixtures("plugin")


def quiet(_line):
    pass


def weights_of(workdir):
    return [v.numpy() for v in keras.models.load_model(workdir / "bundle" / "model.keras").variables]


def assert_same_weights(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_learns_measures_and_ships(trained):
    report = json.loads((trained / "report" / "report.json").read_text())
    assert report["test"]["examples"] == 12
    assert report["test"]["accuracy"] == 1.0
    assert report["test"]["accuracy_interval"][0] == pytest.approx(0.7575, abs=1e-3)  # Wilson, 12 of 12
    assert [stage["name"] for stage in report["train"]["stages"]] == ["1 head", "2 stage3.block1"]
    assert report["train"]["seconds"] < report["seconds"]
    assert {p["file"] for p in report["export"]} == {"model.keras", "saved_model/1", "feature_vector/1"}
    assert report == json.loads((trained / "bundle" / "report.json").read_text())
    for file in ("plan.txt", "plan.json", "recipe.json", "report/confusion.png", "report/curves.png"):
        assert (trained / file).stat().st_size > 0


def test_two_workdirs_end_in_the_same_bits(trained, colours, tmp_path, keras_alone):
    tfxfer.run(tiny_recipe(colours), workdir=tmp_path / "again", show=quiet)
    assert_same_weights(trained, tmp_path / "again")


def test_another_seed_ends_elsewhere(trained, colours, tmp_path, keras_alone):
    """The canary of the test above: equal weights there are no accident."""
    tfxfer.run(tiny_recipe(colours, seed=1), workdir=tmp_path / "other", show=quiet)
    assert any(
        not np.array_equal(a, b) for a, b in zip(weights_of(trained), weights_of(tmp_path / "other"), strict=True)
    )


def test_a_finished_workdir_gives_its_report_without_training(trained, colours, tmp_path, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / "report" / "report.json").unlink()  # as if killed between bundle and report
    monkeypatch.setattr(training, "fit", lambda *a, **k: pytest.fail("trained again"))
    lines = []
    report = tfxfer.run(tiny_recipe(colours), workdir=copy, show=lines.append)
    assert report.test.accuracy == 1.0
    assert "is finished" in lines[0]
    assert (copy / "report" / "report.json").exists()


def test_a_run_stopped_between_stages_goes_on_and_ends_in_the_same_bits(
    trained, colours, tmp_path, monkeypatch, keras_alone
):
    workdir = tmp_path / "stopped"
    run_stage = training.fit.__globals__["run_stage"]
    started = []

    def stopping(model, number, *rest, **options):
        started.append(number)
        if number == 1 and len(started) == 2:
            raise KeyboardInterrupt
        return run_stage(model, number, *rest, **options)

    monkeypatch.setitem(training.fit.__globals__, "run_stage", stopping)
    with pytest.raises(KeyboardInterrupt):
        tfxfer.run(tiny_recipe(colours), workdir=workdir, show=quiet)
    assert not (workdir / "bundle").exists()
    tfxfer.run(tiny_recipe(colours), workdir=workdir, show=quiet)
    assert started == [0, 1, 1]
    assert_same_weights(trained, workdir)


def test_a_damaged_checkpoint_is_named(trained, colours, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    shutil.rmtree(copy / "bundle")
    weights = next((copy / "checkpoints").glob("*.h5"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(WorkdirError, match=r"missing or damaged\. Remove .* to train from the start"):
        tfxfer.run(tiny_recipe(colours), workdir=copy, show=quiet)


def test_a_workdir_of_another_recipe_is_refused_with_the_differences(trained, colours):
    stages = (tfxfer.Stage(train="head", epochs=4, learning_rate=0.5), tiny_recipe(colours).stages[1])
    other = tiny_recipe(colours, stages=stages, seed=5)
    with pytest.raises(WorkdirError, match=r"(?s)belongs to another recipe.*stages\[0\]\.epochs: 3 → 4.*seed: 0 → 5"):
        tfxfer.run(other, workdir=trained, show=quiet)


def test_a_folder_with_something_else_in_it_is_left_alone(colours, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WorkdirError, match="is no run of tfxfer"):
        tfxfer.run(tiny_recipe(colours), workdir=tmp_path, show=quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_data_that_fails_leaves_the_workdir_free_for_another_try(colours, tmp_path, keras_alone):
    with pytest.raises(DataError):
        tfxfer.run(tiny_recipe(tmp_path / "nowhere"), workdir=tmp_path / "run", show=quiet)
    tfxfer.run(tiny_recipe(colours), workdir=tmp_path / "run", show=quiet)


def test_data_that_changed_since_the_run_began_is_refused(colours, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    shutil.copytree(colours, photos)
    monkeypatch.setattr(pipeline, "_measure", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tfxfer.run(tiny_recipe(photos), workdir=tmp_path / "run", show=quiet)
    monkeypatch.undo()
    (photos / "red" / "000.png").unlink()
    with pytest.raises(WorkdirError, match="another plan"):
        tfxfer.run(tiny_recipe(photos), workdir=tmp_path / "run", show=quiet)


def test_pixels_on_disk_train_as_those_in_memory(trained, colours, tmp_path, monkeypatch, keras_alone):
    monkeypatch.setitem(plans.resolve.__globals__, "_MEMORY_SHARE", 1e-12)
    lines = []
    tfxfer.run(tiny_recipe(colours), workdir=tmp_path / "run", show=lines.append)
    assert "in disk" in lines[0]
    assert (tmp_path / "run" / "cache" / "pixels.npy").exists()
    # Without room in memory nothing is cached either, and a prefix computed within a step may round otherwise.
    for a, b in zip(weights_of(trained), weights_of(tmp_path / "run"), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_arrays_from_python_train_as_files_do(tmp_path, keras_alone):
    from tfxfer.testing import COLOURS

    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    centres = np.array(list(COLOURS.values()))[labels]
    images = np.clip(centres[:, None, None, :] + generator.normal(0, 25, (60, 24, 24, 3)), 0, 255).astype(np.uint8)
    recipe = tiny_recipe(pathlib.Path("unused"), data="arrays:")
    report = tfxfer.run(recipe, workdir=tmp_path / "run", data=(images, labels), class_names=list(COLOURS), show=quiet)
    assert report.test.accuracy == 1.0
    assert [result.name for result in report.test.classes] == list(COLOURS)


def test_a_dataset_trains_as_its_arrays_do(tmp_path, keras_alone):
    import tensorflow as tf

    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(2), 12)
    images = np.where(labels[:, None, None, None] == 0, 40, 200) + generator.integers(0, 20, (24, 24, 24, 1))
    dataset = tf.data.Dataset.from_tensor_slices((images.astype(np.uint8), labels))
    recipe = tiny_recipe(pathlib.Path("unused"), data="arrays:")
    # One digest of data and plan is one result: `test_two_workdirs_end_in_the_same_bits`.
    planned = [
        pipeline.prepare(recipe, data=data, with_seconds=False).plan.digest
        for data in ((images.astype(np.uint8), labels), dataset, dataset.batch(5))
    ]
    assert planned[0] == planned[1] == planned[2]
    assert tfxfer.run(recipe, workdir=tmp_path / "run", data=dataset.batch(5), show=quiet).plan == planned[0]


def test_scratch_does_not_start_from_the_pretrained_weights(colours):
    digests = [
        pipeline.prepare(tiny_recipe(colours, stages=stages), with_seconds=False).plan.what.weights_digest
        for stages in ("full", "scratch", "scratch")
    ]
    assert digests[0] != digests[1] == digests[2]


def test_resume_says_whether_a_run_must_or_must_not_be_there(trained, colours, tmp_path):
    def recipe(resume):
        return tiny_recipe(colours, running=tfxfer.Running(resume=resume))

    with pytest.raises(WorkdirError, match="no run that could go on"):
        tfxfer.run(recipe("must"), workdir=tmp_path / "new", show=quiet)
    assert not (tmp_path / "new").exists()
    with pytest.raises(WorkdirError, match="has a run already"):
        tfxfer.run(recipe("never"), workdir=trained, show=quiet)
    assert tfxfer.run(recipe("must"), workdir=trained, show=quiet).test.examples


def test_a_run_from_before_presets_goes_on_with_its_one_view(plugin, colours):
    def planned(before=None, seed=0, **asked):
        augment, stages = augmentation.Augment(rotation=20.0, **asked), (tfxfer.Stage(epochs=8),)
        recipe = tiny_recipe(colours, augment=augment, stages=stages, seed=seed)
        return pipeline.prepare(recipe, with_seconds=False, before=before).plan

    began, anew = planned(views=1), planned()
    assert anew.what.stages[0].views == 4
    assert planned(before=began).digest == began.digest != anew.digest
    assert planned(before=began, seed=1).what.stages[0].views == 4
