"""What a stage makes small, and what is shown of it after each epoch: both follow from the task, or were asked for."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfxfer import objectives
from tfxfer.data import batches
from tfxfer.data.targets import LARGEST
from tfxfer.errors import ConfigError
from tfxfer.objectives import Loss, Metric, Written
from tfxfer.plans import ImbalancePlan, StagePlan, What
from tfxfer.plans.imbalance import NOTHING
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import losses, metrics
from tfxfer.training.class_losses import WeightedCrossentropy
from tfxfer.training.divergence import LARGEST_LOSS
from tfxfer.training.records import Score


def loss_of(
    stage: StagePlan, imbalance: ImbalancePlan = NOTHING, task: Task = SINGLE_LABEL, asked: Loss = ""
) -> keras.losses.Loss:
    """Returns the loss of a network's outputs, float32, against what `data.batches.encoded` gives.

    Validation is looked at with the same, so that what stops a stage, or says which epoch is the best, is what was
    asked for.
    """
    if asked:
        loss = losses.made(asked, task, label_smoothing=stage.label_smoothing)
        return losses.ByClass(loss, imbalance.class_weights) if imbalance.class_weights else loss
    if task.kind == "multi_label":
        return losses.LabelCrossentropy(stage.label_smoothing)
    if task.kind == "regression":
        return losses.StandardisedHuber()
    if task.kind == "ordinal":
        return losses.OrdinalCrossentropy(stage.label_smoothing, imbalance.class_weights)
    if not (imbalance.class_weights or imbalance.focal_gamma or imbalance.priors):
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=stage.label_smoothing)
    return WeightedCrossentropy(
        label_smoothing=stage.label_smoothing,
        class_weights=imbalance.class_weights,
        focal_gamma=imbalance.focal_gamma,
        shifts=imbalance.shifts,
    )


def metrics_of(task: Task = SINGLE_LABEL, asked: tuple[Metric, ...] = ()) -> list[keras.metrics.Metric]:
    """Returns new metrics of outputs, in which every example counts alike; made in the scope of the strategy."""
    others = [metrics.made(one, task) for one in asked]
    if task.kind == "multi_label":
        return [metrics.MicroF1(name="f1"), *others]
    if task.kind == "regression":
        return [metrics.StandardisedError(name="mae"), *others]
    if task.kind == "ordinal":
        return [metrics.OrdinalAccuracy(name="accuracy"), *others]
    return [keras.metrics.CategoricalAccuracy(name="accuracy"), *others]


def scores_of(logs: dict[str, float], task: Task = SINGLE_LABEL, asked: tuple[Metric, ...] = ()) -> tuple[Score, ...]:
    """Returns the metrics besides loss and accuracy that `fit` logged after an epoch, those that were asked for last.

    The mean absolute error is in the user's units where there is one target, else in standard deviations.
    """
    first: tuple[Score, ...] = ()
    if task.kind == "multi_label":
        first = (Score(name="f1", train=float(logs["f1"]), validation=float(logs["val_f1"])),)
    if task.kind == "regression":
        one = len(task.deviations) == 1
        unit = task.deviations[0] if one else 1.0
        name = "mae" if one else "mae in deviations"
        first = (Score(name=name, train=unit * float(logs["mae"]), validation=unit * float(logs["val_mae"])),)
    named = ((objectives.shown(one, task), objectives.logged(one)) for one in asked)
    others = ((shown, float(logs[name]), float(logs[f"val_{name}"])) for shown, name in named)
    # What is no number, such as the mean of nothing, no JSON holds.
    known = (Score(name=n, train=t, validation=v) for n, t, v in others if math.isfinite(t) and math.isfinite(v))
    return (*first, *known)


def measured(asked: Metric, outputs: np.ndarray, labels: np.ndarray, what: What) -> float:
    """Returns a metric that was asked for, of a network's outputs.

    Args:
        asked: which one.
        outputs: float32 `[examples, outputs]`.
        labels: as in `tasks.Task`.
        what: the plan that has it.
    """
    metric = metrics.made(asked, what.task)
    true = batches.encoded(labels, len(what.class_names), what.task)
    metric.update_state(tf.convert_to_tensor(true), tf.convert_to_tensor(outputs))
    return float(metric.result())


def check(what: What) -> None:
    """Tries the loss and the metrics that were asked for on two examples, before anything trains.

    Raises:
        ConfigError: one fails on labels and outputs of these shapes, or gives no number.
    """
    kind, names = what.task.kind, len(what.class_names)
    labels = np.zeros((2, names), np.float32)
    labels[:, 0] = 1 if kind != "regression" else 0
    outputs = np.zeros((2, what.task.outputs(names)), np.float32)
    given = f"labels float32 {list(labels.shape)} and outputs float32 {list(outputs.shape)}"
    problems, known = [], {"loss", objectives.OWN[kind]}
    if isinstance(what.loss, Written):
        problems += _fault(what.loss, given, lambda: losses.own(what.loss).loss(*map(tf.constant, (labels, outputs))))
    for asked in what.metrics:
        name = objectives.logged(asked)
        if name in known:
            problems.append(f"two metrics are called {name!r}; give one of them another name=")
        known.add(name)

        def result(asked=asked):
            metric = metrics.made(asked, what.task)
            metric.update_state(tf.constant(labels), tf.constant(outputs))
            return metric.result()

        if isinstance(asked, Written):
            problems += _fault(asked, given, result, is_metric=True)
    if problems:
        raise ConfigError("; ".join(problems) + ".")


def _fault(written: Written, given: str, call, *, is_metric: bool = False) -> list[str]:
    """Returns what is wrong with what a loss or a metric of a program gives for two examples."""
    try:
        found = np.asarray(call())
    except ConfigError as error:
        return [str(error).rstrip(".")]
    except Exception as error:  # whatever a program raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return [f"{written.name} fails on {given}: {reason.rstrip('.')}"]
    if is_metric and found.ndim:
        return [f"metric {written.name} gives numbers of shape {list(found.shape)} and is to give one"]
    if not is_metric and (found.ndim == 0 or len(found) != 2):
        return [f"loss {written.name} gives {list(found.shape)} for two examples and is to give one number for each"]
    if not is_metric and not (np.abs(found) <= LARGEST).all():
        return [f"loss {written.name} of {given} is no number, or infinite"]
    if not is_metric and np.abs(found).mean() >= LARGEST_LOSS:
        return [
            f"loss {written.name} is {np.abs(found).mean():,.0f} on {given}, and from {LARGEST_LOSS:,.0f} on training "
            "counts as diverged: divide it"
        ]
    return []
