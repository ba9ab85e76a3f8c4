"""Rates follow relative gradient norms, the optimizer's state stays, and after `fit` all is as it was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer.callbacks.auto_rgn import AutoRGN
from tfxfer.errors import ConfigError
from tfxfer.optimizers import DifferentialLearningRate

pytestmark = pytest.mark.slow

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(24, 8, 8, 2)).astype("float32")
LABELS = GENERATOR.integers(0, 3, 24)
BATCHES = [(IMAGES[:12], LABELS[:12]), (IMAGES[12:], LABELS[12:])]


def network(optimizer=None, *, multipliers=None, kernel="glorot_uniform", wrapped=True):
    """Two convolutions and a head, with biases that are not zero."""
    keras.utils.set_random_seed(1)
    x = pixels = keras.Input((8, 8, 2))
    for number in (1, 2):
        x = keras.layers.Conv2D(4, 3, 2, "same", bias_initializer="random_normal", name=f"conv{number}")(x)
        x = keras.layers.ReLU(name=f"relu{number}")(x)
    x = keras.layers.Dropout(0.5, seed=1)(keras.layers.GlobalAveragePooling2D(name="head_pool")(x))
    model = keras.Model(pixels, keras.layers.Dense(3, kernel_initializer=kernel, name="head_logits")(x))
    optimizer = optimizer or keras.optimizers.Adam(0.01)
    if wrapped:
        optimizer = DifferentialLearningRate(optimizer, multipliers or {"...": 1.0}, model=model)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fit(model, callback, epochs=1, **settings):
    model.fit(IMAGES, LABELS, batch_size=12, epochs=epochs, shuffle=False, verbose=0, callbacks=[callback], **settings)
    return callback.measured


def relative_norms(model):
    """The same by NumPy, on whole batches."""
    found = {}
    for images, labels in BATCHES:
        with tf.GradientTape() as tape:
            logits = model(images, training=False)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        body = [v for v in model.trainable_variables if not v.path.startswith("head")]
        for variable, gradient in zip(body, tape.gradient(loss, [v.value for v in body]), strict=True):
            found.setdefault(variable.path, []).append(
                np.linalg.norm(gradient.numpy()) / np.linalg.norm(variable.numpy())
            )
    return {path: np.mean(values) for path, values in found.items()}


def test_factors_are_relative_norms_over_the_largest():
    model = network()
    norms = relative_norms(model)
    (measured,) = fit(model, AutoRGN(BATCHES))
    expected = {path: max(1e-3, norm / max(norms.values())) for path, norm in norms.items()}
    assert measured == pytest.approx(expected, rel=1e-4)
    assert max(measured.values()) == 1
    assert min(measured.values()) < 0.5  # else nothing here would show


def test_a_step_moves_each_variable_by_its_factor():
    """Plain SGD from one start: with measured rates the move of one step is factor × what it is without."""
    moves = []
    for callbacks in ([], [AutoRGN(BATCHES)]):
        model = network(keras.optimizers.SGD(0.01))
        before = {v.path: v.numpy() for v in model.trainable_variables}
        model.fit(IMAGES[:12], LABELS[:12], epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
        moves.append({v.path: v.numpy() - before[v.path] for v in model.trainable_variables})
    (measured,) = callbacks[0].measured
    for path, plain in moves[0].items():
        expected = plain * measured.get(path, 1.0)
        np.testing.assert_allclose(moves[1][path], expected, rtol=1e-3, atol=2e-8, err_msg=path)


def test_each_epoch_measures_anew():
    first, second = fit(network(), AutoRGN(BATCHES), epochs=2)
    assert first != second


def test_multipliers_are_bounds_and_come_back():
    model = network(multipliers={"head": 1.0, "...": 0.1})
    body, head = model.get_layer("conv1").kernel, model.get_layer("head_logits").kernel
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append([model.optimizer.multiplier(v) for v in (body, head)])
    )
    callback = AutoRGN(BATCHES)
    model.fit(IMAGES, LABELS, batch_size=12, epochs=2, verbose=0, callbacks=[callback, look])
    for (of_body, of_head), measured in zip(seen, callback.measured, strict=True):
        assert of_body == pytest.approx(0.1 * measured[body.path])
        assert of_head == 1.0
    assert (model.optimizer.multiplier(body), model.optimizer.multiplier(head)) == (0.1, 1.0)


def test_a_second_fit_begins_from_the_planned_multipliers():
    model, callback = network(keras.optimizers.SGD(1e-9)), AutoRGN(BATCHES)
    assert fit(model, callback)[0] == pytest.approx(fit(model, callback)[0], rel=1e-3)
    assert fit(model, AutoRGN(BATCHES))[0] == pytest.approx(callback.measured[0], rel=1e-3)


def test_the_optimizer_keeps_its_state_while_rates_change():
    """What the slots are before and after the rates are set; the reference program makes a new Adam each epoch."""
    model, callback = network(), AutoRGN(BATCHES)
    model.fit(IMAGES, LABELS, batch_size=12, epochs=1, verbose=0)
    before = [variable.numpy() for variable in model.optimizer.variables]
    weights = [variable.numpy() for variable in model.variables]
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for old, variable in zip(before, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    for old, variable in zip(weights, model.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old, err_msg=variable.path)
    assert int(model.optimizer.iterations) == 2


def test_below_a_head_of_zeros_nothing_is_measured_and_the_rates_stay():
    first, second = fit(network(kernel="zeros"), AutoRGN(BATCHES), epochs=2)
    assert set(first.values()) == {1.0}
    assert min(second.values()) < 1  # the head has learned something


def test_a_variable_of_zeros_has_the_whole_rate():
    model = network()
    model.get_layer("conv1").bias.assign(np.zeros(4))
    (measured,) = fit(model, AutoRGN(BATCHES))
    assert measured["conv1/bias"] == 1.0
    assert max(value for path, value in measured.items() if path != "conv1/bias") == 1.0  # it is no measure of others


def test_what_is_frozen_is_not_measured():
    model = network()
    model.get_layer("conv1").trainable = False
    model.compile(
        DifferentialLearningRate(keras.optimizers.Adam(0.01), {"...": 1.0}, model=model),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    (measured,) = fit(model, AutoRGN(BATCHES))
    assert measured.keys() == {"conv2/kernel", "conv2/bias"}


def test_no_factor_is_below_the_floor():
    (measured,) = fit(network(), AutoRGN(BATCHES, floor=0.9))
    assert min(measured.values()) == pytest.approx(0.9)


def test_only_the_first_batches_are_looked_at():
    asked = []

    class Counted:
        def __iter__(self):
            for number in range(100):
                asked.append(number)
                yield BATCHES[0]

    fit(network(), AutoRGN(Counted()), epochs=2)
    assert asked == [*range(5), *range(5)]


def test_the_metrics_of_the_epoch_are_those_without_it():
    losses = []
    for callbacks in ([], [AutoRGN(BATCHES)]):
        model = network(keras.optimizers.SGD(1e-9))
        history = model.fit(IMAGES, LABELS, batch_size=12, shuffle=False, verbose=0, callbacks=callbacks)
        losses.append(history.history["loss"])
    assert losses[0] == losses[1]


def test_under_two_replicas(mirrored):
    with mirrored.scope():
        model = network()
    (measured,) = fit(model, AutoRGN(BATCHES))
    alone = fit(network(), AutoRGN(BATCHES))[0]
    assert list(measured.values()) == pytest.approx(list(alone.values()), rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batches": 0}, r"^batches=0 must be a whole number from 1 on\.$"),
        ({"batches": True}, r"^batches=True must be a whole number"),
        ({"floor": 0.0}, r"^floor=0\.0 must be above 0 and at most 1\.$"),
        ({"floor": 2}, r"^floor=2 must be above 0"),
    ],
)
def test_an_impossible_argument_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        AutoRGN(BATCHES, **settings)


def test_what_cannot_be_measured_is_answered():
    with pytest.raises(ConfigError, match=r"and Adam has one for all\. Compile with tfxfer\.DifferentialLearningRate"):
        fit(network(wrapped=False), AutoRGN(BATCHES))
    with pytest.raises(ConfigError, match="no batches, or a generator that is used up"):
        fit(network(), AutoRGN(iter(BATCHES)), epochs=2)
    with pytest.raises(ConfigError, match="without labels there is no gradient"):
        fit(network(), AutoRGN([IMAGES]))
