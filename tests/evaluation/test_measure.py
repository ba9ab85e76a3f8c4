"""Metrics against numbers worked out by hand."""

import math

import numpy as np
import pytest
from PIL import Image

from tfxfer import evaluation
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
