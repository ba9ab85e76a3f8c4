"""What a network told of each test example, in a file."""

import numpy as np
import pytest

from tfxfer import evaluation
from tfxfer.errors import WorkdirError
from tfxfer.tasks import Task

LOGITS = np.array([[0.0, 2.0], [3.0, 0.0], [0.0, 1.0]], np.float32)
NAMES, CLASSES = ["a.png", "b,\x1b.png", "c.png"], ("cat", "dog, large")


def test_it_says_image_class_and_what_was_told(tmp_path):
    evaluation.write_told(tmp_path, NAMES, LOGITS, np.array([1, 0, 0]), CLASSES, Task())
    assert (tmp_path / evaluation.TOLD).read_text().splitlines() == [
        "image,class,told,probability",
        'a.png,"dog, large","dog, large",0.880797',  # 1 / (1 + e^-2)
        '"b,�.png",cat,cat,0.952574',
        'c.png,cat,"dog, large",0.731059',
    ]
    told = evaluation.read_told(tmp_path)
    assert told.right.tolist() == [True, True, False]
    assert told.examples == (("a.png", "dog, large"), ("b,�.png", "cat"), ("c.png", "cat"))


def test_the_class_of_an_order_is_the_most_probable_one(tmp_path):
    """Of three classes there are two outputs: surely above the lowest, surely not above the middle one."""
    evaluation.write_told(
        tmp_path, ["a"], np.array([[5.0, -5.0]], np.float32), np.array([1]), ("low", "middle", "high"),
        Task(kind="ordinal"),
    )  # fmt: skip
    assert evaluation.read_told(tmp_path).right.tolist() == [True]


def test_tasks_without_classes_have_none(tmp_path):
    task = Task(kind="regression", means=(0.0,), deviations=(1.0,))
    evaluation.write_told(tmp_path, ["a"], np.zeros((1, 1), np.float32), np.zeros((1, 1)), ("age",), task)
    assert list(tmp_path.iterdir()) == []
    assert evaluation.read_told(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"image,class,told,probability\na,b\n", b"\xff\xfe\x00"])
def test_another_file_of_that_name_is_refused(tmp_path, content):
    (tmp_path / evaluation.TOLD).write_bytes(content)
    with pytest.raises(WorkdirError):
        evaluation.read_told(tmp_path)
