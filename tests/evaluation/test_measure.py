"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from tfxfer import evaluation, values
from tfxfer.training import EpochRecord, History, StageRecord

LABELS = np.array([0, 0, 0, 1, 1, 2])
# predictions 0 0 1 1 1 0: class 2 is never predicted
LOGITS = np.array([[9, 0, 0], [9, 0, 0], [0, 9, 0], [0, 9, 0], [0, 9, 0], [9, 0, 0]], np.float32)


def test_a_confusion_by_hand():
    result = evaluation.compare(LOGITS, LABELS, ("a", "b", "c"))
    assert result.confusion == ((2, 1, 0), (0, 2, 0), (1, 0, 0))
    assert (result.examples, result.correct) == (6, 4)
    assert result.accuracy == pytest.approx(4 / 6)
    assert result.balanced_accuracy == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert [(c.precision, c.recall, c.examples) for c in result.classes] == [
        (pytest.approx(2 / 3), pytest.approx(2 / 3), 3),
        (pytest.approx(2 / 3), 1.0, 2),
        (0.0, 0.0, 1),
    ]


def test_wilsons_interval_by_hand():
    low, high = evaluation.compare(LOGITS, LABELS, ("a", "b", "c")).accuracy_interval
    n, p, z = 6, 4 / 6, 1.959964
    centre, half = (p + z * z / (2 * n)), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert low == pytest.approx((centre - half) / (1 + z * z / n), rel=1e-5)
    assert high == pytest.approx((centre + half) / (1 + z * z / n), rel=1e-5)


def wilson(k, n, z=1.959964):
    centre, half = k / n + z * z / (2 * n), z * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def test_balanced_accuracy_has_an_interval_of_those_of_each_class():
    result = evaluation.compare(LOGITS, LABELS, ("a", "b", "c"))
    recalls, bounds = (2 / 3, 1.0, 0.0), [wilson(k, n) for k, n in ((2, 3), (2, 2), (0, 1))]
    below, above = (math.hypot(*(r - b[at] for r, b in zip(recalls, bounds, strict=True))) / 3 for at in (0, 1))
    low, high = result.balanced_accuracy_interval
    assert (low, high) == pytest.approx((result.balanced_accuracy - below, result.balanced_accuracy + above), rel=1e-5)
    assert 0 <= low < result.balanced_accuracy < high <= 1


def test_macro_f1_by_hand():
    result = evaluation.compare(LOGITS, LABELS, ("a", "b", "c"))
    # a: 2 right, 1 missed, 1 taken for it; b: 2 right, 1 taken for it; c: 1 missed
    assert result.macro_f1 == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    low, high = result.macro_f1_interval
    assert 0 <= low < result.macro_f1 < high <= 1
    without = evaluation.compare(LOGITS[:5], LABELS[:5], ("a", "b", "c"))
    assert without.macro_f1 == pytest.approx((4 / 5 + 4 / 5) / 2), "a class without examples does not count"


def test_intervals_hold_the_truth_as_often_as_they_say():
    """400 simulated tests of three classes with 200, 50 and 20 examples, errors spread evenly."""
    generator, held = np.random.default_rng(0), np.zeros(2)
    labels = np.repeat([0, 1, 2], (200, 50, 20))
    chances = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.15, 0.15, 0.7]])
    expected = np.array([200, 50, 20])[:, None] * chances
    f1 = (2 * np.diag(expected) / (expected.sum(0) + expected.sum(1))).mean()
    for _ in range(400):
        drawn = (generator.random(len(labels))[:, None] > chances[labels].cumsum(1)).sum(1)
        result = evaluation.compare(np.eye(3, dtype=np.float32)[drawn], labels, ("a", "b", "c"))
        for at, (truth, (low, high)) in enumerate(
            ((0.8, result.balanced_accuracy_interval), (f1, result.macro_f1_interval))
        ):
            held[at] += low <= truth <= high
    assert 0.91 <= held[0] / 400 <= 0.985
    assert held[1] / 400 >= 0.93


def test_reports_of_older_versions_can_be_read():
    result = evaluation.compare(LOGITS, LABELS, ("a", "b", "c"))
    told = values.to_json(result)
    for name in ("balanced_accuracy_interval", "macro_f1", "macro_f1_interval"):
        del told[name]
    assert values.from_json(evaluation.Measured, told).class_means == ""
    assert result.class_means.startswith("balanced accuracy 55.6 % (95 % interval ")


def test_cross_entropy_in_nats_also_for_large_logits():
    right = evaluation.compare(np.array([[1000.0, 0.0]], np.float32), np.array([0]), ("a", "b"))
    assert right.cross_entropy == pytest.approx(0.0)
    even = evaluation.compare(np.zeros((1, 2), np.float32), np.array([0]), ("a", "b"))
    assert even.cross_entropy == pytest.approx(math.log(2), rel=1e-6)


def test_a_class_without_examples_does_not_count_in_the_balance():
    result = evaluation.compare(LOGITS[:3], LABELS[:3], ("a", "b", "c"))
    assert result.balanced_accuracy == pytest.approx(2 / 3)


def test_pictures_are_drawn_also_for_hostile_names(tmp_path):
    names = ("$\\frac{", "a" * 200, "ünïcode <b>")
    evaluation.draw_confusion(evaluation.compare(LOGITS, LABELS, names), tmp_path / "confusion.png")
    epoch = EpochRecord(loss=1.0, accuracy=0.5, validation_loss=1.1, validation_accuracy=0.4, seconds=1.0)
    stage = StageRecord(name="1 head", epochs=(epoch, epoch), frozen_digest="", moved=2, seconds=2.0)
    evaluation.draw_curves(History(stages=(stage, stage)), tmp_path / "curves.png")
    for name in ("confusion.png", "curves.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 300
            assert np.asarray(image.convert("L")).std() > 10, "an empty picture"
