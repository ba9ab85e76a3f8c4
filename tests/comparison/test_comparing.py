"""Comparisons on three colours: what comes out, what a kill leaves, and what is refused."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from conftest import tiny_recipe

import tfxfer
from tfxfer import files, pipeline, values
from tfxfer.cli.main import main
from tfxfer.comparison import Comparison
from tfxfer.errors import ConfigError, TrainingError, WorkdirError

pytestmark = pytest.mark.usefixtures("plugin")
QUICK = (tfxfer.Stage(train="head", steps=4, learning_rate=0.5), tfxfer.Stage(train=1, steps=8, learning_rate=0.1))


@pytest.fixture(scope="module", autouse=True)
def short_export():
    """Runs end with as much of a bundle as says that they are finished; README's test has all of it."""

    def ship(model, prepared, pixels, report, workdir):
        for name in ("report", "bundle"):
            files.write_json(workdir / "bundle" / f"{name}.json", values.to_json(report))
        return report

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "_ship", ship)
        yield


@pytest.fixture(scope="module")
def compared(plugin, colours, tmp_path_factory):
    """The folder of a comparison with two seeds, its value, and the lines that it has shown. Do not write into it."""
    folder, lines = tmp_path_factory.mktemp("compared") / "run", []
    found = tfxfer.compare(tiny_recipe(colours, stages=QUICK), workdir=folder, seeds=(0, 3), show=lines.append)
    return folder, found, lines


def test_it_compares_pretrained_with_from_scratch_on_the_same_examples(compared):
    folder, found, lines = compared
    assert [one.name for one in found.contenders] == ["pretrained", "from scratch"]
    assert (found.examples, found.classes, found.steps, found.seeds) == ((42, 6, 12), 3, 12, (0, 3))
    assert [line for line in lines if line.startswith("run ")] == [
        "run 1 of 4: pretrained, seed 0",
        "run 2 of 4: from scratch, seed 0",
        "run 3 of 4: pretrained, seed 3",
        "run 4 of 4: from scratch, seed 3",
    ]
    reports = [json.loads(path.read_text()) for path in folder.glob("runs/*/*/report/report.json")]
    assert len(reports) == 4
    assert len({report["data"]["fingerprint"] for report in reports}) == 1  # seed 3 has the splits of seed 0
    assert {report["data"]["split"] for report in reports} == {"by content hash with seed 0, stratified"}


def test_every_run_makes_the_same_number_of_steps_and_is_measured_within_epochs(compared):
    _, found, _ = compared
    for contender in found.contenders:
        for outcome in contender.outcomes:
            assert [point.step for point in outcome.points] == list(range(1, 13))
            assert np.all(np.diff([point.seconds for point in outcome.points]) > 0)
        assert [point.step for point in contender.curve] == list(range(1, 13))
    plans = [json.loads((compared[0] / "runs" / name / "seed_0" / "plan.json").read_text()) for name in
             ("pretrained", "from scratch")]  # fmt: skip
    assert [[stage["steps"] for stage in plan["what"]["stages"]] for plan in plans] == [[4, 8], [12]]


def test_seeds_draw_other_numbers(compared):
    _, found, _ = compared
    for contender in found.contenders:
        losses = {tuple(point.accuracy for point in outcome.points) for outcome in contender.outcomes}
        assert len(losses) == 2 or contender.name == "pretrained"  # which may know the colours at once


def test_it_writes_table_curves_plot_and_page(compared):
    folder, found, _ = compared
    assert values.from_json(Comparison, json.loads((folder / "compared.json").read_text())) == found
    rows = list(csv.DictReader((folder / "compared.csv").read_text().splitlines()))
    assert len(rows) == 4 * 12
    assert rows[0]["contender"] == "pretrained"
    assert float(rows[0]["validation_accuracy"]) == found.contenders[0].outcomes[0].points[0].accuracy
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in (folder / "compared.html").read_text()


def test_differences_are_of_the_same_test_examples(compared):
    """The lists of what was told are compared one by one."""
    folder, found, _ = compared
    (difference,) = found.differences
    assert (difference.name, difference.seeds) == ("from scratch", (0, 3))
    rights = {}
    for name in ("pretrained", "from scratch"):
        rows = list(
            csv.DictReader((folder / "runs" / name / "seed_3" / "report" / "test.csv").read_text().splitlines())
        )
        rights[name] = np.array([row["class"] == row["told"] for row in rows])
    only = [(a & ~b).sum() for a, b in (list(rights.values()), list(rights.values())[::-1])]
    assert [difference.each[1].only_first, difference.each[1].only_second] == only
    assert difference.each[1].examples == 12
    assert found.contenders[1].test.value - found.contenders[0].test.value == pytest.approx(difference.mean.value)


