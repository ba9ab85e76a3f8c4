"""The `fit` of one stage: what it trains on, who looks on, and what happened in it."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator

import keras

from tfxfer import interruption
from tfxfer.callbacks import auto_rgn
from tfxfer.data import batches
from tfxfer.errors import TrainingError
from tfxfer.models import idle
from tfxfer.optimizers import loss_scaling
from tfxfer.plans import StagePlan
from tfxfer.recipes import Adam
from tfxfer.training import display, divergence, looks, saving, seeds, statistics, trainees, unfreezing
from tfxfer.training.best import BestWeights
from tfxfer.training.checkpoints import StageCheckpoint
from tfxfer.training.optimizer import rates_callback, stage_schedule
from tfxfer.training.records import DriftRecord, EpochRecord, LookRecord, WakingRecord
from tfxfer.training.stage_data import StageData

# What may be the matter where a number is none, and no rate would help.
_FLOAT16 = "Numbers above 65,504 are none in float16; mixed_bfloat16 holds them. "
_BEGINNING = StageCheckpoint(told={"epoch": 0, "step": 0, "stopped": False}, numbers={"metrics": ()})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """What happened in the `fit` of a stage; `wakings` and both of `drift` as in `StageRecord`.

    Attributes:
        epochs: in order.
        steps: that were made.
        awake: names of the layer groups that train at the end.
        wakings: in order.
        best: what keeps the weights of the best epoch; None where the last one counts.
        looks: as in `StageRecord`.
    """

    epochs: tuple[EpochRecord, ...]
    steps: int
    awake: tuple[str, ...]
    wakings: tuple[WakingRecord, ...]
    drift: tuple[DriftRecord, ...]
    drift_warning: str
    best: BestWeights | None
    looks: tuple[LookRecord, ...] = ()

    @property
    def steps_since_waking(self) -> int:
        """How many steps what trains at the end has had at least."""
        stayed = [waking.step for waking in self.wakings if set(waking.woke) & set(self.awake)]
        return self.steps - max(stayed, default=0)


def fit_stage(model, whole, data: StageData, kept, still, tell, note, watching=(), every: int = 0) -> Course:
    """Runs the `fit` of a stage on `model`, compiled, from its beginning or the newest checkpoint that was kept.

    Args:
        model: a `Trainee`.
        whole: the network that `model` may be the end of.
        data: what it trains on, and how.
        kept: the checkpoints of the stage.
        still: the `id` of each variable that it never moves.
        tell: called after each epoch; `note` with a line for what else happens.
        note: see there.
        watching: other callbacks, which change nothing.
        every: optimizer steps from one look at validation within an epoch to the next; 0: there are none.

    Raises:
        TrainingError: the loss of a step is no number, or far too large.
        KeyboardInterrupt: the process was asked to stop; a checkpoint is kept.
    """
    stage = data.stage
    warnings: list[str] = []
    moved = [variable for variable in whole.variables if id(variable) not in still]
    acting = _acting(stage, data, whole, tell, note, warnings.append)
    held_out, strategy = data.held_out(), model.distribute_strategy
    acting["looks"] = looks.Looks(every, held_out, stage.steps_per_epoch) if every else None
    acting["best"] = BestWeights(moved) if stage.restore_best_weights else None
    remembering = {name: callback for name, callback in acting.items() if callback is not None}
    checkpoint = kept.newest() or _BEGINNING
    epoch, done = checkpoint.told["epoch"], checkpoint.told["step"]
    before = epoch * stage.steps_per_epoch + done
    if checkpoint is not _BEGINNING:
        saving.go_on(model, checkpoint, moved, remembering)
        note(f"stage {stage.name}  goes on behind step {before} of {stage.steps}")
    seeds.draw_apart(model)
    model.pace.limit = functools.partial(_steps_to_change, [acting["waking"], acting["looks"], *watching])
    saver = functools.partial(saving.Saver, kept, moved, remembering)
    metrics = checkpoint.numbers["metrics"]
    pacer = trainees.Pacer(stage.steps, test_steps=len(held_out), epoch=epoch, done=done, metrics=metrics)
    with contextlib.ExitStack() as ending:
        for callback in (acting["recorder"], *watching):  # Keras ends none of them where `fit` ends by an error
            ending.callback(getattr(callback, "close", lambda: None))
        ending.enter_context(_explained_divergence(model, data, kept))
        is_asked = ending.enter_context(interruption.noted())
        model.fit(
            # It ends with the stage; Keras, which would count its batches against whole epochs, is not to know.
            batches.shared(data.batches(before, stage.steps).repeat(), strategy),
            initial_epoch=epoch,
            epochs=epoch if checkpoint.told["stopped"] else math.ceil(stage.steps / stage.steps_per_epoch),
            steps_per_epoch=stage.steps_per_epoch,
            validation_data=batches.shared(held_out.repeat(), strategy),
            validation_steps=len(held_out),
            verbose=0,
            shuffle=False,
            callbacks=[pacer, *remembering.values(), *watching, saver(is_asked=is_asked)],
        )
    for line in _remarks(model.optimizer, warnings):
        note(f"stage {stage.name}  {line}")
    waking, drifting = acting["waking"], acting["drift"]
    return Course(
        epochs=tuple(acting["recorder"].epochs),
        steps=int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
        awake=unfreezing.awake_now(stage, waking),
        wakings=unfreezing.waking_records(stage, waking.changes) if waking is not None else (),
        drift=statistics.drift_records(drifting.measured) if drifting is not None else (),
        drift_warning="; ".join(warnings),
        best=acting["best"],
        looks=tuple(acting["looks"].records) if every else (),
    )


def _remarks(optimizer, warnings: list[str]) -> Iterator[str]:
    """Yields a line for each thing that was out of the ordinary in a `fit`."""
    for warning in warnings:
        yield f"warning: {warning}"
    if skipped := loss_scaling.skipped_steps(optimizer):
        steps, scale = loss_scaling.steps_taken(optimizer), float(loss_scaling.scale_of(optimizer))
        yield (
            f"{skipped} of {steps} steps were skipped: float16 could not hold their gradients at the scale of the "
            f"loss, which is {scale:g} now"
        )


def _steps_to_change(callbacks) -> int | None:
    """Returns how many steps come before the next one at which a callback has something to do."""
    steps = [callback.steps_to_change() for callback in callbacks if hasattr(callback, "steps_to_change")]
    return min((one for one in steps if one is not None), default=None)


def _acting(stage: StagePlan, data: StageData, whole, tell, note, warn) -> dict:
    """Returns the callbacks that know something of the steps before, by name; None where a stage needs none."""
    some = data.some()
    return {
        "recorder": display.Recorder(stage, tell, data.what.task, data.what.metrics),
        # What wakes comes before what is measured on it.
        "waking": unfreezing.unfreezing_callback(stage, whole, note),
        "rates": rates_callback(stage, some),
        "drift": statistics.drift_callback(stage, some, warn),
    }


@contextlib.contextmanager
def _explained_divergence(model, data: StageData, kept) -> Iterator[None]:
    """Says of a loss that is no number where it comes from."""
    try:
        yield
    except divergence.DivergedError as error:
        stage, step = data.stage, error.step
        if error.fault:
            fault = error.fault
        elif error.has_moved:
            fault = "which layer cannot be told " + ("under XLA" if model.jit_compile else "on several devices")
        else:
            ((inputs, *_),) = data.batches(step, step + 1)
            fault = divergence.at_fault(model, inputs)
        rate = float(stage_schedule(stage)(step))
        range_of_float16 = _FLOAT16 if data.what.precision == "mixed_float16" else ""
        raise TrainingError(
            f"stage {stage.name}: the loss of step {step + 1} of {stage.steps} is no number, or above "
            f"{divergence.LARGEST_LOSS:g}, at a rate of {rate:.2g} for the head. First at fault: {fault}. "
            f"{range_of_float16}{kept.in_words} Lower the stage's learning_rate"
            + (f" (now {stage.learning_rate:g})" if stage.clip_norm else ", or write clip_norm=1.0")
            + "."
        ) from None


def explained(trainee, variables, stage: StagePlan, shares, course: Course, some) -> tuple[idle.Idle, ...]:
    """Returns why variables stood still that were to train; a fault stops the run."""
    if course.steps_since_waking < 2:  # a head of zeros lets no gradient through in its first step
        reason = "it had one step only" if course.steps_since_waking else "none of its steps was made"
        return tuple(idle.Idle(path=v.path, gradient=0.0, reason=reason) for v in variables)
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
