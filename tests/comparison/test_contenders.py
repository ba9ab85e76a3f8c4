"""Who competes, by names, data and number of steps."""

import dataclasses

import pytest

from tfxfer.comparison import contenders
from tfxfer.errors import ConfigError
from tfxfer.recipes import Data, Export, Recipe, Running, Stage

RECIPE = Recipe(data=Data(source="folder:photos"), seed=4, export=Export(formats=("onnx",)))


def stages(*steps):
    return [Stage(train="head", steps=count) for count in steps]


def test_one_recipe_is_compared_with_its_network_from_random_weights():
    named = contenders.contenders_of(RECIPE)
    assert list(named) == ["pretrained", "from scratch"]
    pretrained, scratch = named.values()
    assert (pretrained.weights, scratch.weights) == ("pretrained", "random")
    assert (pretrained.stages, scratch.stages) == ("auto", "scratch")
    assert pretrained.data == scratch.data
    assert pretrained.export == Export()  # nothing of what is compared ships


def test_all_have_the_splits_of_the_first_recipe():
    named = contenders.contenders_of({"one": RECIPE, "other": dataclasses.replace(RECIPE, seed=7)})
    assert [recipe.split_seed for recipe in named.values()] == [4, 4]
    assert contenders.of_seed(named["other"], 9).split_seed == 4
    assert contenders.of_seed(named["other"], 9).seed == 9


def test_a_split_seed_of_their_own_stays():
    own = dataclasses.replace(RECIPE, data=dataclasses.replace(RECIPE.data, split_seed=11))
    assert {recipe.split_seed for recipe in contenders.contenders_of(own).values()} == {11}


def test_pictures_may_become_pixels_in_other_ways():
    padded = dataclasses.replace(RECIPE, data=dataclasses.replace(RECIPE.data, resize="pad", background="white"))
    assert contenders.contenders_of({"squashed": RECIPE, "padded": padded})


OTHERS = {
    "data": (
        dataclasses.replace(RECIPE, data=Data(source="folder:others", test_fraction=0.5)),
        "'other' has other data or devices than 'one': data.source: 'folder:photos' → 'folder:others'; "
        "data.test_fraction: 0.2 → 0.5.",
    ),
    "devices": (dataclasses.replace(RECIPE, running=Running(devices="cpu")), "running.devices: 'auto' → 'cpu'"),
    "a task without accuracy": (
        dataclasses.replace(RECIPE, data=Data(source="npz:x.npz", task="regression")),
        "'other' has task=regression, and what is compared is accuracy",
    ),
}


@pytest.mark.parametrize(("other", "message"), OTHERS.values(), ids=OTHERS)
def test_recipes_that_cannot_be_compared(other, message):
    with pytest.raises(ConfigError) as caught:
        contenders.contenders_of({"one": RECIPE, "other": other})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "one recipe has nothing to be compared with"),
        ({"one": RECIPE}, "one recipe has nothing to be compared with"),
        ({"one": RECIPE, "../two": RECIPE}, "'../two' is to be the name of a folder; write letters, digits"),
        ({"one": RECIPE, "": RECIPE}, "'' is to be the name of a folder"),
        ({"one": RECIPE, "One": RECIPE}, "'One' is there twice"),
    ],
)
def test_names_that_cannot_be(named, message):
    with pytest.raises(ConfigError) as caught:
        contenders.contenders_of(named)
    assert message in str(caught.value)


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ConfigError, match=r"'A' is there twice; 'b/' is to be the name .*; 'c' has task=regression"):
        contenders.contenders_of({"a": RECIPE, "A": RECIPE, "b/": RECIPE, "c": OTHERS["a task without accuracy"][0]})


def test_a_race_within_each_run_is_refused():
    racing = dataclasses.replace(RECIPE, budget=60.0)
    for asked in (racing, {"one": RECIPE, "two": racing}):
        with pytest.raises(ConfigError, match=r"has budget=60, for a race .* Run tfxfer advise --budget=… --write"):
            contenders.contenders_of(asked)


