"""Metrics that were asked for, of a test: exact, and the report's own figure where it has it."""

import dataclasses

import numpy as np
import pytest
import sklearn.metrics
from sample_facts import backbone_facts, data_facts, machine_facts

import tfxfer
from tfxfer import evaluation, plans
from tfxfer.tasks import SINGLE_LABEL, Task


def asked(outputs, labels, names, task, metrics) -> dict[str, float | None]:
    recipe = tfxfer.Recipe(stages=(tfxfer.Stage(epochs=1),))
    what = plans.resolve(recipe, data_facts(), backbone_facts(), machine_facts()).what
    what = dataclasses.replace(what, class_names=tuple(names), task=task, metrics=metrics)
    measured = evaluation.compare(outputs, labels, tuple(names), task)
    return dict(evaluation.asked_scores(outputs, labels, measured, what)), measured


def test_rare_labels_have_the_exact_figures():
    generator = np.random.default_rng(0)
    labels = (generator.uniform(size=(2_000, 3)) < [0.01, 0.3, 0]).astype(np.uint8)
    logits = (generator.normal(-11, 1.5, (2_000, 3)) + 3 * labels).astype(np.float32)
    metrics = ("auc", "average_precision", "macro_f1", "precision")
    found, measured = asked(logits, labels, "abc", Task(kind="multi_label"), metrics)
    there = labels[:, :2], logits[:, :2]
    assert found["auc"] == pytest.approx(sklearn.metrics.roc_auc_score(*there), rel=1e-9)
    assert found["average_precision"] == pytest.approx(sklearn.metrics.average_precision_score(*there), rel=1e-9)
    assert found["average_precision"] == measured.mean_average_precision
    assert found["macro_f1"] == measured.macro_f1
    assert found["precision"] == 0  # none is told


def test_classes_without_examples_are_left_out_of_both_figures():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 200).astype(np.int32)
    logits = (generator.normal(size=(200, 4)) + np.eye(4)[labels]).astype(np.float32)
    found, measured = asked(logits, labels, "abcd", SINGLE_LABEL, ("auc", "macro_f1", "cross_entropy"))
    assert (found["macro_f1"], found["cross_entropy"]) == (measured.macro_f1, measured.cross_entropy)
    wide = logits.astype(np.float64)
    odds = wide - np.logaddexp.reduce(wide, axis=1, keepdims=True)
    each = [sklearn.metrics.roc_auc_score(labels == one, odds[:, one]) for one in range(3)]
    assert found["auc"] == pytest.approx(np.mean(each), rel=1e-9)


def test_an_area_of_nothing_is_no_number():
    found, _ = asked(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.uint8), "ab", Task(kind="multi_label"), ("auc",))
    assert found == {"auc": None}


def test_numbers_that_hardly_vary_are_told_exactly():
    """Of 100,000 ± 10, where squares in float32 cancel."""
    generator = np.random.default_rng(0)
    task = Task(kind="regression", means=(1e5,), deviations=(10.0,))
    labels = (1e5 + 10 * generator.normal(size=(500, 1))).astype(np.float32)
    outputs = ((labels - 1e5) / 10 + 0.3 * generator.normal(size=(500, 1))).astype(np.float32)
    found, measured = asked(outputs, labels, "x", task, ("r2", "rmse", "mse"))
    target = measured.targets[0]
    assert found == {"r2": target.r2, "rmse": target.rmse, "mse": target.rmse**2}
    assert found["r2"] == pytest.approx(0.91, abs=0.02)


def test_of_several_numbers_errors_are_in_deviations():
    task = Task(kind="regression", means=(100.0, 0.0), deviations=(4.0, 0.5))
    labels, outputs = np.array([[100, 0], [104, 1]], np.float32), np.array([[1, 0], [1, 0]], np.float32)
    found, measured = asked(outputs, labels, "xy", task, ("rmse", "mse", "r2"))
    assert found["mse in squared deviations"] == pytest.approx((1 + 0 + 0 + 4) / 4)
    assert found["rmse in deviations"] == pytest.approx(np.sqrt(5 / 4))
    assert found["r2"] == pytest.approx(np.mean([target.r2 for target in measured.targets]))


def test_classes_in_order_have_the_figures_of_the_report():
    labels, outputs = np.array([0, 1, 2], np.int32), np.array([[9, 9], [9, -9], [9, 9]], np.float32)
    found, measured = asked(outputs, labels, "abc", Task(kind="ordinal"), ("rank_error", "cross_entropy", "within_one"))
    assert (found["rank_error"], found["cross_entropy"]) == (measured.rank_error, measured.cross_entropy)
    assert found["within_one"] == pytest.approx(2 / 3)
