"""What a stage makes small, and what is shown of it after each epoch: both follow from the task."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfxfer import answers
from tfxfer.plans import ImbalancePlan, StagePlan
from tfxfer.plans.imbalance import NOTHING
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training.class_losses import WeightedCrossentropy
from tfxfer.training.records import Score


def loss_of(stage: StagePlan, imbalance: ImbalancePlan = NOTHING, task: Task = SINGLE_LABEL) -> keras.losses.Loss:
    """Returns the loss of a network's outputs, float32, against what `data.batches.encoded` gives.

    Validation is looked at with the same, so that what stops a stage, or says which epoch is the best, is what was
    asked for.

    For labels and targets it is the sum over them, not the mean: so each is learned at the rate that was chosen for
    classes, whose cross-entropy is a sum too, however many there are. Measured on 1,000 digits with 20 labels each, a
    head alone on Lite0 at 64 pixels, 20 epochs at the rule's rate: mean average precision 91.9 % (88.7 to 94.8), and
    75.0 % (71.5 to 79.2) at a twentieth of the rate, which is what the mean would do.
    """
    if task.kind == "multi_label":
        return LabelCrossentropy(stage.label_smoothing)
    if task.kind == "regression":
        return StandardisedHuber()
    if task.kind == "ordinal":
        return OrdinalCrossentropy(stage.label_smoothing, imbalance.class_weights)
    if not (imbalance.class_weights or imbalance.focal_gamma or imbalance.priors):
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=stage.label_smoothing)
    return WeightedCrossentropy(
        label_smoothing=stage.label_smoothing,
        class_weights=imbalance.class_weights,
        focal_gamma=imbalance.focal_gamma,
        shifts=imbalance.shifts,
    )


def metrics_of(task: Task = SINGLE_LABEL) -> list[keras.metrics.Metric]:
    """Returns new metrics of outputs, in which every example counts alike; made in the scope of the strategy."""
    if task.kind == "multi_label":
        return [MicroF1(name="f1")]
    if task.kind == "regression":
        return [StandardisedError(name="mae")]
    if task.kind == "ordinal":
        return [OrdinalAccuracy(name="accuracy")]
    return [keras.metrics.CategoricalAccuracy(name="accuracy")]


def scores_of(logs: dict[str, float], task: Task = SINGLE_LABEL) -> tuple[Score, ...]:
    """Returns the metrics besides loss and accuracy that `fit` logged after an epoch.

    The mean absolute error is in the user's units where there is one target, else in standard deviations.
    """
    if task.kind == "multi_label":
        return (Score(name="f1", train=float(logs["f1"]), validation=float(logs["val_f1"])),)
    if task.kind == "regression":
        one = len(task.deviations) == 1
        unit = task.deviations[0] if one else 1.0
        name = "mae" if one else "mae in deviations"
        return (Score(name=name, train=unit * float(logs["mae"]), validation=unit * float(logs["val_mae"])),)
    return ()


class LabelCrossentropy(keras.losses.Loss):
    """Binary cross-entropy of logits, summed over labels; smoothing moves 0 and 1 towards a half."""

    def __init__(self, label_smoothing: float = 0.0):
        """Takes the share of each label that is spread over both answers, in [0, 1)."""
        super().__init__(name="label_crossentropy")
        self._smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Returns float32 `[batch]`."""
        labels = y_true * (1.0 - self._smoothing) + 0.5 * self._smoothing
        return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=y_pred), axis=-1)


class StandardisedHuber(keras.losses.Loss):
    """Huber's loss of standardised targets, summed over them: squared up to one standard deviation, then linear.

    So the gradient of an output is never above 1, as with classes, whose rates hold then, and a slip in a table does
    not outweigh a batch (Huber 1964, "Robust Estimation of a Location Parameter").
    """

    def __init__(self):
        """Makes the loss."""
        super().__init__(name="standardised_huber")

    def call(self, y_true, y_pred):
        """Returns float32 `[batch]`."""
        error = tf.abs(y_pred - y_true)
        return tf.reduce_sum(tf.where(error < 1.0, 0.5 * error * error, error - 0.5), axis=-1)


class OrdinalCrossentropy(keras.losses.Loss):
    """Cross-entropy of ordinal classes against shares of them, which may be mixed or smoothed; see `answers`."""

    def __init__(self, label_smoothing: float = 0.0, class_weights: Sequence[float] = ()):
        """Takes the share of a label that is spread over all classes, in [0, 1), and what each class counts, or ()."""
        super().__init__(name="ordinal_crossentropy")
        self._smoothing, self._weights = label_smoothing, tuple(class_weights)

    def call(self, y_true, y_pred):
        """Returns float32 `[batch]`, of shares `[batch, classes]` and outputs `[batch, classes − 1]`."""
        labels = y_true * tf.constant(self._weights, tf.float32) if self._weights else y_true
        spread = tf.reduce_mean(labels, axis=-1, keepdims=True)
        shares = labels * (1.0 - self._smoothing) + self._smoothing * spread
        return -tf.reduce_sum(shares * answers.ordinal_log_probabilities_in_graph(y_pred), axis=-1)


class OrdinalAccuracy(keras.metrics.MeanMetricWrapper):
    """Share of examples whose most probable class is theirs."""

    def __init__(self, name: str = "accuracy", dtype=None):
        """Makes the metric."""
        super().__init__(_ordinal_is_right, name=name, dtype=dtype)


def _ordinal_is_right(y_true, y_pred):
    best = tf.argmax(answers.ordinal_log_probabilities_in_graph(y_pred), axis=-1)
    return tf.cast(tf.equal(tf.argmax(y_true, axis=-1), best), tf.float32)


class StandardisedError(keras.metrics.MeanMetricWrapper):
    """Mean absolute error of standardised targets, over all of them."""

    def __init__(self, name: str = "mae", dtype=None):
        """Makes the metric."""
        super().__init__(
            lambda y_true, y_pred: tf.reduce_mean(tf.abs(y_pred - y_true), axis=-1), name=name, dtype=dtype
        )


class MicroF1(keras.metrics.Metric):
    """F1 over all labels of all examples, a label being told where its probability is above a half."""

    def __init__(self, name: str = "f1", dtype=None):
        """Makes the metric."""
        super().__init__(name=name, dtype=dtype)
        self._both, self._either = (self.add_weight(name=n, initializer="zeros") for n in ("both", "either"))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the labels of a batch, those of mixed examples from a half on."""
        true, told = tf.cast(y_true > 0.5, tf.float32), tf.cast(y_pred > 0.0, tf.float32)
        weights = 1.0 if sample_weight is None else tf.reshape(tf.cast(sample_weight, tf.float32), (-1, 1))
        self._both.assign_add(tf.reduce_sum(weights * true * told))
        self._either.assign_add(tf.reduce_sum(weights * (true + told)))

    def result(self):
        """Returns twice the labels that are both there and told, over those that are there plus those told."""
        return tf.math.divide_no_nan(2.0 * self._both, self._either)
