"""A sweep leaves no trace: every bit of model, optimizer, metrics and random states is what it was."""

import contextlib
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

from tfxfer.lr_finder import find_learning_rate, keeping
from tfxfer.lr_finder import sweep as sweeps
from tfxfer.optimizers import DifferentialLearningRate

generator = np.random.default_rng(0)
X = generator.normal(size=(24, 4)).astype(np.float32)
Y = generator.integers(0, 3, 24)
SET_BY_FIT = ("train_function", "stop_training", "history", "steps_per_execution", "optimizer")


class Noise(keras.layers.Layer):
    """Draws from Keras's global generator."""

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs), stddev=0.1)


def network() -> keras.Model:
    """A frozen layer, a batch norm that learns, dropout, and a head."""
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(6, name="low"), layers.BatchNormalization(), layers.Dropout(0.3),
         layers.Dense(3, name="head")]
    )  # fmt: skip
    model.get_layer("low").trainable = False
    return model


def compiled(optimizer) -> keras.Model:
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(model), loss=loss, metrics=["accuracy"])
    return model


def used(optimizer=lambda model: keras.optimizers.Adam(1e-3)) -> keras.Model:
    """A model in the middle of its training."""
    model = compiled(optimizer)
    model.fit(X, Y, batch_size=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def adam() -> keras.Model:
    """One model for many tests: each of them leaves it as it was, or fails."""
    return used()


def bits(variables) -> list[tuple]:
    """Path and bytes of each variable, on each replica."""
    replicas = [(v.path, getattr(v.value, "values", None) or (v.value,)) for v in variables]
    return [(path, tuple(replica.numpy().tobytes() for replica in values)) for path, values in replicas]


def state(model) -> dict:
    """All that a sweep must leave alone, by name."""
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    shared = global_state.get_global_attribute("global_seed_generator")
    return {
        "weights": bits(model.weights),
        "states of random layers": bits(v for v in model.variables if "seed" in v.path),
        "optimizer": bits(model.optimizer.variables),
        "iterations": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        "rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
        "rate or schedule": id(inner._learning_rate),
        "metrics": bits(model.metrics_variables),
        "flags": [(layer.name, layer.trainable) for layer in model.layers],
        "trainable": [v.path for v in model.trainable_variables],
        "set by fit": {name: id(vars(model)[name]) for name in SET_BY_FIT if name in vars(model)},
        "of Keras": (id(shared), shared and shared.state.numpy().tobytes()),
        "of Python": random.getstate(),
        "of NumPy": np.random.get_state()[1].tobytes(),
    }


def differences(one: dict, other: dict) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def rates(model, kind=keras.optimizers.Adam, rate=1e-3, **settings):
    return DifferentialLearningRate(kind(rate, **settings), {"head": 1.0, "...": 0.1}, model=model)


def schedule():
    return keras.optimizers.schedules.CosineDecay(0.01, 100)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda model: keras.optimizers.AdamW(1e-3, use_ema=True, weight_decay=0.01, clipnorm=1.0),
        lambda model: keras.optimizers.SGD(schedule(), momentum=0.9, gradient_accumulation_steps=2),
        lambda model: rates(model, keras.optimizers.SGD, schedule(), momentum=0.9),
        lambda model: keras.optimizers.LossScaleOptimizer(rates(model)),
    ],
    ids=["AdamW", "schedule", "differential with a schedule", "differential, scaled"],
)
def test_every_optimizer_is_bit_equal_afterwards(optimizer):
    model = used(optimizer)
    before = state(model)
    sweep = find_learning_rate(model, (X, Y), batch_size=8, lowest=1e-3, highest=1.0, steps=8)
    assert len(sweep.losses) > 3
    assert differences(before, state(model)) == set()


def test_without_keeping_everything_would_differ(monkeypatch):
    """The canary of this file: what it compares is what a sweep changes."""
    monkeypatch.setattr(keeping, "kept", lambda model: contextlib.nullcontext())
    model = used()
    model.optimizer.learning_rate = 0.5
    before = state(model)
    find_learning_rate(model, (X, Y), lowest=1e-3, highest=1e-1, steps=8)
    assert differences(before, state(model)) == {
        "weights", "states of random layers", "optimizer", "iterations", "rate", "metrics", "set by fit"
    }  # fmt: skip


def raising(error):
    """A stand-in for taking a loss that fails at the third."""

    def add(course, loss, add=sweeps._Course.add):
        if len(course.losses) == 2:
            raise error
        add(course, loss)

    return add


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("the disk is full")], ids=["Ctrl-C", "error"])
def test_an_interrupted_sweep_leaves_no_trace_either(monkeypatch, adam, error):
    before = state(adam)
    monkeypatch.setattr(sweeps._Course, "add", raising(error))
    with pytest.raises(type(error)):
        find_learning_rate(adam, (X, Y), batch_size=8, lowest=1e-2, steps=8)
    assert differences(before, state(adam)) == set()