def test_the_same_again_opens_nothing(compared, colours, tmp_path, monkeypatch):
    shutil.copytree(compared[0], tmp_path / "copy")
    monkeypatch.setattr(pipeline, "prepare", lambda *a, **k: pytest.fail("opened again"))
    recipe = tiny_recipe(colours, stages=QUICK)
    assert tfxfer.compare(recipe, workdir=tmp_path / "copy", seeds=(0, 3), show=lambda _: None) == compared[1]
    some = tfxfer.compare(recipe, workdir=tmp_path / "copy", seeds=(3,), reach=0.5, show=lambda _: None)
    assert (some.seeds, some.level, some.level_given) == ((3,), 0.5, True)
    assert some.contenders[0].outcomes == compared[1].contenders[0].outcomes[1:]


@pytest.mark.slow
def test_a_seed_more_trains_its_own_runs_and_no_others(compared, colours, tmp_path, monkeypatch):
    shutil.copytree(compared[0], tmp_path / "copy")
    recipe, ran, run = tiny_recipe(colours, stages=QUICK), [], pipeline.run

    def noting(recipe, **options):
        ran.append((options["workdir"].parent.name, (options["workdir"] / "bundle").exists()))
        return run(recipe, **options)

    monkeypatch.setattr(pipeline, "run", noting)
    found = tfxfer.compare(recipe, workdir=tmp_path / "copy", seeds=(3, 1), show=lambda _: None)
    assert ran == [("pretrained", True), ("from scratch", True), ("pretrained", False), ("from scratch", False)]
    assert found.seeds == (3, 1)


@pytest.mark.slow
def test_a_comparison_killed_between_runs_goes_on_and_ends_alike(compared, colours, tmp_path, monkeypatch):
    recipe, run, ran = tiny_recipe(colours, stages=QUICK), pipeline.run, []

    def killed(recipe, **options):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(options["workdir"])
        return run(recipe, **options)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            tfxfer.compare(recipe, workdir=tmp_path / "run", seeds=(0, 3), show=lambda _: None)
    assert not (tmp_path / "run" / "compared.json").exists()
    assert len(list(tmp_path.glob("run/runs/*/*/bundle"))) == 2
    found = tfxfer.compare(recipe, workdir=tmp_path / "run", seeds=(0, 3), show=lambda _: None)
    for one, other in zip(found.contenders, compared[1].contenders, strict=True):
        assert one.test == other.test
        for ours, theirs in zip(one.outcomes, other.outcomes, strict=True):
            assert [(p.step, p.accuracy) for p in ours.points] == [(p.step, p.accuracy) for p in theirs.points]


@pytest.mark.slow
def test_a_run_that_diverges_is_kept_as_diverged_and_the_others_go_on(colours, tmp_path, monkeypatch):
    one = (tfxfer.Stage(train="head", steps=4, learning_rate=0.1),)
    wild = (tfxfer.Stage(train="all", steps=4, learning_rate=10.0, clip_norm=None, warmup=0.0, schedule="constant"),)
    recipes = {
        "wild": tiny_recipe(colours, stages=wild, precision="float32", head=tfxfer.heads.MLP(hidden=(64, 64, 64))),
        "tame": tiny_recipe(colours, stages=one),
    }
    lines = []
    found = tfxfer.compare(recipes, workdir=tmp_path / "run", seeds=(0,), steps=30, show=lines.append)
    wild, tame = found.contenders
    assert "the loss of step" in wild.outcomes[0].diverged
    assert (wild.outcomes[0].points, wild.test, wild.curve) == ((), None, ())
    assert tame.test is not None
    assert found.differences == ()
    assert "diverged" in str(found)
    note = tmp_path / "run" / "runs" / "wild" / "seed_0.diverged.json"
    assert "the loss of step" in json.loads(note.read_text())["why"]
    values.from_json(Comparison, json.loads((tmp_path / "run" / "compared.json").read_text()))
    assert f"To train it again, remove {note}." in next(line for line in lines if line.startswith("  diverged: "))
    runs, again = [], {"workdir": tmp_path / "run", "seeds": (0,), "steps": 30, "show": lambda _: None}
    run = pipeline.run
    monkeypatch.setattr(pipeline, "run", lambda *a, **k: runs.append(k["workdir"].parent.name) or run(*a, **k))
    assert tfxfer.compare(recipes, **again) == found
    assert runs == ["tame"]
    for change in ({"data": "of others"}, {"versions": [["keras", "2.0"]]}):  # which may not diverge
        note.write_text(json.dumps({**json.loads(note.read_text()), **change}))
        runs.clear()
        tfxfer.compare(recipes, **again)
        assert runs == ["wild", "tame"]


