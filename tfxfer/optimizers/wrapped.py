"""The optimizer within a `DifferentialLearningRate`: whether it can be, what it decays, and fresh ones like it."""

from typing import Any

import keras

from tfxfer.errors import ConfigError
from tfxfer.optimizers.torch_adam import TorchAdam

# What the wrapper does itself, for all variables together.
_SHARED = (
    "weight_decay", "clipnorm", "clipvalue", "global_clipnorm", "use_ema", "ema_momentum", "ema_overwrite_frequency",
    "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip
# Their update is proportional to the rate they are given, at any step; the tests try each. Some are newer than the
# oldest Keras that we run on.
_LINEAR = (TorchAdam, *(
    getattr(keras.optimizers, name)
    for name in ("SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Lion", "Lamb", "Muon",
                 "ScheduleFreeAdamW")
    if hasattr(keras.optimizers, name)
))  # fmt: skip
_DECAYS_IN_ITS_OWN_WAY = keras.optimizers.Muon
# These read beta_1 in `update_step` and nowhere else, and ask nothing of it that a tensor could not answer.
_CYCLED = (keras.optimizers.Adam, keras.optimizers.AdamW, TorchAdam)


class Wrapped:
    """A kind of optimizer with its settings; of the one that was given only the exclusions from decay are asked."""

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        """Looks at an optimizer, which itself stays as it is.

        Raises:
            ConfigError: it cannot be wrapped.
        """
        _check(optimizer)
        self.kind = type(optimizer)
        self._given, self._config = optimizer, optimizer.get_config()

    @property
    def rate(self):
        """The learning rate: a number, a schedule or a function."""
        # Private: `get_config` has a schedule in pieces and loses a plain function.
        rate = self._given._learning_rate
        return float(rate.numpy()) if isinstance(rate, keras.Variable) else rate

    @property
    def shared(self) -> dict[str, Any]:
        """Settings that hold for all variables together, as arguments of an optimizer."""
        return {key: self._config[key] for key in _SHARED if key in self._config}

    @property
    def is_linear(self) -> bool:
        """Whether the update is known to be proportional to the rate; a subclass may do anything."""
        return self.kind in _LINEAR

    def fresh(self, rate) -> keras.optimizers.Optimizer:
        """Returns another of this kind and these settings, not built, with the given rate."""
        return self.kind.from_config(self._config | {"learning_rate": rate})

    def check_beta_1(self) -> None:
        """Checks that beta_1 may change from step to step.

        Raises:
            ConfigError: it may not.
        """
        if self.kind not in _CYCLED:
            kinds = ", ".join(kind.__name__ for kind in _CYCLED)
            raise ConfigError(
                f"{self.kind.__name__} has no beta_1 that could change from step to step, only {kinds} have. Leave "
                f"beta_1 out, or wrap {_EXAMPLE}."
            )

    def weight_decay(self, variable: keras.Variable) -> float | None:
        """Returns the weight decay of a variable that is not excluded from it."""
        optimizer = self._given
        # Private: which variables Muon leaves to AdamW, with a decay of their own.
        if isinstance(optimizer, _DECAYS_IN_ITS_OWN_WAY) and optimizer._should_use_adamw(variable):
            return optimizer.adam_weight_decay
        return optimizer.weight_decay

    def excludes(self, variable: keras.Variable) -> bool:
        """Returns whether `exclude_from_weight_decay` named the variable."""
        # Private: there is no other way to learn what was excluded.
        return not self._given._use_weight_decay(variable)


def _check(optimizer) -> None:
    kind = type(optimizer).__name__
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ConfigError(f"optimizer={optimizer!r} is no Keras optimizer. Write keras.optimizers.Adam(1e-3).")
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ConfigError(
            "LossScaleOptimizer goes around, not within: LossScaleOptimizer(DifferentialLearningRate(optimizer, …))."
        )
    # A DifferentialLearningRate has no `update_step` of its own, no more than Keras's MultiOptimizer.
    if type(optimizer).update_step is keras.optimizers.Optimizer.update_step:
        raise ConfigError(f"{kind} moves nothing by itself. Give a single optimizer, such as {_EXAMPLE}.")
    if isinstance(optimizer, keras.optimizers.Ftrl):
        raise ConfigError(
            "the update of Ftrl is not proportional to its learning rate, so a multiplier has no meaning under it. "
            f"Take another, such as {_EXAMPLE}."
        )
    own_decay = type(optimizer)._apply_weight_decay is not keras.optimizers.Optimizer._apply_weight_decay
    if own_decay and type(optimizer) is not _DECAYS_IN_ITS_OWN_WAY:
        raise ConfigError(
            f"{kind} applies weight decay in a way of its own, which no multiplier could follow. Take another, such as "
            "keras.optimizers.AdamW(1e-3)."
        )
    if optimizer.built:
        raise ConfigError(
            f"this {kind} was built on variables already. Give a fresh one: {kind}.from_config(optimizer.get_config())."
        )


_EXAMPLE = "keras.optimizers.Adam(1e-3)"
