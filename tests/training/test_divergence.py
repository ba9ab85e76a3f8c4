"""A loss that is no number stops a stage at its step, and the message says where it comes from."""

import dataclasses

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import pipeline, training
from tfxfer.errors import TrainingError
from tfxfer.framing import Framing
from tfxfer.recipes import Running
from tfxfer.training import divergence, trainees
from tfxfer.training.checkpoints import StageCheckpoints

STAGE = tfxfer.Stage(train="all", epochs=4, learning_rate=0.01, head_to_body=1.0)


@pytest.fixture
def run(plugin, colours, tmp_path, monkeypatch):
    """A function that trains a stage, spoiled by a function of model and pixels, and returns the error's text."""
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)

    def run(stage=STAGE, *, strategy=None, spoil=lambda model, pixels: None, spoil_at=None, **running):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8,
            running=Running(checkpoint_seconds=0, **running),
        )  # fmt: skip
        with strategy.scope() if strategy else tfxfer.runtime.scope():
            ready = pipeline.prepare(recipe, with_seconds=False)
            pixels = np.array(ready.examples.pixels(24, Framing()))
            if spoil_at is None:
                spoil(ready.model, pixels)
            before = trainees.Calls.took

            def took(self, steps, *seconds):
                before(self, steps, *seconds)
                if self.done == spoil_at:
                    spoil(ready.model, pixels)

            monkeypatch.setattr(trainees.Calls, "took", took)
            with pytest.raises(TrainingError) as error:
                training.fit(
                    ready.model, ready.examples, pixels, ready.plan, tmp_path / "run",
                    tell=lambda *_: None, note=lambda _: None,
                )  # fmt: skip
            monkeypatch.setattr(trainees.Calls, "took", before)
        return str(error.value), ready.model

    return run


@pytest.fixture
def run_to_end(plugin, colours, tmp_path, monkeypatch):
    """A function that trains a stage and returns its history and what was noted."""
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)

    def run(stage):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8,
            running=Running(checkpoint_seconds=0),
        )  # fmt: skip
        ready, lines = pipeline.prepare(recipe, with_seconds=False), []
        history = training.fit(
            ready.model, ready.examples, ready.examples.pixels(24, Framing()), ready.plan, tmp_path / "run",
            tell=lambda *_: None, note=lines.append,
        )  # fmt: skip
        return history, lines

    return run


def make_infinite(model, pixels):
    kernel = next(v for v in model.variables if v.path.endswith("kernel"))
    kernel.assign(np.full(kernel.shape, np.nan))


def make_huge(model, pixels):
    kernel = next(v for v in model.variables if v.path == "head_logits/kernel")
    kernel.assign(np.full(kernel.shape, 3e38))


def test_the_message_names_stage_step_rate_and_weights(run):
    text, _ = run(spoil=make_infinite, spoil_at=3)
    assert "stage 1 all: the loss of step 4 of 24 is no number" in text
    assert "at a rate of 0.0099 for the head" in text
    assert "First at fault: the weights of " in text
    assert "kernel, by the step before" in text
    assert "checkpoints of the stage are kept" in text
    assert "Lower the stage's learning_rate (now 0.01)" in text


def test_the_layer_whose_output_overflows_is_named(run):
    text, _ = run(spoil=make_huge, spoil_at=2)
    assert "step 3 of" in text
    assert "First at fault: what comes out of head_logits." in text


def test_nothing_moves_in_the_step_whose_loss_is_none(run):
    kept = []

    def spoil(model, pixels):
        make_infinite(model, pixels)
        kept.extend((v, v.numpy()) for v in model.variables)

    run(spoil=spoil, spoil_at=3)
    assert kept
    for variable, before in kept:
        np.testing.assert_array_equal(variable.numpy(), before)


def test_replicas_stop_together_and_say_what_cannot_be_told(run, mirrored):
    text, _ = run(spoil=make_infinite, spoil_at=3, strategy=mirrored)
    assert "the loss of step 4 of 24 is no number" in text
    assert "which layer cannot be told on several devices" in text


def test_a_rate_that_explodes_is_stopped_before_it_is_no_number(run):
    text, _ = run(dataclasses.replace(STAGE, learning_rate=10.0, clip_norm=None, warmup=0.0, epochs=40))
    assert "or above 10000" in text
    assert "or write clip_norm=1.0" in text


def newest(folder, monkeypatch):
    """Returns the newest checkpoint, of whatever plan."""
    monkeypatch.setattr(StageCheckpoints, "_is_ours", lambda *_: True)
    return StageCheckpoints(folder / "run" / "checkpoints" / "stage_1").newest()


def test_no_checkpoint_holds_what_is_no_number(run, tmp_path, monkeypatch):
    run(spoil=make_infinite, spoil_at=5)
    checkpoint = newest(tmp_path, monkeypatch)
    assert (checkpoint.told["epoch"], checkpoint.told["step"]) == (0, 4)
    assert all(np.isfinite(array).all() for array in checkpoint.numbers["weights"])


def test_a_stage_goes_back_with_half_the_rate_and_ends(run_to_end):
    """The loss explodes at 10, at 5 and so on, until it does not."""
    wild = dataclasses.replace(STAGE, learning_rate=8.0, clip_norm=None, warmup=0.0, epochs=10, rollbacks=10)
    history, lines = run_to_end(wild)
    rates = [float(line.rpartition("half the rate, ")[2].rstrip(".")) for line in lines if "half the rate" in line]
    assert rates
    assert rates == [8.0 / 2**k for k in range(1, len(rates) + 1)]
    assert all(np.isfinite(epoch.loss) for epoch in history.stages[0].epochs)
    assert len(history.stages[0].epochs) == 10


def test_rollbacks_end(run):
    text, _ = run(dataclasses.replace(STAGE, rollbacks=1), spoil=make_infinite, spoil_at=3)
    assert "at a rate of 0.0049" in text or "at a rate of 0.005" in text


def test_a_process_that_goes_on_behind_a_rollback_keeps_the_rate(tmp_path):
    from tfxfer.training.stage import _rates_left

    stage = dataclasses.make_dataclass("Stage", ["learning_rate", "rollbacks"])
    assert _rates_left(stage(1.0, 3), StageCheckpoints(tmp_path)) == [1.0, 0.5, 0.25, 0.125]
    StageCheckpoints(tmp_path).lower_rate(0.25)
    assert _rates_left(stage(1.0, 3), StageCheckpoints(tmp_path)) == [0.25, 0.125]
    assert _rates_left(stage(1.0, 0), StageCheckpoints(tmp_path)) == [1.0]


def test_inputs_and_losses_are_told_apart():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="dense")])
    batch = np.ones((5, 2), np.float32)
    assert divergence.at_fault(model, batch).startswith("the loss")
    batch[4] = np.nan
    assert divergence.at_fault(model, batch) == "the inputs"
    model.layers[0].kernel.assign(np.full((2, 2), 3e38))
    assert divergence.at_fault(model, batch[:4]) == "what comes out of dense"
