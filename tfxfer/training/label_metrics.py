"""Metrics of epochs over the labels or classes that some example has: those that none has tell nothing.

Of the test `evaluation` takes them over all examples at once.
"""

from typing import Literal

import keras
import tensorflow as tf

from tfxfer.tasks import Task

# So many, evenly in asinh(log odds / 8), and up to ± 30: from 0.02 wide in the middle to 0.06 at the ends. Thresholds
# that are even in the probability, such as the 200 of Keras, cannot tell rare labels apart, which all lie near 0.
_BUCKETS = 2048
_SCALE = 8.0
_FURTHEST = 30.0


class Ranking(keras.metrics.Metric):
    """How well each label is ranked, as the mean over labels; examples of nearly the same odds count as tied.

    So average precision comes out a little low: 0.247 for 0.256 of labels that 30 of 3,000 examples have. Labels that
    no example has are left out, and of the area under the ROC curve also those that each has.
    """

    def __init__(self, area: Literal["auc", "average_precision"], task: Task):
        """Takes what is under the curve: true over false positives, or precision over recall, in steps."""
        super().__init__(name=area)
        self._area, self._task, self._is_built = area, task, False

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the examples of a batch by their log odds; labels of mixed examples count as their shares."""
        outputs = tf.cast(y_pred, tf.float32)
        labels = outputs.shape[-1]
        if not self._is_built:
            names = ("there", "not_there")
            self._there, self._not = (
                self.add_weight(shape=(_BUCKETS, labels), name=name, initializer="zeros") for name in names
            )
            self._is_built = True
        odds = outputs if self._task.kind == "multi_label" else _log_odds(outputs)
        place = tf.asinh(odds / _SCALE) / tf.asinh(_FURTHEST / _SCALE)  # within ± 1
        buckets = tf.cast(tf.round((place + 1.0) / 2.0 * (_BUCKETS - 1)), tf.int32)
        buckets = tf.clip_by_value(buckets, 0, _BUCKETS - 1)
        cells = tf.reshape(buckets * labels + tf.range(labels), (-1,))
        weights, true = _weights(sample_weight), tf.cast(y_true, tf.float32)
        for counts, share in ((self._there, true), (self._not, 1.0 - true)):
            sums = tf.math.unsorted_segment_sum(tf.reshape(weights * share, (-1,)), cells, _BUCKETS * labels)
            counts.assign_add(tf.reshape(sums, (_BUCKETS, labels)))

    def result(self):
        """Returns a number in [0, 1]; NaN where no label can be ranked."""
        there, others = tf.convert_to_tensor(self._there), tf.convert_to_tensor(self._not)
        total, rest = tf.reduce_sum(there, axis=0), tf.reduce_sum(others, axis=0)
        if self._area == "auc":
            below = tf.cumsum(others, axis=0, exclusive=True) + others / 2.0
            each = tf.reduce_sum(tf.math.divide_no_nan(there, total) * tf.math.divide_no_nan(below, rest), axis=0)
            return _mean_where(each, (total > 0) & (rest > 0))
        right = tf.cumsum(there, axis=0, reverse=True)
        precision = tf.math.divide_no_nan(right, tf.cumsum(there + others, axis=0, reverse=True))
        return _mean_where(tf.reduce_sum(tf.math.divide_no_nan(there, total) * precision, axis=0), total > 0)


class MacroF1(keras.metrics.Metric):
    """Mean F1 over the classes or labels that some example has."""

    def __init__(self, task: Task, name: str = "macro_f1"):
        """Takes the task: whether one class is told, or each label from a probability of a half on."""
        super().__init__(name=name)
        self._task, self._is_built = task, False

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts what probabilities tell; labels of mixed examples count as their shares."""
        names = y_pred.shape[-1]
        if not self._is_built:
            self._there, self._told, self._both = (
                self.add_weight(shape=(names,), name=name, initializer="zeros") for name in ("there", "told", "both")
            )
            self._is_built = True
        is_told = y_pred >= 0.5 if self._task.kind == "multi_label" else tf.one_hot(tf.argmax(y_pred, axis=-1), names)
        weights, true, told = _weights(sample_weight), tf.cast(y_true, tf.float32), tf.cast(is_told, tf.float32)
        for counts, share in ((self._there, true), (self._told, told), (self._both, true * told)):
            counts.assign_add(tf.reduce_sum(weights * share, axis=0))

    def result(self):
        """Returns a number in [0, 1]; NaN where no example has a label."""
        there, told, both = (tf.convert_to_tensor(one) for one in (self._there, self._told, self._both))
        return _mean_where(tf.math.divide_no_nan(2.0 * both, there + told), there > 0)


def _weights(given) -> tf.Tensor:
    """Returns weights of examples as a column, 1 where none are given."""
    return tf.ones((1, 1)) if given is None else tf.reshape(tf.cast(given, tf.float32), (-1, 1))


def _log_odds(logits: tf.Tensor) -> tf.Tensor:
    """Returns the log odds of each class against all others; what rounds to certainty is the furthest."""
    log_probabilities = tf.nn.log_softmax(logits)
    others = tf.maximum(-tf.math.expm1(log_probabilities), 1e-30)
    return tf.clip_by_value(log_probabilities - tf.math.log(others), -_FURTHEST, _FURTHEST)


def _mean_where(figures: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    weights = tf.cast(counts, tf.float32)
    return tf.reduce_sum(figures * weights) / tf.reduce_sum(weights)
