"""What TensorBoard reads back."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import tfxfer

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


def test_a_run_writes_its_events_with_waiting_apart(trained):
    found = scalars(trained / "events" / "stage_1")
    assert found["loss"]
    assert {"step/data", "step/compute"} <= found.keys() or len(found["loss"]) <= 3
