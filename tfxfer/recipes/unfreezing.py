"""How the layer groups of a stage wake bit by bit, as values."""

import dataclasses
from collections.abc import Callable
from typing import Literal

from tfxfer import values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gradual:
    """Wakes layer groups of a stage one after the other, at fixed times within its one `fit`.

    Attributes:
        groups: what wakes at each time, from the output down: a whole number of the layer groups that the stage
            trains, or a share of them above 0 and below 1, the head alone training before; or names of groups or
            stages of the network in the order in which they wake, what no name means training from the beginning.
        every: epochs or steps from one waking to the next, and before the first, ≥ 1.
        unit: of `every`.
        warmup_steps: ≥ 0, in which the rate of what has woken rises to its place.
    """

    groups: int | float | tuple[str, ...] = 1
    every: int = 1
    unit: Literal["epochs", "steps"] = "epochs"
    warmup_steps: int = 0

    def __post_init__(self):
        """Takes a list for a tuple; refuses values outside their ranges."""
        _check_unfreezing(self, {f"every={self.every} must be at least 1": lambda: self.every >= 1})


@dataclasses.dataclass(frozen=True, kw_only=True)
class WhenStalled:
    """Wakes the next layer groups of a stage when validation has not improved for some epochs, within its one `fit`.

    Attributes:
        groups: what wakes each time, as in `Gradual`.
        patience: epochs without improvement, ≥ 1.
        monitor: what is to fall or to rise.
        min_delta: what counts as an improvement, ≥ 0.
        warmup_steps: ≥ 0, in which the rate of what has woken rises to its place.
    """

    groups: int | float | tuple[str, ...] = 1
    patience: int = 2
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    min_delta: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self):
        """Takes a list for a tuple; refuses values outside their ranges."""
        checks = {
            f"patience={self.patience} must be at least 1": lambda: self.patience >= 1,
            f"min_delta={self.min_delta} must be a number of at least 0": lambda: 0 <= self.min_delta < float("inf"),
        }
        _check_unfreezing(self, checks)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Searching:
    """Wakes layer groups of a stage as long as validation improves by it, within its one `fit`.

    Each waking is tried for some epochs. What helped stays and the next is tried; what did not is put back with the
    weights and the optimizer's state of before, and the stage ends.

    Attributes:
        groups: what is tried each time, as in `Gradual`.
        epochs: of each trial, and before the first, ≥ 1.
        monitor: what is to fall or to rise.
        min_delta: what counts as an improvement, ≥ 0.
        warmup_steps: ≥ 0, in which the rate of what has woken rises to its place.
    """

    groups: int | float | tuple[str, ...] = 1
    epochs: int = 1
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    min_delta: float = 0.0
    warmup_steps: int = 0

    def __post_init__(self):
        """Takes a list for a tuple; refuses values outside their ranges."""
        checks = {
            f"epochs={self.epochs} must be at least 1": lambda: self.epochs >= 1,
            f"min_delta={self.min_delta} must be a number of at least 0": lambda: 0 <= self.min_delta < float("inf"),
        }
        _check_unfreezing(self, checks)


Unfreezing = Gradual | WhenStalled | Searching


def _check_unfreezing(value: Unfreezing, checks: dict[str, Callable[[], bool]]) -> None:
    """Takes a list of `groups` for a tuple, and refuses what is out of range; `checks` are asked if types are right."""
    if isinstance(value.groups, list):
        object.__setattr__(value, "groups", tuple(value.groups))
    problems = values.check_fields(value)
    if not problems:
        problems = [problem for problem, holds in checks.items() if not holds()]
        if value.warmup_steps < 0:
            problems.append(f"warmup_steps={value.warmup_steps} must be at least 0")
        problems += _woken_nothing(value.groups)
    values.refuse(value, problems)


def _woken_nothing(groups: int | float | tuple[str, ...]) -> list[str]:
    if isinstance(groups, int):
        return [] if groups >= 1 else [f"groups={groups} must be at least 1 group at a time"]
    if isinstance(groups, float):
        return [] if 0 < groups < 1 else [f"groups={groups} is a share of the groups and must be between 0 and 1"]
    if not all(groups):
        return [f"groups={groups!r} has an empty name"]
    if len(set(groups)) < len(groups):
        return [f"groups={groups!r} names one twice, and it can wake only once"]
    return [] if groups else ["groups=() wakes nothing; name layer groups, or write groups=1 for one after the other"]
