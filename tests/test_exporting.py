"""A bundle is written again, in more formats; what fails is left out and said; what was there stays until then."""

import dataclasses
import json
import pathlib
import shutil
import tarfile

import keras
import numpy as np
import pytest
from conftest import tiny_recipe

import tfxfer
from tfxfer import assessment, export, exporting, files, formats, pipeline
from tfxfer.cli.main import main
from tfxfer.data import pictures
from tfxfer.data.rows import Rows
from tfxfer.errors import AccuracyError, BundleError, ConfigError, FormatError, WorkdirError
from tfxfer.export import bundle as bundles
from tfxfer.export import core
from tfxfer.export.formats import Subject
from tfxfer.recipes import Export


@pytest.fixture
def bundle(trained, tmp_path):
    """A copy of a bundle, which a test may replace."""
    return shutil.copytree(trained / "bundle", tmp_path / "run" / "bundle")


@pytest.fixture
def again(bundle):
    """A function that exports the bundle again and returns its report and the lines shown."""

    def export_again(asked=None, **settings):
        lines = []
        report = exporting.export_again(bundle, asked or Export(), show=lines.append, **settings)
        return report, lines

    return export_again


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def broken(monkeypatch, name, error):
    """Makes writing a format fail."""

    def fail(subject, path):
        path.write_text("half")
        raise error

    monkeypatch.setitem(bundles.FORMATS, name, dataclasses.replace(bundles.FORMATS[name], write=fail))


def test_more_formats_are_checked_on_the_images_it_was_trained_from(bundle, again, tmp_path):
    before = contents(bundle)
    asked = Export(formats=("safetensors", "keras", "safetensors"), hub_archive=str(tmp_path / "hub.tar.gz"))
    report, lines = again(asked, output=tmp_path / "new")
    assert [one.format for one in report.export] == ["keras", "saved_model", "feature_vector", "safetensors"]
    assert all(one.examples == 12 and one.agreement in (1, None) for one in report.export)
    assert lines[0] == "exported and read back, on 12 test examples:"
    assert contents(bundle) == before
    opened = export.open_bundle(tmp_path / "new")
    assert opened.class_names == ("blue", "green", "red")
    assert files.read_json(tmp_path / "new" / "report.json")["test"] == files.read_json(bundle / "report.json")["test"]
    assert "`weights/model.safetensors`" in (tmp_path / "new" / "README.md").read_text()
    with tarfile.open(tmp_path / "hub.tar.gz") as tar:
        assert "saved_model.pb" in tar.getnames()


