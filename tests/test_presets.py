"""The presets as stages: what trains when."""

import inspect

import pytest

from tfxfer import presets
from tfxfer.errors import ConfigError
from tfxfer.recipes import PRESETS, Recipe


def trains(stages):
    return [stage.train for stage in stages]


def test_feature_extraction_trains_the_head_alone():
    assert trains(presets.feature_extraction()) == ["head"]
    assert presets.feature_extraction(epochs=3)[0].epochs == 3


def test_partial_trains_half_of_the_groups_or_what_it_is_told():
    assert trains(presets.partial()) == [0.5]
    assert trains(presets.partial(train="block9")) == ["block9"]


def test_full_trains_the_head_first():
    stages = presets.full(head_epochs=2, epochs=5)
    assert [(stage.train, stage.epochs) for stage in stages] == [("head", 2), ("all", 5)]


def test_gradual_adds_a_group_at_each_stage():
    assert trains(presets.gradual()) == ["head", 1, 2, 3, 4]
    assert trains(presets.gradual(groups=2)) == ["head", 1, 2]
    assert trains(presets.gradual(groups=0)) == ["head"]


def test_scratch_trains_everything_at_one_rate_with_batch_norm():
    (stage,) = presets.scratch()
    assert (stage.train, stage.head_to_body, stage.layer_decay, stage.batch_norm) == ("all", 1.0, 1.0, "train")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_found_by_its_name_takes_smoothing_and_makes_a_recipe(name):
    function = getattr(presets, name)
    assert presets.by_name(name) == function()
    assert {stage.label_smoothing for stage in function(label_smoothing=0.1)} == {0.1}
    assert Recipe(stages=function()).stages == function()


def test_the_names_of_presets_are_the_functions_of_the_module():
    public = {name for name, value in vars(presets).items() if inspect.isfunction(value)} - {"by_name"}
    assert public == set(PRESETS)


def test_a_setting_out_of_range_is_answered_by_the_stage():
    with pytest.raises(ConfigError, match=r"^Stage: epochs=0 must be at least 1\.$"):
        presets.full(epochs=0)
