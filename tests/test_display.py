"""What people see: the plan on 100 columns, sizes and durations in words, and no control characters."""

import dataclasses
import itertools

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import display, plans, presets
from tfxfer.augmentation import Augment
from tfxfer.facts import BadImage, Costs
from tfxfer.heads import MLP
from tfxfer.imbalance import Imbalance
from tfxfer.recipes import PRESETS, SGD, Adam, Gradual, Recipe, Searching, Stage, WhenStalled
from tfxfer.reuse import Cache


def shown(recipe=None, data=None, backbone=None, costs=None, **settings) -> str:
    data, backbone = data or data_facts(), backbone or backbone_facts()
    recipe = recipe or Recipe(stages=(Stage(epochs=2), Stage(train=2, epochs=1)))
    return display.plan_text(plans.resolve(recipe, data, backbone, machine_facts(), costs), data, backbone, **settings)


def row(text: str, start: str) -> str:
    """Returns the first line that begins with `start`, and those that carry it on, gaps made one blank."""
    lines = iter(text.splitlines())
    found = next(line for line in lines if line.strip().startswith(start))
    carried = itertools.takewhile(lambda line: line.startswith("     ") and "─" not in line, lines)
    return " ".join(" ".join([found, *carried]).split())


def speeds(text: str, stage: str) -> list[str]:
    """Returns what is said of a stage behind the table: how it trains, and at which rates, but not what is kept."""
    lines = text.splitlines()
    start = [number for number, line in enumerate(lines) if line.startswith(f" {stage} ")][-1]
    said = [lines[start].removeprefix(f" {stage}")]
    said += itertools.takewhile(lambda line: line.startswith("    "), lines[start + 1 :])
    how, _, rates = " ".join(" ".join(said).split()).partition(" peak rates: ")
    return [how, rates.partition(" computed once: ")[0]]


def deep_facts():
    """Twenty groups in five resolutions, as networks have them."""
    blocks = [f"stage{s}.block{b}" for s, count in enumerate((1, 3, 5, 5, 4), start=1) for b in range(1, count + 1)]
    group = backbone_facts().groups[2]
    groups = tuple(dataclasses.replace(group, name=name) for name in ("stem", *blocks, "head_conv"))
    return backbone_facts(groups=groups, feature_channels=1280)


@pytest.mark.parametrize("stages", [None, *PRESETS, "surgical", "bit_hyperrule"])
def test_the_plan_fits_a_terminal_and_has_no_blanks_at_the_end_of_lines(stages):
    own = {"surgical": presets.surgical("stage3"), "bit_hyperrule": presets.bit_hyperrule(500_000)}
    text = shown(Recipe(stages=own.get(stages, stages)) if stages else None, backbone=stages and deep_facts())
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in text


def test_the_plan_says_what_was_found():
    text = shown()
    assert row(text, "data") == (
        "data folder:photos: 210 train, 30 validation, 60 test (by content hash with seed 0, stratified)"
    )
    assert row(text, "classes") == "classes cat, dog, fox"
    assert row(text, "backbone") == (
        "backbone tiny:net, pretrained weights, 4 layer groups, 7,100 weights, 10 features"
    )
    assert row(text, "pixels").startswith(
        "pixels 224×224 (squash), 45.2 MB in memory; the network's own scale, x / 255"
    )
    assert row(text, "head ") == "head Linear: avg pooling, 3 logits, kernel from zeros"
    assert row(text, "steps") == "steps of 32 examples on cpu:0, seed 0"
    assert "left out" not in text


@pytest.mark.parametrize(
    ("count", "batch", "steps", "strategy"),
    [
        (1, 32, "32 examples on gpu:0, seed 0", "one_device (no GPU is there)"),
        (
            2,
            32,
            "32 examples on gpu:0, gpu:1 (16 on each), seed 0",
            "mirrored (2 GPUs are there); learning rate not scaled with the number of devices",
        ),
        (
            2,
            33,
            "33 examples on gpu:0, gpu:1 (at most 17 on each), seed 0",
            "mirrored (2 GPUs are there); learning rate not scaled with the number of devices",
        ),
    ],
)
def test_the_plan_tells_how_devices_share_a_step(count, batch, steps, strategy):
    machine = machine_facts(devices=tuple(f"gpu:{number}" for number in range(count)))
    if count > 1:
        machine = dataclasses.replace(machine, strategy="mirrored", strategy_reason=f"{count} GPUs are there")
    data, backbone = data_facts(), backbone_facts()
    text = display.plan_text(plans.resolve(Recipe(batch_size=batch), data, backbone, machine), data, backbone)
    assert row(text, "steps") == f"steps of {steps}"
    assert row(text, "strategy") == f"strategy {strategy}"


