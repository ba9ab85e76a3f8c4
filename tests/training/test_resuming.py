"""A run that was stopped anywhere ends in the bits of one that was not."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import heads, interruption, pipeline, training
from tfxfer.framing import Framing
from tfxfer.recipes import Adam, Gradual, Running, Searching, WhenStalled
from tfxfer.training import checkpoints, saving, seeds, trainees

HEAD = tfxfer.Stage(train="head", epochs=2, learning_rate=0.01)
ALL = tfxfer.Stage(train="all", epochs=4, learning_rate=0.01, head_to_body=1.0, optimizer=Adam())
STAGES = {
    "head, cached": (HEAD,),
    "three stages": (HEAD, dataclasses.replace(ALL, train=1, epochs=1), dataclasses.replace(ALL, epochs=1)),
    "part of an epoch at the end": (dataclasses.replace(ALL, epochs=None, steps=5),),
    "statistics move": (dataclasses.replace(ALL, batch_norm="train", epochs=2),),
    "gradual": (dataclasses.replace(ALL, unfreezing=Gradual()),),
    "gradual by steps": (dataclasses.replace(ALL, unfreezing=Gradual(every=2, unit="steps"), epochs=3),),
    "stalled": (dataclasses.replace(ALL, unfreezing=WhenStalled(patience=1, min_delta=1e6)),),
    "searching, nothing helps": (dataclasses.replace(ALL, unfreezing=Searching(min_delta=1e6)),),
    "auto_rgn": (dataclasses.replace(ALL, group_rates="auto_rgn", epochs=2),),
    # The rate is too large to end better than it began.
    "best epoch": (dataclasses.replace(ALL, optimizer=Adam(), learning_rate=0.3, restore_best_weights=True),),
}


def _tier(name):
    """Each takes ten seconds and more."""
    return () if name == "three stages" else pytest.mark.slow


class StoppedError(Exception):
    """The process dies here."""


@pytest.fixture
def run(plugin, colours, monkeypatch):
    """A function that runs stages in a folder, killed behind so many checkpoints, and returns weights and history."""
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)  # one step a call

    def run(stages, folder, *, stop_at=None, lines=None, **settings):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}",
            backbone="tiny:cnn",
            head=heads.Linear(dropout=0.5),
            stages=stages,
            batch_size=8,
            running=Running(checkpoint_seconds=0, **settings),
        )
        ready = pipeline.prepare(recipe, with_seconds=False)
        model, pixels = ready.model, ready.examples.pixels(24, Framing())
        written, write = [], checkpoints.StageCheckpoints.write

        def write_and_stop(self, checkpoint):
            write(self, checkpoint)
            written.append((self._facts["stage"], checkpoint.told["epoch"], checkpoint.told["step"]))
            if written[-1] == stop_at:
                raise StoppedError

        monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write_and_stop)
        note = (lambda _: None) if lines is None else lines.append
        try:
            history = training.fit(model, ready.examples, pixels, ready.plan, folder, tell=lambda *_: None, note=note)
        finally:
            monkeypatch.setattr(checkpoints.StageCheckpoints, "write", write)
        return [variable.numpy() for variable in model.variables], history, written

    return run


def timeless(history):
    """Returns what a history says but for seconds."""
    stages = [dataclasses.replace(stage, seconds=0, epochs=()) for stage in history.stages]
    epochs = [dataclasses.replace(epoch, seconds=0) for stage in history.stages for epoch in stage.epochs]
    return stages, epochs


@pytest.mark.parametrize("stages", [pytest.param(s, id=name, marks=_tier(name)) for name, s in STAGES.items()])
def test_a_run_stopped_behind_any_step_ends_in_the_same_bits(run, stages, tmp_path):
    weights, history, places = run(stages, tmp_path / "whole")
    ends = [place for place in places if place[2] == 0]  # behind an epoch
    chosen = sorted({places[0], places[1], places[len(places) // 2], *ends[:2], places[-2]})
    assert len(chosen) > 3
    folder = tmp_path / "stopped"
    for place in chosen:
        with pytest.raises(StoppedError):
            run(stages, folder, stop_at=place)  # the same folder: a run that was stopped several times
    again, told, rest = run(stages, folder)
    assert len(rest) < len(places)
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert timeless(told) == timeless(history)


def test_a_run_that_is_asked_to_stop_while_it_evaluates_stops_there(run, tmp_path, monkeypatch):
    stages = (dataclasses.replace(ALL, epochs=None, steps=8),)
    weights, history, _ = run(stages, tmp_path / "whole")
    asked = []

    @contextlib.contextmanager
    def noted():
        yield lambda: bool(asked)

    look = saving.Saver.on_test_batch_end

    def ask_and_look(self, batch, logs=None):
        asked.append(batch)
        look(self, batch, logs)

    with monkeypatch.context() as patched:
        patched.setattr(interruption, "noted", noted)
        patched.setattr(saving.Saver, "on_test_batch_end", ask_and_look)
        with pytest.raises(KeyboardInterrupt):
            run(stages, tmp_path / "stopped")
    assert len(asked) == 1
    again, told, _ = run(stages, tmp_path / "stopped")
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert timeless(told) == timeless(history)


@pytest.mark.slow
@pytest.mark.parametrize("every", [2, 6])
def test_the_length_of_a_call_changes_nothing(run, tmp_path, monkeypatch, every):
    """Six steps make an epoch here, so that what wakes may wake within one or at its begin."""
    unfreezing = Gradual(every=every, unit="steps")
    stages = (dataclasses.replace(ALL, unfreezing=unfreezing, group_rates="auto_rgn"),)
    weights, history, one_by_one = run(stages, tmp_path / "short")
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 1e9)
    again, told, together = run(stages, tmp_path / "long")
    assert len(together) < len(one_by_one)
    for one, other in zip(weights, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert timeless(told) == timeless(history)


def test_random_layers_within_others_begin_each_stage_alike():
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, keras.layers.Dropout(0.5)(inputs))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(inner(inputs)))
    states = [variable for variable in model.variables if "seed" in variable.path]
    assert len(states) == 2
    found = []
    for stage in (0, 1, 0):
        model(np.ones((1, 4)), training=True)
        seeds.seed(model, 3, stage=stage)
        found.append([tuple(state.numpy()) for state in states])
    assert found[0] == found[2] != found[1]
    assert found[0][0] != found[0][1]
