"""Wakes what a plan wakes within a stage, and tells afterwards what woke when."""

import itertools
from collections.abc import Callable, Sequence

import keras

from tfxfer.callbacks.gradual_unfreezing import Change, GradualUnfreezing
from tfxfer.plans import StagePlan
from tfxfer.training.records import WakingRecord


def unfreezing_callback(stage: StagePlan, whole: keras.Model, note: Callable[[str], None]) -> GradualUnfreezing | None:
    """Returns what wakes the layer groups of a stage in its `fit`; None where all train from the beginning.

    Args:
        stage: what to do.
        whole: not compiled, the network from its input on, in which names mean what they mean in the plan.
        note: called with a line for each change.
    """
    planned = stage.unfreezing
    if planned.by == "nothing":
        return None
    trains = [stage.addresses(stage.awake(number)) or "head" for number in range(len(planned.wakings) + 1)]
    settings = {
        "batch_norm": stage.batch_norm,
        "warmup_steps": planned.warmup_steps,
        "named_by": whole,
        "show": lambda line: note(f"stage {stage.name}  {line}"),
    }
    watched = {"monitor": planned.monitor, "min_delta": planned.min_delta}
    if planned.by == "stall":
        return GradualUnfreezing.when_stalled(trains, patience=planned.epochs, **watched, **settings)
    if planned.by == "search":
        return GradualUnfreezing.searching(trains, epochs=planned.epochs, **watched, **settings)
    schedule = dict(zip((0, *planned.times), trains, strict=True))
    return GradualUnfreezing(schedule, by=planned.by.removesuffix("s"), **settings)


def awake_now(stage: StagePlan, unfreezing: GradualUnfreezing | None) -> tuple[str, ...]:
    """Returns which of the groups of a stage train now, input first."""
    return stage.trained if unfreezing is None else _names(stage, unfreezing.found)


def waking_records(stage: StagePlan, changes: Sequence[Change]) -> tuple[WakingRecord, ...]:
    """Returns what each change but the first, with which the stage began, woke or put back to sleep."""
    records = []
    for former, change in itertools.pairwise(changes):
        before, now = _names(stage, former.train), _names(stage, change.train)
        records.append(
            WakingRecord(
                epoch=change.epoch + 1,
                step=change.step,
                woke=tuple(name for name in now if name not in before),
                slept=tuple(name for name in before if name not in now),
                reason=change.reason,
            )
        )
    return tuple(records)


def _names(stage: StagePlan, train) -> tuple[str, ...]:
    return () if train == "head" else stage.groups_of(train)
