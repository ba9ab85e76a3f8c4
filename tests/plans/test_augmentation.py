"""What is done to pictures follows from how many there are and what their classes are called, and the plan says why."""

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import plans
from tfxfer.augmentation import Augment, described
from tfxfer.plans.augmentation import choose_augment, choose_views, label_changes, least_views
from tfxfer.recipes import Recipe, Stage


def chosen(class_names=("cat", "dog", "fox"), each=70, **asked):
    facts = data_facts(class_names=class_names, train_counts=(each,) * len(class_names))
    return choose_augment(Augment(**asked), facts)


def resolved(each=70, epochs=20, **asked):
    """Of a whole plan: what is done to pictures, how many views a stage has, and the reasons."""
    recipe = Recipe(stages=(Stage(epochs=epochs),), augment=Augment(**asked))
    plan = plans.resolve(recipe, data_facts(train_counts=(each,) * 3), backbone_facts(), machine_facts())
    return plan.what.augment, plan.what.stages[0].views, plan.reasons


def test_few_pictures_are_moved_a_little_and_not_mirrored_without_being_asked():
    augment, reasons = chosen(each=266)
    assert described(augment) == "rotation 12, shift 0.1, zoom 0.1"
    assert reasons == (
        "augmentation light: 266 training examples in a class of middle size; without mirroring, which only you can "
        "allow (augment.flip=horizontal)",
    )
    assert described(chosen(flip=True)[0]) == "flip horizontal, rotation 12, shift 0.1, zoom 0.1"
    assert "without mirroring" not in " ".join(chosen(flip=True)[1])


def test_many_pictures_are_left_as_they_are():
    augment, reasons = chosen(each=267)
    assert (described(augment), augment.preset, augment.views, reasons) == ("nothing", "none", 1, ())


@pytest.mark.parametrize("each", [10, 70, 266, 267, 2000])
def test_left_open_there_are_as_many_views_as_without_presets(each):
    augment, views, _ = resolved(each)
    assert views == choose_views("auto", False, (each,) * 3, 20)
    assert (augment.preset == "none") == (views == 1)


def test_what_is_asked_for_is_done_however_many_pictures_there_are():
    augment, views, _ = resolved(2000, rotation=30.0)
    assert (described(augment), views) == ("rotation 30", 4)
    augment, views, _ = resolved(2000, preset="light")
    assert (described(augment), views) == ("flip horizontal, rotation 12, shift 0.1, zoom 0.1", 4)
    augment, views, _ = resolved(2000, views=3)
    assert (described(augment), views) == ("rotation 12, shift 0.1, zoom 0.1", 3)
    assert resolved(2000, preset="light", epochs=4)[1] == 2  # at most half the epochs
    assert resolved(2000, mixup=0.2)[1] == 1  # which needs no views


def test_nothing_to_differ_in_is_one_view():
    assert resolved(10, rotation=0.0, shift=0.0, zoom=0.0)[1] == 1
    assert resolved(10, preset="none")[1] == 1
    assert resolved(10, preset="none", grey=0.1)[1] == 8


@pytest.mark.parametrize("preset", ["medium", "strong"])
def test_the_stronger_presets_show_new_views_in_every_epoch(preset):
    augment, views, reasons = resolved(2000, preset=preset)
    assert augment.live
    assert views == 20
    assert any("augment.live shows new views in every epoch" in reason for reason in reasons)
    assert resolved(2000, preset=preset, live=False)[1] == 4


def test_a_plan_holds_nothing_that_is_auto():
    for preset in ("auto", "none", "light", "medium", "strong"):
        assert "auto" not in vars(resolved(preset=preset)[0]).values()


@pytest.mark.parametrize(("epochs", "is_other"), [(20, True), (3, False)])  # three epochs show the pictures alone
def test_what_views_differ_in_is_part_of_what_names_a_plan(epochs, is_other):
    found = (data_facts(), backbone_facts(), machine_facts())
    plain, other = (
        plans.resolve(Recipe(stages=(Stage(epochs=epochs),), augment=Augment(**asked)), *found)
        for asked in ({}, {"contrast": 0.1})
    )
    assert (plain.digest != other.digest) == is_other


