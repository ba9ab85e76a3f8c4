"""What outputs mean, worked out by hand; and the same in NumPy and in a graph."""

import numpy as np
import pytest

from tfxfer import answers
from tfxfer.tasks import SINGLE_LABEL, Task

ORDINAL = Task(kind="ordinal")
NUMBERS = Task(kind="regression", means=(10.0, -1.0), deviations=(2.0, 0.5))
OUTPUTS = np.random.default_rng(0).normal(0, 3, (7, 2)).astype(np.float32)


def test_numbers_are_in_the_units_of_the_user():
    assert answers.meant(np.array([[1.0, -2.0], [0.0, 0.0]], np.float32), NUMBERS).tolist() == [[12, -2], [10, -1]]


def test_labels_are_told_each_by_itself():
    told = answers.meant(np.array([[0.0, np.log(3)]], np.float32), Task(kind="multi_label"))
    np.testing.assert_allclose(told, [[0.5, 0.75]], rtol=1e-6)


def test_ordinal_classes_are_asked_for_one_after_the_other():
    # Above the first: 3/4. Above the second, if above the first: 1/5.
    told = answers.meant(np.array([[np.log(3), np.log(1 / 4)]], np.float32), ORDINAL)
    np.testing.assert_allclose(told, [[1 / 4, 3 / 4 * 4 / 5, 3 / 4 * 1 / 5]], rtol=1e-6)
    assert answers.expected_ranks(told)[0] == pytest.approx(3 / 4 * 4 / 5 + 2 * 3 / 4 * 1 / 5)


@pytest.mark.parametrize("size", [0.1, 30, 500])
def test_ordinal_probabilities_are_some_whatever_the_outputs(size):
    outputs = np.random.default_rng(1).normal(0, size, (50, 6)).astype(np.float32)
    told = answers.meant(outputs, ORDINAL)
    assert told.shape == (50, 7)
    np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)
    assert (told >= 0).all()
    assert np.isfinite(answers.ordinal_log_probabilities(outputs)).all()


@pytest.mark.parametrize("task", [SINGLE_LABEL, NUMBERS, ORDINAL, Task(kind="multi_label")])
def test_a_graph_means_the_same(task):
    np.testing.assert_allclose(
        answers.meant_in_graph(OUTPUTS, task), answers.meant(OUTPUTS, task), rtol=1e-5, atol=1e-6
    )


def test_logs_of_ordinal_probabilities_are_the_same_in_a_graph():
    outputs = 40 * OUTPUTS
    found = answers.ordinal_log_probabilities_in_graph(outputs)
    np.testing.assert_allclose(found, answers.ordinal_log_probabilities(outputs), rtol=1e-5, atol=1e-5)