def test_where_every_run_diverges_that_is_the_answer(colours, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "run", lambda *a, **k: (_ for _ in ()).throw(TrainingError("no number")))
    with pytest.raises(TrainingError, match="every run diverged; pretrained with seed 4: no number"):
        tfxfer.compare(tiny_recipe(colours, stages=QUICK), workdir=tmp_path / "run", seeds=(4,), show=lambda _: None)


def test_whether_there_must_be_something_to_go_on_with_is_asked_of_the_comparison(compared, colours, tmp_path):
    """Not of each run: after a kill some are there and others are not."""
    shutil.copytree(compared[0], tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "runs" / "pretrained")

    def again(resume, workdir):
        recipe = tiny_recipe(colours, stages=QUICK, running=tfxfer.Running(resume=resume))
        return tfxfer.compare(recipe, workdir=workdir, seeds=(0,), show=lambda _: None)

    assert again("must", tmp_path / "copy").contenders[0].test is not None
    with pytest.raises(WorkdirError, match="has no comparison that could go on"):
        again("must", tmp_path / "new")
    with pytest.raises(WorkdirError, match="has a comparison already"):
        again("never", tmp_path / "copy")


def test_a_folder_of_something_else_is_left_alone(colours, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(WorkdirError, match=r"is no comparison of tfxfer\. Choose another --workdir\."):
        tfxfer.compare(tiny_recipe(colours), workdir=tmp_path, show=lambda _: None)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_comparison_of_another_recipe_is_refused_with_the_differences(compared, colours):
    before = (compared[0] / "asked.json").read_bytes()
    other = tiny_recipe(colours, stages=QUICK, batch_size=4)
    with pytest.raises(WorkdirError, match=r"(?s)belongs to another recipe.*batch_size: 8 → 4"):
        tfxfer.compare(other, workdir=compared[0], seeds=(0, 3), show=lambda _: None)
    assert (compared[0] / "asked.json").read_bytes() == before


def test_a_damaged_folder_is_named(compared, colours, tmp_path):
    shutil.copytree(compared[0], tmp_path / "copy")
    asked = tmp_path / "copy" / "asked.json"
    asked.write_text(json.dumps({**json.loads(asked.read_text()), "decided": {"steps": 3}}))
    with pytest.raises(WorkdirError, match=r"asked\.json is damaged"):
        tfxfer.compare(tiny_recipe(colours, stages=QUICK), workdir=tmp_path / "copy", seeds=(0,), show=lambda _: None)


@pytest.mark.slow
def test_data_that_changes_between_runs_is_refused(colours, tmp_path, monkeypatch):
    """Of a run that was finished before and one that is new, nobody else would see it."""
    photos = tmp_path / "photos"
    shutil.copytree(colours, photos)
    recipe = tiny_recipe(photos, stages=QUICK)
    tfxfer.compare(recipe, workdir=tmp_path / "run", seeds=(0,), show=lambda _: None)
    (photos / "red" / "000.png").unlink()
    with pytest.raises(WorkdirError, match="the data changed between the runs"):
        tfxfer.compare(recipe, workdir=tmp_path / "run", seeds=(0, 1), show=lambda _: None)


def test_a_recipe_that_its_data_or_backbone_refuse_is_named(colours, tmp_path):
    recipes = {
        "good": tiny_recipe(colours, stages=QUICK),
        "bad": tiny_recipe(colours, stages=(dataclasses.replace(QUICK[1], train="stage9"),)),
    }
    with pytest.raises(ConfigError, match=r"^bad: .*stage9"):
        tfxfer.compare(recipes, workdir=tmp_path / "run", show=lambda _: None)
    assert not (tmp_path / "run" / "runs").exists()


def test_data_that_fails_leaves_the_folder_free_for_another_try(colours, tmp_path, capsys):
    """A class without pictures, say."""
    photos = tmp_path / "photos"
    shutil.copytree(colours / "red", photos / "red")
    (photos / "blue").mkdir()
    code, message = refused(capsys, f"--data=folder:{photos}", "--backbone=tiny:cnn", f"--workdir={tmp_path / 'run'}")
    assert code == 1
    assert "blue" in message
    assert list((tmp_path / "run").iterdir()) == []


def test_a_note_of_a_diverged_run_that_is_of_another_recipe_does_not_count(compared, colours, tmp_path):
    shutil.copytree(compared[0], tmp_path / "copy")
    note = tmp_path / "copy" / "runs" / "pretrained" / "seed_0.diverged.json"
    for content in ({"recipe": "of another", "why": "so"}, ["damaged"]):
        note.write_text(json.dumps(content))
        recipe = tiny_recipe(colours, stages=QUICK)
        found = tfxfer.compare(recipe, workdir=tmp_path / "copy", seeds=(0,), show=lambda _: None)
        assert found.contenders[0].outcomes[0].diverged == ""


@pytest.fixture
def config(colours, tmp_path):
    """Writes a config file of that name and returns its path."""

    def write(name, source=None, **fields):
        more = "".join(f", {field}={value}" for field, value in fields.items())
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            "from tfxfer import Recipe, Stage\n"
            f"def get_config():\n    return Recipe(data='{source or f'folder:{colours}'}', backbone='tiny:cnn', "
            f"batch_size=8{more})\n"
        )
        return str(path)

    return write