def test_the_plan_has_a_row_for_each_stage():
    """Stage, what trains, what is frozen, batch norm, steps, weights, slots."""
    text = shown()
    weights = 33 + 6000 - 96
    table = [" ".join(line.split()) for line in text.splitlines()]
    assert "1 head head stem…block3 frozen 14 33 132 B" in table
    assert f"2 2 block2…head stem…block1 frozen 7 {weights:,} 23.7 kB" in table


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"preset": "none"}, "none"),
        ({"views": 1}, "none"),
        ({"views": 3}, "3 views of each picture: rotation 12, shift 0.1, zoom 0.1"),
        ({"preset": "medium", "hue": 0.1}, "new views in each epoch: flip horizontal, rotation 10, crop area 0.5, "
         "crop aspect 1.33333, lightness 0.2, contrast 0.2, saturation 0.2, hue 0.1"),
        ({"preset": "none", "mixup": 0.2, "cutmix": 1.0}, "mixed: mixup 0.2, cutmix 1"),
    ],
)  # fmt: skip
def test_the_plan_tells_what_is_done_to_pictures(asked, said):
    text = shown(Recipe(stages=(Stage(epochs=20),), augment=Augment(**asked)))
    assert row(text, "augment") == f"augment {said}"


def test_the_plan_tells_what_is_computed_once_and_what_it_takes():
    """Ten features of two bytes are padded to 24; of 210 training pictures and 30 for validation."""
    said = " ".join(shown().split())
    assert "computed once: up to features, 24 B a picture in float16, 5.8 kB in memory 2 2 SGD" in said
    stages = (Stage(epochs=4), Stage(train=1, epochs=3))
    recipe = Recipe(stages=stages, augment=Augment(views=2), cache=Cache(store="disk", precision="float32"))
    said = " ".join(shown(recipe).split())
    assert "up to features from block2, 40 B a picture in float32, 18.0 kB with 2 views each on disk" in said
    assert "up to block2, 800 B a picture in float32, 360 kB with 2 views each on disk" in said
    assert "takes" not in said
    assert "computed once" not in shown(Recipe(stages=stages, cache=Cache(store="off")))


@pytest.mark.parametrize("stages", ["partial", "full", "ulmfit"])
def test_a_measured_plan_tells_seconds_and_fits_a_terminal(stages):
    groups = deep_facts()
    count = len(groups.groups) + 1
    costs = Costs(
        forward=(0.004,) * count,
        backward=(0.008,) * count,
        layers=(9,) * count,
        step=3e-4,
        update=2e-9,
        trace=1.0,
        gather=1e-10,
    )
    recipe = Recipe(stages=stages)
    plan = plans.resolve(recipe, data_facts(), groups, machine_facts(), costs)
    text = shown(recipe, backbone=groups, costs=costs)
    assert max(map(len, text.splitlines())) <= 100
    for stage, seconds in zip(plan.what.stages, plan.how.stage_seconds, strict=True):
        assert row(text, stage.name).endswith(f" {display.duration_text(seconds)}")
    for cache in plan.how.caches:
        assert f"saves about {display.duration_text(cache.seconds_saved)}" in " ".join(text.split())
    assert plan.how.caches or stages == "ulmfit"


def test_a_block_in_the_middle_leaves_two_runs_frozen():
    text = shown(Recipe(stages=(Stage(train="block1,", epochs=1),)))
    assert row(text, "1 only block1").startswith("1 only block1 block1, head stem, block2…block3 frozen 7 1,017 ")


def test_a_group_of_which_some_layers_train_is_named_on_both_sides():
    text = shown(Recipe(stages=(Stage(frozen="layers[:7]", batch_norm="affine", epochs=1),)))
    start = next(line for line in text.splitlines() if line.startswith(" 1 all but"))
    assert [column.strip() for column in start.split("  ") if column][1:3] == [
        "part of block2,",
        "stem…block1, rest",
    ]
    assert "block3…head         of block2" in text


