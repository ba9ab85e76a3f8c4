"""Races of tiny networks that really train, and what they leave behind."""

import dataclasses
import tempfile

import numpy as np
import pytest
from sample_measurements import candidate, estimate, measured, race
from stripes import stripes, write_pictures

import tfxfer
from tfxfer import pipeline, plans, presets, training, values
from tfxfer.activations import inventory, kept
from tfxfer.advice import asking, concluding, racing
from tfxfer.advice.candidates import Strategy
from tfxfer.advice.entrant import Entrant
from tfxfer.advice.page import page
from tfxfer.advice.result import Advice, LeftOut, Race
from tfxfer.advice.track import lay_out
from tfxfer.data import pictures
from tfxfer.errors import ConfigError

pytestmark = pytest.mark.usefixtures("plugin")

STILL = "feature_extraction"


@pytest.fixture
def planted(monkeypatch):
    """Makes `feature_extraction` a preset that learns nothing, and `partial` one that learns the colours."""
    stages = {
        STILL: (tfxfer.Stage(train="head", epochs=4, learning_rate=1e-9),),
        "partial": (
            tfxfer.Stage(train="head", epochs=1, learning_rate=0.5),
            tfxfer.Stage(train="stage3.block1", epochs=4, learning_rate=0.1, head_to_body=2.0),
        ),
    }
    monkeypatch.setattr(presets, "by_name", stages.__getitem__)


def _strategy(name: str, stages: str, at: str = "") -> Strategy:
    return Strategy(name=name, words=f"what {name} trains", stages=stages, at=at, reason="planted")


def _prepared(colours, **changes) -> pipeline.Prepared:
    settings = {"data": f"folder:{colours}", "backbone": "tiny:cnn", "batch_size": 8, "budget": 300.0}
    return pipeline.prepare(tfxfer.Recipe(**{**settings, **changes}), with_seconds=False)


@pytest.fixture(scope="module")
def colourful(plugin, colours) -> pipeline.Prepared:
    return _prepared(colours)


def test_the_planted_one_wins_and_nothing_that_was_prepared_changes(planted, colourful):
    before = [variable.numpy() for variable in colourful.model.variables]
    told = []
    strategies = [_strategy("still", STILL), _strategy("learning", "partial")]
    found = racing.race(colourful, strategies, budget=300, show=told.append)
    first, second = found.candidates
    assert (found.winner, first.name, first.why_not) == ("learning", "learning", "")
    assert first.accuracy.value > 0.9 > second.accuracy.value
    assert (found.runner_up, second.why_not[:16]) == ("still", "learning is bett")
    assert found.runner_up_is_better < 0.05
    assert (found.trained_on, found.examples) == (42 - 10, 6 + 10)  # a quarter of 42 is borrowed, by classes
    assert 0 < sum(one.seconds for one in found.candidates) < found.seconds < found.budget
    assert all(one.whole_seconds > 0 for one in found.candidates)
    assert found.predicted_seconds > 0
    assert any(line.startswith("race: still, rung 1 of ") for line in told)
    after = [variable.numpy() for variable in colourful.model.variables]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert values.from_json(Race, values.to_json(found)) == found
    assert found.borrowed == 10


def test_what_a_short_stage_cannot_have_leaves_one_out_and_the_others_race(monkeypatch, colours):
    """Brightness changes kept activations, and a rung of fewer epochs than views keeps none."""
    prepared = _prepared(
        colours, augment=tfxfer.Augment(brightness=0.2, views=4), stages="feature_extraction", budget=None
    )
    stages = {
        STILL: (tfxfer.Stage(train="head", epochs=10),),
        "full": (tfxfer.Stage(train="all", epochs=10),),
    }
    monkeypatch.setattr(presets, "by_name", stages.__getitem__)
    found = racing.race(prepared, [_strategy("short", STILL), _strategy("all", "full")], budget=300)
    assert found.winner == "all"
    assert [(one.name, one.lacks_seconds) for one in found.left_out] == [("short", False)]
    assert "augment.brightness=0.2 changes kept activations" in found.left_out[0].reason


def _on_disk(prepared: pipeline.Prepared) -> pipeline.Prepared:
    how = dataclasses.replace(prepared.plan.how, pixel_store="disk")
    return dataclasses.replace(prepared, plan=dataclasses.replace(prepared.plan, how=how))


