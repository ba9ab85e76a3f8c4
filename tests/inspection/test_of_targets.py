"""Labels that stand together and numbers that lie far out: worked out by hand, and each finding with what makes it."""

import dataclasses

import numpy as np
import pytest

from tfxfer.inspection import findings, of_targets
from tfxfer.inspection.inspected import ClassCounts, Inspected, LabelFacts, TargetFacts, Together
from tfxfer.inspection.page import html_page, text_page
from tfxfer.recipes import Data

DATA = Data(source="csv:t.csv")
LABELS = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]], np.uint8)


def test_labels_are_counted_alone_and_in_pairs():
    facts = of_targets.label_facts(LABELS, ("cat", "dog", "fox"))
    assert facts == LabelFacts(
        unlabelled=1,
        most=3,
        mean=8 / 5,
        together=(
            Together(one="cat", other="dog", images=3, of=(3, 3)),
            Together(one="dog", other="fox", images=1, of=(3, 2)),
            Together(one="cat", other="fox", images=1, of=(3, 2)),
        ),
        same=(("cat", "dog"),),
    )
    assert of_targets.label_facts(LABELS[:0], ("cat", "dog", "fox")) == LabelFacts()


def test_numbers_are_described_by_their_quartiles_and_what_lies_far_out():
    numbers = np.array([[1], [2], [3], [4], [5], [15]], np.float32)  # quartiles 2.25 and 4.75: 7.5 beyond them
    (facts,) = of_targets.target_facts(numbers, np.array([0, 0, 0, 1, 1, -1]), ("size",), lambda at: f"{at}.png")
    assert facts.quartiles == (1, 2.25, 3.5, 4.75, 15)
    assert (facts.mean, facts.split_means) == (5, (2, 4.5, None))
    assert (facts.far, facts.first_far) == (1, ("5.png: 15",))
    numbers[-1] = 12.25  # at the fence
    assert of_targets.target_facts(numbers, np.zeros(6), ("size",), str)[0].far == 0


def test_where_half_are_one_number_the_others_do_not_lie_far_out():
    numbers = np.array([[0], [0], [0], [0], [9]], np.float32)
    (facts,) = of_targets.target_facts(numbers, np.zeros(5), ("size",), str)
    assert (facts.far, facts.commonest) == (0, (0.0, 4))


def test_numbers_that_tell_each_other_are_found_in_any_unit():
    metres = np.arange(6, dtype=np.float32)
    other = np.array([3, 1, 2, 5, 4, 0], np.float32)
    found = of_targets.same_targets(np.stack([metres, -3.3 * metres + 7, other], axis=1), ("m", "feet", "x"))
    assert [pair[:2] for pair in found] == [("m", "feet")]
    assert found[0][2] == pytest.approx(-1)
    assert of_targets.same_targets(metres[:, None], ("m",)) == ()


def counted(name, images):
    return ClassCounts(name=name, images=images, train=images, validation=images, test=images)


TAGS = Inspected(
    source="csv:t.csv", images=200, kind="multi_label", split="by hash", split_sizes=(140, 20, 40),
    classes=(counted("cat", 120), counted("dog", 100)), labels=LabelFacts(mean=1.1, most=2, unlabelled=10),
)  # fmt: skip
SIZE = TargetFacts(name="size", quartiles=(0, 1, 2, 3, 4), mean=2, deviation=1, commonest=(2.0, 3))
NUMBERS = Inspected(
    source="csv:t.csv", images=200, kind="regression", split="by hash", split_sizes=(140, 20, 40), classes=(),
    targets=(SIZE,),
)  # fmt: skip


def told(inspected) -> list[tuple[str, str]]:
    return [(one.severity, one.what) for one in findings(inspected, DATA)]


@pytest.mark.parametrize(
    ("fault", "severity", "what"),
    [
        ({}, "note", "10 of 200 images have no label"),
        ({"labels": LabelFacts(unlabelled=101)}, "warning", "101 of 200 images have no label"),
        ({"labels": LabelFacts(same=(("cat", "dog"),))}, "warning", "1 pair(s) of labels always stand together"),
        ({"classes": (counted("cat", 199), counted("dog", 100))}, "warning", "1 label(s) that nearly all images have"),
        ({"classes": (counted("cat", 120), counted("dog", 19))}, "warning", "1 label(s) have fewer than 20 images"),
        ({"classes": (counted("cat", 120), counted("Cat", 100))}, "warning", "labels differ by case"),
    ],
)
def test_what_is_wrong_with_labels(fault, severity, what):
    faulty = dataclasses.replace(TAGS, **fault)
    assert any(kind == severity and text.startswith(what) for kind, text in told(faulty)), told(faulty)


def test_rare_labels_are_no_imbalance_of_classes():
    rare = dataclasses.replace(TAGS, classes=(counted("cat", 150), counted("dog", 5)), labels=LabelFacts())
    assert not any("times as many" in text for _, text in told(rare))


@pytest.mark.parametrize(
    ("fault", "severity", "what"),
    [
        ({"far": 1, "first_far": ("a.png: 99",)}, "warning", "1 of 200 numbers of size lie far out: half of all are 1"),
        ({"commonest": (0.0, 100)}, "note", "100 of 200 numbers of size are 0"),
        ({"name": "size "}, "warning", "names of targets begin or end with a blank"),
    ],
)
def test_what_is_wrong_with_numbers(fault, severity, what):
    faulty = dataclasses.replace(NUMBERS, targets=(dataclasses.replace(SIZE, **fault),))
    assert told(NUMBERS) == []
    assert any(kind == severity and text.startswith(what) for kind, text in told(faulty)), told(faulty)


def test_the_same_number_twice_is_named():
    ((severity, what),) = told(dataclasses.replace(NUMBERS, same_targets=(("m", "feet", 1.0),)))
    assert severity == "warning"
    assert what.startswith("m and feet are the same but for scale")


def test_pages_show_labels_and_numbers():
    page = text_page(TAGS, findings(TAGS, DATA))
    assert "200 images, 2 labels" in page
    assert "140 train, 20 validation, 40 test" in page  # of images, not of labels
    assert "no two labels stand on one image" in page
    hostile = dataclasses.replace(NUMBERS, targets=(dataclasses.replace(SIZE, name="<b>\x1b"),))
    assert "200 images, 1 target\n" in text_page(hostile, ())
    assert "\x1b" not in text_page(hostile, ())
    assert "<td>&lt;b&gt;�</td>" in html_page(hostile, ())
    assert "<h2>Labels</h2>" in html_page(TAGS, ())
