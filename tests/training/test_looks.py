"""Looks at validation within epochs: they come when they should, and training goes on as if nobody had looked."""

import dataclasses

import numpy as np
import pytest

import tfxfer
from tfxfer import pipeline, plans, training
from tfxfer.errors import ConfigError
from tfxfer.framing import Framing
from tfxfer.recipes import Adam, Running
from tfxfer.training import checkpoints, trainees

# Six steps make an epoch: 42 examples, eight at a time.
STAGE = tfxfer.Stage(train="all", epochs=2, learning_rate=0.01, head_to_body=1.0, optimizer=Adam())


class StoppedError(Exception):
    """The process dies here."""


@pytest.fixture
def fit(plugin, colours):
    """Trains a stage in a folder and returns weights and the record."""

    def run(folder, every, *stages, **running):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}",
            backbone="tiny:cnn",
            stages=stages or (STAGE,),
            batch_size=8,
            running=Running(validate_every=every, **running),
        )
        ready = pipeline.prepare(recipe, with_seconds=False)
        history = training.fit(
            ready.model, ready.examples, ready.examples.pixels(24, Framing()), ready.plan, folder,
            tell=lambda *_: None, note=lambda _: None,
        )  # fmt: skip
        return [variable.numpy() for variable in ready.model.variables], history.stages

    return run


def test_they_change_nothing_and_come_at_multiples_within_epochs(fit, tmp_path):
    plain, (without,) = fit(tmp_path / "plain", None)
    watched, (record,) = fit(tmp_path / "watched", 2)
    assert without.looks == ()
    assert [look.step for look in record.looks] == [2, 4, 8, 10]  # at 6 and 12 an epoch ends
    for one, other in zip(plain, watched, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(without.epochs, record.epochs, strict=True):
        assert dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


def test_they_measure_what_an_epochs_end_would_there(fit, tmp_path):
    """A stage of four steps at a constant rate ends as one of six stands after four."""
    six, four = (
        dataclasses.replace(STAGE, epochs=None, steps=steps, schedule="constant", warmup=0.0) for steps in (6, 4)
    )
    _, (record,) = fit(tmp_path / "six", 4, six)
    _, (four,) = fit(tmp_path / "four", None, four)
    (look,) = record.looks
    (end,) = four.epochs
    assert (look.step, look.validation_accuracy) == (4, end.validation_accuracy)
    assert look.validation_loss == pytest.approx(end.validation_loss, rel=1e-5)
    assert 0 < look.seconds < record.epochs[0].seconds
    assert 0 < look.took < record.epochs[0].seconds


def test_a_run_that_is_killed_behind_a_look_has_each_once(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)  # one step a call
    write = checkpoints.StageCheckpoints.write

    def write_and_stop(self, checkpoint):
        write(self, checkpoint)
        if (checkpoint.told["epoch"], checkpoint.told["step"]) == (1, 2):
            raise StoppedError

    monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write_and_stop)
    with pytest.raises(StoppedError):
        fit(tmp_path / "run", 2, checkpoint_seconds=0)
    monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write)
    _, (record,) = fit(tmp_path / "run", 2, checkpoint_seconds=0)
    assert [look.step for look in record.looks] == [2, 4, 8, 10]


def test_they_may_be_asked_for_when_a_run_goes_on(fit, tmp_path, monkeypatch):
    write = checkpoints.StageCheckpoints.write

    def write_and_stop(self, checkpoint):
        write(self, checkpoint)
        if checkpoint.told["epoch"] == 1:
            raise StoppedError

    monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write_and_stop)
    with pytest.raises(StoppedError):
        fit(tmp_path / "run", None, checkpoint_seconds=0)
    monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write)
    _, (record,) = fit(tmp_path / "run", 2, checkpoint_seconds=0)
    assert [look.step for look in record.looks] == [8, 10]


def test_each_stage_counts_its_own_steps(fit, tmp_path):
    head = tfxfer.Stage(train="head", steps=5, learning_rate=0.01)
    _, records = fit(tmp_path, 4, head, dataclasses.replace(STAGE, epochs=1))
    assert [[look.step for look in record.looks] for record in records] == [[4], [4]]


def test_they_do_not_belong_to_what_is_learned():
    from sample_facts import backbone_facts, data_facts, machine_facts

    def plan(every):
        recipe = tfxfer.Recipe(running=Running(validate_every=every))
        return plans.resolve(recipe, data_facts(), backbone_facts(), machine_facts())

    assert plan(None).digest == plan(7).digest
    assert (plan(None).how.validate_every, plan(7).how.validate_every) == (0, 7)


@pytest.mark.parametrize("every", [0, -3])
def test_a_number_of_steps_that_cannot_be(every):
    with pytest.raises(ConfigError, match=f"validate_every={every} must be at least 1, or none"):
        Running(validate_every=every)
