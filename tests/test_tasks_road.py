"""Each task through the whole road: train, report, bundle, export, predict, evaluate."""

import csv
import io
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tfxfer
from tfxfer import answers, assessment, export, exporting, files, inspection, values
from tfxfer.cli.main import main
from tfxfer.errors import BundleError, ConfigError, DataError
from tfxfer.evaluation import MeasuredLabels, MeasuredNumbers, MeasuredOrdinal, Report
from tfxfer.recipes import Data, Export
from tfxfer.tasks import Task

pytestmark = pytest.mark.usefixtures("plugin")
KINDS = ("multi_label", "regression", "ordinal")
STAGES = (tfxfer.Stage(train="head", epochs=12, learning_rate=0.3),)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pathlib.Path:
    """A table of 90 pictures of 24×24 pixels: which of two colours are in them, how bright they are, and a grade."""
    folder = tmp_path_factory.mktemp("table")
    generator = np.random.default_rng(0)
    rows = []
    for number in range(90):
        red, blue = generator.random(2) < 0.5
        bright = int(generator.integers(0, 3))
        pixels = generator.integers(0, 20, (24, 24, 3)) + 50 * bright
        pixels[..., 0] += 100 * red
        pixels[..., 2] += 100 * blue
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        tags = "|".join(name for name, there in (("red", red), ("blue", blue)) if there)
        grade = ("dark", "middling", "bright")[bright]
        rows.append([f"{number}.png", tags, int(red), int(blue), 1000 + 10 * bright, grade])
    with (folder / "t.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["image", "tags", "red", "blue", "lux", "grade"], *rows])
    return folder


def data_for(kind: str, folder: pathlib.Path) -> Data:
    asked = {
        "multi_label": {"label_column": "tags", "label_separator": "|"},
        "regression": {"label_column": "lux", "task": "regression"},
        "ordinal": {"label_column": "grade", "task": "ordinal", "class_order": ("dark", "middling", "bright")},
    }[kind]
    return Data(source=f"csv:{folder / 't.csv'}", **asked)


@pytest.fixture(scope="module")
def runs(plugin, table, tmp_path_factory):
    """A function that returns the workdir of a finished run of a task. Do not write into it."""
    done = {}

    def run(kind: str) -> pathlib.Path:
        if kind not in done:
            done[kind] = tmp_path_factory.mktemp("runs") / kind
            recipe = tfxfer.Recipe(data=data_for(kind, table), backbone="tiny:cnn", stages=STAGES, batch_size=16)
            tfxfer.run(recipe, workdir=done[kind], show=lambda line: None)
        return done[kind]

    return run


def report_of(workdir: pathlib.Path) -> Report:
    return values.from_json(Report, files.read_json(workdir / "report" / "report.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_measures_and_ships(runs, kind):
    workdir = runs(kind)
    report = report_of(workdir)
    assert report.data.task.kind == kind
    if kind == "multi_label":
        assert isinstance(report.test, MeasuredLabels)
        assert report.test.mean_average_precision > 0.8
        assert (workdir / "report" / "labels.png").stat().st_size > 0
    if kind == "regression":
        assert isinstance(report.test, MeasuredNumbers)
        (target,) = report.test.targets
        assert target.mae < 0.7 * target.mean_mae < 10
        assert (workdir / "report" / "scatter.png").stat().st_size > 0
    if kind == "ordinal":
        assert isinstance(report.test, MeasuredOrdinal)
        assert report.test.weighted_kappa > 0.5
    first, *_, last = report.history.stages[0].epochs
    assert last.loss < first.loss
    assert {one.format for one in report.export} == {"keras", "saved_model", "feature_vector"}
    card = (workdir / "bundle" / "README.md").read_text()
    title = {"multi_label": "Image tagger: 2 labels", "regression": "Image regression: 1 number"}
    assert title.get(kind, "Image classifier: 3 classes in order") in card


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_run_prints_its_report_again(runs, table, kind, capsys):
    recipe = tfxfer.Recipe(data=data_for(kind, table), backbone="tiny:cnn", stages=STAGES, batch_size=16)
    assert tfxfer.run(recipe, workdir=runs(kind)) == report_of(runs(kind))
    assert {"multi_label": "labels.png", "regression": "scatter.png"}.get(
        kind, "confusion.png"
    ) in capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_the_saved_model_says_what_the_network_means(runs, table, kind):
    bundle = export.open_bundle(runs(kind) / "bundle")
    pixels = np.stack([np.asarray(Image.open(table / f"{number}.png")) for number in range(5)])
    meant = answers.meant(bundle.model.predict_on_batch(pixels.astype(np.float32)), bundle.task)
    served = tf.saved_model.load(str(runs(kind) / "bundle" / "saved_model" / "1"))
    answer = served.signatures["serve_uint8"](images=tf.constant(pixels))
    name = "values" if kind == "regression" else "probabilities"
    np.testing.assert_allclose(answer[name], meant, rtol=1e-5, atol=1e-5)
    contents = [(table / f"{number}.png").read_bytes() for number in range(5)]
    np.testing.assert_allclose(served.signatures["serve_bytes"](image_bytes=tf.constant(contents))[name], answer[name])
    if kind == "regression":
        assert answer["labels"].numpy().tolist() == [b"lux"]
        assert np.all(answer["values"] > 900)
    if kind == "ordinal":
        np.testing.assert_allclose(answer["expected_rank"], answers.expected_ranks(meant), rtol=1e-5)
        assert answer["logits"].shape == (5, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_measured_again_it_is_the_same(runs, table, kind):
    assert assessment.assess(runs(kind) / "bundle") == report_of(runs(kind)).test
    everything = assessment.assess(runs(kind) / "bundle", f"csv:{table / 't.csv'}")
    assert everything.examples == 90


def test_a_bundle_of_labels_is_measured_on_columns_of_0_and_1_too(runs, table):
    bundle, source = runs("multi_label") / "bundle", f"csv:{table / 't.csv'}"
    assert assessment.assess(bundle, source, label_column="red,blue") == assessment.assess(bundle, source)


def test_a_test_set_may_lack_classes_of_an_order_and_must_not_have_others(runs, table, tmp_path):
    rows = list(csv.reader((table / "t.csv").read_text().splitlines()))
    for name, grade in (("some", "dark"), ("strange", "black")):
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            kept = [[str(table / row[0]), *row[1:]] for row in rows[1:] if row[5] == "dark"]
            csv.writer(stream).writerows([rows[0], *([*row[:5], grade] for row in kept)])
    bundle = runs("ordinal") / "bundle"
    assert assessment.assess(bundle, f"csv:{tmp_path / 'some.csv'}").examples == len(kept)
    with pytest.raises(DataError, match=r"classes that the network does not know: black\. .*It knows: dark, middling"):
        assessment.assess(bundle, f"csv:{tmp_path / 'strange.csv'}")


def predicted(workdir, table, capfdbinary, kind, *flags) -> str:
    words = [str(table / "0.png"), str(table / "1.png")]
    assert main(["predict", f"--bundle={workdir / 'bundle'}", *words, *flags]) == 0
    return capfdbinary.readouterr().out.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_in_the_words_of_the_task(runs, table, kind, capfdbinary):
    workdir = runs(kind)
    bundle = export.open_bundle(workdir / "bundle")
    pixels = np.stack([np.asarray(Image.open(table / f"{number}.png")) for number in range(2)])
    meant = answers.meant(bundle.model.predict_on_batch(pixels.astype(np.float32)), bundle.task)
    rows = list(csv.DictReader(io.StringIO(predicted(workdir, table, capfdbinary, kind, "--format=csv", "--top=all"))))
    records = [json.loads(line) for line in predicted(workdir, table, capfdbinary, kind, "--format=jsonl").splitlines()]
    lines = predicted(workdir, table, capfdbinary, kind).splitlines()
    for row, record, line, given in zip(rows, records, lines, meant, strict=True):
        if kind == "regression":
            assert float(row["lux"]) == pytest.approx(given[0], rel=1e-5)
            assert record["values"]["lux"] == pytest.approx(given[0], rel=1e-5)
            assert line.split(": lux ")[1] == f"{given[0]:.6g}"
            continue
        best = bundle.class_names[int(given.argmax())]
        assert (row["label_1"], record["predictions"][0]["label"]) == (best, best)
        assert float(row["probability_1"]) == pytest.approx(given.max(), abs=1e-5)
        if kind == "ordinal":
            rank = answers.expected_ranks(given[None])[0]
            assert float(row["expected_rank"]) == pytest.approx(rank, abs=1e-3)
            assert record["expected_rank"] == pytest.approx(rank, abs=1e-3)
            assert line.endswith(f"rank {rank:.2f} of 0 to 2")
        else:
            told = [bundle.class_names[place] for place in np.argsort(-given) if given[place] >= 0.5]
            assert row["labels"] == "|".join(told)
            assert record["labels"] == told
            assert all(name in line for name in told) if told else ": none (" in line


@pytest.mark.slow  # six formats of three networks
@pytest.mark.parametrize("kind", KINDS)
def test_every_format_holds_every_task(runs, kind, tmp_path):
    names = ("onnx", "litert", "litert_float16", "litert_dynamic", "litert_int8", "safetensors")
    report = exporting.export_again(
        runs(kind) / "bundle", Export(formats=names), output=tmp_path / "again", show=lambda line: None
    )
    # Of 18 test pictures one is more than the point by which these may be worse.
    assert {one.format for one in report.left_out} <= {"litert_dynamic", "litert_int8"}
    for one in report.export:
        if one.format != "feature_vector":
            assert (one.accuracy is None) == (kind == "regression") == (one.r2 is not None)
            assert one.limit is None or one.largest_difference <= one.limit  # of 1,000 ± 8, roundings included


def test_a_file_that_tells_other_numbers_is_left_out(runs, table, monkeypatch, tmp_path):
    from tfxfer.export import bundle as bundles
    from tfxfer.export import saved_model

    right = saved_model._answer
    wrong = {"multi_label": "probabilities", "regression": "values", "ordinal": "probabilities"}
    for kind, name in wrong.items():
        monkeypatch.setattr(
            saved_model, "_answer", lambda *given, name=name: {**(told := right(*given)), name: told[name] * 1.001}
        )
        report = exporting.export_again(runs(kind) / "bundle", Export(), output=tmp_path / kind, show=lambda line: None)
        assert "saved_model" in {one.format for one in report.left_out}, kind
    assert bundles.SCHEMA == 2


def test_bundles_of_tasks_are_not_opened_as_single_labels(runs, trained):
    schemas = [files.read_json(folder / "bundle" / "bundle.json") for folder in (trained, *map(runs, KINDS))]
    assert [index["schema"] for index in schemas] == [2, 3, 3, 3]
    assert "task" not in schemas[0]
    assert export.open_bundle(trained / "bundle").task == Task()
    assert export.open_bundle(runs("ordinal") / "bundle").task == Task(kind="ordinal")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"kind": "tags"}, r"bundle\.json: Task\.kind='tags' is not one of"),
        ({"kind": "regression", "means": [], "deviations": []}, "it names 1 targets and has the means of 0"),
        ({"kind": "regression", "means": [1.0], "deviations": [-1.0]}, "deviations above 0"),
        ({"kind": "ordinal"}, "it names 1 classes, and its network has 1 outputs"),
        (7, "is not Task"),
    ],
)
def test_a_bundle_with_a_task_that_cannot_be_is_refused(runs, tmp_path, task, message):
    bundle = shutil.copytree(runs("regression") / "bundle", tmp_path / "bundle")
    index = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**index, "task": task}))
    with pytest.raises(BundleError, match=message):
        export.open_bundle(bundle)