def test_the_plan_tells_how_each_stage_trains():
    text = shown()
    assert speeds(text, "1 head") == [
        "SGD, Nesterov momentum 0.9 · cosine to 0 after 1 step of warm-up · clip norm 1",
        "head 0.01",
    ]
    assert speeds(text, "2 2")[1] == "block2…block3 0.003, head 0.03"
    text = shown(Recipe(stages=(Stage(train=2, epochs=1, bias_rate=2.0),)))
    assert speeds(text, "1 2")[1] == "block2…block3 0.003, head 0.03, biases 2 times as much"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": SGD(momentum=0.9, nesterov=False)}, "SGD, momentum 0.9 · cosine to 0 · clip norm 1"),
        ({"optimizer": SGD(momentum=0, nesterov=False), "clip_norm": None}, "SGD without momentum · cosine to 0"),
        (
            {"optimizer": Adam(), "schedule": "constant", "weight_decay": 0.05, "label_smoothing": 0.1},
            "Adam 0.9, 0.999, epsilon 1e-07 · constant · weight decay 0.05 · clip norm 1 · label smoothing 0.1",
        ),
        ({"schedule": "constant", "warmup": 0.5}, "constant after 4 steps of warm-up · clip norm 1"),
        ({"schedule": "one_cycle", "warmup": 0.25}, "one cycle from 0.04 of the peak, peak at step 2 · clip norm 1"),
        (
            {
                "schedule": "one_cycle",
                "warmup": 0.25,
                "cycle_start": 0.2,
                "optimizer": Adam(beta_1=0.95, beta_1_at_peak=0.85, epsilon_of="pytorch"),
            },
            "Adam 0.95 (at the peak 0.85), 0.999, epsilon 1e-07 as in PyTorch · one cycle from 0.2 of the peak, peak "
            "at step 2 · clip norm 1",
        ),
        (
            {"optimizer": SGD(nesterov=False, decay_in_gradient=True), "weight_decay": 0.01},
            "SGD, momentum 0.9 · cosine to 0 · weight decay in the gradient 0.01 · clip norm 1",
        ),
        ({"schedule": "slanted_triangular", "warmup": 0.1}, "slanted triangular, peak at step 1 · clip norm 1"),
        ({"schedule": "staircase", "decay_at": (0.4, 0.8)}, "a tenth behind steps 3, 6 · clip norm 1"),
        ({"rescale_head": True}, "cosine to 0 · head rescaled first · clip norm 1"),
    ],
)
def test_optimizer_and_schedule_in_words(settings, said):
    text = shown(Recipe(stages=(Stage(**{"steps": 8, "warmup": 0.0, **settings}),)))
    assert speeds(text, "1 head")[0].endswith(said)


def test_rates_are_told_by_stages_and_equal_ones_together():
    groups = deep_facts()
    # Depths 10/20 to 19/20 of the way to the head: 0.8 to the 6th is 0.262, to the 0.6th 0.875; a tenth of that.
    decayed = shown(Recipe(stages=(Stage(train=0.5, epochs=1, learning_rate=1.0, layer_decay=0.8),)), backbone=groups)
    assert speeds(decayed, "1 0.5")[1] == ("stage4 0.026–0.045, stage5 0.051–0.077, head_conv 0.087, head 1")
    even = shown(Recipe(stages=(Stage(train="stage4", epochs=1, learning_rate=1.0),)), backbone=groups)
    assert speeds(even, "1 stage4")[1] == "stage4…head_conv 0.1, head 1"
    apart = shown(Recipe(stages=(Stage(train="stem,stage2", epochs=1, learning_rate=1.0),)), backbone=groups)
    assert speeds(apart, "1 only stem+stage2")[1] == "stem 0.1, stage2 0.1, head 1"


def test_measured_rates_are_bounds():
    text = shown(Recipe(stages="auto_rgn"))
    assert speeds(text, "2 all")[1] == "at most stem…head 0.001, measured in each epoch (auto-RGN)"


def test_the_plan_gives_the_reason_of_every_decision():
    text = shown(Recipe())
    assert "· stages partial: 70 training examples a class are enough for the later groups" in text
    assert "· image size 224: the size that the backbone's weights were made for" in text
    assert "· batch norm frozen in stage 1 0.5: 70 steps are too few for new statistics (fewer than 2000)" in text


def test_an_mlp_shows_its_layers():
    text = shown(Recipe(head=MLP(hidden=(64, 32), pooling="both")))
    assert "MLP: both pooling, hidden layers of 64, 32, dropout 0.2, 3 logits, kernel from zeros" in text


def test_images_that_were_left_out_are_counted():
    text = shown(data=data_facts(skipped=(BadImage(name="a.jpg", reason="empty file"),)))
    assert row(text, "left out") == "left out 1 unreadable images (listed in the report)"


def test_many_classes_are_cut_short():
    names = tuple(f"c{number:02}" for number in range(15))
    text = shown(data=data_facts(class_names=names, train_counts=(20,) * 15))
    assert "c11, … (15 in all)" in text
    assert "c12" not in text


def test_a_class_named_by_a_hostile_folder_cannot_steer_the_terminal():
    names = ("cat\x1b[2J", "[bold]dog[/bold]", "new\nline")
    text = shown(data=data_facts(class_names=names))
    assert "cat�[2J, [bold]dog[/bold], new�line" in text


def test_colour_is_for_terminals():
    assert "\x1b[1m" in shown(colour=True)