@pytest.mark.parametrize("changes", [{"stages": "scratch"}, {"backbone": {"weights": "random"}}])
def test_a_recipe_from_random_weights_has_no_control(changes):
    if "backbone" in changes:
        changes = {"backbone": dataclasses.replace(RECIPE.backbone, weights="random")}
    with pytest.raises(ConfigError, match=r"starts from random weights.*--recipes=one\.py,other\.py\."):
        contenders.contenders_of(dataclasses.replace(RECIPE, **changes))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seeds": ()}, "no seeds are given; write --seeds=0,1,2."),
        ({"seeds": (1, 2, 1)}, "seeds 1, 2, 1 name one twice"),
        ({"seeds": (0, 2**31)}, "seeds 2147483648 must be 0 to 2147483647."),
        ({"steps": 5, "epochs": 2.0}, "steps=5 and epochs=2 both say how long; give one of the two."),
        ({"steps": 0}, "steps=0 must be at least 1."),
        ({"epochs": 0.0}, "epochs=0 must be above 0."),
        ({"epochs": float("nan")}, "epochs=nan must be above 0."),
        ({"reach": 90.0}, "reach=90 is an accuracy, above 0 and at most 1, such as 0.9."),
        ({"reach": 0.0}, "reach=0 is an accuracy"),
        ({"reach": float("nan")}, "reach=nan is an accuracy"),
        ({"seeds": (), "reach": -1.0}, "no seeds are given; write --seeds=0,1,2; reach=-1 is an accuracy"),
    ],
)
def test_numbers_that_cannot_be(asked, message):
    with pytest.raises(ConfigError) as caught:
        contenders.check_asked(**{"seeds": (0,), **asked})
    assert message in str(caught.value)


def test_the_budget_is_that_of_the_first_recipe_unless_another_is_asked_for():
    assert contenders.budget_of(120, 40, steps=None, epochs=None) == 120
    assert contenders.budget_of(120, 40, steps=7, epochs=None) == 7
    assert contenders.budget_of(120, 40, steps=None, epochs=2.5) == 100
    assert contenders.budget_of(120, 40, steps=None, epochs=0.001) == 1


@pytest.mark.parametrize(
    ("planned", "total", "expected"),
    [
        ((10, 30), 20, (5, 15)),
        ((10, 30), 80, (20, 60)),
        ((10, 10, 10), 4, (1, 1, 2)),  # what is left over goes to one that lacks a third
        ((1, 1000), 10, (1, 9)),  # no stage is without a step
        ((1, 1, 1000), 3, (1, 1, 1)),
    ],
)
def test_stages_share_the_steps_in_proportion(planned, total, expected):
    recipe = contenders.with_steps(RECIPE, stages(*planned), planned, total, "one")
    found = [stage.steps for stage in recipe.stages]
    assert sum(found) == total
    assert sorted(found) == sorted(expected)
    assert all(stage.epochs is None for stage in recipe.stages)


def test_stages_of_just_so_many_steps_stay_as_they_are():
    own = [Stage(train="head", epochs=2), Stage(train="all", epochs=6)]
    assert contenders.with_steps(RECIPE, own, (10, 30), 40, "one").stages == tuple(own)


def test_scratch_still_starts_from_random_weights_when_its_stages_are_written_out():
    scratch = dataclasses.replace(RECIPE, stages="scratch")
    for total in (10, 20):
        assert contenders.with_steps(scratch, stages(10), (10,), total, "scratch").weights == "random"


def test_more_stages_than_steps_are_refused():
    with pytest.raises(ConfigError, match="1 optimizer steps are too few for 'one', which has 2 stages"):
        contenders.with_steps(RECIPE, stages(3, 3), (3, 3), 1, "one")


def test_a_curve_gets_thirty_points_unless_the_recipe_says_how_many():
    assert contenders.with_looks(RECIPE, 3000).running.validate_every == 100
    assert contenders.with_looks(RECIPE, 7).running.validate_every == 1
    own = dataclasses.replace(RECIPE, running=Running(validate_every=5))
    assert contenders.with_looks(own, 3000).running.validate_every == 5
