"""What wakes when, worked out by hand on four layer groups, and everything that can never come to pass."""

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import plans
from tfxfer.errors import ConfigError
from tfxfer.plans.unfreezing import resolve_unfreezing
from tfxfer.recipes import Gradual, Recipe, Searching, Stage, WhenStalled

ALL = ("stem", "stage1.block1", "stage1.block2", "stage2.block1")


def decided(asked, trained=ALL, epochs=10, steps_per_epoch=7, steps=None):
    return resolve_unfreezing(
        asked, trained, stage=2, steps=steps or epochs * steps_per_epoch, steps_per_epoch=steps_per_epoch
    )


def refused(asked, **settings) -> str:
    with pytest.raises(ConfigError) as caught:
        decided(asked, **settings)
    return str(caught.value)


def test_without_it_all_train_from_the_beginning():
    assert decided(None) == plans.UnfreezingPlan()
    assert plans.UnfreezingPlan().by == "nothing"


@pytest.mark.parametrize(
    ("groups", "wakings"),
    [
        (1, (ALL[3:], ALL[2:3], ALL[1:2], ALL[:1])),
        (2, (ALL[2:], ALL[:2])),
        (3, (ALL[1:], ALL[:1])),
        (4, (ALL,)),
        (0.5, (ALL[2:], ALL[:2])),
        (0.25, (ALL[3:], ALL[2:3], ALL[1:2], ALL[:1])),
        (0.1, (ALL[3:], ALL[2:3], ALL[1:2], ALL[:1])),  # at least one at a time
        (0.4, (ALL[3:], ALL[1:3], ALL[:1])),  # three parts: 1.33, 2.67 and 4 groups
        (0.9, (ALL[2:], ALL[:2])),
        (("stage1", "stem"), (ALL[1:3], ALL[:1])),  # stage2 trains from the beginning
        (("stem",), (ALL[:1],)),
        (("stage1.block2", "stage1.block1"), (ALL[2:3], ALL[1:2])),
    ],
)
def test_groups_wake_from_the_output_down_or_as_they_are_named(groups, wakings):
    plan = decided(Gradual(groups=groups))
    assert plan.wakings == wakings
    assert plan.times == tuple(range(1, len(wakings) + 1))


def test_times_are_multiples_of_epochs_or_steps():
    assert decided(Gradual(every=2)).times == (2, 4, 6, 8)
    assert decided(Gradual(groups=2, every=5, unit="steps")).by == "steps"
    assert decided(Gradual(groups=2, every=5, unit="steps"), epochs=2).times == (5, 10)


def test_the_other_kinds_have_no_times():
    stall = decided(WhenStalled(patience=3, min_delta=0.1, warmup_steps=4))
    assert (stall.by, stall.epochs, stall.monitor, stall.min_delta) == ("stall", 3, "val_loss", 0.1)
    assert (stall.times, stall.warmup_steps) == ((), 4)
    search = decided(Searching(groups=2, epochs=2, monitor="val_accuracy"))
    assert (search.by, search.epochs, search.monitor, search.times) == ("search", 2, "val_accuracy", ())


def test_what_is_awake_after_so_many_wakings():
    recipe = Recipe(stages=(Stage(train=3, epochs=4, unfreezing=Gradual()),))
    (stage,) = plans.resolve(recipe, data_facts(), backbone_facts(), machine_facts()).what.stages
    assert stage.trained == ("block1", "block2", "block3")  # all that ever train, so that a cut is below them
    assert [stage.awake(number) for number in range(4)] == [(), ("block3",), ("block2", "block3"), stage.trained]


def test_without_unfreezing_all_are_awake():
    (stage,) = plans.resolve(
        Recipe(stages=(Stage(train=2, epochs=1),)), data_facts(), backbone_facts(), machine_facts()
    ).what.stages
    assert stage.awake(0) == stage.trained == ("block2", "block3")


def test_a_waking_that_never_comes():
    assert refused(Gradual(), epochs=4) == (
        "unfreezing in stage 2 never ends: the last of 4 wakings would come before epoch 4, counted from 0, and the "
        "stage has 4 epochs. Write epochs=5 or more, or wake more groups at a time."
    )
    assert "step 20, counted from 0, and the stage has 14 steps. Write steps=21" in refused(
        Gradual(every=5, unit="steps"), epochs=2
    )
    assert decided(Gradual(), epochs=5).times[-1] == 4  # as the message says


def test_a_stage_in_which_only_the_head_trains():
    for groups in (1, 0.5, ("stem",)):
        assert refused(Gradual(groups=groups), trained=()).startswith(
            "stage 2 has unfreezing, and nothing in it that could wake: only the head trains. Write train=all"
        )


def test_a_name_that_the_stage_does_not_train():
    assert refused(Gradual(groups=("stage1", "stge2"))) == (
        "unfreezing in stage 2: 'stge2' is no layer group that the stage trains. Did you mean 'stage2'? It trains "
        "stem, stage1.block1, stage1.block2, stage2.block1."
    )
    assert "'stem' is no layer group that the stage trains" in refused(Gradual(groups=("stem",)), trained=ALL[1:])


def test_two_wakings_of_one_group():
    assert "'stage1' and 'stage1.block2' both wake stage1.block2, which can wake only once" in refused(
        Gradual(groups=("stage1", "stage1.block2"))
    )


def test_more_groups_at_a_time_than_there_are():
    assert "wakes groups=5 at a time, and the stage trains 4 below the head. Write at most groups=4" in refused(
        Gradual(groups=5)
    )


def test_a_last_epoch_that_is_not_whole():
    assert refused(Gradual(), steps=71) == (
        "stage 2 has unfreezing, which needs whole epochs: 71 steps are 10 epochs of 7 and 1 more. Write epochs=11."
    )


def test_a_search_or_a_stall_for_which_there_is_no_time():
    assert refused(Searching(epochs=2), epochs=9) == (
        "stage 2 has 9 epochs, and 4 trials of 2 epochs and as long before the first take 10. Write epochs=10 or more."
    )
    assert decided(Searching(epochs=2), epochs=10).by == "search"
    assert refused(WhenStalled(patience=2), epochs=3) == (
        "stage 2 has 3 epochs, and with patience=2 nothing can wake before epoch 4. Write epochs=4 or more."
    )
    assert decided(WhenStalled(patience=2), epochs=4).by == "stall"
