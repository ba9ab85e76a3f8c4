"""What a step holds in memory, and the batch that should fit, in sums done by hand."""

import dataclasses

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import plans
from tfxfer.plans.memory import smaller_batch, step_bytes
from tfxfer.recipes import Recipe, Stage
from tfxfer.reuse import Cache

# 100, 1000, 2000 and 4000 parameters; 8, 16, 32 and 64 statistics.
GROUPS = tuple(
    dataclasses.replace(group, activations=numbers, norm_inputs=numbers // 10)
    for group, numbers in zip(backbone_facts().groups, (900, 500, 300, 200), strict=True)
)
WEIGHTS = 7100 + 120


@pytest.mark.parametrize(
    ("first", "start", "norms_move", "precision", "numbers", "size"),
    [
        (0, 0, False, "float32", 1900, 4),  # all train: everything is kept but what batch norm reads
        (0, 0, True, "float32", 1900 + 190, 4),
        (2, 0, False, "float32", 500 + 990, 4),  # two train; of those below one is there at a time
        (2, 1, False, "float32", 500 + 550, 4),  # and those below the cut not at all
        (4, 4, False, "float32", 0, 4),
        (2, 0, False, "mixed_float16", 500 + 990, 2),
    ],
)
def test_a_step_holds_what_its_backward_pass_needs(first, start, norms_move, precision, numbers, size):
    lower = 0 if precision == "float32" else 2 * WEIGHTS
    expected = 10 * (numbers * size + 48 * 4) + 4 * WEIGHTS + lower + 4 * 70 + 280
    settings = {"examples": 10, "pixels": 48, "trainable_weights": 70, "slot_bytes": 280, "norms_move": norms_move}
    assert step_bytes(GROUPS, first=first, start=start, precision=precision, **settings) == expected


@pytest.mark.parametrize(
    ("batch", "estimate", "limit", "smaller"),
    [
        (512, 0, 0, 256),
        (48, 0, 0, 16),  # the largest power of two up to 24
        (512, 1000, 900, 256),  # half at most: the estimate was too low
        (512, 1000, 300, 128),  # 153.6
        (512, 0, 300, 256),
        (3, 0, 0, 1),
        (2, 0, 0, 1),
        (1, 0, 0, 1),
        (8, 1000, 1, 1),
    ],
)
def test_the_next_batch_is_a_power_of_two_below_what_should_fit(batch, estimate, limit, smaller):
    assert smaller_batch(batch, estimate=estimate, limit=limit) == smaller


def test_a_plan_says_what_its_stages_take():
    recipe = Recipe(stages=(Stage(epochs=9), Stage(train=2, epochs=9), Stage(train="all", epochs=9)))
    facts = data_facts(), backbone_facts(groups=GROUPS)
    off = plans.resolve(dataclasses.replace(recipe, cache=Cache(store="off")), *facts, machine_facts()).how.step_bytes
    assert off[0] < off[1] < off[2]
    kept = plans.resolve(recipe, *facts, machine_facts()).how.step_bytes
    assert kept[0] < off[0]
    assert kept[2] == off[2]
    two = machine_facts(devices=("gpu:0", "gpu:1"), strategy="mirrored")
    shared = plans.resolve(dataclasses.replace(recipe, cache=Cache(store="off")), *facts, two).how.step_bytes
    assert off[2] / 2 < shared[2] < off[2]


def test_a_network_that_tells_nothing_of_its_layers_gives_no_figure():
    assert plans.resolve(Recipe(), data_facts(), backbone_facts(), machine_facts()).how.step_bytes == (0,)
