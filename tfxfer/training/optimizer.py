"""Makes the optimizer of a stage, and what changes it on the way: kind, curve, decay and clipping are the plan's."""

from collections.abc import Iterable

import keras

from tfxfer.callbacks.auto_rgn import AutoRGN
from tfxfer.optimizers import DifferentialLearningRate, LossScaling
from tfxfer.optimizers.schedules import MomentumCycle, StageSchedule
from tfxfer.optimizers.torch_adam import TorchAdam
from tfxfer.plans import StagePlan, rules
from tfxfer.recipes import Adam, ComputePrecision


def stage_optimizer(
    stage: StagePlan, shares: dict[int, float], *, precision: ComputePrecision = "float32"
) -> DifferentialLearningRate | LossScaling:
    """Returns an optimizer that is not built yet, in which weight decay leaves biases and gains alone.

    Args:
        stage: what to do.
        shares: for the `id` of each variable that trains, its share of the learning rate: in (0, 1], or as much more as
            biases have.
        precision: that the layers compute in; gradients in float16 need a scale on the loss.
    """
    optimizer = DifferentialLearningRate(
        _bare(stage),
        lambda variable: shares[id(variable)],
        decays=_is_kernel,
        decay_in_gradient=getattr(stage.optimizer, "decay_in_gradient", False),
        highest=max(1.0, stage.bias_rate),
        beta_1=_beta_1(stage),
    )
    return LossScaling(optimizer) if precision == "mixed_float16" else optimizer


def is_bias(variable: keras.Variable) -> bool:
    """Whether a variable is a bias, or the shift of a norm."""
    return rules.is_called_bias(variable.name) and not _is_kernel(variable)


def rates_callback(stage: StagePlan, batches: Iterable) -> AutoRGN | None:
    """Returns what measures a stage's rates while it trains; None where they are planned.

    Args:
        stage: what to do.
        batches: a few of (inputs, labels) of what it trains on, the same ones each time they are asked for.
    """
    return AutoRGN(batches) if stage.group_rates == "auto_rgn" else None


def stage_schedule(stage: StagePlan) -> StageSchedule:
    """Returns how the head's rate goes through a stage."""
    return StageSchedule(
        stage.schedule,
        stage.learning_rate,
        steps=stage.steps,
        warmup_steps=stage.warmup_steps,
        decay_steps=stage.decay_steps,
        cycle_start=stage.cycle_start,
    )


def _beta_1(stage: StagePlan) -> MomentumCycle | None:
    """Returns how Adam's beta_1 goes through a stage; None where it stays."""
    chosen = stage.optimizer
    if not isinstance(chosen, Adam) or chosen.beta_1_at_peak == "same":
        return None
    return MomentumCycle(chosen.beta_1, chosen.beta_1_at_peak, steps=stage.steps, warmup_steps=stage.warmup_steps)


def _bare(stage: StagePlan) -> keras.optimizers.Optimizer:
    schedule, chosen = stage_schedule(stage), stage.optimizer
    common = {"weight_decay": stage.weight_decay or None, "global_clipnorm": stage.clip_norm or None}
    if isinstance(chosen, Adam):
        kind = TorchAdam if chosen.epsilon_of == "pytorch" else keras.optimizers.Adam
        return kind(schedule, beta_1=chosen.beta_1, beta_2=chosen.beta_2, epsilon=chosen.epsilon, **common)
    return keras.optimizers.SGD(schedule, momentum=float(chosen.momentum), nesterov=chosen.nesterov, **common)


def _is_kernel(variable: keras.Variable) -> bool:
    """Whether more than one axis is longer than 1; layer scale and the like have rank 4 and one long axis."""
    return sum(extent > 1 for extent in variable.shape) > 1
