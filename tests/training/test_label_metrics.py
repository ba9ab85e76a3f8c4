"""Metrics of labels in epochs: of rare ones too, and over those that some example has."""

import math

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import metrics

LABELS = Task(kind="multi_label")


def of_batches(name, task, true, outputs, weights=None) -> float:
    """Returns a metric after three batches, in a graph and eagerly alike."""
    found = []
    for traced in (True, False):
        made = metrics.made(name, task)
        update = tf.function(made.update_state) if traced else made.update_state
        for part in np.array_split(np.arange(len(true)), 3):
            given = [tf.constant(np.asarray(one)[part], tf.float32) for one in (true, outputs)]
            update(*given, *([] if weights is None else [tf.constant(weights[part], tf.float32)]))
        found.append(float(made.result()))
    assert found[0] == pytest.approx(found[1], rel=1e-6, nan_ok=True)
    return found[0]


def rare(examples=3_000):
    """Returns labels that few have, and logits whose probabilities are near 0."""
    generator = np.random.default_rng(0)
    true = (generator.uniform(size=(examples, 3)) < 0.01).astype(np.float32)
    return true, (generator.normal(-11, 1.5, (examples, 3)) + 3 * true).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "exact"),
    [("auc", sklearn.metrics.roc_auc_score), ("average_precision", sklearn.metrics.average_precision_score)],
)
def test_rare_labels_are_ranked_as_among_all_examples(name, exact):
    true, logits = rare()
    assert of_batches(name, LABELS, true, logits) == pytest.approx(exact(true, logits, average="macro"), abs=0.01)
    # What no example has changes nothing.
    none = np.zeros((len(true), 1), np.float32)
    wider = of_batches(name, LABELS, np.hstack([true, none]), np.hstack([logits, none]))
    assert wider == pytest.approx(of_batches(name, LABELS, true, logits), rel=1e-6)


def test_classes_are_ranked_by_their_odds_against_all_others():
    generator = np.random.default_rng(1)
    numbers = generator.integers(0, 3, 300)  # of four classes, the last without examples
    logits = (5 * generator.normal(size=(300, 4)) + 6 * np.eye(4)[numbers]).astype(np.float32)
    wide = logits.astype(np.float64)
    probabilities = np.exp(wide - np.logaddexp.reduce(wide, axis=1, keepdims=True))
    exact = [sklearn.metrics.roc_auc_score(numbers == one, probabilities[:, one]) for one in range(3)]
    assert of_batches("auc", SINGLE_LABEL, np.eye(4)[numbers], logits) == pytest.approx(np.mean(exact), abs=0.003)


def test_ties_count_half_and_ends_are_reached():
    true = np.array([[1], [0], [0], [1]])
    assert of_batches("auc", LABELS, true, np.zeros((4, 1))) == 0.5
    assert of_batches("auc", LABELS, true, [[1e9], [-1e9], [-1e9], [-1e9]]) == 0.75
    assert of_batches("average_precision", LABELS, true, [[1e9], [-1e9], [-1e9], [-1e9]]) == 0.75
    assert np.isfinite(of_batches("auc", SINGLE_LABEL, np.eye(3), 1e9 * np.eye(3)))


def test_examples_count_by_their_weights():
    true, logits = np.array([[1], [0], [0]]), np.array([[0.0], [1.0], [-1.0]])
    weights = np.array([1.0, 1.0, 3.0])
    assert of_batches("auc", LABELS, true, logits, weights) == pytest.approx(3 / 4)
    assert of_batches("average_precision", LABELS, true, logits, weights) == pytest.approx(1 / 2)
    assert of_batches("macro_f1", LABELS, true, logits, np.array([1.0, 0.5, 0.0])) == pytest.approx(2 / 2.5)


def test_f1_is_over_the_classes_that_some_example_has():
    # Of class 1 one of two is right, of class 0 one of one; class 2 is told once and never there.
    true, logits = np.eye(3)[[0, 1, 1]], 9 * np.eye(3)[[0, 1, 2]]
    assert of_batches("macro_f1", SINGLE_LABEL, true, logits) == pytest.approx((1 + 2 / 3) / 2)
    found = of_batches("macro_f1", LABELS, [[1, 0], [1, 0], [0, 0]], [[0.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]])
    assert found == pytest.approx(2 / 3)  # a probability of a half tells the label


@pytest.mark.parametrize("name", ["auc", "average_precision", "macro_f1"])
def test_where_nothing_is_there_is_no_number(name):
    assert math.isnan(of_batches(name, LABELS, np.zeros((3, 2)), np.zeros((3, 2))))


def test_they_begin_anew():
    made = metrics.made("auc", LABELS)
    made.update_state(tf.constant([[1.0], [0.0]]), tf.constant([[-1.0], [1.0]]))
    assert float(made.result()) == 0
    made.reset_state()
    made.update_state(tf.constant([[1.0], [0.0]]), tf.constant([[1.0], [-1.0]]))
    assert float(made.result()) == 1
