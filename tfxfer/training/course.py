"""The `fit` of one stage: what it trains on, who looks on, and what happened in it."""

import dataclasses

import keras

from tfxfer.callbacks import auto_rgn
from tfxfer.data import batches, mixing
from tfxfer.data.rows import Rows
from tfxfer.models import idle
from tfxfer.plans import StagePlan, What
from tfxfer.recipes import Adam
from tfxfer.training import display, statistics, unfreezing
from tfxfer.training.optimizer import stage_callbacks, stage_schedule
from tfxfer.training.records import DriftRecord, EpochRecord, WakingRecord

# Batches that are looked at in each epoch: by AutoRGN, and for the drift of statistics; and behind the stage, for what
# has not moved.
_BATCHES_TO_MEASURE = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """What happened in the `fit` of a stage; the last three as in `StageRecord`.

    Attributes:
        epochs: in order.
        steps: that were made.
        awake: names of the layer groups that train at the end.
        wakings: in order.
    """

    epochs: tuple[EpochRecord, ...]
    steps: int
    awake: tuple[str, ...]
    wakings: tuple[WakingRecord, ...]
    drift: tuple[DriftRecord, ...]
    drift_warning: str

    @property
    def steps_since_waking(self) -> int:
        """How many steps what trains at the end has had at least."""
        stayed = [waking.step for waking in self.wakings if set(waking.woke) & set(self.awake)]
        return self.steps - max(stayed, default=0)


def fit_stage(model, whole, number, stage, what, train, validation, cached, tell, note) -> Course:
    """Runs the `fit` of a stage on `model`, compiled; `whole` is the network that `model` may be the end of."""
    mix = mixing.mixer(what.augment, seed=what.seed, stage=number, cached=cached)
    held_out = batches.ordered_batches(validation, batch_size=what.batch_size)
    recorder = display.Recorder(stage, tell)
    some = some_batches(train, what, number)
    waking = unfreezing.unfreezing_callback(stage, whole, note)
    warnings: list[str] = []
    drifting = statistics.drift_callback(stage, some, warnings.append)
    # What wakes comes before what is measured on it.
    acting = [waking, *stage_callbacks(stage, some), drifting]
    drift: tuple[DriftRecord, ...] = ()
    # `fit` counts whole epochs; steps that do not fill one are a shorter epoch of their own at the end.
    whole, rest = divmod(stage.steps, stage.steps_per_epoch)
    for start, epochs, steps in ((0, whole, stage.steps_per_epoch), (stage.steps - rest, 1, rest)):
        if not epochs or not steps:
            continue
        dataset = batches.training_batches(
            train,
            batch_size=what.batch_size,
            start=start,
            steps=epochs * steps,
            seed=what.seed,
            stage=number,
            mix=mix,
        )
        before = len(recorder.epochs)
        # An epoch in one go: a step of a small suffix takes less than a round trip through Python.
        model.steps_per_execution = 1 if stage.unfreezing.by == "steps" else steps
        model.fit(
            dataset,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=held_out,
            verbose=0,
            shuffle=False,
            callbacks=[recorder, *(callback for callback in acting if callback is not None)],
        )
        if drifting is not None:
            drift += statistics.drift_records(drifting.measured, before)
    for warning in warnings:
        note(f"stage {stage.name}  warning: {warning}")
    return Course(
        epochs=tuple(recorder.epochs),
        steps=int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        awake=unfreezing.awake_now(stage, waking),
        wakings=unfreezing.waking_records(stage, waking.changes) if waking is not None else (),
        drift=drift,
        drift_warning="; ".join(warnings),
    )


def explained(trainee, variables, stage: StagePlan, shares, course: Course, some) -> tuple[idle.Idle, ...]:
    """Returns why variables stood still that were to train; a fault stops the run."""
    if course.steps_since_waking < 2:  # a head of zeros lets no gradient through in its first step
        return tuple(idle.Idle(path=v.path, gradient=0.0, reason="it had one step only") for v in variables)
    middle = course.steps - course.steps_since_waking // 2
    rate = float(stage_schedule(stage)(middle)) * (auto_rgn.FLOOR if stage.group_rates == "auto_rgn" else 1.0)
    return idle.explain(
        trainee,
        variables,
        some,
        steps_of={key: rate * share for key, share in shares.items()},
        scaled=isinstance(stage.optimizer, Adam),
        clip_norm=stage.clip_norm,
    )


def some_batches(train: Rows, what: What, number: int):
    """Returns the first batches that a stage trains on."""
    return batches.training_batches(
        train, batch_size=what.batch_size, start=0, steps=_BATCHES_TO_MEASURE, seed=what.seed, stage=number
    )


def one_pass(train: Rows, stage: StagePlan, what: What, number: int):
    """Returns the batches of a stage's first epoch."""
    return batches.training_batches(
        train, batch_size=what.batch_size, start=0, steps=stage.steps_per_epoch, seed=what.seed, stage=number
    )
