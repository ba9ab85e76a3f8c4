"""The README of a bundle tells what woke within a stage, and what was done to statistics."""

import dataclasses
import re
import shutil
import subprocess
import sys

import PIL.Image
import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import evaluation, files, plans, values
from tfxfer.export import card as cards
from tfxfer.export.card import write_card
from tfxfer.recipes import Gradual, Recipe, Stage
from tfxfer.training import History, StageRecord
from tfxfer.training.records import RefreshRecord, WakingRecord


@pytest.fixture
def card(trained):
    """A function that writes the card of a run with one stage, of which the record is given."""
    report = values.from_json(evaluation.Report, files.read_json(trained / "report" / "report.json"))
    stage = Stage(train="all", epochs=9, batch_norm="train", unfreezing=Gradual())
    plan = plans.resolve(Recipe(stages=(stage,)), data_facts(), backbone_facts(), machine_facts())

    groups = tuple(group.name for group in backbone_facts().groups)
    report = dataclasses.replace(report, backbone=dataclasses.replace(report.backbone, groups=groups))

    def write(**record):
        history = History(
            stages=(StageRecord(name="1 all", epochs=(), frozen_digest="", moved=2, seconds=1.0, **record),)
        )
        train = dataclasses.replace(report.train, stages=(evaluation.StageSeconds(name="1 all", seconds=1.0),))
        return write_card(dataclasses.replace(report, history=history, train=train), plan)

    return write


@pytest.mark.slow
def test_what_woke_and_what_was_put_back(card):
    woke = WakingRecord(epoch=2, step=6, woke=("block2", "block3"), slept=(), reason="tried")
    slept = WakingRecord(epoch=3, step=12, woke=(), slept=("block2", "block3"), reason="did not help")
    lines = card(wakings=(woke, slept)).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("- stage 1 all: "))
    assert lines[at + 1 : at + 3] == [
        "  - in epoch 2 woke block2, block3 (tried)",
        "  - in epoch 3 put back to sleep block2, block3 (did not help)",
    ]


def test_what_trained_at_which_rate_and_what_was_frozen(card, trained):
    assert "\n- stage 1 all: stem…head trained for " in card()
    assert " steps, nothing frozen; peak rates: stem…block3 " in card()
    report = values.from_json(evaluation.Report, files.read_json(trained / "report" / "report.json"))
    assert report.backbone.groups == ("stage1.block1", "stage2.block1", "stage3.block1")
    text = (trained / "bundle" / "README.md").read_text()
    assert "\n- stage 1 head: head trained for 18 steps, stage1…stage3 frozen; peak rates: head 0.5; batch" in text


def test_statistics_and_what_was_said_of_them(card):
    refreshed = RefreshRecord(layers=2, examples=1234, shift=0.1, validation_loss=1.0, validation_accuracy=0.5)
    text = card(refreshed=refreshed, drift_warning="the stored ones\nlag behind")
    assert "  - statistics of 2 batch norms measured anew on 1,234 training examples\n" in text
    assert "  - warning: the stored ones lag behind\n" in text


def test_where_nothing_of_this_happened_nothing_is_told(card):
    text = card()
    assert "woke" not in text
    assert "measured anew" not in text
    assert "warning" not in text


@pytest.mark.slow
def test_each_way_to_load_it_that_the_card_shows_works(trained, colours, program, tmp_path):
    bundle = shutil.copytree(trained / "bundle", tmp_path / "bundle")
    shutil.copytree(colours, bundle / "photos")
    PIL.Image.new("RGB", (40, 30), (250, 5, 5)).save(bundle / "picture.jpg")
    text = (bundle / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], cwd=bundle, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    commands = re.search(r"```\n(tfxfer .*?)```", text, re.DOTALL)[1].splitlines()
    assert len(commands) == 2
    for command in commands:
        extra = ["--batch_size=8", "--config.running.checkpoint_seconds=60"] if " train " in command else []
        done = program(*command.split()[1:], *extra, cwd=bundle)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert (tmp_path / "next" / "bundle" / "bundle.json").is_file()


def test_names_act_on_no_terminal_and_no_page():
    assert cards._line("\x1b[31m<script>\n red") == "�[31m&lt;script> red"


def test_its_first_lines_are_the_keys_that_sites_read(trained):
    keys, _, text = (trained / "bundle" / "README.md").read_text().removeprefix("---\n").partition("\n---\n")
    told = dict(line.split(": ", 1) for line in keys.splitlines())
    assert told["format"] == "saved_model_2"
    assert told["asset-path"] == "saved_model/1"
    assert told["base_model"] == '"tiny:cnn"'
    assert told["fine-tunable"] == "true"
    assert text.startswith("\n# Image classifier: 3 classes")
