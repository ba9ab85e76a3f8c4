"""Networks of a few numbers and what to fit them to, for tests of optimizers and of what trains."""

import keras
import numpy as np
import tensorflow as tf

_random = np.random.default_rng(0)
INPUTS = _random.normal(size=(64, 4)).astype(np.float32)
TARGETS = _random.normal(size=(64, 4)).astype(np.float32)
STEPS = 4  # in an epoch of `fit`


def chain(seed: int = 0) -> keras.Model:
    """Three layers a, b and c, whose kernels have one shape, so that only numbers tell their slots apart."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(4, activation="tanh", bias_initializer="uniform", name="a")(inputs)
    x = keras.layers.Dense(4, activation="tanh", bias_initializer="uniform", name="b")(x)
    return keras.Model(inputs, keras.layers.Dense(4, bias_initializer="uniform", name="c")(x), name="chain")


def nested(seed: int = 0) -> keras.Model:
    """The chain as a layer of another network."""
    inner = chain(seed)
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(4, name="top")(inner(inputs)), name="nested")


def fit(model: keras.Model, epochs: int = 1, **settings) -> keras.callbacks.History:
    """Fits for `STEPS` steps an epoch, in the same order each time."""
    return model.fit(INPUTS, TARGETS, batch_size=16, shuffle=False, verbose=0, epochs=epochs, **settings)


def numbers(variables) -> list[np.ndarray]:
    """Returns the values as they are now."""
    return [np.array(variable.numpy()) for variable in variables]


def same(ones, others) -> bool:
    """Returns whether all arrays are equal bit by bit."""
    return all(np.array_equal(one, other) for one, other in zip(ones, others, strict=True))


def train(model: keras.Model, steps: int = STEPS) -> None:
    """Trains as `fit` does, but without tracing, which is most of the time that `fit` would take here."""
    for step in range(steps):
        batch = slice(16 * (step % STEPS), 16 * (step % STEPS + 1))
        with tf.GradientTape() as tape:
            loss = keras.ops.mean(keras.ops.square(model(INPUTS[batch], training=True) - TARGETS[batch]))
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
