"""Runs with a budget: what is decided once stays decided. The race itself is in `test_racing`."""

import dataclasses
import json

import pytest
import sample_facts
from conftest import tiny_recipe
from sample_measurements import candidate, measured, race
from stripes import stripes, write_pictures

import tfxfer
from tfxfer import files, folders, pipeline, values
from tfxfer.advice import asking, concluding, measuring, racing
from tfxfer.advice.result import Advice
from tfxfer.advice.running import decided
from tfxfer.cli.main import main
from tfxfer.errors import ConfigError, WorkdirError
from tfxfer.recipes import Backbone

pytestmark = pytest.mark.usefixtures("plugin")


def _advice(stages: str = "feature_extraction") -> Advice:
    winner = candidate("head", "the head alone", 0.9, change=f"--stages={stages}", share=1, whole_seconds=2)
    raced = race(winner, budget=60, ended="there was no other")
    return Advice(
        data=sample_facts.data_facts(),
        backbone="tiny:cnn",
        measured=measured(),
        verdict="transfer_helps",
        quarter="",
        conclusions=concluding.conclude(measured(), raced) if stages else (concluding.conclude(measured())[0],),
        at="",
        stages=stages,
        race=raced if stages else None,
    )


@pytest.fixture
def asked(monkeypatch) -> list[tfxfer.Recipe]:
    """Has advice at hand, and notes for which recipes somebody asks."""
    recipes = []

    def advise(recipe, **_others):
        recipes.append(recipe)
        return _advice()

    monkeypatch.setattr(asking, "advise", advise)
    return recipes


def _recipe(colours, **changes) -> tfxfer.Recipe:
    return tiny_recipe(colours, **{"stages": "auto", "budget": 60.0, **changes})


def test_a_killed_run_does_not_race_again_and_trains_the_winner(asked, colours, tmp_path, monkeypatch):
    recipe, shown = _recipe(colours), []
    begin = pipeline._begin

    def killed(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_begin", killed)
    with pytest.raises(KeyboardInterrupt):
        tfxfer.run(recipe, workdir=tmp_path / "run", show=shown.append)
    assert asked == [recipe]
    monkeypatch.setattr(pipeline, "_begin", begin)
    tfxfer.run(recipe, workdir=tmp_path / "run", show=shown.append)
    assert asked == [recipe]
    assert f"{tmp_path / 'run' / 'advice.json'} says how to train; nothing races again." in shown
    plan = files.read_json(tmp_path / "run" / "plan.json")
    assert [stage["name"] for stage in plan["what"]["stages"]] == ["1 head"]
    assert plan["reasons"][0].startswith(
        "stages feature_extraction: Train the head alone (--stages=feature_extraction): no other could race. Because "
        "it alone came to race: 90.0 %"
    )
    assert plan["reasons"][0] in (tmp_path / "run" / "plan.txt").read_text().replace("\n", " ")
    written = files.read_json(tmp_path / "run" / "recipe.json")
    assert (written["stages"], written["budget"]) == ("auto", 60.0)
    report = tfxfer.run(recipe, workdir=tmp_path / "run", show=shown.append)  # that of the finished one
    assert report.strategy == plan["reasons"][0]
    assert asked == [recipe]


@pytest.mark.slow
def test_train_races_and_trains_what_won(tmp_path, capsys):
    folder, workdir = write_pictures(tmp_path / "stripes", *stripes()), tmp_path / "run"
    command = ["train", f"--data=folder:{folder}", "--backbone=tiny:cnn", f"--workdir={workdir}", "--budget=300"]
    assert main([*command, "--batch_size=16"]) == 0
    shown = capsys.readouterr().out
    assert "… race: head, rung 1 of " in shown
    assert "← won" in shown
    advice = values.from_json(Advice, files.read_json(workdir / "advice.json"))
    report = files.read_json(workdir / "report" / "report.json")
    assert report["strategy"].startswith(f"stages {advice.stages}: Train {advice.race.candidates[0].words} (--stages=")
    assert advice.race.seconds <= 300
    assert (workdir / "advice.txt").read_text().strip() in shown
    recipe = files.read_json(workdir / "bundle" / "recipe.json")
    assert (recipe["stages"], recipe["backbone"]["at"], recipe["budget"]) == (advice.stages, advice.at, None)


def test_another_budget_goes_on_in_the_same_folder(asked, colours, tmp_path, monkeypatch):
    """So that whoever was told that it is too small can give more."""

    def too_small(recipe, **_others):
        asked.append(recipe)
        raise ConfigError("budget=1 seconds is too small for a single candidate")

    monkeypatch.setattr(asking, "advise", too_small)
    for budget in (1.0, 2.0):
        with pytest.raises(ConfigError, match="too small"):
            tfxfer.run(_recipe(colours, budget=budget), workdir=tmp_path / "run", show=lambda line: None)
    assert [recipe.budget for recipe in asked] == [1.0, 2.0]
    assert not (tmp_path / "run" / "recipe.json").exists()
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(values.to_json(_recipe(colours))))
    (tmp_path / "run" / "advice.json").write_text("{}")
    with pytest.raises(WorkdirError, match=r"damaged or of another version .* Remove it to race again"):
        tfxfer.run(_recipe(colours), workdir=tmp_path / "run", show=lambda line: None)
    with pytest.raises(WorkdirError, match=r"budget: 60\.0 → None"):
        folders.check_workdir(tmp_path / "run", _recipe(colours, budget=None))


