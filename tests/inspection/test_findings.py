"""What is wrong with a set of pictures: a pure function, each of its guards with what makes it fire."""

import dataclasses

import pytest

from tfxfer.facts import BadImage
from tfxfer.inspection import findings
from tfxfer.inspection.inspected import Alike, ClassCounts, Inspected, Pairs, Place
from tfxfer.recipes import Data

DATA = Data(source="folder:x")


def counts(name, images=100, train=70, validation=10, test=20):
    return ClassCounts(name=name, images=images, train=train, validation=validation, test=test)


GOOD = Inspected(
    source="folder:x", images=200, classes=(counts("cat"), counts("dog")), split="by hash", modes=(("RGB", 200),)
)


def place(name, split="train", class_name="cat"):
    return Place(index=0, name=name, class_name=class_name, split=split)


def alike(kind, *pairs):
    return Alike(**{kind: Pairs(count=len(pairs), first=pairs)})


def test_nothing_is_wrong_with_what_is_good():
    assert findings(GOOD, DATA) == ()


LEAK = alike("across_splits", (place("a.jpg"), place("b.jpg", "test")))
MIXED = alike("across_classes", (place("a.jpg"), place("b.jpg", class_name="dog")))
TWICE = alike("within", (place("a.jpg"), place("b.jpg")))


@pytest.mark.parametrize(
    ("fault", "severity", "what", "where"),
    [
        ({"refused": "no images"}, "error", "no images", ()),
        (
            {"unreadable": (BadImage(name="a.jpg", reason="empty file"),)},
            "error",
            "1 of 200 images cannot be read",
            ("a.jpg: empty file",),
        ),
        ({"copies": LEAK}, "error", "1 exact copy in two splits, so the", ("a.jpg (train, cat) = b.jpg (test, cat)",)),
        ({"copies": MIXED}, "warning", "1 exact copy in two classes", ("a.jpg (train, cat) = b.jpg (train, dog)",)),
        ({"copies": TWICE}, "note", "1 exact copy in one class and one split", None),
        ({"near": LEAK}, "warning", "1 pair(s) of nearly the same images stand in two splits", None),
        ({"near": MIXED}, "warning", "1 pair(s) of nearly the same images stand in two classes", None),
        ({"near": TWICE}, "note", "1 pair(s) of nearly the same images are in one class", None),
        ({"compared_all": False}, "note", "too many images look alike", ()),
        ({"classes": (counts("Cat"), counts("cat"))}, "warning", "classes differ by case", ("'Cat' and 'cat'",)),
        ({"classes": (counts("ice-cream"), counts("Ice Cream"))}, "warning", "classes differ by case", None),
        ({"classes": (counts("cat"), counts("dog "))}, "warning", "names of classes begin or end", ("'dog '",)),
        ({"classes": (counts("cat"), counts("do\x1bg"))}, "warning", "names of classes begin or", ("'do\\x1bg'",)),
        ({"classes": (counts("cat"), counts("dog", 19))}, "warning", "1 class(es) have fewer than 20", ("dog (19)",)),
        ({"classes": (counts("cat", 1000), counts("dog"))}, "warning", "the largest class has 10 times as many", ()),
        ({"classes": (counts("cat"), counts("dog", test=0))}, "warning", "the split test has no image of", ("dog",)),
        ({"classes": (counts("cat"), counts("dog", train=0))}, "error", "the split train has no image of", ("dog",)),
        ({"dark": 1, "first_dark": ("a",)}, "warning", "1 of 200 images are nearly black", ("a",)),
        ({"blank": 1, "first_blank": ("a",)}, "warning", "1 of 200 images are of one colour", ("a",)),
        ({"small": 1, "smallest": ("a (9×9)",)}, "warning", "1 of 200 images have a side of less", ("a (9×9)",)),
        ({"modes": (("RGB", 150), ("L", 50))}, "note", "50 of 200 images are grey and the others coloured", ()),
        ({"notes": ("it was copied",)}, "note", "it was copied", ()),
    ],
)
def test_what_is_wrong(fault, severity, what, where):
    (found,) = findings(dataclasses.replace(GOOD, **fault), DATA)
    assert found.severity == severity
    assert found.what.startswith(what)
    assert where is None or found.where == where
    assert found.fix or severity == "note" or "refused" in fault


def test_what_differs_by_more_is_no_twin():
    classes = tuple(map(counts, ("c+", "c#", "c", "a b", "-", "_")))
    assert findings(dataclasses.replace(GOOD, classes=classes), DATA) == ()


def test_what_the_recipe_leaves_out_is_no_error():
    bad = dataclasses.replace(GOOD, unreadable=(BadImage(name="a", reason="b"),), copies=LEAK)
    lenient = Data(source="folder:x", on_bad_image="skip", on_duplicate="drop")
    assert [one.severity for one in findings(bad, DATA)] == ["error", "error"]
    assert [one.severity for one in findings(bad, lenient)] == ["warning", "warning"]


def test_errors_come_first_and_long_lists_are_cut_short():
    few = tuple(counts(f"c{number:02}", 5) for number in range(15))
    found = findings(dataclasses.replace(GOOD, classes=few, refused="no"), DATA)
    assert [one.severity for one in found] == ["error", "warning"]
    assert found[1].where == (*(f"c{number:02} (5)" for number in range(10)), "and 5 more")