def test_the_program_compares_config_files(config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    head = config("head.py", stages="(Stage(train='head', steps=3),)")
    everything = config("all.py", stages="(Stage(train='all', steps=9),)")
    arguments = ["compare", f"--recipes={head},{everything}", "--seeds=5", "--steps=4", "--reach=0.999"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "run 2 of 2: all, seed 5" in shown.out
    assert "4 optimizer steps each, of 8 examples" in shown.out
    assert "all against head: " in shown.out
    assert "files: runs/compared/compared.html, compared.json, compared.csv, curves.png" in shown.out
    assert (tmp_path / "runs" / "compared" / "compared.html").exists()
    found = values.from_json(Comparison, json.loads((tmp_path / "runs" / "compared" / "compared.json").read_text()))
    assert (found.level, found.level_given) == (0.999, True)
    if all(step is None for one in found.contenders for step in one.reached.each):
        assert "No run reached 99.9 %; the highest measured was " in shown.out


def refused(capsys, *arguments):
    code = main(["compare", *arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    return code, captured.err


def test_recipes_that_cannot_be_are_all_named(config, capsys, tmp_path):
    (tmp_path / "broken.py").write_text("def get_config(:\n")
    good, twin = config("good.py"), config("more/good.py")
    code, message = refused(capsys, f"--recipes={good},{twin},{tmp_path / 'broken.py'},none.py,")
    assert code == 2
    assert "two files are called 'good', and contenders go by these names; rename one" in message
    assert "broken.py, line 1: SyntaxError" in message
    assert "the config file none.py cannot be read" in message
    assert "there is a comma too many" in message


def test_recipes_of_other_data_are_refused(config, capsys):
    code, message = refused(capsys, f"--recipes={config('one.py')},{config('two.py', source='folder:others')}")
    assert code == 2
    assert "'two' has other data or devices than 'one': data.source: " in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds="], "--seeds= is no list of whole numbers from 0 on. Write --seeds=0,1,2."),
        (["--seeds=a"], "--seeds=a is no list of whole numbers"),
        (["--seeds=-1"], "--seeds=-1 is no list of whole numbers"),
        (["--seeds=1,1"], "seeds 1, 1 name one twice"),
        (["--steps=many"], "--steps=many is no number. Write --steps=2000."),
        (["--reach=90"], "reach=90 is an accuracy, above 0 and at most 1, such as 0.9."),
        (["--stages=scratch"], "the recipe starts from random weights"),
        (["--recipes=one.py", "--config=two.py"], "--recipes and --config both name recipes."),
    ],
)
def test_flags_that_cannot_be(arguments, message, capsys):
    code, error = refused(capsys, "--data=folder:photos", *arguments)
    assert code == 2
    assert message in error


def test_without_data_there_is_nothing_to_compare(capsys):
    assert "the recipe names no data. Write --data=folder:photos." in refused(capsys)[1]
