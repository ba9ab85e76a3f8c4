"""Which strategies race, for made-up measurements, and the recipes that they stand for."""

import dataclasses

import pytest
import sample_facts
from sample_measurements import compared, measured

import tfxfer
from tfxfer.advice import candidates
from tfxfer.recipes import Backbone


def _found(examples: int = 10_000, card=None, **changes):
    return candidates.strategies(measured(**changes), card or sample_facts.card(), examples=examples)


def test_there_are_five_where_nothing_speaks_against_one():
    found, left_out = _found()
    assert {one.name: (one.stages, one.at) for one in found} == {
        "head": ("feature_extraction", "block1"),
        "suffix": ("partial", "block1"),
        "full": ("full", ""),
        "first blocks": ("full", "block1"),
        "scratch": ("scratch", ""),
    }
    assert left_out == ()
    assert all(one.reason and one.words for one in found)


def test_without_a_better_depth_nothing_is_cut():
    found, left_out = _found(best="block2", best_against_last=compared(0, 0.5))
    assert {one.at for one in found} == {""}
    assert [(one.name, one.reason) for one in left_out] == [
        ("first blocks", "no earlier depth has better features than block2")
    ]


def test_a_tie_of_depths_cuts_the_head_and_the_short_network_alone():
    found, _ = _found(best_against_last=compared(0.01, 0.8))
    assert {one.name: one.at for one in found if one.at} == {"head": "block1", "first blocks": "block1"}


def test_few_examples_that_transfer_helps_leave_scratch_out_with_the_numbers():
    found, left_out = _found(examples=200)
    assert "scratch" not in [one.name for one in found]
    assert left_out[0].reason == (
        "200 examples are few to begin with nothing (below 10,000), and pretrained features have 30.0 points more "
        "right than pixels (28.0 to 32.0)"
    )


@pytest.mark.parametrize(("gain", "better", "races"), [(0.1, 0.8, False), (0.01, 0.6, True), (-0.1, 0.2, True)])
def test_few_examples_that_transfer_does_not_help_keep_it(gain, better, races):
    found, _ = _found(examples=200, best_against_pixels=compared(gain, better))
    assert ("scratch" in [one.name for one in found]) is races


def test_what_is_expected_of_each_is_known_and_no_more_than_few_points():
    expected = {one.name: one.expected for one in _found()[0]}
    assert expected["suffix"] == expected["first blocks"] == max(expected.values()) == 0
    assert -0.05 < min(expected.values()) == expected["head"]
    own = dataclasses.replace(_found()[0][0], name="of others")
    assert own.expected == 0


def test_random_weights_race_for_a_reason():
    (*_, many), _ = _found(examples=12_000)
    assert many.reason.startswith("12,000 examples may be enough without pretrained weights")
    (*_, few), _ = _found(examples=200, best_against_pixels=compared(-0.1, 0.01))
    assert few.reason == "nothing says that pretrained features help (-12.0 to -8.0 points more right than pixels)"


def test_of_what_cannot_train_there_is_the_head():
    found, left_out = _found(card=dataclasses.replace(sample_facts.card(), trainable=False))
    assert [one.name for one in found] == ["head"]
    assert "cannot train" in left_out[0].reason


@pytest.mark.parametrize("name", ["head", "suffix", "full", "first blocks", "scratch"])
def test_each_is_a_recipe_without_a_race(name):
    asked = tfxfer.Recipe(data="folder:photos", batch_size=16, budget=60)
    one = next(one for one in _found()[0] if one.name == name)
    recipe = one.recipe(asked)
    assert (recipe.stages, recipe.backbone.at, recipe.budget) == (one.stages, one.at, None)
    assert (recipe.data, recipe.batch_size) == (asked.data, 16)
    assert one.change == f"--stages={one.stages}" + (f" --config.backbone.at={one.at}" if one.at else "")


def test_a_cut_of_the_recipe_stays_where_there_is_none_deeper():
    found, _ = _found(best="block2", best_against_last=compared(0, 0.5))
    asked = tfxfer.Recipe(backbone=Backbone(handle="tiny:cnn", at="stage2"))
    assert {one.recipe(asked).backbone.at for one in found} == {"stage2"}