def test_a_refused_race_keeps_what_was_measured_and_leaves_the_folder_free(tmp_path, monkeypatch):
    measure, measurements = measuring.measure, []

    def counted(*arguments, **others):
        measurements.append(arguments)
        return measure(*arguments, **others)

    def refused(*_arguments, **_others):
        raise ConfigError("budget=1 seconds is too small for a single candidate")

    monkeypatch.setattr(measuring, "measure", counted)
    monkeypatch.setattr(racing, "race", refused)
    recipe = tfxfer.Recipe(backbone="tiny:cnn", image_size=24, batch_size=16, budget=1.0)
    for asked, times in ((recipe, 1), (dataclasses.replace(recipe, budget=2.0), 1), (recipe, 1)):
        shown = []
        with pytest.raises(ConfigError, match="too small"):
            tfxfer.run(asked, data=stripes(), workdir=tmp_path / "run", show=shown.append)
        assert len(measurements) == times
        assert any("what was measured before it:\n\ndata " in line for line in shown)
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["cache"]
    other = dataclasses.replace(recipe, seed=1)
    with pytest.raises(ConfigError, match="too small"):
        tfxfer.run(other, data=stripes(), workdir=tmp_path / "run", show=lambda line: None)
    assert len(measurements) == 2
    (tmp_path / "run" / "cache" / "measured.json").write_text("{")
    with pytest.raises(ConfigError, match="too small"):
        tfxfer.run(other, data=stripes(), workdir=tmp_path / "run", show=lambda line: None)
    assert len(measurements) == 3


def test_a_run_with_a_budget_that_bad_images_ended_goes_on_without_them_in_the_same_folder(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(racing, "race", lambda *_arguments, **_others: None)  # of which others tell
    folder, run = write_pictures(tmp_path / "stripes", *stripes()), tmp_path / "run"
    (next(path for path in folder.rglob("*.png")).parent / "broken.png").write_bytes(b"")
    command = ["train", f"--data=folder:{folder}", "--backbone=tiny:cnn", f"--workdir={run}", "--budget=300"]
    assert main([*command, "--batch_size=16"]) == 1
    assert "1 of " in capsys.readouterr().err
    assert [path.name for path in run.iterdir()] == ["report"]
    begun = []

    def stopped(*arguments):
        begun.append(arguments)
        raise ConfigError("here training would begin")

    monkeypatch.setattr(pipeline, "_begin", stopped)
    assert main([*command, "--batch_size=16", "--on_bad_image=skip"]) == 2
    assert len(begun) == 1
    assert "broken.png" in (run / "report" / "bad_images.csv").read_text()
    assert (run / "recipe.json").exists()


def test_workers_are_refused_before_anything_is_done(tmp_path, colours, monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}})
    )
    recipe = _recipe(colours)
    for call in (
        lambda: tfxfer.run(recipe, workdir=tmp_path / "run"),
        lambda: tfxfer.advise(recipe),
        lambda: tfxfer.rank(recipe, backbones=["tiny:cnn"]),
        lambda: tfxfer.compare(dataclasses.replace(recipe, budget=None), workdir=tmp_path / "run"),
    ):
        with pytest.raises(ConfigError, match="this is done by one process"):
            call()
    assert not (tmp_path / "run").exists()


def test_where_nothing_is_learnable_the_rule_decides_and_it_is_told(asked, colours, tmp_path, monkeypatch):
    nothing = dataclasses.replace(_advice(""), verdict="nothing_learnable")
    monkeypatch.setattr(asking, "advise", lambda recipe, **_others: nothing)
    recipe, why = decided(_recipe(colours), workdir=tmp_path, show=lambda line: None)
    assert (recipe.stages, recipe.budget) == ("auto", None)
    assert why.startswith("no race: ")


def test_a_plan_says_that_a_race_comes_and_trains_nothing(colours, capsys):
    command = ["plan", f"--data=folder:{colours}", "--backbone=tiny:cnn"]
    assert main([*command, "--budget=60"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "stages partial is for want of better: a race of 60 s decides before training" in shown
    assert main(command) == 0
    assert "race" not in capsys.readouterr().out


def test_digests_are_what_they_were(colours):
    digests = {
        pipeline.prepare(tiny_recipe(colours, stages="auto", budget=budget), with_seconds=False).plan.digest
        for budget in (None, 60.0)
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"budget": 0.0}, r"budget=0\.0 must be above 0 seconds, or none"),
        ({"budget": -5.0}, r"budget=-5\.0 must be above 0"),
        ({"budget": float("nan")}, "budget=nan must be above 0"),
        ({"budget": 60.0, "stages": "full"}, "stages is 'full'; write stages=auto, or budget=none"),
        ({"budget": 60.0, "stages": (tfxfer.Stage(epochs=1),)}, "stages is a tuple; write stages=auto"),
    ],
)
def test_budgets_that_cannot_be(changes, told):
    with pytest.raises(ConfigError, match=told):
        tfxfer.Recipe(**changes)


def test_several_workers_do_not_race(colours, capsys):
    command = ["plan", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--budget=60"]
    assert main([*command, "--workers=a:1,b:2", "--task_index=0"]) == 2
    assert "this is done by one process" in capsys.readouterr().err


def test_random_weights_do_not_race_and_leave_the_folder_free(colours, tmp_path):
    recipe = _recipe(colours, backbone=Backbone(handle="tiny:cnn", weights="random"))
    with pytest.raises(ConfigError, match=r"starts from random ones.*or train as it is, without a race \(budget=None"):
        decided(recipe, workdir=tmp_path / "run")
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())
