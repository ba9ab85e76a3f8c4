"""What a stage makes small, and what is shown of it after each epoch."""

import keras

from tfxfer.plans import StagePlan


def loss_of(stage: StagePlan) -> keras.losses.Loss:
    """Returns the loss of float32 logits `[batch, classes]` against shares of classes of the same shape."""
    return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=stage.label_smoothing)


def metrics_of() -> list[keras.metrics.Metric]:
    """Returns new metrics of logits; made in the scope of the strategy that trains."""
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]
