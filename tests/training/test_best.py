"""A stage may end with the weights of its best epoch."""

import dataclasses

import numpy as np
import pytest

import tfxfer
from tfxfer import pipeline, training
from tfxfer.framing import Framing
from tfxfer.recipes import Gradual
from tfxfer.training import checkpoints
from tfxfer.training.best import BestWeights

# So large that the loss rises again.
STAGE = tfxfer.Stage(train="all", epochs=4, learning_rate=3.0, head_to_body=1.0, batch_norm="frozen", warmup=0.0)


@pytest.fixture
def run(plugin, colours, tmp_path):
    def run(stage, folder):
        recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8)
        ready = pipeline.prepare(recipe, with_seconds=False)
        pixels = ready.examples.pixels(24, Framing())
        quiet = {"tell": lambda *_: None, "note": lambda _: None}
        history = training.fit(ready.model, ready.examples, pixels, ready.plan, tmp_path / folder, **quiet)
        return str(ready), checkpoints.arrays_of(ready.model.variables), history.stages[0]

    return run


def test_the_best_epoch_counts(run, monkeypatch):
    behind, on_epoch_end = {}, BestWeights.on_epoch_end

    def noted(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        behind[epoch + 1] = checkpoints.arrays_of(self._moved)

    monkeypatch.setattr(BestWeights, "on_epoch_end", noted)
    _, last, told = run(STAGE, "last")
    assert told.best_epoch == 0
    shown, best, record = run(dataclasses.replace(STAGE, restore_best_weights=True), "best")
    losses = [epoch.validation_loss for epoch in record.epochs]
    assert record.best_epoch == losses.index(min(losses)) + 1 < len(losses)
    assert losses == [epoch.validation_loss for epoch in told.epochs]
    moved = [array for array in best if any(np.array_equal(array, kept) for kept in behind[record.best_epoch])]
    assert len(moved) >= len(behind[record.best_epoch])
    assert not all(np.array_equal(a, b) for a, b in zip(best, last, strict=True))
    assert "ends with the weights of its best epoch" in shown


@pytest.mark.slow
def test_what_woke_behind_the_best_epoch_is_no_fault(run):
    """It has moved, and is put back to where it never had."""
    stage = dataclasses.replace(STAGE, restore_best_weights=True, unfreezing=Gradual())
    _, _, record = run(stage, "gradual")
    assert record.wakings
    assert 1 <= record.best_epoch <= 4


def test_no_number_is_never_the_best():
    best = BestWeights([])
    best.on_epoch_end(0, {"val_loss": float("nan")})
    assert best.epoch == 0
    best.restore()
