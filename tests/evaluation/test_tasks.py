"""What is measured of labels, numbers and classes in order: against scikit-learn, by hand, and its intervals."""

import math

import numpy as np
import pytest
import sklearn.metrics
from PIL import Image

from tfxfer import answers, evaluation, values
from tfxfer.evaluation.report import MeasuredOrdinal, Report
from tfxfer.tasks import Task

LABELS, ORDINAL = Task(kind="multi_label"), Task(kind="ordinal")
NUMBERS = Task(kind="regression", means=(10.0, 0.0), deviations=(2.0, 0.5))
RANDOM = np.random.default_rng(0)


@pytest.fixture
def labelled():
    """Logits, with ties, and labels of 200 examples; nothing has the last label."""
    labels = (RANDOM.random((200, 4)) < (0.5, 0.2, 0.05, 0.0)).astype(np.uint8)
    logits = np.round(RANDOM.normal(size=(200, 4)) + 1.5 * labels - 0.8, 1).astype(np.float32)
    return logits, labels


def test_labels_are_measured_as_scikit_learn_does(labelled):
    logits, labels = labelled
    found = evaluation.compare(logits, labels, ("a", "b", "c", "d"), LABELS)
    told, true = logits[:, :3] >= 0, labels[:, :3]
    average = [sklearn.metrics.average_precision_score(true[:, k], logits[:, k]) for k in range(3)]
    assert [one.average_precision for one in found.labels] == pytest.approx([*average, 0])
    assert found.mean_average_precision == pytest.approx(np.mean(average))
    assert found.micro_f1 == pytest.approx(sklearn.metrics.f1_score(labels, logits >= 0, average="micro"))
    assert found.macro_f1 == pytest.approx(sklearn.metrics.f1_score(true, told, average="macro"))
    assert found.exact == pytest.approx(((logits >= 0) == labels).all(axis=1).mean())
    precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(true, told, zero_division=0)
    for one, *expected in zip(found.labels, precision, recall, f1, support, strict=False):
        assert [one.precision, one.recall, one.f1, one.examples] == pytest.approx(expected)
    for share, (low, high) in (
        (found.mean_average_precision, found.mean_average_precision_interval),
        (found.micro_f1, found.micro_f1_interval),
        (found.macro_f1, found.macro_f1_interval),
        (found.exact, found.exact_interval),
    ):
        assert 0 <= low < share < high <= 1


def test_labels_by_hand():
    found = evaluation.compare(
        np.array([[1, -1], [1, 1]], np.float32), np.array([[1, 0], [0, 1]], np.uint8), ("a", "b"), LABELS
    )
    assert (found.exact, found.micro_f1) == (0.5, pytest.approx(2 * 2 / (2 + 3)))
    # Both of the first label have one score: told together, half of them is right.
    assert [one.average_precision for one in found.labels] == [0.5, 1.0]
    per_label = [math.log1p(math.exp(-1)) + math.log1p(math.exp(1)), 2 * math.log1p(math.exp(-1))]
    assert found.cross_entropy == pytest.approx(sum(per_label) / 2)


def test_numbers_are_measured_in_the_units_of_the_user():
    true = np.array([[10, 0], [14, 1], [12, -1]], np.float32)
    outputs = np.array([[0.5, 0], [1, 2], [1, -2]], np.float32)  # 11, 12, 12; 0, 1, -1
    found = evaluation.compare(outputs, true, ("age", "tilt"), NUMBERS)
    age, tilt = found.targets
    assert (age.name, age.mae, age.rmse) == ("age", pytest.approx(1.0), pytest.approx(math.sqrt(5 / 3)))
    assert age.r2 == pytest.approx(1 - 5 / 8)
    assert age.mean_mae == pytest.approx((0 + 4 + 2) / 3)
    assert age.points == ((10, 11), (14, 12), (12, 12))
    assert (tilt.mae, tilt.r2) == (0, 1)


def test_numbers_are_measured_as_scikit_learn_does_also_far_from_0():
    true = (RANDOM.normal(size=(300, 2)) + np.array([1e5, 0])).astype(np.float32)
    outputs = RANDOM.normal(size=(300, 2)).astype(np.float32)
    task = Task(kind="regression", means=(1e5, 0.0), deviations=(1.0, 1.0))
    told = answers.meant(outputs, task).astype(np.float64)
    for place, one in enumerate(evaluation.compare(outputs, true, ("a", "b"), task).targets):
        assert one.r2 == pytest.approx(sklearn.metrics.r2_score(true[:, place], told[:, place]), rel=1e-6)
        assert one.r2_interval[0] < one.r2 < one.r2_interval[1]
        assert one.mae_interval[0] < one.mae < one.mae_interval[1] < one.rmse


