"""What a plan wakes within a stage wakes in one `fit`, is recorded, and leaves the rest bit by bit as it was."""

import dataclasses

import numpy as np
import pytest

import tfxfer
from tfxfer import activations, data, models, pipeline
from tfxfer.callbacks import GradualUnfreezing
from tfxfer.errors import VerificationError
from tfxfer.framing import Framing
from tfxfer.recipes import Adam, Gradual, Searching, WhenStalled
from tfxfer.training import stage as stages

ALL = tfxfer.Stage(train="all", epochs=4, learning_rate=0.01, head_to_body=1.0, optimizer=Adam())


@pytest.fixture
def prepared(plugin, colours):
    """A function that prepares a recipe with one stage and returns everything that the stage needs."""

    def prepare(stage, **changes):
        recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8, **changes)
        ready = pipeline.prepare(recipe, with_seconds=False)
        model = tfxfer.swap_head(ready.backbone, ready.plan.what.head)
        pixels = ready.examples.pixels(24, Framing())
        train, validation = (ready.examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))
        return model, ready.plan, train, validation

    return prepare


def run(model, plan, train, validation, *, cached=False):
    (stage,) = plan.what.stages
    cache = plan.cache_of(stage.name) if cached else None
    assert bool(cache) == cached
    lines = []
    with activations.Kept(plan.what, disk_bytes=10**8, tell=lines.append) as kept:
        record = stages.run_stage(
            model, 0, stage, plan.what, train, validation,
            cache=cache, kept=kept, tell=lambda *_: None, note=lines.append,
        )  # fmt: skip
    return record, lines


def numbers(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def moved(model, before):
    return {path.split("/")[0] for path, value in numbers(model).items() if not np.array_equal(value, before[path])}


def with_unfreezing(unfreezing, **settings):
    return dataclasses.replace(ALL, unfreezing=unfreezing, **settings)


@pytest.mark.parametrize(
    "batch_norm", ["affine", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("frozen", "train"))]
)
def test_groups_wake_at_their_epochs_and_the_report_says_so(prepared, batch_norm):
    model, plan, *rest = prepared(with_unfreezing(Gradual(), batch_norm=batch_norm))
    (stage,) = plan.what.stages
    record, lines = run(model, plan, *rest)
    wakings = stage.unfreezing.wakings
    assert len(wakings) == 3
    assert [(waking.epoch, waking.step) for waking in record.wakings] == [(2, 6), (3, 12), (4, 18)]
    assert [waking.woke for waking in record.wakings] == list(wakings)
    assert {waking.slept for waking in record.wakings} == {()}
    assert len(record.epochs) == 4  # one `fit`
    assert record.moved == stage.trainable_tensors
    assert [line.split(":")[0] for line in lines if "warning" not in line] == [
        f"stage 1 all  epoch {epoch}" for epoch in (1, 2, 3, 4)
    ]


def test_what_did_not_wake_yet_is_bit_identical_until_then(prepared, monkeypatch):
    model, plan, *rest = prepared(with_unfreezing(Gradual(), epochs=4))
    seen, freeze = [], models.freeze

    def watched(*arguments, **settings):
        seen.append(numbers(model))
        return freeze(*arguments, **settings)

    monkeypatch.setattr(models, "freeze", watched)
    run(model, plan, *rest)
    before, first, second = seen[1:4]  # the first call prepares the stage
    assert before.keys() == first.keys()
    assert {path for path in before if not np.array_equal(before[path], first[path])} == {
        "head_logits/kernel", "head_logits/bias",
    }  # fmt: skip
    assert all(np.array_equal(first[path], second[path]) for path in first if path.startswith(("stem", "block1")))


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_a_search_that_does_not_help_ends_with_the_weights_of_before(prepared, batch_norm):
    """No step may count as an improvement, so the first trial is put back."""
    searching = Searching(min_delta=1e6)
    model, plan, *rest = prepared(with_unfreezing(searching, batch_norm=batch_norm, refresh_statistics=False))
    before = numbers(model)
    record, lines = run(model, plan, *rest)
    assert moved(model, before) == {"head_logits"}
    tried, back = record.wakings
    assert tried.woke == back.slept == plan.what.stages[0].unfreezing.wakings[0]
    assert "did not help" in back.reason
    assert len(record.epochs) == 2
    assert record.moved == 2
    assert "did not help" in lines[-1]


