"""Lets something train a compiled model and puts everything back afterwards, bit for bit, whatever happened."""

import contextlib
import random
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state

# What `fit` sets on a model besides variables.
_SET_BY_FIT = ("train_function", "stop_training", "history", "steps_per_execution")
_ABSENT = object()


@contextlib.contextmanager
def kept(model: keras.Model) -> Iterator[None]:
    """Puts a model back at the end of the block, also after an error or an interruption.

    Back come: every variable of the model (weights, statistics, states of random layers), of its optimizer (slots,
    iterations, learning rate) and of its metrics, on every replica; what `fit` sets on it; and the global random
    states of Python, NumPy and Keras. Frozen layers are frozen by flags that nothing here sets. Metrics that were not
    used before are there afterwards, empty.

    Args:
        model: compiled and built, with its optimizer built.
    """
    attributes = {name: vars(model).get(name, _ABSENT) for name in _SET_BY_FIT}
    metrics = _values(model, model.metrics_variables)
    variables = _values(model, [*model.variables, *model.optimizer.variables])
    with _random_states_kept():
        try:
            yield
        finally:
            model.reset_metrics()
            for variable, values in (*metrics, *variables):
                variable_replicas = model.distribute_strategy.experimental_local_results(variable.value)
                for replica, value in zip(variable_replicas, values, strict=True):
                    replica.assign(value)
            for name, value in attributes.items():
                if value is not _ABSENT:
                    setattr(model, name, value)
                elif name in vars(model):
                    delattr(model, name)


@contextlib.contextmanager
def settable_rate(optimizer: keras.optimizers.Optimizer, strategy: tf.distribute.Strategy) -> Iterator[Callable]:
    """Gives a function that sets the learning rate, also of an optimizer that follows a schedule.

    A rate that is a variable is set; its value is for `kept` to put back. A schedule, or a function, steps aside for a
    variable of ours until the end of the block.

    Args:
        optimizer: any with one learning rate.
        strategy: of its variables.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer, which hands rates on
    # Private: `learning_rate` gives the number that a schedule has come to, and nothing else gives the schedule.
    schedule = inner._learning_rate
    if isinstance(schedule, keras.Variable):
        yield lambda rate: setattr(inner, "learning_rate", rate)
        return
    with strategy.scope():
        variable = keras.Variable(
            0.0, dtype="float32", trainable=False, aggregation="only_first_replica", name="swept_rate"
        )
    inner.learning_rate = lambda: variable
    try:
        yield variable.assign
    finally:
        inner.learning_rate = schedule


def _values(model: keras.Model, variables: list[keras.Variable]) -> list[tuple[keras.Variable, list[np.ndarray]]]:
    """Returns each variable with its number on each replica."""
    local = model.distribute_strategy.experimental_local_results
    return [(variable, [replica.numpy() for replica in local(variable.value)]) for variable in variables]


@contextlib.contextmanager
def _random_states_kept() -> Iterator[None]:
    # Private: Keras's own generator is made at its first use, and nothing public tells whether that was.
    generator = global_state.get_global_attribute("global_seed_generator")
    state = generator.state.numpy() if generator is not None else None
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if generator is not None:
            generator.state.assign(state)
        global_state.set_global_attribute("global_seed_generator", generator)
