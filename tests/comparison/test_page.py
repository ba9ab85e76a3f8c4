"""The page: what it says of values made by hand, and that nobody's names become anything but text."""

import dataclasses

import numpy as np
import pytest

from tfxfer.comparison import plots, summing
from tfxfer.comparison.page import conclusions, html_page, text_page
from tfxfer.comparison.result import Outcome, Point
from tfxfer.errors import WorkdirError
from tfxfer.evaluation import Told
from tfxfer.recipes import Data, Recipe, Stage
from tfxfer.scores import Estimate

FIRST, OTHER = "pretrained", "from scratch"
RECIPE = Recipe(data=Data(source="folder:photos"))
NAMED = {FIRST: RECIPE, OTHER: dataclasses.replace(RECIPE, stages="scratch")}


def outcome(name, seed, *accuracies, test=0.5, diverged=""):
    points = tuple(
        Point(step=10 * step, seconds=float(step), accuracy=one) for step, one in enumerate(accuracies, start=1)
    )
    measured = None if diverged else Estimate(value=test, low=test - 0.1, high=test + 0.1)
    return Outcome(contender=name, seed=seed, points=points, seconds=9.0, test=measured, diverged=diverged)


def told(*right):
    return Told(examples=tuple((f"{number}.png", "cat") for number in range(len(right))), right=np.array(right, bool))


def compared(outcomes, lists=None, reach=None, named=NAMED):
    from sample_facts import data_facts

    return summing.sum_up(named, outcomes, lists or {}, data_facts(), steps=30, reach=reach, machine="cpu:0; 2 cores")


TWO = [
    outcome(FIRST, 0, 0.5, 0.9, 0.9, test=0.9),
    outcome(FIRST, 1, 0.7, 0.9, 0.9, test=0.9),
    outcome(OTHER, 0, 0.2, 0.5, 0.8, test=0.7),
    outcome(OTHER, 1, 0.2, 0.5, 0.8, test=0.7),
]


def test_the_table_has_means_and_the_steps_to_what_the_worse_one_ends_with():
    """Of the first the mean goes from 0.6 at step 10 to 0.9 at 20: 0.8 is there at 16.7; the other ends with it."""
    shown = text_page(compared(TWO))
    assert "steps to 80.0 %" in shown
    first, other = (next(line for line in shown.splitlines() if line.startswith(f"{name}  ")) for name in NAMED)
    assert " ".join(first.split()) == "pretrained 90.0 % (80.0 to 100.0) 90.0 % 17 1.7 9.0"
    assert " ".join(other.split()) == "from scratch 70.0 % (60.0 to 80.0) 80.0 % 30 3.0 9.0"
    for line in ("folder:photos: 210 train, 30 validation, 60 test; 3 classes", "30 optimizer steps each, of 32"):
        assert line in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_it_says_how_many_times_as_long_one_took():
    assert conclusions(compared(TWO)) == [
        "from scratch took 1.8 × the steps of pretrained to 80.0 % (30 and 17), 1.8 × the seconds (3.0 s and 1.7 s)."
    ]


def test_what_was_there_at_the_first_measurement_bounds_the_ratio():
    (line,) = conclusions(compared(TWO, reach=0.55))
    assert line.startswith("from scratch took at least 2.2 × the steps of pretrained to 55.0 % (22 and 10), at least")
    (line,) = conclusions(compared(TWO, reach=0.2))
    assert line == "pretrained and from scratch had reached 20.0 % when they were first measured."


def test_an_accuracy_that_nobody_reached_is_told_with_the_highest():
    found = compared(TWO, reach=0.95)
    assert conclusions(found) == ["No run reached 95.0 %; the highest measured was 90.0 %."]
    assert "not reached" in text_page(found)


def test_runs_that_reached_it_are_counted():
    mixed = [outcome(FIRST, 0, 0.5, 0.9), outcome(FIRST, 1, 0.5, 0.7), *TWO[2:]]
    assert "20 (1 of 2 runs)" in text_page(compared(mixed, reach=0.8))


@pytest.mark.parametrize(
    ("first", "other", "word"),
    [
        ([True] * 60, [True] * 40 + [False] * 20, "worse"),
        ([True] * 40 + [False] * 20, [True] * 60, "better"),
        ([True] * 59 + [False], [True] * 60, "no difference is shown"),
    ],
)
def test_a_difference_is_one_if_its_interval_says_so(first, other, word):
    """Both seeds agree, so that over seeds alone there would be no doubt at all."""
    lists = {(name, seed): told(*right) for name, right in ((FIRST, first), (OTHER, other)) for seed in (0, 1)}
    found = compared(TWO, lists)
    line, each, *_ = conclusions(found)
    assert line.startswith("from scratch against pretrained: ")
    assert line.endswith(f": {word}.")
    assert each.startswith("  each seed, both on the same 60 test examples: ")
    assert found.differences[0].mean.runs == 2