def test_a_search_that_helps_goes_on(prepared, monkeypatch):
    monkeypatch.setattr("tfxfer.callbacks.unfreezing_schedules._Metric.improves", lambda *_: True)
    model, plan, *rest = prepared(with_unfreezing(Searching()))
    record, lines = run(model, plan, *rest)
    assert [waking.woke for waking in record.wakings] == list(plan.what.stages[0].unfreezing.wakings)
    assert sum("kept, val_loss" in line for line in lines) == 3
    assert record.moved == plan.what.stages[0].trainable_tensors


def test_the_next_group_wakes_when_validation_stalls(prepared):
    """Nothing improves by so much, so after the first epoch each one is a stall."""
    model, plan, *rest = prepared(with_unfreezing(WhenStalled(patience=1, min_delta=1e6)))
    record, _ = run(model, plan, *rest)
    assert [waking.epoch for waking in record.wakings] == [3, 4]
    assert moved_groups(record) == plan.what.stages[0].unfreezing.wakings[:2]
    assert record.moved < plan.what.stages[0].trainable_tensors


def moved_groups(record):
    return tuple(waking.woke for waking in record.wakings)


@pytest.mark.parametrize("batch_norm", [pytest.param("frozen", marks=pytest.mark.slow), "affine"])
def test_groups_wake_in_the_part_behind_cached_activations(prepared, batch_norm):
    """The names of the plan are those of the whole network, and `fit` is of a part of it."""
    results = []
    for cached in (True, False):
        stage = with_unfreezing(Gradual(), train=2, epochs=3, batch_norm=batch_norm)
        model, *rest = prepared(stage)
        record, _ = run(model, *rest, cached=cached)
        assert len(record.wakings) == 2
        results.append(numbers(model))
    for path, value in results[0].items():
        np.testing.assert_allclose(value, results[1][path], rtol=0.02, atol=2e-3, err_msg=path)


def test_names_wake_in_their_order_and_the_rest_trains_from_the_beginning(prepared):
    stage = with_unfreezing(Gradual(groups=("stage1",), every=7, unit="steps"), epochs=2)
    model, plan, *rest = prepared(stage)
    before = numbers(model)
    record, _ = run(model, plan, *rest)
    (waking,) = record.wakings
    assert (waking.epoch, waking.step, waking.woke) == (2, 7, ("stage1.block1",))
    assert {name.split("_")[0] for name in moved(model, before)} >= {"stem", "block1", "block2", "head"}


def test_rates_that_are_measured_and_groups_that_wake_go_together(prepared):
    model, plan, *rest = prepared(with_unfreezing(Gradual(groups=0.5), epochs=3, group_rates="auto_rgn"))
    record, _ = run(model, plan, *rest)
    assert len(record.wakings) == 2
    assert record.moved == plan.what.stages[0].trainable_tensors


def test_a_frozen_group_that_moves_before_it_wakes_stops_the_run(prepared, monkeypatch):
    """The canary of the proof within a stage."""
    model, plan, *rest = prepared(with_unfreezing(Gradual()))
    begin = GradualUnfreezing.on_epoch_begin

    def touching(self, epoch, logs=None):
        if epoch == 1:
            model.get_layer("stem_conv").kernel.assign_add(np.full((3, 3, 3, 4), 1e-7))
        begin(self, epoch, logs)

    monkeypatch.setattr(GradualUnfreezing, "on_epoch_begin", touching)
    with pytest.raises(VerificationError, match="stem_conv/kernel moved, but is frozen"):
        run(model, plan, *rest)


def test_a_group_that_is_said_to_sleep_and_has_moved_stops_the_run(prepared, monkeypatch):
    """The canary of the proof behind a stage: nobody may forget what was put back."""
    stage = with_unfreezing(Searching(min_delta=1e6), refresh_statistics=False)
    model, plan, *rest = prepared(stage)
    monkeypatch.setattr("tfxfer.callbacks.gradual_unfreezing._State.restore", lambda self: None)
    with pytest.raises(VerificationError, match=r"moved, but (is|are) frozen"):
        run(model, plan, *rest)


def test_an_optimizer_that_knows_more_than_the_plan_stops_the_run(prepared, monkeypatch):
    model, plan, *rest = prepared(with_unfreezing(Searching(min_delta=1e6), refresh_statistics=False))
    monkeypatch.setattr("tfxfer.training.unfreezing.awake_now", lambda stage, _: ())
    record, _ = run(model, plan, *rest)
    assert record.moved == 2
    model, plan, *rest = prepared(with_unfreezing(Gradual()))
    with pytest.raises(VerificationError, match=r"ended with an optimizer of .* variables, the plan says 2; apart: "):
        run(model, plan, *rest)