def test_an_interrupted_sweep_gives_the_schedule_back(monkeypatch):
    model = used(lambda model: keras.optimizers.SGD(schedule(), momentum=0.9))
    before = state(model)
    monkeypatch.setattr(sweeps._Course, "add", raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        find_learning_rate(model, (X, Y), batch_size=8, lowest=1e-2, steps=8)
    assert differences(before, state(model)) == set()


def test_data_that_fails_in_the_middle_leaves_no_trace(adam):
    before = state(adam)
    broken = tf.data.Dataset.range(9).map(
        lambda step: (tf.debugging.check_numerics(X / tf.cast(4 - step, tf.float32), "broken"), Y)
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="broken"):
        find_learning_rate(adam, broken, lowest=1e-6, highest=1e-5, steps=8)
    assert differences(before, state(adam)) == set()


def test_a_loss_that_becomes_nan_leaves_no_trace(adam):
    before = state(adam)
    broken = tf.data.Dataset.range(9).map(lambda step: (X / tf.cast(4 - step, tf.float32), Y))
    sweep = find_learning_rate(adam, broken, lowest=1e-6, highest=1e-5, steps=8)
    assert "nan" in sweep.ended
    assert len(sweep.losses) == 4
    assert differences(before, state(adam)) == set()


def test_a_model_fresh_from_compile_trains_afterwards_as_if_nothing_had_been():
    """Its optimizer is built by the sweep, its metrics are made; both as they would be by the first step."""
    weights = network().get_weights()
    results = []
    for swept in (False, True):
        model = compiled(rates)
        model.set_weights(weights)
        model.layers[2].seed_generator.state.assign([7, 0])
        if swept:
            before = state(model)
            find_learning_rate(model, (X, Y), batch_size=8, steps=6)
            assert differences(before, state(model)) <= {"optimizer", "metrics"}
            assert not any(np.any(v.numpy()) for v in model.metrics_variables)
            assert not hasattr(model, "history")
            assert model.train_function is None
        history = model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        results.append((history, [v.numpy().tobytes() for v in (*model.variables, *model.optimizer.variables)]))
    assert results[0] == results[1]


def test_the_slots_of_an_optimizer_that_was_not_built_are_those_of_a_fresh_one():
    model, fresh = compiled(lambda model: keras.optimizers.Adam(0.01)), keras.optimizers.Adam(0.01)
    fresh.build(model.trainable_variables)
    find_learning_rate(model, (X, Y), steps=6)
    values = [[v.numpy().tobytes() for v in optimizer.variables] for optimizer in (model.optimizer, fresh)]
    assert values[0] == values[1]


def test_a_train_function_that_was_there_stays_and_works(adam):
    function = adam.train_function
    find_learning_rate(adam, (X, Y), steps=6)
    adam.fit(X, Y, verbose=0)
    assert adam.train_function is function


@pytest.mark.slow
def test_mixed_precision_is_swept_within_its_loss_scale():
    with_policy = [keras.layers.Dense(8, dtype="mixed_float16"), keras.layers.Dense(3, dtype="float32")]
    model = keras.Sequential([keras.Input((4,)), *with_policy])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), initial_scale=4.0)
    model.compile(optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, verbose=0)
    before = state(model)
    sweep = find_learning_rate(model, (X, Y), lowest=1e-4, highest=1.0, steps=8)
    assert sweep.losses[0] == pytest.approx(np.log(3), rel=0.9)
    assert differences(before, state(model)) == set()


@pytest.mark.parametrize("drawn_before", [True, False])
def test_the_generator_of_keras_is_left_alone(drawn_before):
    """With `False`, Keras's global generator is made within the sweep, from Python's random numbers."""
    model = keras.Sequential([keras.Input((4,)), Noise(), keras.layers.Dense(3)])
    model.compile("sgd", loss="mse")
    keras.utils.set_random_seed(5)
    if drawn_before:
        keras.random.normal((1,))
    before = state(model)
    find_learning_rate(model, (X, X[:, :3]), steps=6, highest=1e-3)
    after = state(model)
    assert differences(before, after) <= {"optimizer", "metrics"}
    drawn = keras.random.normal((3,)).numpy()
    keras.utils.set_random_seed(5)
    if drawn_before:
        keras.random.normal((1,))
    np.testing.assert_array_equal(keras.random.normal((3,)).numpy(), drawn)


def test_the_generator_of_keras_would_move(monkeypatch):
    """The canary of the test before."""
    monkeypatch.setattr(keeping, "_random_states_kept", contextlib.nullcontext)
    model = keras.Sequential([keras.Input((4,)), Noise(), keras.layers.Dense(3)])
    model.compile("sgd", loss="mse")
    keras.utils.set_random_seed(5)
    before = state(model)
    find_learning_rate(model, (X, X[:, :3]), steps=6, highest=1e-3)
    assert {"of Keras", "of Python"} <= differences(before, state(model))


def test_the_seed_of_tensorflow_is_left_alone(adam):
    drawn = []
    for swept in (False, True):
        tf.random.set_seed(3)
        if swept:
            find_learning_rate(adam, (X, Y), steps=6)
        drawn.append(tf.random.uniform((3,)).numpy().tolist())
    assert drawn[0] == drawn[1]


def test_keras_keeps_its_generator_and_schedules_where_we_look():
    """Fails when a Keras of tomorrow moves what `keeping` reads of its private state."""
    keras.random.normal((1,))
    assert isinstance(global_state.get_global_attribute("global_seed_generator"), keras.random.SeedGenerator)
    rate = schedule()
    assert keras.optimizers.Adam(rate)._learning_rate is rate
    assert isinstance(keras.optimizers.Adam(0.1)._learning_rate, keras.Variable)
    assert keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate)).inner_optimizer._learning_rate is rate


def test_a_mirrored_model_is_swept_and_put_back_on_every_replica(mirrored):
    with mirrored.scope():
        model = compiled(lambda model: rates(model, rate=schedule()))
    model.fit(X, Y, batch_size=8, verbose=0)
    assert len(bits(model.weights)[0][1]) == 2
    before = state(model)
    sweep = find_learning_rate(model, (X, Y), batch_size=8, lowest=1e-3, highest=1e3, steps=12)
    assert max(sweep.losses) > 2 * sweep.losses[0]
    assert differences(before, state(model)) == set()