@pytest.mark.usefixtures("keras_alone")
def test_it_is_replaced_only_on_request_and_only_by_a_complete_one(bundle, again, monkeypatch):
    before = contents(bundle)
    with pytest.raises(WorkdirError, match="exists and is not overwritten"):
        again()
    with monkeypatch.context() as patched:
        patched.setattr(bundles, "write_card", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            again(overwrite=True)
    assert contents(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    again(Export(formats=("safetensors",)), overwrite=True)
    assert (bundle / "weights" / "model.safetensors").is_file()
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    export.open_bundle(bundle)


@pytest.mark.usefixtures("keras_alone")
def test_a_rename_that_fails_brings_the_old_one_back(bundle, again, monkeypatch):
    before = contents(bundle)
    rename = type(bundle).replace

    def fail(self, target):
        if self.name.startswith(".tfxfer-") and target == bundle:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(type(bundle), "replace", fail)
    with pytest.raises(OSError, match="no"):
        again(overwrite=True)
    assert contents(bundle) == before


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_loaded(bundle, again, monkeypatch):
    monkeypatch.setattr(export, "open_bundle", lambda *_, **__: pytest.fail("the bundle is loaded first"))
    folder = "/proc/sys"  # which nobody can write, whoever runs this
    with pytest.raises(WorkdirError, match=rf"^{folder} cannot be written \(.*\)\. Choose another folder\.$"):
        again(output=pathlib.Path(folder) / "bundle")


def test_only_a_bundle_is_replaced(again, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(WorkdirError, match="is no bundle, and only a bundle is replaced"):
        again(output=tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_a_format_that_cannot_be_written_is_left_out_and_said(again, tmp_path, monkeypatch):
    broken(monkeypatch, "safetensors", FormatError("layer 'head_logits': no op for that."))
    report, lines = again(Export(formats=("safetensors",)), output=tmp_path / "new")
    assert [one.format for one in report.left_out] == ["safetensors"]
    assert "not exported: safetensors: layer 'head_logits': no op for that." in lines
    assert not (tmp_path / "new" / "weights").exists()
    assert "Not here: safetensors. layer 'head_logits': no op for that." in (tmp_path / "new" / "README.md").read_text()
    index = files.read_json(tmp_path / "new" / "bundle.json")
    assert list(index["formats"]) == ["keras", "saved_model", "feature_vector"]
    assert index["files"].keys() == contents(tmp_path / "new").keys() - {"bundle.json"}
    export.open_bundle(tmp_path / "new")


@pytest.mark.usefixtures("keras_alone")
def test_a_converter_that_fails_in_its_own_way_costs_its_format_alone(again, tmp_path, monkeypatch):
    broken(monkeypatch, "safetensors", KeyError("op"))
    report, _ = again(Export(formats=("safetensors",)), output=tmp_path / "new")
    assert [one.reason for one in report.left_out] == ["it cannot be written or read (KeyError: 'op')"]
    broken(monkeypatch, "safetensors", OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space"):
        again(Export(formats=("safetensors",)), output=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_archive_of_a_saved_model_that_is_not_there_is_left_out_too(again, tmp_path, monkeypatch):
    fails = dataclasses.replace(core.CORE["saved_model"], write=lambda subject, path: 1 / 0)
    monkeypatch.setitem(core.CORE, "saved_model", fails)
    report, _ = again(Export(hub_archive=str(tmp_path / "hub.tar.gz")), output=tmp_path / "new")
    assert [one.format for one in report.left_out] == ["saved_model", "hub_archive"]
    card = (tmp_path / "new" / "README.md").read_text()
    assert "saved_model/1" not in card.replace("Not here: saved_model", "")
    assert "feature_vector/1" in card
    assert not (tmp_path / "hub.tar.gz").exists()


@pytest.mark.usefixtures("keras_alone")
def test_a_format_beyond_its_limit_is_left_out(again, tmp_path, monkeypatch):
    kind = bundles.FORMATS["safetensors"]
    wrong = dataclasses.replace(
        kind, opened=lambda path, subject: lambda pictures: kind.opened(path, subject)(pictures) + 1e-3
    )
    monkeypatch.setitem(bundles.FORMATS, "safetensors", wrong)
    report, _ = again(Export(formats=("safetensors",)), output=tmp_path / "new")
    assert "probabilities differ by up to 0.001, allowed are 1e-05" in report.left_out[0].reason
    assert not (tmp_path / "new" / "weights").exists()


@pytest.mark.usefixtures("keras_alone")
def test_only_what_is_looked_at_is_decoded(bundle, again, tmp_path, monkeypatch):
    render, decoded = pictures.render, []

    def counted(some, *rest):
        decoded.append(len(some))
        render(some, *rest)

    monkeypatch.setattr(pictures, "render", counted)
    monkeypatch.setattr(formats, "REPRESENTATIVE", 5)
    report, _ = again(Export(formats=("safetensors",)), output=tmp_path / "new")
    assert decoded == [5 + 12]
    assert report.export[0].examples == 12
    decoded.clear()
    assessment.assess(bundle)
    assert decoded == [12]


@pytest.mark.usefixtures("keras_alone")
def test_new_images_serve_to_check_where_the_old_ones_are_gone(bundle, again, colours, tmp_path, monkeypatch):
    recipe = files.read_json(bundle / "recipe.json")
    recipe["data"]["source"] = "folder:/gone"
    files.write_json(bundle / "recipe.json", recipe)
    index = files.read_json(bundle / "bundle.json")
    index["files"]["recipe.json"] = files.sha256(bundle / "recipe.json")
    files.write_json(bundle / "bundle.json", index)
    with pytest.raises(tfxfer.errors.DataError, match="/gone"):
        again(output=tmp_path / "new")
    seen = []

    def write(subject, path):
        seen.append(subject.representative)
        bundles.FORMATS["safetensors"].write(subject, path)

    kind = dataclasses.replace(
        bundles.FORMATS["litert_int8"], write=write, opened=bundles.FORMATS["safetensors"].opened
    )
    monkeypatch.setitem(bundles.FORMATS, "litert_int8", kind)
    monkeypatch.setattr(formats, "REPRESENTATIVE", 10)
    report, _ = again(Export(formats=("litert_int8",)), output=tmp_path / "new", source=f"folder:{colours}")
    assert seen[0].shape == (10, 24, 24, 3)
    # Blue, green and red, in the order of their classes, are three or four each.
    brightest = seen[0].reshape(10, -1, 3).mean(axis=1).argmax(axis=1)
    assert sorted(np.bincount(brightest, minlength=3)) == [3, 3, 4]
    assert report.export[0].examples == 50
    report, _ = again(Export(formats=("safetensors",)), output=tmp_path / "all", source=f"folder:{colours}")
    assert report.export[0].examples == 60


def test_a_damaged_bundle_is_not_exported(bundle, again, tmp_path):
    (bundle / "labels.txt").write_text("x")
    with pytest.raises(BundleError, match=r"altered \['labels\.txt'\]"):
        again(output=tmp_path / "new")


def test_a_bar_that_is_missed_exports_nothing(again, tmp_path, colours):
    wrong = shutil.copytree(colours, tmp_path / "wrong")
    (wrong / "red" / "blue.png").write_bytes(next((wrong / "blue").iterdir()).read_bytes())
    with pytest.raises(AccuracyError, match="at least 100 % was asked for") as caught:
        again(Export(assert_accuracy_at_least=1.0), output=tmp_path / "new", source=f"folder:{wrong}")
    assert caught.value.exit_code == 3
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("keras_alone")
def test_a_run_below_the_bar_has_a_report_and_no_bundle_and_ends_when_the_bar_is_lowered(colours, tmp_path, plugin):
    recipe = tiny_recipe(colours, stages=(tfxfer.Stage(train="head", steps=1, learning_rate=1e-6),))
    barred = dataclasses.replace(recipe, export=Export(assert_accuracy_at_least=0.99))
    for _ in range(2):  # the second time from the checkpoint
        with pytest.raises(AccuracyError, match=r"the accuracy on 12 test examples is .* at least 99 % was asked for"):
            tfxfer.run(barred, workdir=tmp_path / "run", show=lambda line: None)
        assert not (tmp_path / "run" / "bundle").exists()
        assert json.loads((tmp_path / "run" / "report" / "report.json").read_text())["test"]["examples"] == 12
    lines = []
    tfxfer.run(recipe, workdir=tmp_path / "run", show=lines.append)
    assert (tmp_path / "run" / "bundle" / "bundle.json").is_file()
    more = dataclasses.replace(recipe, export=Export(formats=("onnx",)))
    pipeline.run(more, workdir=tmp_path / "run", show=lines.append)
    assert lines[-1] == (
        f"It does not have onnx. Type: tfxfer export --bundle={tmp_path}/run/bundle --overwrite --formats=onnx"
    )


@pytest.mark.usefixtures("keras_alone")
def test_a_finished_run_below_a_bar_is_told_too_and_an_archive_that_is_not_there(colours, tmp_path, plugin):
    recipe = tiny_recipe(colours, stages=(tfxfer.Stage(train="head", steps=1, learning_rate=1e-6),))
    lines = []
    tfxfer.run(recipe, workdir=tmp_path / "run", show=lines.append)
    asked = Export(assert_accuracy_at_least=0.99, hub_archive=str(tmp_path / "hub.tar.gz"))
    with pytest.raises(AccuracyError, match="bundle is from before that was asked"):
        tfxfer.run(dataclasses.replace(recipe, export=asked), workdir=tmp_path / "run", show=lines.append)
    assert lines[-1] == (
        f"There is no {tmp_path}/hub.tar.gz. Type: tfxfer export --bundle={tmp_path}/run/bundle --overwrite "
        f"--hub_archive={tmp_path}/hub.tar.gz"
    )


@pytest.mark.usefixtures("keras_alone")
def test_what_a_bundle_has_stays_in_it_when_more_is_asked_for(bundle, again, monkeypatch):
    again(Export(formats=("safetensors",)), overwrite=True)
    kind = bundles.FORMATS["safetensors"]
    monkeypatch.setitem(bundles.FORMATS, "onnx", dataclasses.replace(kind, name="onnx", file="onnx/model.onnx"))
    report, _ = again(Export(formats=("onnx",)), overwrite=True)
    assert [one.format for one in report.export] == ["keras", "safetensors", "onnx"]


def test_an_archive_within_what_is_written_as_a_whole_is_refused(bundle, again):
    before = contents(bundle)
    with pytest.raises(WorkdirError, match="would lie in"):
        again(Export(hub_archive=str(bundle / "hub.tar.gz")), overwrite=True)
    assert contents(bundle) == before


@pytest.mark.usefixtures("keras_alone")
def test_a_bundle_named_by_a_link_or_a_dot_is_replaced_where_it_lies(bundle, again, tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(bundle)
    again(output=link, overwrite=True)
    assert link.is_symlink()
    monkeypatch.chdir(bundle)
    exporting.export_again(pathlib.Path("."), Export(), overwrite=True, show=lambda line: None)
    monkeypatch.undo()
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    export.open_bundle(bundle)


def test_an_archive_that_is_there_is_said_before_anything_trains(colours, tmp_path, plugin):
    (tmp_path / "hub.tar.gz").write_text("mine")
    recipe = tiny_recipe(colours, export=Export(hub_archive=str(tmp_path / "hub.tar.gz")))
    with pytest.raises(WorkdirError, match=r"hub\.tar\.gz exists"):
        tfxfer.run(recipe, workdir=tmp_path / "run", show=lambda line: None)
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"formats": ("onxx",)}, r"formats: 'onxx' is none of .* Did you mean 'onnx'\?"),
        ({"assert_accuracy_at_least": 90.0}, "must be a share from 0 to 1, such as 0.9"),
        ({"hub_archive": "model.zip"}, r"must end with \.tar\.gz"),
    ],
)
def test_bad_values_are_answered(settings, message):
    with pytest.raises(ConfigError, match=message):
        Export(**settings)


def test_a_missing_package_is_said_with_what_to_type(monkeypatch, colours, plugin):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"onnx \(for onnx\).*Type: pip install 'tfxfer\[export\]'"):
        tfxfer.run(tiny_recipe(colours, export=Export(formats=("onnx",))), workdir="never")


@pytest.mark.usefixtures("keras_alone")
def test_exit_codes(bundle, colours, tmp_path, monkeypatch, capsys):
    broken(monkeypatch, "safetensors", FormatError("no op for that."))
    asked = [f"--bundle={bundle}", "--formats=safetensors", f"--output={tmp_path}/new"]
    assert main(["export", *asked]) == 1
    assert "not exported: safetensors: no op for that." in capsys.readouterr().out
    train = ["train", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--stages=feature_extraction"]
    assert main([*train, "--formats=safetensors", f"--workdir={tmp_path}/run"]) == 1
    wrong = shutil.copytree(colours, tmp_path / "wrong")
    (wrong / "red" / "blue.png").write_bytes(next((wrong / "blue").iterdir()).read_bytes())
    barred = ["--assert_accuracy_at_least=1", f"--data=folder:{wrong}", f"--output={tmp_path}/barred"]
    assert main(["export", f"--bundle={bundle}", *barred]) == 3
    assert "at least 100 % was asked for" in capsys.readouterr().err


@pytest.mark.slow
def test_an_op_that_no_other_runtime_has_costs_its_formats_alone(tmp_path):
    """Of Keras, TensorFlow and the SavedModel it is none; ONNX Runtime has it not."""
    inputs = keras.Input((24, 24, 3))
    patches = keras.ops.image.extract_patches(inputs, 8)
    odd = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(patches)))
    pixels = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    rows = Rows(pixels, np.zeros(6, np.int32), np.arange(6), 3)
    subject = Subject(odd, ("a", "b", "c"), pixels)
    found, left_out = bundles._exported_each(subject, [core.CORE["keras"], bundles.FORMATS["onnx"]], rows, tmp_path)
    assert [one.format for one in found] + [one.format for one in left_out] == ["keras", "onnx"]


@pytest.mark.slow
def test_from_a_shell(program, bundle, tmp_path):
    done = program("export", f"--bundle={bundle}", "--formats=safetensors", f"--output={tmp_path}/new")
    assert done.returncode == 0, done.stderr
    assert "weights/model.safetensors" in done.stdout
    done = program("export", f"--bundle={bundle}")
    assert done.returncode == 1
    assert "or --overwrite to replace it" in done.stderr
    done = program("export", f"--bundle={bundle}", "--formats=onxx", f"--output={tmp_path}/other")
    assert done.returncode == 2
    assert "Did you mean 'onnx'?" in done.stderr
