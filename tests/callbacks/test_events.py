"""What TensorBoard reads back."""

import resource
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfxfer
from tfxfer import pipeline, training
from tfxfer.framing import Framing
from tfxfer.training import trainees

STEPS, EPOCHS, BATCH = 4, 2, 8


@pytest.fixture
def model():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, name="below"), keras.layers.Dense(2, name="top")]
    )
    rates = {"top": 1.0, "...": 0.1}
    optimizer = tfxfer.DifferentialLearningRate(keras.optimizers.SGD(0.5), rates, model=model)
    model.compile(optimizer, "mse", metrics=["mae"], jit_compile=False)
    return model


def fit(model, folder, **settings):
    examples = np.random.default_rng(0).normal(size=(STEPS * BATCH, 3)), np.zeros((STEPS * BATCH, 2))
    callback = tfxfer.Events(folder, batch_size=BATCH, every=0, **settings)
    model.fit(
        *examples, batch_size=BATCH, epochs=EPOCHS, validation_data=examples, shuffle=False, verbose=0,
        callbacks=[callback],
    )  # fmt: skip


def run(colours, folder, **running):
    """Trains a head for five epochs, as a recipe says."""
    recipe = tfxfer.Recipe(
        data=f"folder:{colours}",
        backbone="tiny:cnn",
        batch_size=4,
        stages=(tfxfer.Stage(train="head", epochs=5),),
        running=tfxfer.Running(**running),
    )
    ready = pipeline.prepare(recipe, with_seconds=False)
    pixels = ready.examples.pixels(24, Framing())
    training.fit(ready.model, ready.examples, pixels, ready.plan, folder, tell=lambda *_: None, note=pytest.fail)


def scalars(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }


def test_scalars_are_those_of_the_fit(model, tmp_path):
    fit(model, tmp_path)
    found = scalars(tmp_path)
    assert {"loss", "mae", "validation/loss", "validation/mae", "images_per_second", "step/seconds"} <= found.keys()
    assert [step for step, _ in found["images_per_second"]] == [*range(1, STEPS * EPOCHS + 1)]
    assert [step for step, _ in found["validation/loss"]] == [STEPS, 2 * STEPS]
    assert found["rate/top"][0][1] == pytest.approx(0.5)
    assert found["rate/below"][0][1] == pytest.approx(0.05)
    assert all(value > 0 for _, value in found["images_per_second"])
    assert "step/data" not in found  # nobody tells


def test_a_profile_of_the_asked_steps_is_written(model, tmp_path):
    fit(model, tmp_path, profile_steps=range(2, 4))
    assert list(tmp_path.rglob("*.xplane.pb"))


def test_a_run_writes_its_events_with_waiting_apart(plugin, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(trainees, "_LOOKS_FROM", 0)  # however fast a step is
    monkeypatch.setitem(tfxfer.Events.__init__.__kwdefaults__, "every", 0)
    run(colours, tmp_path)
    found = scalars(tmp_path / "events" / "stage_1")
    assert len(found["loss"]) > 1
    assert {"step/data", "step/compute"} <= found.keys()


def test_a_full_disk_stops_the_events_and_not_the_fit(model, tmp_path):
    lines = []
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        fit(model, tmp_path, show=lines.append)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    (line,) = lines
    assert "cannot be written" in line
    assert "goes on without" in line
    assert int(model.optimizer.iterations.numpy()) == STEPS * EPOCHS


def test_a_run_profiles_just_the_steps_that_are_asked_for(plugin, colours, tmp_path, monkeypatch):
    """However many steps a call runs, one ends where the profile begins, and one where it ends."""
    seen = []
    profiler = tf.profiler.experimental
    monkeypatch.setattr(profiler, "start", lambda folder: seen.append(("start", steps[-1]())))
    monkeypatch.setattr(profiler, "stop", lambda: seen.append(("stop", steps[-1]())))
    steps = []
    begin = tfxfer.Events.on_train_begin

    def begun(self, logs=None):
        steps.append(self._step)
        begin(self, logs)

    monkeypatch.setattr(tfxfer.Events, "on_train_begin", begun)
    run(colours, tmp_path, profile_steps="20:23")
    assert seen == [("start", 20), ("stop", 23)]