def test_arrays_of_numbers_are_learned_from_python(tmp_path):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (60, 24, 24, 3), dtype=np.uint8)
    targets = np.column_stack([images[..., 0].mean(axis=(1, 2)), generator.normal(size=60)])
    recipe = tfxfer.Recipe(
        data=Data(task="regression"),
        backbone="tiny:cnn",
        stages=(tfxfer.Stage(epochs=1),),
        head=tfxfer.heads.MLP(hidden=(4,)),
    )
    lines = []
    report = tfxfer.run(
        recipe, data=(images, targets), class_names=("red", "noise"), workdir=tmp_path / "run", show=lines.append
    )
    assert [target.name for target in report.test.targets] == ["red", "noise"]
    assert any("mae in deviations" in line for line in lines)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--label_column=tags", "--task=regression"), 1, "column tags: 'red' is no number"),
        (("--label_column=lux", "--label_separator=|"), 1, "label_separator='|' is in none of the cells, such as '10"),
        (("--label_column=grade", "--task=ordinal"), 1, "Say the order: --config.data.class_order=<lowest>,"),
        (("--label_column=lux,grade",), 1, "row 2: column lux: '1000' is neither 0 nor 1. Write one of them"),
        (
            ("--label_column=tags", "--label_separator=|", "--assert_accuracy_at_least=0.9"),
            2,
            "multi_label has no accuracy",
        ),
        (("--label_column=red", "--task=tags"), 2, "is not one of"),
    ],
)
def test_slips_are_answered_before_anything_trains(table, monkeypatch, tmp_path, flags, code, message, capsys):
    monkeypatch.chdir(table)
    asked = ["train", "--data=csv:t.csv", *flags, "--backbone=tiny:cnn", f"--workdir={tmp_path / 'run'}"]
    assert main(asked) == code
    captured = capsys.readouterr()
    assert message in captured.out + captured.err
    assert not list(tmp_path.rglob("*.*"))


