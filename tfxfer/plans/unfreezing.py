"""Decides which layer groups of a stage wake when, from what a recipe asks for."""

import math
from collections.abc import Sequence

from tfxfer import blocks
from tfxfer.errors import ConfigError, suggest
from tfxfer.plans.plan import UnfreezingPlan
from tfxfer.recipes import Gradual, Searching, Unfreezing


def resolve_unfreezing(
    asked: Unfreezing | None, trained: Sequence[str], *, stage: int, steps: int, steps_per_epoch: int
) -> UnfreezingPlan:
    """Returns the wakings of a stage; without any where all is to train from the beginning.

    Args:
        asked: `Stage.unfreezing`.
        trained: names of all layer groups that the stage ever trains below the head, input first.
        stage: its number, for errors.
        steps: of the stage, in epochs of `steps_per_epoch`.
        steps_per_epoch: optimizer steps in a pass over the training examples.

    Raises:
        ConfigError: a name that the stage does not train, one that two wakings mean, more groups at a time than there
            are, a waking that never comes, or a last epoch that is not a whole one.
    """
    if asked is None:
        return UnfreezingPlan()
    if not trained:
        raise ConfigError(
            f"stage {stage} has unfreezing, and nothing in it that could wake: only the head trains. Write train=all, "
            "or leave unfreezing out."
        )
    wakings = _wakings(asked.groups, trained, stage)
    epochs = _whole_epochs(stage, steps, steps_per_epoch)
    if isinstance(asked, Gradual):
        times = tuple(asked.every * number for number in range(1, len(wakings) + 1))
        _check_times(stage, times, asked.unit, epochs if asked.unit == "epochs" else steps)
        return UnfreezingPlan(by=asked.unit, wakings=wakings, times=times, warmup_steps=asked.warmup_steps)
    searching = isinstance(asked, Searching)
    by, patience = ("search", asked.epochs) if searching else ("stall", asked.patience)
    # The first epoch always improves, so a stall is noticed one later than its patience.
    least = (len(wakings) + 1) * patience if searching else patience + 2
    if epochs < least:
        why = (
            f"{len(wakings)} trials of {_count(patience, 'epoch')} and as long before the first take {least}"
            if searching
            else f"with patience={patience} nothing can wake before epoch {least}"
        )
        raise ConfigError(f"stage {stage} has {_count(epochs, 'epoch')}, and {why}. Write epochs={least} or more.")
    return UnfreezingPlan(
        by=by,
        wakings=wakings,
        monitor=asked.monitor,
        epochs=patience,
        min_delta=float(asked.min_delta),
        warmup_steps=asked.warmup_steps,
    )


def _wakings(groups: int | float | tuple[str, ...], trained: Sequence[str], stage: int) -> tuple[tuple[str, ...], ...]:
    count = len(trained)
    if isinstance(groups, tuple):
        return _named(groups, trained, stage)
    if isinstance(groups, int):
        if groups > count:
            raise ConfigError(
                f"unfreezing in stage {stage} wakes groups={groups} at a time, and the stage trains {count} below the "
                f"head. Write at most groups={count}."
            )
        ends = [*range(groups, count, groups), count]
    else:
        parts = math.ceil(round(1 / groups, 6))  # 1 / 0.1 is 10 in numbers that a computer has, 1 / 0.7 two
        ends = sorted({max(1, round(part / parts * count)) for part in range(1, parts + 1)})
    starts = [0, *ends[:-1]]
    return tuple(tuple(trained[count - end : count - start]) for start, end in zip(starts, ends, strict=True))


def _named(names: tuple[str, ...], trained: Sequence[str], stage: int) -> tuple[tuple[str, ...], ...]:
    wakings: list[tuple[str, ...]] = []
    woken: dict[str, str] = {}
    for name in names:
        found = blocks.named(list(trained), name)
        if found is None:
            raise ConfigError(
                f"unfreezing in stage {stage}: {name!r} is no layer group that the stage trains."
                f"{suggest(name, blocks.addressable(list(trained)))} It trains {', '.join(trained)}."
            )
        own = tuple(trained[at] for at in found)
        twice = [group for group in own if group in woken]
        if twice:
            raise ConfigError(
                f"unfreezing in stage {stage}: {woken[twice[0]]!r} and {name!r} both wake {twice[0]}, which can wake "
                "only once. Leave one of them out."
            )
        woken.update(dict.fromkeys(own, name))
        wakings.append(own)
    return tuple(wakings)


def _whole_epochs(stage: int, steps: int, steps_per_epoch: int) -> int:
    epochs, rest = divmod(steps, steps_per_epoch)
    if rest:
        raise ConfigError(
            f"stage {stage} has unfreezing, which needs whole epochs: {steps} steps are {_count(epochs, 'epoch')} of "
            f"{steps_per_epoch} and {rest} more. Write epochs={epochs + 1}."
        )
    return epochs


def _check_times(stage: int, times: tuple[int, ...], unit: str, end: int) -> None:
    if times[-1] >= end:
        one = unit.removesuffix("s")
        raise ConfigError(
            f"unfreezing in stage {stage} never ends: the last of {_count(len(times), 'waking')} would come before "
            f"{one} {times[-1]}, counted from 0, and the stage has {_count(end, one)}. Write {unit}={times[-1] + 1} or "
            "more, or wake more groups at a time."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