def test_cutmix_leaves_nothing_to_compute_once_and_says_so():
    _, _, reasons = resolved(preset="none", cutmix=1.0)
    assert "stage 1 head computes what is frozen in every epoch: augment.cutmix needs pixels" in reasons


DIGITS = tuple("0123456789")


@pytest.mark.parametrize(
    ("class_names", "changes"),
    [
        (DIGITS, {"horizontal", "vertical", "both", "rotation"}),
        (("digit_6", "digit_9"), {"horizontal", "vertical", "both", "rotation"}),
        (("six", "nine", "background"), {"horizontal", "vertical", "both", "rotation"}),
        (("b", "d", "p", "q"), {"horizontal", "vertical", "both", "rotation"}),
        (("turn_left", "turn_right", "stop"), {"horizontal", "both", "rotation"}),
        (("Left Hand", "Right Hand"), {"horizontal", "both", "rotation"}),
        (("thumb up", "thumb down"), {"vertical", "both", "rotation"}),
        (("arrow-left", "arrow-right", "arrow-up", "arrow-down"), {"horizontal", "vertical", "both", "rotation"}),
        (("red", "green"), {"colour"}),
        (("cat", "dog"), set()),
        (("class 1", "class 2"), set()),  # numbers of something else
        (("cat", "x"), set()),
        (("left-right", "other"), set()),  # one class that names both
        (("leftover", "bright"), set()),
    ],
)
def test_classes_whose_pictures_must_not_be_mirrored_turned_or_recoloured(class_names, changes):
    assert set(label_changes(class_names)) == changes


def test_a_preset_leaves_mirroring_out_where_it_changes_classes_and_says_so():
    augment, (reason,) = chosen(DIGITS, preset="medium")
    assert augment.flip == "none"
    assert reason == "augmentation medium without mirroring: classes such as '0' and '1' look like digits or letters"
    assert chosen(("cat", "dog"), preset="medium")[0].flip == "horizontal"


@pytest.mark.parametrize(
    ("class_names", "asked", "warning"),
    [
        (DIGITS, {"flip": True}, "'0' and '1' look like digits or letters, and augment.flip=horizontal mirrors them"),
        (("left", "right"), {"flip": "both"}, "'left' and 'right' name directions, and augment.flip=both mirrors"),
        (DIGITS, {"rotation": 90.0}, "and augment.rotation=90 turns them by up to 90 degrees."),
        (DIGITS, {"policy": "trivialaugment"}, "and augment.policy=trivialaugment turns them by up to 135 degrees."),
        (("red", "green"), {"hue": 0.1}, "'red' and 'green' name colours, and augment.hue changes colours."),
        (("red", "green"), {"grey": 0.1}, "and augment.grey changes colours."),
    ],
)
def test_what_was_asked_for_and_changes_classes_is_done_with_a_warning(class_names, asked, warning):
    augment, reasons = chosen(class_names, **asked)
    (told,) = [reason for reason in reasons if reason.startswith("warning: ")]
    assert warning in told
    for name, value in asked.items():
        assert getattr(augment, name) == ("horizontal" if value is True else value)


@pytest.mark.parametrize(
    ("class_names", "asked"),
    [
        (DIGITS, {"rotation": 45.0}),
        (DIGITS, {"policy": "randaugment"}),
        (("left", "right"), {"flip": "vertical"}),
        (("cat", "dog"), {"flip": "both", "rotation": 180.0, "hue": 0.5}),
        (("red", "green"), {"saturation": 0.5}),
    ],
)
def test_no_warning_without_need(class_names, asked):
    assert not [reason for reason in chosen(class_names, **asked)[1] if reason.startswith("warning: ")]


def test_views_that_differ_in_something_asked_for_are_at_least_four():
    assert least_views(Augment()) == least_views(Augment(mixup=1.0)) == least_views(Augment(preset="none")) == 1
    assert least_views(Augment(preset="light")) == least_views(Augment(hue=0.1)) == 4
