"""Losses and metrics of each task, worked out by hand, eagerly and in a graph."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from sample_facts import backbone_facts, data_facts, machine_facts

import tfxfer
from tfxfer import plans
from tfxfer.data import batches
from tfxfer.data.rows import Rows
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import EpochRecord, objectives
from tfxfer.training.records import Score

LABELS, ORDINAL = Task(kind="multi_label"), Task(kind="ordinal")
ONE = Task(kind="regression", means=(100.0,), deviations=(4.0,))
TWO = Task(kind="regression", means=(100.0, 0.0), deviations=(4.0, 0.5))


def stage(label_smoothing=0.0):
    recipe = tfxfer.Recipe(stages=(tfxfer.Stage(epochs=1),))
    planned = plans.resolve(recipe, data_facts(), backbone_facts(), machine_facts()).what.stages[0]
    return dataclasses.replace(planned, label_smoothing=label_smoothing)


def loss(task, true, outputs, smoothing=0.0) -> np.ndarray:
    """Returns the loss of each example, the same eagerly and in a graph."""
    made = objectives.loss_of(stage(smoothing), task=task)
    true, outputs = tf.constant(true, tf.float32), tf.constant(outputs, tf.float32)
    eager, traced = made.call(true, outputs).numpy(), tf.function(made.call)(true, outputs).numpy()
    np.testing.assert_allclose(eager, traced, rtol=1e-6)
    return eager


def test_labels_cost_the_sum_of_their_logs():
    found = loss(LABELS, [[1, 0, 1]], [[0.0, 0.0, math.log(3)]])
    assert found == pytest.approx([2 * math.log(2) + math.log(4 / 3)], rel=1e-5)
    smooth = loss(LABELS, [[1.0]], [[math.log(3)]], smoothing=0.2)
    assert smooth == pytest.approx([0.9 * math.log(4 / 3) + 0.1 * math.log(4)], rel=1e-5)


def test_numbers_cost_their_square_up_to_a_deviation_and_are_linear_beyond():
    assert loss(TWO, [[0.0, 0.0], [1.0, 1.0]], [[0.5, -3.0], [1.0, 2.0]]) == pytest.approx([0.125 + 2.5, 0.5])
    outputs = tf.constant([[0.5, -30.0]])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        total = objectives.loss_of(stage(), task=TWO).call(tf.zeros((1, 2)), outputs)
    assert tape.gradient(total, outputs).numpy().tolist() == [[0.5, -1.0]]


def test_ordinal_classes_cost_the_log_of_theirs_also_mixed():
    outputs = [[math.log(3), math.log(1 / 4)]]
    each = [math.log(4), -math.log(3 / 4 * 4 / 5), -math.log(3 / 4 * 1 / 5)]
    for place, cost in enumerate(each):
        assert loss(ORDINAL, np.eye(3)[[place]], outputs) == pytest.approx([cost], rel=1e-5)
    assert loss(ORDINAL, [[0.5, 0.25, 0.25]], outputs) == pytest.approx(
        [0.5 * each[0] + 0.25 * each[1] + 0.25 * each[2]]
    )
    smooth = loss(ORDINAL, [[1, 0, 0]], outputs, smoothing=0.3)
    assert smooth == pytest.approx([0.8 * each[0] + 0.1 * each[1] + 0.1 * each[2]], rel=1e-5)


@pytest.mark.parametrize("task", [LABELS, ORDINAL, TWO])
def test_losses_are_finite_far_out(task):
    true = np.eye(3)[:2] if task == ORDINAL else np.ones((2, 2))
    assert np.isfinite(loss(task, true, [[1e4, -1e4], [-1e4, 1e4]])).all()


def metric(task, true, outputs, weights=None) -> float:
    (made,) = objectives.metrics_of(task)
    for t, o, *w in zip(true, outputs, *([weights] if weights else []), strict=True):
        made.update_state(tf.constant([t], tf.float32), tf.constant([o], tf.float32), *(tf.constant([x]) for x in w))
    return float(made.result())


def test_f1_counts_labels_of_all_examples_together():
    # 2 right, of 3 that are there and 3 that are told
    true, outputs = [[1, 1, 0], [0, 0, 1]], [[1.0, 2.0, 3.0], [-1.0, -1.0, -1.0]]
    assert metric(LABELS, true, outputs) == pytest.approx(2 * 2 / (3 + 3))
    assert metric(LABELS, [[0.0]], [[-1.0]]) == 0
    assert metric(LABELS, true, outputs, weights=[1.0, 0.0]) == pytest.approx(2 * 2 / (2 + 3))


def test_errors_of_numbers_are_means_over_targets():
    assert metric(TWO, [[0, 0], [1, 1]], [[0.5, -1.5], [1, 3]]) == pytest.approx((0.5 + 1.5 + 0 + 2) / 4)


def test_the_accuracy_of_ordinal_classes_is_of_the_most_probable_one():
    outputs = [[math.log(3), math.log(1 / 4)]] * 3  # 1/4, 3/5, 3/20
    assert metric(ORDINAL, np.eye(3), outputs) == pytest.approx(1 / 3)


def test_scores_are_in_the_units_of_the_user_where_there_is_one_number():
    logs = {"mae": 0.5, "val_mae": 0.25}
    assert objectives.scores_of(logs, ONE) == (Score(name="mae", train=2.0, validation=1.0),)
    assert objectives.scores_of(logs, TWO) == (Score(name="mae in deviations", train=0.5, validation=0.25),)
    assert objectives.scores_of({"accuracy": 1.0}, SINGLE_LABEL) == ()
    record = EpochRecord(
        loss=1.0, accuracy=None, validation_loss=1.0, validation_accuracy=None, seconds=1.0,
        others=objectives.scores_of(logs, ONE),
    )  # fmt: skip
    assert record.score.name == "mae"


def test_single_labels_have_the_loss_and_the_metric_that_they_had():
    made = objectives.loss_of(stage(0.1))
    assert type(made) is keras.losses.CategoricalCrossentropy
    assert made.label_smoothing == 0.1
    assert [type(one) for one in objectives.metrics_of()] == [keras.metrics.CategoricalAccuracy]


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        (np.array([2, 0], np.int32), ORDINAL, [[0, 0, 1], [1, 0, 0]]),
        (np.array([[1, 0, 1], [0, 0, 0]], np.uint8), LABELS, [[1, 0, 1], [0, 0, 0]]),
        (
            np.array([[104, 0, 1], [92, 1, 3]], np.float32),
            Task(kind="regression", means=(100.0, 0.0, 2.0), deviations=(4.0, 0.5, 1.0)),
            [[1, 0, -1], [-2, 2, 1]],
        ),
    ],
)
def test_batches_hold_what_losses_compare(labels, task, expected):
    rows = Rows(np.zeros((2, 4, 4, 3), np.uint8), labels, np.arange(2), 3, task=task)
    ((_, given),) = batches.ordered_batches(rows, batch_size=2)
    assert given.dtype == tf.float32
    np.testing.assert_allclose(given, expected)
