"""`tfxfer lr-find` on three colours, as a user types it."""

import re

import numpy as np
import pytest

import tfxfer
from tfxfer import lr_finder
from tfxfer.cli.main import main
from tfxfer.lr_finder import of_stage

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def find(colours, capsys):
    """Runs the command on the colours; returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["lr-find", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--batch_size=8", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_it_suggests_a_rate_and_says_what_to_type(find, tmp_path):
    plot = tmp_path / "rates.png"
    code, shown, errors = find("--stages=full", f"--plot={plot}")
    assert (code, errors) == (0, "")
    assert re.search(r"^stage 1 head: the head trains, 27 weights$", shown, re.MULTILINE)
    assert re.search(r"^learning rates 1e-07 to \S+, \d+ steps; ", shown, re.MULTILINE)
    [rate] = re.findall(r"^  valley +(\S+) +take this one$", shown, re.MULTILINE)
    assert f"add: --stages=full '--config.stages[0].learning_rate={rate}'" in shown
    assert f"plot: {plot}" in shown
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_it_says_to_type_is_accepted(find, colours, capsys):
    """Of stages that "auto" chose, whose preset must be written out before one of its fields can be set."""
    _, shown, _ = find()
    typed = re.findall(r"add: (.*)", shown)[0].replace("'", "").split()
    assert main(["plan", f"--data=folder:{colours}", "--backbone=tiny:cnn", *typed]) == 0
    rate = float(typed[-1].rpartition("=")[2])
    assert f"{rate:.3g}" in capsys.readouterr().out


def test_a_later_stage_has_its_own_groups_and_is_marked_as_not_trained_into(find):
    code, shown, _ = find("--stages=full", "--stage=2")
    assert code == 0
    assert re.search(r"^stage 2 all: 3 layer groups and the head train, 1,\d{3} weights$", shown, re.MULTILINE)
    assert "note: stages 1 to 1 were not trained before" in shown
    assert "'--config.stages[1].learning_rate=" in shown or "no rate stands out" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--stage=0"], 2, "--stage=0 is no number of a stage, counted from 1. Write --stage=1."),
        (["--stage=last"], 2, "--stage=last is no number of a stage"),
        (["--stages=full", "--stage=3"], 2, "stage 3 does not exist: the plan has 2 (1 head, 2 all)."),
        (["--plot=rates.jpg"], 2, "--plot=rates.jpg is no PNG file. Write --plot=rates.png."),
        (["--stages=ful"], 2, "Did you mean 'full'?"),
        (["--plott=x.png"], 2, "Did you mean plot? See: tfxfer lr-find --help"),
    ],
)
def test_mistakes_are_named(find, arguments, code, message):
    ended, _, errors = find(*arguments)
    assert ended == code
    assert message in errors


def test_a_plot_that_exists_is_not_overwritten(find, tmp_path):
    (tmp_path / "rates.png").write_text("mine")
    code, _, errors = find(f"--plot={tmp_path / 'rates.png'}")
    assert code == 1
    assert "rates.png exists and is not overwritten. Choose another --plot." in errors
    assert (tmp_path / "rates.png").read_text() == "mine"


def test_help_is_there_without_tensorflow(capsys):
    assert main(["lr-find", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("tfxfer lr-find: suggest a learning rate for a stage of the plan\n")
    assert "example:\n  tfxfer lr-find " in shown


def test_the_model_of_the_stage_is_swept_as_training_has_it(colours, monkeypatch):
    """Its rates by group, its loss, and its batches in their order."""
    seen = {}

    def look(model, dataset, **settings):
        seen.update(model=model, labels=np.concatenate([labels for _, labels in dataset]), **settings)
        return lr_finder.RateSweep(rates=(), losses=(), smoothed=(), suggestions=(), ended="")

    monkeypatch.setattr(of_stage, "find_learning_rate", look)
    stage = tfxfer.Stage(train="stage3.block1", epochs=1, learning_rate=0.1, head_to_body=4.0, label_smoothing=0.2,
                         bias_rate=2.0)  # fmt: skip
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8)
    swept = lr_finder.sweep_stage(recipe)
    rates = seen["model"].optimizer.effective_rates()
    assert max(rates.values()) == pytest.approx(2 * 4 * min(rates.values()))
    # What is swept, and then told, is the rate of the head's kernel, whatever the biases have.
    head = next(rate for path, rate in rates.items() if path.endswith("head_logits/kernel"))
    assert head == pytest.approx(float(seen["model"].optimizer.learning_rate))
    assert seen["model"].loss.label_smoothing == 0.2
    trained = {variable.path.partition("/")[0] for variable in seen["model"].trainable_variables}
    assert trained >= {"block2_conv", "head_logits"}
    assert not trained & {"stem_conv", "block1_conv"}
    assert seen["labels"].shape == (16 * 42 + 4 * 8, 3)  # 100 batches, of which six are an epoch
    assert str(swept).endswith("no rate stands out; the plan's is 0.1")