@pytest.mark.parametrize("has_workdir", [True, False])
def test_what_stays_on_disk_is_what_the_run_uses_again(planted, colours, tmp_path, monkeypatch, has_workdir):
    shared, workdir, temporary = (tmp_path / name for name in ("shared", "run", "temporary"))
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv(inventory.VARIABLE, str(shared))
    prepared = _on_disk(_prepared(colours, cache=tfxfer.Cache(store="disk")))
    strategies = [_strategy("still", STILL), _strategy("learning", "partial")]
    assert racing.race(prepared, strategies, budget=300, workdir=workdir if has_workdir else None).winner == "learning"
    assert list(temporary.glob("tfxfer*")) == []  # TensorFlow leaves something, too
    if not has_workdir:
        assert not shared.exists() or list(shared.iterdir()) == []
        assert not workdir.exists()
        return
    assert sorted(path.name for path in (workdir / "cache").iterdir()) == ["pixels.json", "pixels.npy"]
    assert list(shared.iterdir())
    monkeypatch.setattr(pictures, "render", None)
    what, store = prepared.plan.what, pipeline.pixel_store(prepared.plan, workdir)
    assert len(prepared.examples.pixels(what.image_size, what.framing, store)) == len(prepared.examples.labels)


def test_candidates_share_the_room_for_activations_and_the_winner_has_all_of_it(
    planted, colours, tmp_path, monkeypatch
):
    prepared = _prepared(colours, cache=tfxfer.Cache(memory_gb=2.0, disk_gb=8.0))
    rooms, resolve = [], plans.resolve

    def watched(recipe, data, backbone, machine, costs):
        rooms.append((recipe.cache.memory_gb, recipe.cache.disk_gb, machine.memory_bytes))
        return resolve(recipe, data, backbone, machine, costs)

    monkeypatch.setattr(plans, "resolve", watched)
    track = lay_out(prepared, 2, tmp_path)
    with Entrant(_strategy("still", STILL), track, print) as entrant:
        assert set(rooms) == {(1.0, 4.0, track.machine.memory_bytes // 2)}
        rooms.clear()
        assert entrant.whole_seconds > 0
        assert rooms == [(2.0, 8.0, track.machine.memory_bytes)]
        entrant.advance(0.5)
        assert entrant._kept._held
        entrant.let_go()
        assert not entrant._kept._held


def test_the_next_rung_goes_on_where_the_last_one_ended(planted, colourful, monkeypatch, tmp_path):
    """Its first stage is trained once, the steps of both rungs are those of the whole schedule, and what is frozen is
    computed once."""
    made, stores = [], []
    fit, store = training.fit, kept.MemoryStore

    def watched(model, examples, pixels, plan, *rest, **others):
        made.append([stage.steps for stage in plan.what.stages])
        return fit(model, examples, pixels, plan, *rest, **others)

    def stored(*arguments):
        stores.append(store(*arguments))
        return stores[-1]

    monkeypatch.setattr(training, "fit", watched)
    monkeypatch.setattr(kept, "MemoryStore", stored)
    track = lay_out(colourful, 1, tmp_path)
    with Entrant(_strategy("learning", "partial"), track, print) as entrant:
        first = entrant.advance(0.5)
        second = entrant.advance(1.0)
    assert made == [[4, 8], [8]]  # 32 examples in batches of 8; half of 4 epochs, and the rest
    assert len(stores) == 1
    assert first.shape == second.shape == (16,)
    assert second.mean() > 0.9


def test_a_network_races_cut_and_one_that_cannot_be_cut_is_left_out(planted, colourful):
    strategies = [_strategy("cut", STILL, at="stage2.block1"), _strategy("other", STILL, at="stage9")]
    found = racing.race(colourful, strategies, budget=300)
    assert (found.winner, found.runner_up, found.runner_up_is_better) == ("cut", "", 0)
    assert [one.change for one in found.candidates] == [f"--stages={STILL} --config.backbone.at=stage2.block1"]
    ((name, reason),) = [(one.name, one.reason) for one in found.left_out]
    assert name == "other"
    assert "stage9" in reason


def test_too_small_a_budget_is_refused_with_what_it_takes(planted, colourful):
    with pytest.raises(ConfigError, match=r"budget=0.1 seconds is too small for a single candidate.*Write --budget="):
        racing.race(colourful, [_strategy("still", STILL)], budget=0.1)


def _advise(data, **changes) -> tuple[Advice, list[str]]:
    told: list[str] = []
    recipe = tfxfer.Recipe(**{"backbone": "tiny:cnn", "image_size": 24, "batch_size": 16, "budget": 300.0, **changes})
    return tfxfer.advise(recipe, data=data, show=told.append), told


def test_labels_of_noise_do_not_race():
    pictures, labels = stripes()
    found, told = _advise((pictures, np.random.default_rng(1).permutation(labels)))
    assert (found.verdict, found.race) == ("nothing_learnable", None)
    assert "no race: nothing is learnable" in told


def test_easy_classes_do_not_race():
    pictures, labels = stripes()
    pictures[labels == 1] //= 8
    found, told = _advise((pictures[labels < 2], labels[labels < 2]))
    assert (found.verdict, found.race) == ("easy", None)
    assert "no race: any method will do" in told


def test_without_a_budget_nothing_races():
    assert _advise(stripes(), budget=None)[0].race is None


@pytest.mark.slow
def test_advice_names_the_winner_with_its_number_and_its_recipe():
    found, _ = _advise(stripes())
    winner = found.race.candidate(found.race.winner)
    assert f"--stages={found.stages}" in winner.change
    assert found.conclusions[-1].advice == f"Train {winner.words} ({winner.change}): it won the race."
    assert str(winner.accuracy) in found.conclusions[-1].reason
    advised = asking.advised(tfxfer.Recipe(backbone="tiny:cnn", budget=300), found)
    assert (advised.stages, advised.backbone.at, advised.budget) == (found.stages, found.at, None)
    shown = page(found)
    assert "← won" in shown
    assert "not scratch: 84 examples are few to begin with nothing" in shown
    assert values.from_json(Advice, values.to_json(found)) == found


def test_a_class_of_one_training_example_races(planted, tmp_path):
    """It stays in training; on the others enough is borrowed."""
    pictures, labels = stripes(90)
    splits = np.zeros(90, np.int8)
    splits[60:75], splits[75:] = 1, 2
    of_two = np.flatnonzero((labels == 2) & (splits == 0))
    kept = np.setdiff1d(np.arange(90), of_two[1:])
    folder = write_pictures(tmp_path, pictures[kept], labels[kept], splits[kept])
    prepared = _prepared("", data=f"folder:{folder}", image_size=24)
    assert prepared.examples.facts.train_counts == (20, 20, 1)
    found = racing.race(prepared, [_strategy("still", STILL)], budget=300)
    assert (found.trained_on, found.examples) == (41 - 10, 15 + 10)


def test_the_conclusion_of_a_race_takes_the_place_of_the_table():
    candidates = (candidate("full", "everything", 0.9), candidate("head", "the head alone", 0.8))
    raced = race(*candidates)
    last = concluding.conclude(measured(), raced)[-1]
    assert last.advice == "Train everything (--stages=full): it won the race."
    assert last.reason == (
        "of 2 strategies it had most validation examples right, 90.0 % (88.0 to 92.0 %) after 50 % of its schedule; "
        "next came the head alone with 80.0 % (78.0 to 82.0 %) after 50 % of its schedule, better with probability "
        "0.03. The same 100 examples chose it, so that its figure is a little too good"
    )
    borrowed = dataclasses.replace(raced, borrowed=40)
    assert "it had most held-out examples right" in concluding.conclude(measured(), borrowed)[-1].reason
    leader = dataclasses.replace(candidates[1], accuracy=estimate(0.95), why_not="no memory", failed=True)
    fallen = dataclasses.replace(raced, candidates=(candidates[0], leader))
    assert concluding.conclude(measured(), fallen)[-1].reason.startswith(
        "of 2 strategies it had most validation examples right among those that could train on, which head could not, "
        "90.0 %"
    )
    level = dataclasses.replace(raced, candidates=(candidates[0], dataclasses.replace(leader, failed=False)))
    assert "and by what mostly is better, it was left as the best" in concluding.conclude(measured(), level)[-1].reason
    assert not any("textbook" in one.reason for one in concluding.conclude(measured(), raced))


@pytest.mark.parametrize("lacks_seconds", [True, False])
def test_more_seconds_are_asked_for_only_where_they_would_help(lacks_seconds):
    left_out = LeftOut(name="full", reason="planted", lacks_seconds=lacks_seconds)
    raced = race(candidate("head", "the head", 0.9), left_out=(left_out,), ended="planted")
    last = concluding.conclude(measured(), raced)[-1]
    assert ("more seconds" in last.advice) == ("within 10 s" in last.reason) == lacks_seconds
    assert ("no other could race" in last.advice) != lacks_seconds