def test_equal_numbers_have_no_r2():
    found = evaluation.compare(np.zeros((3, 1), np.float32), np.full((3, 1), 7.0, np.float32), ("a",), Task(
        kind="regression", means=(5.0,), deviations=(1.0,)
    ))  # fmt: skip
    assert (found.targets[0].r2, found.targets[0].r2_interval, found.targets[0].mae) == (0, (0, 0), 2)


def test_ordinal_classes_are_measured_by_how_far_off_they_are():
    big = 20.0
    outputs = np.array([[-big, 0], [big, -big], [big, big], [big, big]], np.float32)  # classes 0, 1, 2, 2
    true = np.array([0, 1, 2, 0])
    found = evaluation.compare(outputs, true, ("a", "b", "c"), ORDINAL)
    assert (found.accuracy, found.rank_error) == (0.75, 0.5)
    assert found.confusion == ((1, 0, 1), (0, 1, 0), (0, 0, 1))
    expected = sklearn.metrics.cohen_kappa_score(true, [0, 1, 2, 2], weights="quadratic")
    assert found.weighted_kappa == pytest.approx(expected)
    assert found.weighted_kappa_interval[0] <= expected <= found.weighted_kappa_interval[1]
    assert found.cross_entropy == pytest.approx(big / 4, rel=1e-3)
    one_class = evaluation.compare(outputs[:1], true[:1], ("a", "b", "c"), ORDINAL)
    assert one_class.weighted_kappa == 0


def results(labelled):
    logits, labels = labelled
    names = ("$\\frac{", "a" * 200, "b\x1b[31m", "ünïcode <b>")
    numbers = evaluation.compare(RANDOM.normal(size=(20, 2)), RANDOM.normal(size=(20, 2)), names[:2], NUMBERS)
    ordinal = evaluation.compare(RANDOM.normal(size=(20, 2)), RANDOM.integers(0, 3, 20), names[:3], ORDINAL)
    return evaluation.compare(logits, labels, names, LABELS), numbers, ordinal


def test_each_is_said_and_drawn_also_for_hostile_names(labelled, tmp_path):
    for number, found in enumerate(results(labelled)):
        said = "\n".join([evaluation.headline(found), evaluation.worst(found), *evaluation.lines_of(found)])
        assert "\x1b" not in said
        assert said.isprintable() or "\n" in said
        folder = tmp_path / str(number)
        folder.mkdir()
        evaluation.draw(found, folder)
        with Image.open(folder / evaluation.drawing(found)) as image:
            assert image.width > 300
            assert np.asarray(image.convert("L")).std() > 5, "an empty picture"
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["confusion.png", "labels.png", "scatter.png"]


def test_what_is_said_of_one_number_and_of_labels():
    task = Task(kind="regression", means=(10.0,), deviations=(2.0,))
    found = evaluation.compare(np.zeros((2, 1)), np.array([[8.0], [14.0]], np.float32), ("age",), task)
    assert evaluation.headline(found).startswith(
        "mean absolute error 3 on 2 examples (95 % interval 2 to 4), RMSE 3.162, R² "
    )
    assert evaluation.lines_of(found) == []
    found = evaluation.compare(np.array([[1.0], [-1.0]]), np.array([[1], [0]], np.uint8), ("cat",), LABELS)
    assert evaluation.headline(found).startswith("mean average precision 100.0 % on 2 examples (95 % interval ")
    assert evaluation.worst(found) == "lowest average precision 100.0 % for label cat (1 examples)"


def test_what_has_no_example_is_not_the_worst():
    """A ready split may lack a class, which is told before."""
    logits = np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    found = evaluation.compare(logits, np.array([0, 1, 1], np.int32), ("cat", "dog", "owl"), Task())
    assert evaluation.worst(found) == "lowest recall 50.0 % for class dog (2 examples)"
    found = evaluation.compare(np.array([[1.0], [-1.0]]), np.array([[0], [0]], np.uint8), ("cat",), LABELS)
    assert evaluation.worst(found) == "no example of the test has a label, so that none was measured"


def test_results_are_read_back_and_those_of_before_there_were_tasks_too(labelled):
    kinds = values.field_types(Report)
    for found in results(labelled):
        written = values.to_json(found, kinds["test"])
        assert written["kind"] == type(found).__name__
        assert values._convert(written, kinds["test"], "test") == found
    single = evaluation.compare(np.eye(3), np.arange(3), ("a", "b", "c"))
    written = values.to_json(single, kinds["test"])
    assert "kind" not in written
    read = values._convert(written, kinds["test"], "test")
    assert read == single
    assert not isinstance(read, MeasuredOrdinal)
