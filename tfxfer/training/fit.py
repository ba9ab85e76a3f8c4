"""Trains a model through the stages of a plan; what is finished is kept, so that a stopped run goes on."""

import pathlib
from collections.abc import Callable

import keras
import numpy as np

from tfxfer import data, files, models, values
from tfxfer.data import Examples
from tfxfer.errors import WorkdirError
from tfxfer.plans import Plan
from tfxfer.training.records import EpochRecord, History
from tfxfer.training.stage import run_stage

Tell = Callable[[str, int, EpochRecord], None]


def fit(
    model: keras.Model,
    examples: Examples,
    pixels: np.ndarray,
    plan: Plan,
    workdir: pathlib.Path,
    *,
    tell: Tell,
) -> History:
    """Trains `model` in place, stage by stage, and returns what was measured; nothing is frozen afterwards.

    After each stage the weights are kept in `workdir/checkpoints`. The same plan on the same folder goes on
    behind the last finished stage and ends in the same weights: each stage starts with a fresh optimizer, and
    the order of examples is a function of seed, stage and epoch. (A velocity carried over from the stage
    before would be nearly zero: Keras's holds the learning rate, which has come down to 0 by then.)

    Args:
        model: of `swap_head`.
        examples: with labels and splits.
        pixels: uint8 `[examples, size, size, 3]`.
        plan: what to do.
        workdir: where checkpoints lie.
        tell: called after each epoch with the stage's name, the epoch's number and its record.

    Raises:
        WorkdirError: a checkpoint cannot be written or read.
        VerificationError: other variables moved than the plan says.
    """
    train, validation = (examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))
    checkpoints = _Checkpoints(workdir / "checkpoints", plan)
    history = checkpoints.restore(model)
    for number, stage in enumerate(plan.what.stages):
        if number < len(history.stages):
            continue
        record = run_stage(
            model,
            number,
            stage,
            plan.what,
            train,
            validation,
            cached=stage.name in plan.how.cached_stages,
            tell=lambda epoch, measured, name=stage.name: tell(name, epoch, measured),
        )
        history = History(stages=(*history.stages, record))
        checkpoints.keep(model, history)
    models.freeze(model, train="all", batch_norm="train")
    return history


class _Checkpoints:
    """The weights after the last finished stage, and the history up to it."""

    def __init__(self, folder: pathlib.Path, plan: Plan):
        self._folder = folder
        self._digest = plan.digest
        self._index = folder / "progress.json"

    def restore(self, model: keras.Model) -> History:
        if not self._index.exists():
            return History()
        kept = files.read_json(self._index)
        if kept.get("plan") != self._digest:
            raise WorkdirError(
                f"{self._folder} holds a run with another plan (other data, weights or library rules). Choose "
                "another --workdir, or remove this one."
            )
        weights = self._folder / kept["weights"]
        if not weights.exists() or files.sha256(weights) != kept["sha256"]:
            raise WorkdirError(f"{weights} is missing or damaged. Remove {self._folder} to train from the start.")
        model.load_weights(weights)
        return values.from_json(History, kept["history"])

    def keep(self, model: keras.Model, history: History) -> None:
        name = f"stage_{len(history.stages)}.weights.h5"
        with files.replacing(self._folder / name) as beside:
            model.save_weights(beside, overwrite=True)
        index = {
            "plan": self._digest,
            "weights": name,
            "sha256": files.sha256(self._folder / name),
            "history": values.to_json(history),
        }
        files.write_json(self._index, index)
        for old in self._folder.glob("stage_*.weights.h5"):
            if old.name != name:
                old.unlink()
