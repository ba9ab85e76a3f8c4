"""Variables that began to train at the same time, and the optimizer that has their slots and counts their steps."""

import dataclasses

import keras

from tfxfer.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Variables that began to train at the same time.

    Attributes:
        variables: of the model.
        optimizer: of the wrapped kind, built on just these. It is asked for single updates only: the rate, clipping,
            decay and averaging are those of the optimizer that holds the cohorts.
        warmup_steps: in which the rate rises linearly to its place, ≥ 0.
    """

    variables: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer
    warmup_steps: int

    @property
    def averages(self) -> list[keras.Variable]:
        """The running averages of the variables, where there are any."""
        return self.optimizer._model_variables_moving_average if self.optimizer.use_ema else []

    @property
    def accumulators(self) -> list[keras.Variable]:
        """The gradients that wait for their step, where they do."""
        return self.optimizer._accumulated_gradients if self.optimizer.gradient_accumulation_steps else []

    def warm(self, rate):
        """Returns the rate at this step of the warm-up."""
        if not self.warmup_steps:
            return rate
        passed = keras.ops.cast(self.optimizer.iterations + 1, "float32")
        return rate * keras.ops.minimum(1.0, passed / self.warmup_steps)

    def count_step(self) -> None:
        """Tells the optimizer that a step was made."""
        self.optimizer._iterations.assign_add(1)  # `iterations` counts updates, fewer than steps under accumulation

    def start_averages(self) -> None:
        """Starts averages from the variables; Keras starts them from 0, right only before its very first step."""
        for average, variable in zip(self.averages, self.variables, strict=bool(self.averages)):
            if average is not None:
                average.assign(variable)


def copy_slots(old: Cohort, new: Cohort, kept: list[int]) -> None:
    """Copies the state of the variables number `kept` in `old` to `new`, which has only these.

    Optimizers keep slots in lists, one slot a variable, and what belongs to no variable in attributes.

    Raises:
        ConfigError: an optimizer that keeps its state in another way.
    """
    waiting = {id(variable): variable for variable in new.optimizer.variables}
    for name, value in vars(new.optimizer).items():
        former = getattr(old.optimizer, name)
        if isinstance(value, list) and len(value) == len(kept) and len(former) == len(old.variables):
            pairs = [(former[number], slot) for number, slot in zip(kept, value, strict=True)]
        else:
            pairs = [(former, value)]
        for source, target in pairs:
            if waiting.pop(id(target), None) is not None:
                target.assign(source)
    if waiting:
        raise ConfigError(
            f"{type(new.optimizer).__name__} keeps {', '.join(v.path for v in waiting.values())} in a way of its own, "
            "so some of its variables cannot be let go. Freeze and unfreeze with keras.optimizers.Adam, for example."
        )
