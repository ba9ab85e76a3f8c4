"""Splits that stay when the seed changes, wherever the examples of a recipe are opened."""

import dataclasses
import types

import pytest
from conftest import tiny_recipe

from tfxfer import assessment, files, inspection, values
from tfxfer.cli.main import main
from tfxfer.data import open_data

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def recipe(colours):
    """One of seed 5 whose splits are those of seed 0."""
    plain = tiny_recipe(colours, seed=5)
    return dataclasses.replace(plain, data=dataclasses.replace(plain.data, split_seed=0))


def fingerprint(recipe, seed):
    return open_data(recipe.data, seed=seed).facts.fingerprint


def test_the_seeds_of_this_test_give_other_splits(recipe):
    assert fingerprint(recipe, 0) != fingerprint(recipe, 5)


def test_a_bundle_is_measured_on_the_splits_that_it_was_trained_with(recipe, tmp_path):
    files.write_json(tmp_path / "recipe.json", values.to_json(recipe))
    files.write_json(tmp_path / "plan.json", {"what": {"data": fingerprint(recipe, 0)}})
    bundle = types.SimpleNamespace(folder=tmp_path)
    assert assessment.open_examples(bundle, None).facts.fingerprint == fingerprint(recipe, 0)


def test_data_check_looks_at_them(colours, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        inspection, "inspect", lambda data, *, seed, **_: seen.append(seed) or (_ for _ in ()).throw(OSError)
    )
    main(["data", "check", f"--data=folder:{colours}", "--seed=5", "--config.data.split_seed=2"])
    assert seen == [2]
    capsys.readouterr()


def test_training_takes_them(recipe):
    from tfxfer import pipeline

    assert pipeline.prepare(recipe, with_seconds=False).plan.what.data == fingerprint(recipe, 0)
