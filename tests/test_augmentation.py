"""What is done to pictures refuses what it cannot mean; presets fill what is "auto"."""

import dataclasses
import math

import pytest

from tfxfer import augmentation, values
from tfxfer.augmentation import PRESETS, Augment, described, settled
from tfxfer.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"views": 0}, "views=0 must be 1 to 64, or auto; for a new one in each epoch: live=true"),
        ({"views": 65}, "views=65 must be 1 to 64"),
        ({"views": "few"}, "views='few'"),
        ({"rotation": 181}, "rotation=181 must be 0 to 180"),
        ({"shift": -0.1}, "shift=-0.1 must be 0 to 0.5"),
        ({"zoom": 0.6}, "zoom=0.6 must be 0 to 0.5"),
        ({"mixup": 4.1}, "mixup=4.1 must be 0 to 4"),
        ({"mixup": math.nan}, "mixup=nan must be 0 to 4"),
        ({"brightness": 1.5}, "brightness=1.5 must be 0 to 1"),
        ({"live": True, "brightness": 0.1}, "brightness is for cached activations, and live=true leaves none"),
        ({"preset": "heavy"}, "preset='heavy'"),
        ({"flip": "diagonal"}, "flip='diagonal' is not"),
        ({"crop_area": 0.0}, "crop_area=0.0 must be 0.05 to 1"),
        ({"crop_aspect": 0.5}, "crop_aspect=0.5 must be 1 to 3"),
        ({"hue": 0.6}, "hue=0.6 must be 0 to 0.5"),
        ({"grey": -0.1}, "grey=-0.1 must be 0 to 1"),
        ({"policy": "autoaugment"}, "policy='autoaugment'"),
        ({"operations": 5}, "operations=5 must be 1 to 4"),
        ({"magnitude": 31.0}, "magnitude=31.0 must be 0 to 30"),
        ({"erasing": 2.0}, "erasing=2.0 must be 0 to 1"),
        ({"cutmix": math.inf}, "cutmix=inf must be 0 to 4"),
        ({"cutmix": 1.0, "brightness": 0.1}, "brightness is for cached activations, and cutmix leaves none"),
    ],
)
def test_what_means_nothing_is_refused_with_its_range(settings, message):
    with pytest.raises(ConfigError) as caught:
        Augment(**settings)
    assert message in str(caught.value)


def test_all_problems_are_told_at_once():
    with pytest.raises(ConfigError, match=r"(?s)views=99.*zoom=2"):
        Augment(views=99, zoom=2.0)


def test_the_ends_of_the_ranges_are_allowed():
    Augment(views=64, rotation=180.0, shift=0.5, zoom=0.5, mixup=4.0, brightness=1.0, crop_area=0.05, crop_aspect=3.0)
    Augment(views=1, rotation=0.0, shift=0.0, zoom=0.0, magnitude=0.0, operations=1, cutmix=0.0)


def test_true_and_false_are_flips_also_on_the_command_line():
    assert Augment(flip=True) == Augment(flip="horizontal")
    assert Augment(flip=False) == Augment(flip="none")
    for text, meant in (("true", "horizontal"), ("false", "none"), ("both", "both"), ("auto", "auto")):
        change = values.Change("flip", text, f"--config.augment.flip={text}")
        assert values.replace(Augment(), [change]).flip == meant


def test_every_preset_says_something_of_every_field_that_may_be_auto():
    auto = {name for name, value in vars(Augment()).items() if value == "auto"} - {"preset"}
    for name, meant in PRESETS.items():
        assert set(meant) == auto, name
        whole = settled(Augment(preset=name))
        assert [value for field, value in vars(whole).items() if value == "auto" and field != "views"] == []
        assert values.from_json(Augment, values.to_json(whole)) == whole


def test_what_is_given_counts_more_than_the_preset():
    whole = settled(Augment(preset="medium", flip=False, contrast=0.7, live=False))
    assert (whole.flip, whole.contrast, whole.live) == ("none", 0.7, False)
    assert (whole.crop_area, whole.lightness) == (0.5, 0.2)


def test_a_preset_and_a_field_that_exclude_each_other_are_refused():
    with pytest.raises(ConfigError, match="brightness is for cached activations, and live=true leaves none"):
        settled(Augment(preset="medium", brightness=0.2))


def test_what_is_asked_for_is_told_in_words_and_names_views_apart():
    assert described(settled(Augment(preset="none"))) == "nothing"
    assert described(settled(Augment(preset="light"))) == "flip horizontal, rotation 12, shift 0.1, zoom 0.1"
    strong = settled(Augment(preset="strong"))
    assert "policy randaugment, operations 2, magnitude 9" in described(strong)
    assert described(strong, augmentation.GEOMETRY_FIELDS) == "flip horizontal, crop area 0.25, crop aspect 1.33333"
    other = {"flip": "both", "policy": "augmix"}
    for name in augmentation.VIEW_FIELDS:  # each of them is part of what names cached views
        value = other.get(name) or (4 if name == "operations" else 0.5 if name != "crop_aspect" else 2.0)
        if name == "magnitude":
            value = 20.0
        assert described(dataclasses.replace(strong, **{name: value})) != described(strong), name


BEFORE = {"views": "auto", "live": False, "flip": False, "rotation": 12.0, "shift": 0.1, "zoom": 0.1, "mixup": 0.0,
          "brightness": 0.0}  # fmt: skip


def test_a_recipe_from_before_presets_is_the_same_recipe_now():
    assert values.from_json(Augment, augmentation.of_now({"augment": BEFORE})["augment"]) == Augment()
    asked = augmentation.of_now({"augment": BEFORE | {"flip": True, "rotation": 5.0}, "seed": 3})
    assert asked == {"augment": {"flip": True, "rotation": 5.0}, "seed": 3}
    of_today = {"augment": values.to_json(Augment(rotation=12.0, flip=False))}
    assert augmentation.of_now(of_today) == of_today
    assert augmentation.of_now({"seed": 3}) == {"seed": 3}


def test_a_plan_from_before_presets_counts_as_it_did():
    few = dataclasses.replace(settled(Augment(flip=False), "light"), views=4)
    assert augmentation.counted(few) == BEFORE | {"views": 4}
    one = dataclasses.replace(settled(Augment(), "none"), views=1)
    assert augmentation.counted(one) == BEFORE | {"views": 1}
    read = values.from_json(Augment, BEFORE | {"views": 4, "flip": True})  # with fields that are left open
    assert augmentation.counted(read) == BEFORE | {"views": 4, "flip": True}


def test_what_came_with_presets_counts_where_it_does_something():
    few = dataclasses.replace(settled(Augment(flip=False), "light"), views=4)
    told = [augmentation.counted(few)]
    for changes in ({"flip": "both"}, {"crop_area": 0.5}, {"policy": "augmix"}, {"erasing": 0.5}, {"cutmix": 1.0},
                    {"policy": "augmix", "magnitude": 3.0}, {"hue": 0.1}, {"live": True, "grey": 0.2}):  # fmt: skip
        told.append(augmentation.counted(dataclasses.replace(few, **changes)))
    assert all(one not in told[:at] for at, one in enumerate(told))
