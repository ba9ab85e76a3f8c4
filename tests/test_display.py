"""What people see: the plan on 120 columns, sizes and durations in words, and no control characters."""

import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import display, plans
from tfxfer.facts import BadImage
from tfxfer.heads import MLP
from tfxfer.recipes import Recipe, Stage


def shown(recipe=None, data=None, **settings) -> str:
    data, backbone = data or data_facts(), backbone_facts()
    recipe = recipe or Recipe(stages=(Stage(epochs=2), Stage(train=2, epochs=1)))
    return display.plan_text(plans.resolve(recipe, data, backbone, machine_facts()), data, backbone, **settings)


def row(text: str, start: str) -> str:
    """Returns the line that begins with `start`, its gaps made one blank."""
    (line,) = [line for line in text.splitlines() if line.strip().startswith(start)]
    return " ".join(line.split())


def test_the_plan_fits_a_terminal_and_has_no_blanks_at_the_end_of_lines():
    lines = shown().splitlines()
    assert max(map(len, lines)) <= 120
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in shown()


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
    assert row(text, "steps") == "steps of 32 examples on cpu:0, SGD with Nesterov momentum 0.9, seed 0"
    assert "left out" not in text


def test_the_plan_has_a_row_for_each_stage():
    """Stage, what trains, what is frozen, batch norm, steps, peak rate, groups' rates, weights, slots, cached bytes."""
    text = shown()
    assert row(text, "1 head") == "1 head head stem…block3 frozen 14 0.01 – 33 132 B 9.6 kB"
    weights = 33 + 6000 - 96
    assert row(text, "2 2") == f"2 2 block2…head stem…block1 frozen 7 0.03 0.003 {weights:,} 23.7 kB –"


def test_rates_that_differ_are_shown_from_the_lowest_to_the_highest():
    text = shown(Recipe(stages=(Stage(train="all", epochs=1, layer_decay=0.8, learning_rate=1.0),)))
    assert " 0.0069–0.051 " in text
    assert row(text, "1 all").startswith("1 all stem…head – frozen 7 1 ")


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
    ],
)
def test_runs_of_groups_are_named_by_whole_stages_where_they_can(names, shown):
    groups = ["stem", "stage1.block1", "stage1.block2", "stage2.block1"]
    assert display._span(names, groups) == shown
