"""Trains a model through the stages of a plan; what is finished is kept, so that a stopped run goes on."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable

import keras
import numpy as np

from tfxfer import activations, data, files, models, runtime, values
from tfxfer.addressing import Places
from tfxfer.callbacks.events import Events
from tfxfer.data import Examples
from tfxfer.errors import WorkdirError
from tfxfer.plans import Plan
from tfxfer.training.checkpoints import StageCheckpoints
from tfxfer.training.records import EpochRecord, History
from tfxfer.training.stage import run_stage

Tell = Callable[[str, int, EpochRecord], None]
Note = Callable[[str], None]


def fit(
    model: keras.Model,
    examples: Examples,
    pixels: np.ndarray,
    plan: Plan,
    workdir: pathlib.Path,
    *,
    tell: Tell,
    note: Note = print,
    kept: activations.Kept | None = None,
) -> History:
    """Trains `model` in place, stage by stage, and returns what was measured; nothing is frozen afterwards.

    After each stage the weights are kept in `workdir/checkpoints`, and within one, every so many seconds, all that has
    moved. The same plan on the same folder goes on there and ends in the same weights: each stage starts with a fresh
    optimizer, and the order of examples is a function of seed, stage and epoch. (A velocity carried over from the
    stage before would be nearly zero: Keras's holds the learning rate, which has come down to 0 by then.)

    SIGINT and SIGTERM let the steps that run end, are answered by one more checkpoint, and raise KeyboardInterrupt.

    Args:
        model: of `swap_head`.
        examples: with labels and splits.
        pixels: uint8 `[examples, size, size, 3]`.
        plan: what to do.
        workdir: where checkpoints lie.
        tell: called after each epoch with the stage's name, the epoch's number and its record.
        note: called with a line for each change of what trains within a stage, and with warnings.
        kept: activations that stay open behind it, for another call that goes on; None: of this call alone.

    Raises:
        WorkdirError: a checkpoint cannot be written or read.
        VerificationError: other variables moved than the plan says.
        TrainingError: the loss of a step is no number, or far too large.
        DataError: the statistics of batch norm, measured anew, would be NaN or infinite.
        WorkerError: the chief could not read or write a checkpoint; there the error is its own.
    """
    train, validation = (examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))
    workers = runtime.workers_of(model.distribute_strategy)
    checkpoints = _RunCheckpoints(workdir / "checkpoints", plan, workers)
    checkpoints.check_versions(note)
    history = checkpoints.restore(model)
    with contextlib.ExitStack() as ending:
        if kept is None:
            of_this_call = activations.Kept(plan.what, disk_bytes=plan.how.cache_disk_bytes, tell=note, workers=workers)
            kept = ending.enter_context(of_this_call)
        for number, stage in enumerate(plan.what.stages):
            if number < len(history.stages):
                continue
            kept.let_go_but(_cuts_from(plan, number))
            record = run_stage(
                model,
                number,
                stage,
                plan.what,
                train,
                validation,
                cache=plan.cache_of(stage.name),
                kept=kept,
                checkpoints=checkpoints.of_stage(number, note),
                watching=[_events(workdir, number, plan, note)] if workers.is_chief else [],
                jit_compile=plan.how.jit_compile,
                validate_every=plan.how.validate_every,
                tell=lambda epoch, measured, name=stage.name: tell(name, epoch, measured),
                note=note,
            )
            history = History(stages=(*history.stages, record))
            checkpoints.keep(model, history)
    _thaw(model)
    return history


def _events(workdir: pathlib.Path, number: int, plan: Plan, note: Note) -> Events:
    """Returns what writes the scalars of a stage for TensorBoard."""
    first, last = plan.how.profile_steps
    return Events(
        workdir / "events" / f"stage_{number + 1}",
        batch_size=plan.what.batch_size,
        profile_steps=range(first, last) if last else None,
        show=note,
    )


def _thaw(model: keras.Model) -> None:
    """Freezes nothing that can train, as the network ships."""
    places = Places(model)
    can_train = any(place.group != places.groups[-1].name for place in places.places)  # a TF1 module cannot
    # A network from a file may hold its statistics; then no mode moves them.
    batch_norm = "affine" if models.has_held_statistics(model) else "train"
    models.freeze(model, train="all" if can_train else "head", batch_norm=batch_norm)


def _cuts_from(plan: Plan, number: int) -> set[str]:
    """Returns the cuts whose activations a stage, or a later one, works on."""
    caches = [plan.cache_of(stage.name) for stage in plan.what.stages[number:]]
    return {name for cache in caches if cache for name in (cache.cut, cache.source)}


class _RunCheckpoints:
    """The weights after the last finished stage, the history up to it, and where the next one was.

    Of workers that train together the chief reads and writes, and tells the others.
    """

    def __init__(self, folder: pathlib.Path, plan: Plan, workers: runtime.Workers):
        self._folder, self._workers = folder, workers
        self._digest = plan.digest
        self._seconds, self._count = plan.how.checkpoint_seconds, plan.how.checkpoints_kept
        self._index = folder / "progress.json"

    def restore(self, model: keras.Model) -> History:
        history = self._workers.value_from_chief(History, lambda: self._restore(model))
        self._workers.follow_chief(model.variables)
        return history

    def _restore(self, model: keras.Model) -> History:
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

    def check_versions(self, note: Note) -> None:
        """Notes with which libraries a run begins, and tells where one that goes on has others."""
        self._workers.from_chief(lambda: self._check_versions(note) or b"")

    def _check_versions(self, note: Note) -> None:
        place, now = self._folder / "versions.json", dict(runtime.probe().versions)
        if not place.exists():
            files.write_json(place, now)
            return
        before = files.read_json(place)
        changed = [f"{name} {before.get(name)} → {now.get(name)}" for name in now if before.get(name) != now.get(name)]
        if changed:
            note(f"this run was begun with other libraries ({', '.join(changed)}); its weights may end in other bits.")

    def of_stage(self, number: int, note: Note) -> StageCheckpoints:
        """Returns the checkpoints within a stage, counted from 0."""
        return StageCheckpoints(
            self._folder / f"stage_{number + 1}",
            seconds=self._seconds,
            keep=self._count,
            note=note,
            facts={"plan": self._digest, "stage": number},
            workers=self._workers,
        )

    def keep(self, model: keras.Model, history: History) -> None:
        self._workers.from_chief(lambda: self._keep(model, history) or b"")

    def _keep(self, model: keras.Model, history: History) -> None:
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
        for done in self._folder.glob("stage_*/"):
            shutil.rmtree(done, ignore_errors=True)
