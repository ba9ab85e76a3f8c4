"""The `fit` of one stage: what it trains on, who looks on, and what happened in it."""

import dataclasses
import math

import keras

from tfxfer import interruption
from tfxfer.callbacks import auto_rgn
from tfxfer.data import batches, mixing
from tfxfer.data.rows import Rows
from tfxfer.models import idle
from tfxfer.plans import StagePlan, What
from tfxfer.recipes import Adam
from tfxfer.training import display, saving, statistics, trainees, unfreezing
from tfxfer.training.optimizer import rates_callback, stage_schedule
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


def fit_stage(model, whole, number, stage, what, train, validation, cached, kept, still, tell, note) -> Course:
    """Runs the `fit` of a stage on `model`, compiled, from its beginning or the newest moment that was kept.

    `whole` is the network that `model` may be the end of, `still` the `id` of each variable that the stage never moves.
    """
    mix = mixing.mixer(what.augment, seed=what.seed, stage=number, cached=cached)
    held_out = batches.ordered_batches(validation, batch_size=what.batch_size)
    recorder = display.Recorder(stage, tell)
    some = some_batches(train, what, number)
    waking = unfreezing.unfreezing_callback(stage, whole, note)
    warnings: list[str] = []
    drifting = statistics.drift_callback(stage, some, warnings.append)
    # What wakes comes before what is measured on it.
    named = {"recorder": recorder, "waking": waking, "rates": rates_callback(stage, some), "drift": drifting}
    remembering = {name: callback for name, callback in named.items() if callback is not None}
    moved = [variable for variable in whole.variables if id(variable) not in still]
    moment, epoch, done = kept.newest(), 0, 0
    if moment is not None:
        saving.go_on(model, moment, moved, remembering)
        epoch, done = moment.told["epoch"], moment.told["step"]
        note(f"stage {stage.name}  goes on behind step {epoch * stage.steps_per_epoch + done} of {stage.steps}")
    pace = model.pace
    pace.test_steps = len(held_out)
    if waking is not None:
        pace.limit = waking.steps_to_change
    is_over = moment is not None and moment.told["stopped"]
    with interruption.noted() as is_asked:
        first = trainees.Pacer(stage.steps, epoch=epoch, done=done, metrics=moment.numbers["metrics"] if moment else ())
        dataset = batches.training_batches(
            train,
            batch_size=what.batch_size,
            start=epoch * stage.steps_per_epoch + done,
            steps=stage.steps - epoch * stage.steps_per_epoch - done,
            seed=what.seed,
            stage=number,
            mix=mix,
        )
        model.fit(
            # It ends with the stage; Keras, which would count its batches against whole epochs, is not to know.
            batches.shared(dataset.repeat(), model.distribute_strategy),
            initial_epoch=epoch,
            epochs=epoch if is_over else math.ceil(stage.steps / stage.steps_per_epoch),
            steps_per_epoch=stage.steps_per_epoch,
            validation_data=batches.shared(held_out.repeat(), model.distribute_strategy),
            validation_steps=len(held_out),
            verbose=0,
            shuffle=False,
            callbacks=[first, *remembering.values(), saving.Saver(kept, moved, remembering, is_asked=is_asked)],
        )
    for warning in warnings:
        note(f"stage {stage.name}  warning: {warning}")
    return Course(
        epochs=tuple(recorder.epochs),
        steps=int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        awake=unfreezing.awake_now(stage, waking),
        wakings=unfreezing.waking_records(stage, waking.changes) if waking is not None else (),
        drift=statistics.drift_records(drifting.measured) if drifting is not None else (),
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