def test_with_one_seed_it_says_that_others_are_not_counted():
    lists = {(FIRST, 0): told(*[True] * 60), (OTHER, 0): told(*[False] * 60)}
    found = compared([TWO[0], TWO[2]], lists)
    line, *_, last = conclusions(found)
    assert line.endswith(", other seeds not counted): worse.")
    assert last == "* of one run: what another seed would change is not in the interval."
    first = next(line for line in text_page(found).splitlines() if line.startswith(f"{FIRST}  "))
    assert "90.0 % (80.0 to 100.0) *" in " ".join(first.split())
    page = " ".join(html_page(found, b"PNG").split())
    assert "differences are for other test examples alone: one run tells nothing of other seeds." in page
    assert "Means over seeds" not in page
    several = " ".join(html_page(compared(TWO), b"PNG").split())
    assert "for other seeds and other test examples together, where more than one run ended." in several
    assert "Means over seeds" in several
    assert " *" not in text_page(compared(TWO))


def test_other_test_examples_are_no_pairs():
    lists = {(FIRST, 0): told(True, False), (OTHER, 0): told(True)}
    with pytest.raises(WorkdirError, match="were measured on other test examples with seed 0"):
        compared(TWO, lists)


def test_without_a_list_of_what_was_told_there_is_no_difference():
    assert compared(TWO, {(FIRST, 0): told(True), (OTHER, 0): None}).differences == ()


def test_a_contender_that_diverged_has_its_line(tmp_path):
    found = compared([*TWO[:2], outcome(OTHER, 0, diverged="the loss is no number"), TWO[3]])
    assert "from scratch with seed 0 diverged: the loss is no number" in conclusions(found)
    assert "from scratch: 1 of 2 seeds ended, and its figures are theirs." in conclusions(found)
    rows = {line.split("  ")[0]: line for line in text_page(found).splitlines() if "(" in line}
    assert (" *" in rows[FIRST], " *" in rows[OTHER]) == (False, True)
    gone = compared([*TWO[:2], *(outcome(OTHER, seed, diverged="so") for seed in (0, 1))])
    assert next(line for line in text_page(gone).splitlines() if line.startswith(OTHER)).split()[2:] == [
        "diverged", *"––––"
    ]  # fmt: skip
    plots.draw(gone, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_names_are_text_and_nothing_else(tmp_path):
    evil = {"<script>$x$": RECIPE, "_b\x1b[31m": dataclasses.replace(RECIPE, seed=1)}
    runs = [outcome(name, 0, 0.5, 0.9, diverged="") for name in evil]
    found = dataclasses.replace(compared(runs, named=evil), source="folder:<b>\x1b")
    page = html_page(found, b"PNG")
    assert "<script>" not in page
    assert "folder:<b>" not in page
    assert "&lt;script&gt;$x$" in page
    assert "\x1b" not in page + text_page(found)
    plots.draw(found, tmp_path / "curves.png")  # `$` would begin a formula


def test_what_differs_between_the_recipes_is_listed():
    found = compared(TWO)
    assert found.contenders[0].differs == ()
    assert found.contenders[1].differs == ("stages: auto → scratch",)
    assert "stages: auto → scratch" in html_page(found, b"PNG")


def test_of_stages_that_are_not_as_many_it_says_what_trains():
    """Their steps are no difference: those are the budget."""
    head, everything, some = Stage(epochs=2), Stage(train="all", steps=9), Stage(frozen="30%", steps=9)
    recipes = {
        FIRST: dataclasses.replace(RECIPE, stages=(head, everything)),
        OTHER: dataclasses.replace(RECIPE, stages=(some,)),
    }
    assert compared(TWO, named=recipes).contenders[1].differs == ("stages: train=head, then train=all → frozen=30%",)
    slower = Stage(steps=7, learning_rate=0.1)
    recipes = {FIRST: dataclasses.replace(RECIPE, stages=(head,)), OTHER: dataclasses.replace(RECIPE, stages=(slower,))}
    assert compared(TWO, named=recipes).contenders[1].differs == ("stages[0].learning_rate: 'auto' → 0.1",)