def test_clean_text_keeps_what_prints():
    assert display.clean("Möbel 🪑 [red]") == "Möbel 🪑 [red]"
    assert display.clean("a\tb\u202ec\x07") == "a�b�c�"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (13_540_000, "13.5 MB"),
        (135_400_000, "135 MB"),
        (2_500_000_000, "2.5 GB"),
        (7_000_000_000_000, "7000 GB"),
    ],
)
def test_sizes_in_words(number, text):
    assert display.size_text(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (8.24, "8.2 s"),
        (60, "1 min 0 s"),
        (190.4, "3 min 10 s"),
        (3599.6, "1 h 0 min"),
        (7260, "2 h 1 min"),
    ],
)
def test_durations_in_words(seconds, text):
    assert display.duration_text(seconds) == text


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["stem", "stage1.block1"], "stem…stage1.block1"),
        (["stem", "stage1.block1", "stage1.block2"], "stem…stage1"),
        (["stage1.block1", "stage1.block2"], "stage1"),
        (["stage1.block2", "stage2.block1", "head"], "stage1.block2…head"),
        (["stage1.block1", "stage1.block2", "stage2.block1"], "stage1…stage2"),
        (["stage1.block2"], "stage1.block2"),
        (["stage3.block2", "stage3.block3"], "stage3.block2…block3"),
    ],
)
def test_runs_of_groups_are_named_by_whole_stages_where_they_can(names, shown):
    groups = ["stem", "stage1.block1", "stage1.block2", "stage2.block1", *(f"stage3.block{n}" for n in (1, 2, 3))]
    assert display._span(names, groups) == shown


@pytest.mark.parametrize(
    ("unfreezing", "expected"),
    [
        (
            Gradual(),
            "wakes: head at first, block3 from epoch 2, block2 from epoch 3, block1 from epoch 4, stem from epoch 5",
        ),
        (
            Gradual(groups=("stem",), every=9, unit="steps"),
            "wakes: block1…head at first, stem from step 10",
        ),
        (
            WhenStalled(groups=2, patience=3),
            "wakes when val_loss stalls for 3 epochs: head at first, then block2…block3, then stem…block1",
        ),
        (
            Searching(groups=2, monitor="val_accuracy"),
            "tries for 1 epoch each and keeps what improves val_accuracy: head at first, then block2…block3, then "
            "stem…block1",
        ),
    ],
)
def test_the_plan_says_what_wakes_when(unfreezing, expected):
    how, _ = speeds(shown(Recipe(stages=(Stage(train="all", epochs=9, unfreezing=unfreezing),))), "1 all")
    assert how.endswith(expected)


def test_the_plan_says_where_statistics_are_measured_anew():
    moving = Stage(train="all", epochs=9, batch_norm="train")
    text = shown(Recipe(stages=(moving, dataclasses.replace(moving, refresh_statistics=False))))
    assert "statistics measured anew at the end" in speeds(text, "1 all")[0]
    assert "statistics measured anew at the end" not in speeds(text, "2 all")[0]
    assert "· statistics of batch norm measured anew behind stage 1 all: they move in it" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"class_weights": "inverse"}, "weight in the loss cat 0.37, dog 3.7, fox 33.3, mean over the training "
                                       "examples 1"),
        ({"sampling": "balanced"}, "examples in an epoch cat 334, dog 333, fox 333, instead of the 900, 90, 10"),
        (
            {"logit_adjustment": 1.0, "focal_gamma": 2.0},
            "focal loss, gamma 2: an example of probability p counts (1 − p)^gamma; in the loss 1 × log of the share "
            "is added to logits: shares cat 0.9, dog 0.09, fox 0.01",
        ),
    ],
)  # fmt: skip
def test_the_plan_says_what_is_done_about_rare_classes(asked, said):
    recipe = Recipe(stages=(Stage(epochs=2),), imbalance=Imbalance(**asked))
    assert row(shown(recipe, data_facts(train_counts=(900, 90, 10))), "imbalance") == f"imbalance {said}"


def test_of_many_classes_the_plan_says_the_two_ends():
    names = tuple(f"class{number}" for number in range(20))
    data = data_facts(class_names=names, train_counts=(*range(11, 30), 200), validation_counts=(1,) * 20,
                      test_counts=(1,) * 20)  # fmt: skip
    text = shown(Recipe(stages=(Stage(epochs=2),), imbalance=Imbalance(sampling="square_root")), data)
    assert row(text, "imbalance") == (
        "imbalance examples in an epoch from class0 20 to class19 83, instead of the number that there is"
    )


def test_the_plan_says_which_weights_examples_have():
    text = shown(data=data_facts(train_weights=(105.0, 70.0, 35.0), weight_range=(0.25, 4.0)))
    assert row(text, "weights") == "weights examples count 0.25 to 4 times the mean, by the data"
    assert "imbalance" not in text
