"""The rates of a plan are the multipliers of the model that it is for, to the last bit."""

import pytest
from sample_facts import data_facts, machine_facts

import tfxfer
from tfxfer import plans
from tfxfer.optimizers import multipliers
from tfxfer.recipes import Recipe, Stage


@pytest.fixture(scope="module")
def network(plugin):
    backbone = tfxfer.load_backbone("tiny:cnn")
    return backbone, tfxfer.swap_head(backbone, tfxfer.heads.Linear(outputs=3))


def rates(backbone, **settings):
    recipe = Recipe(stages=(Stage(train="all", epochs=1, **settings),))
    (stage,) = plans.resolve(recipe, data_facts(), backbone.facts, machine_facts()).what.stages
    return {**dict(zip(stage.trained, stage.rates, strict=True)), "head": 1.0}


@pytest.mark.parametrize("decay", [0.65, 0.75, 0.8, 1.0, 0.3])
def test_layer_decay(network, decay):
    backbone, model = network
    assert rates(backbone, layer_decay=decay, head_to_body=1.0) == multipliers.layer_decay(model, decay)


@pytest.mark.parametrize("factor", [1.0, 2.6, 50.0])
def test_a_factor_from_group_to_group(network, factor):
    backbone, model = network
    assert rates(backbone, group_factor=factor, head_to_body=1.0) == multipliers.ulmfit(model, factor)


@pytest.mark.parametrize("ratio", [1.0, 10.0, 100.0])
def test_head_to_body(network, ratio):
    backbone, model = network
    wanted = multipliers.head_to_body(model, ratio)
    assert rates(backbone, head_to_body=ratio) == {name: wanted.get(name, wanted["..."]) for name in rates(backbone)}


def test_the_hundredth_of_fastai_is_its_slice(network):
    backbone, model = network
    stage = tfxfer.presets.fastai_fine_tune()[1]
    found = rates(backbone, layer_decay=stage.layer_decay, head_to_body=stage.head_to_body)
    assert found == pytest.approx(multipliers.slices(model, 0.01))