def test_labels_are_measured_on_tables_of_other_kinds(runs, table, tmp_path):
    """Each image of a test may have one label, and what was trained from columns is measured on cells with several."""
    rows = list(csv.reader((table / "t.csv").read_text().splitlines()))[1:]
    names = [[str(table / row[0]), row[1]] for row in rows if row[1] in ("red", "blue")]
    with (tmp_path / "one.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["image", "tags"], *names])
    bundle = runs("multi_label") / "bundle"
    assert assessment.assess(bundle, f"csv:{tmp_path / 'one.csv'}").examples == len(names)
    columns = {"label_column": "red,blue"}
    flags = assessment.assess(bundle, f"csv:{table / 't.csv'}", **columns)
    recipe = files.read_json(bundle / "recipe.json")
    other = shutil.copytree(bundle, tmp_path / "other")
    recipe["data"] |= {"label_column": "red,blue", "label_separator": ""}
    files.write_json(other / "recipe.json", recipe)
    index = files.read_json(other / "bundle.json")
    index["files"]["recipe.json"] = files.sha256(other / "recipe.json")
    files.write_json(other / "bundle.json", index)
    asked = {"label_column": "tags", "label_separator": "|"}
    cells = assessment.assess(other, f"csv:{table / 't.csv'}", **asked)
    assert (cells.examples, cells.micro_f1) == (flags.examples, flags.micro_f1)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_of_each_task_are_averaged_over_views(runs, table, kind, capsys):
    measured = assessment.assess(runs(kind) / "bundle", tta=3)
    assert (measured.views, measured.examples) == (3, report_of(runs(kind)).test.examples)
    assert "by the mean over 3 views of each picture" in assessment.describe(measured)
    assert main(["predict", f"--bundle={runs(kind) / 'bundle'}", "--tta=3", str(table / "0.png")]) == 0
    assert "of 3 views of each picture: itself, and with" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_data_check_looks_at_every_task(table, kind):
    inspected, _ = inspection.inspect(data_for(kind, table), seed=0)
    assert (inspected.kind, inspected.images, sum(inspected.in_splits)) == (kind, 90, 90)
    assert (inspected.labels is not None, len(inspected.targets)) == (kind == "multi_label", kind == "regression")


def test_export_again_asks_no_accuracy_of_numbers(runs, tmp_path):
    with pytest.raises(ConfigError, match="task=regression has no accuracy"):
        exporting.export_again(
            runs("regression") / "bundle", Export(assert_accuracy_at_least=0.5), output=tmp_path / "again"
        )
