"""The presets as stages: what trains when, by the figures of their sources; and each of them in a run."""

import dataclasses
import inspect
import json
import re

import numpy as np
import pytest
from conftest import tiny_recipe
from sample_facts import backbone_facts, data_facts, machine_facts

import tfxfer
from tfxfer import plans, presets
from tfxfer.errors import ConfigError
from tfxfer.recipes import PRESETS, SGD, Adam, Gradual, Recipe, Searching


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
    assert stages[1].head_to_body == 1


def test_fastai_goes_one_cycle_with_the_head_and_one_with_all():
    head, whole = presets.fastai_fine_tune()
    assert (head.train, head.epochs, head.learning_rate, head.warmup) == ("head", 1, 2e-3, 0.99)
    assert (whole.train, whole.learning_rate, whole.warmup) == ("all", 1e-3, 0.3)
    assert whole.layer_decay**12 == pytest.approx(0.01)
    assert {stage.schedule for stage in (head, whole)} == {"one_cycle"}
    assert (head.cycle_start, whole.cycle_start) == (1 / 25, 1 / 5)
    adam = Adam(beta_1=0.95, beta_1_at_peak=0.85, beta_2=0.99, epsilon=1e-5, epsilon_of="pytorch")
    assert {stage.optimizer for stage in (head, whole)} == {adam}
    assert {(stage.weight_decay, stage.clip_norm) for stage in (head, whole)} == {(0.01, None)}


def test_ulmfit_wakes_a_quarter_at_each_stage_with_2_6_between_quarters():
    assert trains(presets.ulmfit()) == ["head", 0.25, 0.5, 0.75, "all"]
    assert trains(presets.ulmfit(parts=1)) == ["head", "all"]
    assert [stage.epochs for stage in presets.ulmfit(parts=2, epochs=3, last_epochs=7)] == [3, 3, 7]
    assert presets.ulmfit()[0].layer_decay ** (12 / 4) == pytest.approx(1 / 2.6)
    assert presets.ulmfit(parts=2)[0].layer_decay ** (12 / 2) == pytest.approx(1 / 2.6)


def test_lp_ft_rescales_a_probed_head_and_holds_batch_norm():
    probe, whole = presets.lp_ft()
    assert (probe.train, probe.rescale_head) == ("head", False)
    assert (whole.train, whole.rescale_head, whole.batch_norm, whole.head_to_body) == ("all", True, "frozen", 1.0)
    assert (whole.learning_rate, whole.weight_decay, whole.clip_norm) == (1e-3, 0.0, 1.0)


def test_caffe_has_a_base_rate_of_a_thousandth_and_ten_times_that_for_the_head():
    (stage,) = presets.caffe()
    assert (stage.learning_rate, stage.head_to_body, stage.weight_decay) == (0.01, 10.0, 5e-4)
    assert (stage.schedule, stage.decay_at, stage.warmup) == ("staircase", (0.2, 0.4, 0.6, 0.8), 0.0)
    assert stage.optimizer == SGD(momentum=0.9, nesterov=False, decay_in_gradient=True)
    assert stage.bias_rate == 2.0


def test_the_guide_of_keras_holds_batch_norm_and_has_two_constant_rates():
    stages = presets.keras_guide()
    assert [(stage.train, stage.learning_rate, stage.epochs) for stage in stages] == [
        ("head", 1e-3, 20), ("all", 1e-5, 10),
    ]  # fmt: skip
    assert {(stage.schedule, stage.warmup, stage.batch_norm) for stage in stages} == {("constant", 0.0, "frozen")}


@pytest.mark.parametrize(
    ("examples", "steps", "warmup", "stairs"),
    [
        (1, 500, 100, (200, 300, 400)),
        (19_999, 500, 100, (200, 300, 400)),
        (20_000, 10_000, 500, (3000, 6000, 9000)),
        (499_999, 10_000, 500, (3000, 6000, 9000)),
        (500_000, 20_000, 500, (6000, 12_000, 18_000)),
    ],
)
def test_bit_hyperrule_goes_by_the_number_of_examples(examples, steps, warmup, stairs):
    recipe = Recipe(stages=presets.bit_hyperrule(examples))
    (stage,) = plans.resolve(recipe, data_facts(), backbone_facts(), machine_facts()).what.stages
    assert (stage.steps, stage.warmup_steps, stage.decay_steps) == (steps, warmup, stairs)
    assert (stage.rates, stage.weight_decay) == ((1.0,) * 4, 0.0)


def test_the_rate_of_bit_is_in_proportion_to_the_batch():
    assert presets.bit_hyperrule(100, batch_size=512)[0].learning_rate == 0.003
    assert presets.bit_hyperrule(100)[0].learning_rate == pytest.approx(0.003 / 16)


def test_layer_decay_is_that_of_timm_or_what_it_is_told():
    (stage,) = presets.layer_decay()
    assert (stage.layer_decay, stage.weight_decay, stage.optimizer) == (0.75, 0.05, Adam())
    assert presets.layer_decay(decay=0.65)[0].layer_decay == 0.65


