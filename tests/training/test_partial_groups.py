"""A stage and `freeze` mean the same by `train` and `frozen`, also where only some layers of a group train."""

import dataclasses

import numpy as np
import pytest
from sample_facts import data_facts, machine_facts

import tfxfer
from tfxfer import plans
from tfxfer.data.rows import Rows
from tfxfer.errors import VerificationError
from tfxfer.training import stage as stages

HEAD = tfxfer.heads.MLP(outputs=3, hidden=(4,), pooling="both")


@pytest.fixture(scope="module")
def backbone(plugin):
    return tfxfer.load_backbone("tiny:cnn")


def planned(backbone, head=HEAD, **settings) -> plans.What:
    recipe = tfxfer.Recipe(stages=(tfxfer.Stage(epochs=1, **settings),), head=head, batch_size=8)
    return plans.resolve(recipe, data_facts(), backbone.facts, machine_facts()).what


@pytest.mark.parametrize("batch_norm", ["frozen", "affine"])
@pytest.mark.parametrize(
    "asked",
    [
        {"train": "head"},
        {"train": 2},
        {"train": "30%"},
        {"train": "95%"},
        {"train": "block1_conv"},
        {"train": "re:_conv$"},
        {"train": ("block1_conv", "re:block2_")},
        {"train": "layers[-13:]"},  # counted from the last layer of the head
        {"train": "re:^head"},
        {"frozen": "layers[:4]"},
        {"frozen": "40%"},
        {"frozen": "block1_conv"},
        {"frozen": ("stem_conv", "stage3/block2_bn")},
    ],
    ids=str,
)
def test_a_stage_trains_what_freeze_trains(backbone, asked, batch_norm):
    what = planned(backbone, **asked, batch_norm=batch_norm)
    model = tfxfer.swap_head(backbone, HEAD)
    trainee = stages.prepared(model, 0, what.stages[0], what)  # verifies the plan's sums
    moving = {id(variable) for variable in trainee.trainable_variables}
    other = tfxfer.with_stored_statistics(model) if batch_norm == "affine" else model
    tfxfer.freeze(other, **asked, batch_norm=batch_norm)
    assert moving == {id(variable) for variable in other.trainable_variables}


def test_layers_of_a_partial_group_get_its_rate_and_nothing_else_moves(backbone):
    what = planned(backbone, train="block2_conv,", layer_decay=0.8, learning_rate=0.1)
    (stage,) = what.stages
    assert (stage.trained, stage.trained_layers) == (("stage3.block1",), (("stage3.block1/block2_conv",),))
    model = tfxfer.swap_head(backbone, HEAD)
    shares = stages.planned_shares(model, stage)
    assert {shares[id(variable)] for variable in model.get_layer("block2_conv").weights} == set(stage.rates)
    before = {variable.path: variable.numpy() for variable in model.variables}
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 24, 3), dtype=np.uint8)
    rows = Rows(pixels, np.arange(24, dtype=np.int32) % 3, np.arange(24), 3)
    stages.run_stage(model, 0, stage, what, rows, rows, cache=None, kept=None, tell=lambda *_: None)
    moved = {v.path.partition("/")[0] for v in model.weights if not np.array_equal(v.numpy(), before[v.path])}
    assert moved == {"block2_conv", "head_hidden_0", "head_logits"}


def test_a_plan_that_leaves_a_layer_out_stops_the_stage(backbone):
    """The canary: a plan of another network, in which the group has one layer more."""
    what = planned(backbone, train="re:block2_", batch_norm="affine")
    model = tfxfer.swap_head(backbone, HEAD)
    less = dataclasses.replace(what.stages[0], trained_layers=(("stage3.block1/block2_conv",),))
    with pytest.raises(VerificationError, match=r"would train \d+ weights in \d+ variables, the plan says"):
        stages.prepared(model, 0, less, what)


def test_a_group_of_which_some_layers_train_can_wake_within_the_stage(backbone):
    unfreezing = tfxfer.recipes.Gradual(groups=("stage2", "stage3"))
    recipe = tfxfer.Recipe(
        stages=(tfxfer.Stage(train=("block1_conv", "stage3"), epochs=3, unfreezing=unfreezing),),
        head=HEAD,
        batch_size=8,
    )
    data = data_facts(train_counts=(8, 8, 8))
    what = plans.resolve(recipe, data, backbone.facts, machine_facts()).what
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 24, 3), dtype=np.uint8)
    rows = Rows(pixels, np.arange(24, dtype=np.int32) % 3, np.arange(24), 3)
    model, (stage,) = tfxfer.swap_head(backbone, HEAD), what.stages
    assert stage.addresses() == ("stage2.block1/block1_conv", "stage3.block1")
    record = stages.run_stage(model, 0, stage, what, rows, rows, cache=None, kept=None, tell=lambda *_: None)
    assert [waking.woke for waking in record.wakings] == [("stage2.block1",), ("stage3.block1",)]
