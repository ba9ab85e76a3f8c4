"""Makes the optimizer of a stage, and what changes it on the way: kind, curve, decay and clipping are the plan's."""

from collections.abc import Iterable

import keras

from tfxfer.callbacks.auto_rgn import AutoRGN
from tfxfer.optimizers import DifferentialLearningRate
from tfxfer.optimizers.schedules import StageSchedule
from tfxfer.plans import StagePlan
from tfxfer.recipes import Adam


def stage_optimizer(stage: StagePlan, shares: dict[int, float]) -> DifferentialLearningRate:
    """Returns an optimizer that is not built yet, in which weight decay leaves biases and gains alone.

    Args:
        stage: what to do.
        shares: for the `id` of each variable that trains, its share of the learning rate in (0, 1].
    """
    return DifferentialLearningRate(_bare(stage), lambda variable: shares[id(variable)], decays=_is_kernel)


def stage_callbacks(stage: StagePlan, batches: Iterable) -> list[keras.callbacks.Callback]:
    """Returns what has to act on a stage's optimizer while it trains: nothing, or measuring.

    Args:
        stage: what to do.
        batches: a few of (inputs, labels) of what it trains on, the same ones each time they are asked for.
    """
    return [AutoRGN(batches)] if stage.group_rates == "auto_rgn" else []


def stage_schedule(stage: StagePlan) -> StageSchedule:
    """Returns how the head's rate goes through a stage."""
    return StageSchedule(
        stage.schedule,
        stage.learning_rate,
        steps=stage.steps,
        warmup_steps=stage.warmup_steps,
        decay_steps=stage.decay_steps,
    )


def _bare(stage: StagePlan) -> keras.optimizers.Optimizer:
    schedule, chosen = stage_schedule(stage), stage.optimizer
    common = {"weight_decay": stage.weight_decay or None, "global_clipnorm": stage.clip_norm or None}
    if isinstance(chosen, Adam):
        return keras.optimizers.Adam(
            schedule, beta_1=chosen.beta_1, beta_2=chosen.beta_2, epsilon=chosen.epsilon, **common
        )
    return keras.optimizers.SGD(schedule, momentum=float(chosen.momentum), nesterov=chosen.nesterov, **common)


def _is_kernel(variable: keras.Variable) -> bool:
    """Whether more than one axis is longer than 1; layer scale and the like have rank 4 and one long axis."""
    return sum(extent > 1 for extent in variable.shape) > 1
