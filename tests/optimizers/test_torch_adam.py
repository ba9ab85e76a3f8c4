"""Adam with epsilon behind the correction, by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer.optimizers import DifferentialLearningRate
from tfxfer.optimizers.torch_adam import TorchAdam

STEPS = 20


def gradients(scale):
    random = np.random.default_rng(3)
    return [scale * random.normal(size=(3, 2)) for _ in range(STEPS)]


def moved(optimizer, scale):
    """Where a variable of zeros is after the steps, made in one traced function."""
    variable = keras.Variable(np.zeros((3, 2)), dtype="float64")
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    for gradient in gradients(scale):
        step(tf.constant(gradient))
    return variable.numpy()


def by_hand(scale, *, rate=0.01, beta_1=0.9, beta_2=0.99, epsilon=1e-5):
    """Algorithm 1 of Kingma and Ba 2015."""
    place, mean, square = np.zeros((3, 2)), 0.0, 0.0
    for step, gradient in enumerate(gradients(scale), start=1):
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        corrected = np.sqrt(square / (1 - beta_2**step)) + epsilon
        place = place - rate * mean / (1 - beta_1**step) / corrected
    return place


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5, 1e-7])
def test_steps_are_those_of_algorithm_1_however_small_gradients_are(scale):
    np.testing.assert_allclose(moved(TorchAdam(0.01, 0.9, 0.99, 1e-5), scale), by_hand(scale), rtol=1e-6)


def test_keras_s_own_are_others_where_gradients_are_small():
    """Of the distance after 20 steps 0.01 % and 7 % are apart."""
    for scale, least, most in ((1.0, 1e-6, 1e-3), (1e-3, 0.02, 0.2)):
        wanted = by_hand(scale)
        apart = np.abs(moved(keras.optimizers.Adam(0.01, 0.9, 0.99, 1e-5), scale) - wanted)
        assert least < np.max(apart) / np.max(np.abs(wanted)) < most


def test_a_share_of_the_rate_is_a_share_of_the_update():
    optimizer = DifferentialLearningRate(TorchAdam(0.01, 0.9, 0.99, 1e-5), lambda variable: 0.3)
    np.testing.assert_allclose(moved(optimizer, 1e-4), 0.3 * by_hand(1e-4), rtol=1e-6)


def test_epsilon_is_as_given_behind_a_step_and_in_the_config():
    optimizer = TorchAdam(0.01, epsilon=1e-5)
    moved(optimizer, 1.0)
    back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert type(back) is TorchAdam
    assert (optimizer.epsilon, back.epsilon) == (1e-5, 1e-5)
