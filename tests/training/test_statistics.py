"""Statistics of batch norm that a stage moves: watched while it trains, measured anew behind it, and nothing else."""

import numpy as np
import pytest

import tfxfer
from tfxfer import activations, data, models, pipeline
from tfxfer.errors import VerificationError
from tfxfer.framing import Framing
from tfxfer.training import stage as stages
from tfxfer.training import statistics
from tfxfer.training.records import RefreshRecord

LAST = tfxfer.Stage(train="stage3.block1", epochs=2, learning_rate=0.1, batch_norm="train")


@pytest.fixture
def prepared(plugin, colours):
    """A function that prepares a recipe with one stage and returns everything that the stage needs."""

    def prepare(**changes):
        settings = {name: getattr(LAST, name) for name in ("train", "epochs", "learning_rate", "batch_norm")}
        stage = tfxfer.Stage(**{**settings, **changes})
        recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8)
        ready = pipeline.prepare(recipe, with_seconds=False)
        model = tfxfer.swap_head(ready.backbone, ready.plan.what.head)
        pixels = ready.examples.pixels(24, Framing())
        return model, ready.plan, *(ready.examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))

    return prepare


def run(model, plan, train, validation):
    (stage,) = plan.what.stages
    lines = []
    with activations.Kept(plan.what, disk_bytes=10**8, tell=lines.append) as kept:
        record = stages.run_stage(
            model, 0, stage, plan.what, train, validation,
            cache=None, kept=kept, tell=lambda *_: None, note=lines.append,
        )  # fmt: skip
    return record, lines


def numbers(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def test_statistics_are_those_of_the_training_split_and_weights_are_those_of_training(prepared):
    results = []
    for refresh in ("auto", False):
        model, *rest = prepared(refresh_statistics=refresh)
        record, _ = run(model, *rest)
        results.append((record, numbers(model)))
    (measured, anew), (left, moved) = results
    assert left.refreshed == RefreshRecord()
    changed = {path for path in anew if not np.array_equal(anew[path], moved[path])}
    assert changed == {"block2_bn/moving_mean", "block2_bn/moving_variance"}
    assert (measured.refreshed.layers, measured.refreshed.examples) == (1, len(rest[1]))
    assert measured.refreshed.shift > 0
    assert 0 <= measured.refreshed.validation_accuracy <= 1
    assert measured.moved == left.moved


def test_only_statistics_may_move_while_they_are_measured(prepared, monkeypatch):
    """The canary of the proof around it."""
    model, *rest = prepared()
    measure = statistics.refresh_statistics

    def careless(trainee, batches):
        model.get_layer("block2_conv").kernel.assign_add(np.full((3, 3, 8, 8), 1e-3))
        return measure(trainee, batches)

    monkeypatch.setattr(statistics, "refresh_statistics", careless)
    with pytest.raises(VerificationError, match="block2_conv/kernel moved while only statistics"):
        run(model, *rest)


def test_statistics_of_a_group_that_stays_frozen_stay_too(prepared, monkeypatch):
    """The canary for statistics: those of a frozen batch norm count as frozen."""
    model, *rest = prepared()
    name = next(layer.name for layer in model.layers if layer.name.endswith("_bn") and layer.name != "block2_bn")
    measure = statistics.refresh_statistics

    def careless(trainee, batches):
        model.get_layer(name).moving_mean.assign_add(np.ones(model.get_layer(name).moving_mean.shape))
        return measure(trainee, batches)

    monkeypatch.setattr(statistics, "refresh_statistics", careless)
    with pytest.raises(VerificationError, match=f"{name}/moving_mean moved, but is frozen"):
        run(model, *rest)


def test_statistics_that_fit_are_measured_in_silence(prepared, monkeypatch):
    monkeypatch.setattr(statistics.BatchNormDrift, "_is_beyond", lambda *_: False)
    record, lines = run(*prepared())
    assert [drift.epoch for drift in record.drift] == [1, 2]
    assert all(np.isfinite([drift.batch_loss, drift.stored_loss]).all() for drift in record.drift)
    assert (record.drift_warning, lines) == ("", [])


def test_epochs_of_drift_go_on_in_the_shorter_one_at_the_end(prepared):
    record, _ = run(*prepared(epochs=None, steps=8))
    assert [drift.epoch for drift in record.drift] == [1, 2]


def test_statistics_that_lag_behind_are_told(prepared, monkeypatch):
    """With a momentum near 1 the stored statistics stay what they were."""
    monkeypatch.setattr(models, "batch_norm_momentum", lambda steps: 0.9999)
    model, *rest = prepared(learning_rate=1.0)
    for layer in model.layers:
        if layer.name == "block2_bn":
            layer.momentum = 0.9999
            layer.moving_mean.assign(np.full(8, 100.0))
    record, (line,) = run(model, *rest)
    assert line.startswith("stage 1 stage3.block1  warning: after epoch 2 the loss is")
    assert record.drift_warning in line


@pytest.mark.parametrize("batch_norm", ["frozen", "affine"])
def test_where_no_statistics_move_nothing_is_watched_or_measured(prepared, batch_norm):
    record, lines = run(*prepared(batch_norm=batch_norm))
    assert (record.drift, record.drift_warning, record.refreshed, lines) == ((), "", RefreshRecord(), [])