def test_surgical_trains_one_block_alone():
    assert trains(presets.surgical("stage2")) == ["head", ("stage2",)]
    assert trains(presets.surgical("stem,stage1")) == ["head", ("stem", "stage1")]


def test_auto_rgn_measures_the_rates_of_everything():
    head, whole = presets.auto_rgn()
    assert (head.group_rates, whole.group_rates) == ("planned", "auto_rgn")
    assert (whole.train, whole.batch_norm, whole.learning_rate, whole.weight_decay) == ("all", "frozen", 1e-3, 1e-4)


def test_gradual_wakes_a_quarter_after_each_epoch_or_what_it_is_told():
    (stage,) = presets.gradual()
    assert (stage.train, stage.epochs, stage.unfreezing) == ("all", 10, Gradual(groups=0.25))
    assert presets.gradual(groups=("stage5", "stage4"), every=2)[0].unfreezing == Gradual(
        groups=("stage5", "stage4"), every=2
    )


def test_searching_tries_an_eighth_at_a_time_behind_a_head_that_has_learned():
    head, search = presets.searching()
    assert (head.train, search.train, search.unfreezing) == ("head", "all", Searching(groups=0.125))
    assert {stage.schedule for stage in (head, search)} == {"constant"}
    assert search.epochs >= 8 + 1  # so that all can be tried


def test_scratch_trains_everything_at_one_rate_with_batch_norm():
    (stage,) = presets.scratch()
    assert (stage.train, stage.head_to_body, stage.layer_decay, stage.batch_norm) == ("all", 1.0, 1.0, "train")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_found_by_its_name_takes_smoothing_and_makes_a_recipe(name):
    function = getattr(presets, name)
    assert presets.by_name(name) == function()
    assert {stage.label_smoothing for stage in function(label_smoothing=0.2)} == {0.2}
    assert Recipe(stages=function()).stages == function()


def test_the_names_of_presets_are_the_functions_that_need_no_argument():
    public = {name for name, value in vars(presets).items() if inspect.isfunction(value) and name[0] != "_"}
    needy = {name for name in public if _needs_an_argument(getattr(presets, name))}
    assert public - needy == set(PRESETS)
    assert needy == {"by_name", "bit_hyperrule", "surgical"}


def _needs_an_argument(function):
    return any(p.default is inspect.Parameter.empty for p in inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", [*PRESETS, "bit_hyperrule", "surgical"])
def test_every_preset_says_where_it_comes_from(name):
    assert re.search(r"(19|20)\d\d|keras\.io|Caffe|timm|fastai|textbook", getattr(presets, name).__doc__)


def _short(stages):
    """Two epochs of the colours each, five where groups wake; the rates are the preset's."""
    return tuple(dataclasses.replace(stage, epochs=None, steps=30 if stage.unfreezing else 12) for stage in stages)


@pytest.mark.parametrize(
    "name",
    [
        "feature_extraction", "lp_ft",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("partial", "full", "fastai_fine_tune", "ulmfit", "keras_guide", "layer_decay", "gradual",
                         "searching", "scratch", "auto_rgn", "bit_hyperrule", "caffe", "surgical")
        ),
    ],
)  # fmt: skip
def test_every_preset_trains_what_it_says_and_ends_in_a_report(name, plugin, colours, tmp_path, keras_alone):
    """A stage that trained something else, or moved what it froze, would have stopped."""
    arguments = {"bit_hyperrule": (42,), "surgical": ("stage2",)}.get(name, ())
    stages = _short(getattr(presets, name)(*arguments))
    lines = []
    report = tfxfer.run(tiny_recipe(colours, stages=stages), workdir=tmp_path / "run", show=lines.append)
    planned = json.loads((tmp_path / "run" / "plan.json").read_text())["what"]["stages"]
    assert [stage.name for stage in report.history.stages] == [stage["name"] for stage in planned]
    moved = [stage.moved for stage in report.history.stages]
    if name != "searching":  # what it finds depends on the examples
        assert moved == [stage["trainable_tensors"] for stage in planned]
    assert all(np.isfinite(epoch.loss) for stage in report.history.stages for epoch in stage.epochs)
    assert (report.test.examples, "test accuracy" in lines[-1]) == (12, True)


def test_the_end_to_end_test_covers_every_preset():
    (mark,) = (m for m in test_every_preset_trains_what_it_says_and_ends_in_a_report.pytestmark)
    names = {value if isinstance(value, str) else value.values[0] for value in mark.args[1]}
    assert names == {*PRESETS, "bit_hyperrule", "surgical"}


def test_a_setting_out_of_range_is_answered_by_the_stage():
    with pytest.raises(ConfigError, match=r"^Stage: epochs=0 must be at least 1\.$"):
        presets.full(epochs=0)
