"""Lets a compiled model follow a change of what trains, also in the middle of `fit`.

A second `compile` would do it between two calls of `fit` only: it takes the train function away from under a running
one, drops metrics and `stop_training`, and `compile_from_config` cannot bring back a loss that is a function of the
user's. So everything compiled stays as it is, but for what knows the variables: the optimizer and the train function.
"""

import warnings

import keras

from tfxfer import optimizers
from tfxfer.errors import ConfigError


def successor(model: keras.Model) -> keras.optimizers.Optimizer | None:
    """Returns the optimizer with which a compiled model is to go on, before anything is changed.

    That is the one it has, where it is a `DifferentialLearningRate` or not built yet. Else it is a fresh one of its
    kind with its present settings, since those of Keras cannot take variables on.

    Raises:
        ConfigError: it cannot be made again from its config.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or optimizers.of(model) is not None or not optimizer.built:
        return optimizer
    with model.distribute_strategy.scope():
        return _fresh(optimizer)


def follow(model: keras.Model, optimizer: keras.optimizers.Optimizer | None, *, warmup_steps: int) -> None:
    """Makes a compiled model train what its flags say, from the next step on, with the optimizer of `successor`.

    Loss, metrics and their state, and all settings of `compile` stay.

    Args:
        model: compiled, its flags set.
        optimizer: of `successor(model)` before that.
        warmup_steps: of what wakes under a `DifferentialLearningRate`.
    """
    differential = optimizers.of(model)
    if differential is not None:
        with model.distribute_strategy.scope():
            differential.follow(model.trainable_variables, warmup_steps=warmup_steps)
    elif optimizer is not model.optimizer:
        with model.distribute_strategy.scope():
            optimizer.build(model.trainable_variables)
        _replace(model, optimizer)
    # Private, from Keras 3.15 on: the flags at `compile`, with which `fit` and `evaluate` are to compare in order to
    # warn (in 3.15 that stands behind a `raise`, and never runs).
    known = getattr(model, "_compiled_trainable_state", {})
    known.update({layer: layer.trainable for layer in known})
    if model.train_function is not None:
        model.make_train_function(force=True)


def _replace(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    # Past Keras's tracking, as `compile` does it: a checkpoint of the model does not hold its optimizer.
    object.__setattr__(model, "optimizer", optimizer)
    # Private: what `model.save` writes as the optimizer; the former one would be kept alive with all its slots.
    config = getattr(getattr(model, "_compile_config", None), "config", {})
    if "optimizer" in config:
        # Where `compile` itself put a `LossScaleOptimizer` around it, this holds the one within.
        whole = isinstance(config["optimizer"], keras.optimizers.LossScaleOptimizer)
        config["optimizer"] = optimizer if whole else getattr(optimizer, "inner_optimizer", optimizer)


def _fresh(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        # Goes on at the scale that it has found: from 2**15 it would skip steps until it has found it again.
        return keras.optimizers.LossScaleOptimizer(
            _fresh(optimizer.inner_optimizer),
            initial_scale=float(optimizer.dynamic_scale.numpy()),
            dynamic_growth_steps=optimizer.dynamic_growth_steps,
            name=optimizer.name,
        )
    # Private: `get_config` serializes a schedule, and a plain function would be lost by it.
    rate = optimizer._learning_rate
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a lambda, which is not serialized here
            config = optimizer.get_config()
        if callable(rate) and not isinstance(rate, keras.Variable):
            config["learning_rate"] = rate
        fresh = type(optimizer).from_config(config)
    except Exception as error:  # of someone's own optimizer, whatever it raises
        kind = type(optimizer).__name__
        raise ConfigError(
            f"this {kind} knows the variables that trained until now, and another cannot be made from its config "
            f"({type(error).__name__}: {error}). Freeze first and then compile with a new one, or compile with a "
            "tfxfer.DifferentialLearningRate, which follows."
        ) from error
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):  # private: what `exclude_from_weight_decay` was told has no other way out
            object.__setattr__(fresh, name, getattr(optimizer, name))
    return fresh
