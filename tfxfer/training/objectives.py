"""What a stage makes small, and what is shown of it after each epoch."""

import keras

from tfxfer.plans import ImbalancePlan, StagePlan
from tfxfer.training.class_losses import WeightedCrossentropy


def loss_of(stage: StagePlan, imbalance: ImbalancePlan) -> keras.losses.Loss:
    """Returns the loss of float32 logits `[batch, classes]` against shares of classes of the same shape.

    Validation is looked at with the same, so that what stops a stage, or says which epoch is the best, is what was
    asked for.
    """
    if not (imbalance.class_weights or imbalance.focal_gamma or imbalance.priors):
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=stage.label_smoothing)
    return WeightedCrossentropy(
        label_smoothing=stage.label_smoothing,
        class_weights=imbalance.class_weights,
        focal_gamma=imbalance.focal_gamma,
        shifts=imbalance.shifts,
    )


def metrics_of() -> list[keras.metrics.Metric]:
    """Returns new metrics of logits, in which every example counts alike; made in the scope of the strategy."""
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]
