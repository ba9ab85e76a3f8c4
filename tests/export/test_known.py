"""Measuring a bundle on pictures that it was trained on is told of, with their share."""

import re
import shutil

import numpy as np
import pytest

from tfxfer import data, export, files
from tfxfer.cli.main import main
from tfxfer.recipes import Data


@pytest.fixture(scope="module")
def examples(plugin, colours):
    return data.open_data(Data(source=f"folder:{colours}"), seed=0)


def test_a_bundle_knows_its_training_pictures_and_no_others(trained, examples):
    known = export.read_known(trained / "bundle")
    assert known.dtype == np.uint64
    assert (np.diff(known.astype(object)) > 0).all()
    assert export.count_known(examples, data.TRAIN, known) == len(examples.indices(data.TRAIN)) == 42
    assert export.count_known(examples, data.TEST, known) == 0
    assert int(examples.keys[examples.indices(data.TRAIN)[0]][:16], 16) in known.tolist()
    assert "trained_on.u64" in files.read_json(trained / "bundle" / "bundle.json")["files"]


def test_evaluate_says_how_many_were_trained_on(trained, colours, examples, tmp_path, capsys):
    bundle = f"--bundle={trained / 'bundle'}"
    assert main(["evaluate", bundle, f"--data=folder:{colours}"]) == 0
    said = capsys.readouterr()
    assert re.match(r"warning: 42 of 60 images \(70\.0 %\) are among those that the network was trained on", said.err)
    assert "accuracy" in said.out
    assert main(["evaluate", bundle]) == 0
    assert "trained on" not in capsys.readouterr().err


def test_bundles_from_before_know_none(trained, examples, tmp_path):
    old = shutil.copytree(trained / "bundle", tmp_path / "old")
    (old / "trained_on.u64").unlink()
    assert len(export.read_known(old)) == 0
    assert export.count_known(examples, data.TRAIN, export.read_known(old)) == 0
