"""Metrics of batches, in which every example counts alike: those of the tasks, and those that were asked for."""

from collections.abc import Callable

import keras
import tensorflow as tf

from tfxfer import answers, objectives
from tfxfer.objectives import Metric, Written
from tfxfer.tasks import Task
from tfxfer.training.label_metrics import MacroF1, Ranking
from tfxfer.training.written import again


class Meant(keras.metrics.Metric):
    """A metric of what outputs mean: of probabilities, or of numbers.

    One number is in the user's units, of several each in its standard deviations. R² is the same in both, and taken in
    the latter, since squares of numbers such as 100,000 ± 10 cancel in float32.
    """

    def __init__(self, metric: keras.metrics.Metric, task: Task, name: str):
        """Takes the metric, which gets labels as batches hold them, classes as shares of them, and what to call it."""
        super().__init__(name=name)
        self.inner, self._task = metric, task

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Shows the metric a batch."""
        if self._task.kind != "regression":
            y_pred = answers.meant_in_graph(y_pred, self._task)
        elif len(self._task.deviations) == 1 and not isinstance(self.inner, keras.metrics.R2Score):
            y_true, y_pred = (answers.meant_in_graph(numbers, self._task) for numbers in (y_true, y_pred))
        self.inner.update_state(y_true, y_pred, sample_weight)

    def reset_state(self):
        """Begins anew."""
        self.inner.reset_state()

    def result(self):
        """Returns what the metric says."""
        return self.inner.result()


def made(asked: Metric, task: Task) -> keras.metrics.Metric:
    """Returns a metric that was asked for, of a network's outputs."""
    if asked in ("auc", "average_precision"):
        return Ranking(asked, task)
    if not isinstance(asked, Written):
        return Meant(_NAMED[asked](name=asked, **_options(asked, task)), task, asked)
    metric = again(asked, "metric")
    if not isinstance(metric, keras.metrics.Metric):
        metric = keras.metrics.MeanMetricWrapper(metric, name=asked.name)
    return Meant(metric, task, objectives.logged(asked))


def _options(asked: str, task: Task) -> dict:
    if asked.startswith("top_"):
        return {"k": int(asked.split("_")[1])}
    return {"task": task} if asked == "macro_f1" else {}


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


def _rank_error(y_true, y_pred):
    return tf.cast(tf.abs(tf.argmax(y_true, axis=-1) - tf.argmax(y_pred, axis=-1)), tf.float32)


def _within_one(y_true, y_pred):
    return tf.cast(_rank_error(y_true, y_pred) <= 1, tf.float32)


def _mean_of(function: Callable) -> Callable[..., keras.metrics.Metric]:
    return lambda name: keras.metrics.MeanMetricWrapper(function, name=name)


# Of the names in `objectives.METRICS` what they are, of probabilities or numbers.
_NAMED: dict[str, Callable[..., keras.metrics.Metric]] = {
    "top_3_accuracy": keras.metrics.TopKCategoricalAccuracy,
    "top_5_accuracy": keras.metrics.TopKCategoricalAccuracy,
    "macro_f1": MacroF1,
    "cross_entropy": keras.metrics.CategoricalCrossentropy,
    "precision": keras.metrics.Precision,
    "recall": keras.metrics.Recall,
    "binary_accuracy": keras.metrics.BinaryAccuracy,
    "rmse": keras.metrics.RootMeanSquaredError,
    "mse": keras.metrics.MeanSquaredError,
    "r2": keras.metrics.R2Score,
    "rank_error": _mean_of(_rank_error),
    "within_one": _mean_of(_within_one),
}
