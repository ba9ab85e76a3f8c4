"""Why a variable stood still that was to train: each thing that is no fault, and the one that is."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer.errors import VerificationError
from tfxfer.models import idle

layers = keras.layers
NOISE = np.random.default_rng(0)
X, Y = NOISE.normal(size=(16, 6)).astype("float32"), NOISE.normal(size=(16, 2)).astype("float32")
BATCHES = [(X[:8], Y[:8]), (X[8:], Y[8:])]


def chain(*between) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = x = keras.Input((6,))
    for layer in [layers.Dense(5, "tanh", name="first"), *between, layers.Dense(2, name="last")]:
        x = layer(x)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    tfxfer.freeze(model, train="all", batch_norm="train")
    return model


def explained(model, *paths, rate=0.1, scaled=False, **settings):
    variables = [variable for variable in model.trainable_variables if variable.path in paths]
    assert len(variables) == len(paths)
    rates = {id(variable): rate for variable in variables}
    return idle.explain(model, variables, BATCHES, steps_of=rates, scaled=scaled, **settings)


def test_nothing_idle_needs_no_gradient():
    assert idle.explain(None, [], None, steps_of={}, scaled=False) == ()


@pytest.mark.parametrize("scaled", [False, True])
def test_a_unit_that_is_off_on_every_example_has_no_gradient(scaled):
    model = chain(layers.Dense(4, "relu", name="second"))
    model.get_layer("second").bias.assign(np.full(4, -100.0))
    kernel, bias = explained(model, "second/kernel", "second/bias", scaled=scaled)
    assert (kernel.path, kernel.gradient, kernel.reason) == ("second/kernel", 0.0, "no gradient reaches it")
    assert bias.gradient == 0


def test_what_is_below_a_head_of_zeros_has_no_gradient():
    model = chain()
    model.get_layer("last").kernel.assign(np.zeros((5, 2)))
    (found,) = explained(model, "first/kernel")
    assert str(found) == "first/kernel: no gradient reaches it"


@pytest.mark.parametrize("scaled", [False, True])
def test_a_bias_in_front_of_batch_norm_has_nothing_but_noise(scaled):
    """Batch norm takes the mean away; by the stored statistics the gradient would be far from 0."""
    model = chain(layers.Dense(4, name="second"), layers.BatchNormalization(name="norm"))
    (found,) = explained(model, "second/bias", scaled=scaled)
    assert found.gradient < 1e-6
    assert "0 but for rounding" in found.reason or found.reason == "no gradient reaches it"


def test_a_gain_of_1_at_a_rate_that_float32_cannot_hold():
    model = chain(layers.Dense(4, name="second"), layers.BatchNormalization(name="norm"))
    (found,) = explained(model, "norm/gamma", rate=1e-9)
    assert found.gradient > 1e-3
    assert found.reason.endswith("steps at a rate of 1e-09 are lost in rounding of float32")


@pytest.mark.parametrize("scaled", [False, True])
def test_what_has_a_gradient_and_stood_still_is_a_fault(scaled):
    message = r"first/kernel was to train at a rate of 0\.1, its gradient is up to .*, and it has not moved by one bit"
    with pytest.raises(VerificationError, match=message):
        explained(chain(), "first/kernel", scaled=scaled)


def test_clipping_makes_gradients_smaller():
    (found,) = explained(
        chain(layers.Dense(4, name="second"), layers.BatchNormalization(name="norm")),
        "norm/gamma", clip_norm=1e-9,
    )  # fmt: skip
    assert 0 < found.gradient < 1e-9


def test_nothing_of_the_model_changes():
    model = chain(layers.BatchNormalization(name="norm"), layers.Dropout(0.5, seed=1))
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(VerificationError):
        explained(model, "first/kernel")
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(before, model.variables, strict=True))
