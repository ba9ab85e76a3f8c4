"""When gradual unfreezing changes what trains: decides, by times or by a metric, and changes nothing itself."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

from tfxfer.errors import ConfigError

Train = int | float | str | Sequence[str]


@dataclasses.dataclass(frozen=True)
class Decision:
    """What is to be done now.

    Attributes:
        kind: "change" what trains; "try" a change that can be put back; "keep" the one that was tried; "put back".
        train: what trains from now on.
        reason: in words.
    """

    kind: Literal["change", "try", "keep", "put back"]
    train: Train
    reason: str


class Schedule:
    """Decides when what trains changes; asked by `GradualUnfreezing`, in the order of the methods.

    Attributes:
        trains: one after the other.
        counts_steps: whether `at_step` decides and not `at_epoch`.
        only_grows: whether each of `trains` must train all that the one before trains.
    """

    trains: tuple[Train, ...] = ()
    counts_steps = False
    only_grows = False
    # What changes in a `fit`: attributes by name.
    _state: tuple[str, ...] = ()

    def get_state(self) -> dict[str, float]:
        """Returns what it knows of this `fit`."""
        return {name: getattr(self, name) for name in self._state}

    def set_state(self, told: Mapping[str, float]) -> None:
        """Takes what it knew when another process stopped."""
        for name in self._state:
            setattr(self, name, told[name])

    def check(self, epochs: int, steps: int | None) -> None:
        """Raises a ConfigError where the schedule does not fit into `epochs` of `steps` each (`None`: unknown)."""

    def begin(self) -> None:
        """Forgets what it knows of another `fit`."""

    def at_epoch(self, epoch: int) -> Decision | None:
        """Returns what is to be done before an epoch, counted from 0."""

    def at_step(self, step: int) -> Decision | None:
        """Returns what is to be done before an optimizer step, counted from 0."""

    def after_epoch(self, epoch: int, logs: Mapping[str, float]) -> Decision | None:
        """Returns what is to be done after an epoch with these metrics."""

    def at_end(self) -> Decision | None:
        """Returns what is to be done when training ends."""

    def steps_to_change(self, step: int) -> int | None:
        """Returns how many steps behind `step` the next change by steps comes; None for none."""


class AtTimes(Schedule):
    """Changes at given epochs or steps."""

    _state = ("_now",)

    def __init__(self, schedule: Mapping[int, Train], *, by: str):
        """Takes from when → what; raises a ConfigError for what is no such mapping."""
        if by not in ("epoch", "step"):
            raise ConfigError(f"by={by!r} is neither 'epoch' nor 'step'.")
        if not isinstance(schedule, Mapping) or not schedule:
            raise ConfigError(f'schedule={schedule!r} must say from when what trains, such as {{0: "head", 2: "all"}}.')
        strange = [when for when in schedule if not isinstance(when, int) or isinstance(when, bool) or when < 0]
        if strange:
            raise ConfigError(f"schedule: {strange[0]!r} is no {by}. They are whole numbers from 0 on.")
        self._times = tuple(sorted(schedule))
        self.trains = tuple(schedule[time] for time in self._times)
        self.counts_steps = by == "step"
        self._unit = by
        self._now = -1

    def check(self, epochs: int, steps: int | None) -> None:
        """Refuses times at which training is over; steps of other fits before count, so only their own are known."""
        if not self.counts_steps and self._times[-1] >= epochs:
            raise ConfigError(
                f"the schedule's epoch {self._times[-1]} never comes: fit has {epochs} epochs, counted from 0. Give "
                f"fit more epochs, at least {self._times[-1] + 1}, or take the entry out."
            )
        if self.counts_steps and steps is not None and self._times[-1] >= epochs * steps:
            raise ConfigError(
                f"the schedule's step {self._times[-1]} never comes: fit has {epochs} epochs of {steps} steps, "
                f"{epochs * steps} in all, counted from 0."
            )

    def begin(self) -> None:
        """Forgets which entry is in force."""
        self._now = -1

    def at_epoch(self, epoch: int) -> Decision | None:
        """Returns the entry in force, if it is another than before."""
        return None if self.counts_steps else self._at(epoch)

    def at_step(self, step: int) -> Decision | None:
        """Returns the entry in force, if it is another than before."""
        return self._at(step) if self.counts_steps else None

    def steps_to_change(self, step: int) -> int | None:
        """Returns the steps from `step` to the next entry."""
        later = [time - step for time in self._times if time > step] if self.counts_steps else []
        return min(later, default=None)

    def _at(self, time: int) -> Decision | None:
        number = sum(start <= time for start in self._times) - 1
        if number == self._now:
            return None
        self._now = number
        return Decision("change", self.trains[number], f"from {self._unit} {self._times[number]} on")


class _Metric:
    """Tells from the logs of `fit` whether a metric has improved."""

    def __init__(self, monitor: str, min_delta: float, mode: str):
        if mode not in ("auto", "min", "max"):
            raise ConfigError(f"mode={mode!r} is not one of 'auto', 'min', 'max'.")
        if not (isinstance(min_delta, (int, float)) and math.isfinite(min_delta) and min_delta >= 0):
            raise ConfigError(f"min_delta={min_delta!r} must be a number of at least 0.")
        grows = any(word in monitor for word in ("acc", "auc", "precision", "recall", "f1"))
        self._sign = 1 if mode == "max" or (mode == "auto" and grows) else -1
        self._monitor, self._min_delta = monitor, min_delta

    def value(self, logs: Mapping[str, float]) -> float:
        """Returns the metric, larger being better."""
        if self._monitor not in logs:
            raise ConfigError(
                f"monitor={self._monitor!r} is not measured. Measured are {', '.join(logs) or 'none'}; a name with "
                "val_ needs validation_data."
            )
        value = float(logs[self._monitor])
        return self._sign * value if math.isfinite(value) else -math.inf

    def improves(self, value: float, former: float) -> bool:
        return value > former + self._min_delta

    def words(self, value: float, former: float) -> str:
        return f"{self._monitor} {self._sign * former:.4g} → {self._sign * value:.4g}"


class WhenStalled(Schedule):
    """Goes on to the next when a metric has not improved for some epochs."""

    _state = ("_number", "_best", "_waited")

    def __init__(self, trains: Sequence[Train], monitor: str, patience: int, min_delta: float, mode: str):
        """Takes what trains one after the other; raises a ConfigError for numbers out of range."""
        self.trains = _checked(trains)
        self._metric = _Metric(monitor, min_delta, mode)
        self._patience = _whole("patience", patience)
        self.begin()

    def begin(self) -> None:
        """Starts at the first, without a best value."""
        self._number, self._best, self._waited = -1, -math.inf, 0

    def at_epoch(self, epoch: int) -> Decision | None:
        """Returns the first, at the beginning, or the next, when the metric has stalled."""
        if self._number >= 0 and self._waited < self._patience:
            return None
        if self._number + 1 == len(self.trains):
            return None
        self._number += 1
        waited, self._waited = self._waited, 0
        reason = f"{waited} epochs without improvement" if self._number else "from the beginning"
        return Decision("change", self.trains[self._number], reason)

    def after_epoch(self, epoch: int, logs: Mapping[str, float]) -> Decision | None:
        """Counts the epochs without improvement; what they lead to is done before the next one."""
        value = self._metric.value(logs)
        if self._metric.improves(value, self._best):
            self._best, self._waited = value, 0
        else:
            self._waited += 1


class Searching(Schedule):
    """Tries one after the other as long as the metric improves."""

    only_grows = True
    _state = ("_number", "_passed", "_before", "_last")

    def __init__(self, trains: Sequence[Train], monitor: str, epochs: int, min_delta: float, mode: str):
        """Takes what trains one after the other; raises a ConfigError for numbers out of range."""
        self.trains = _checked(trains)
        if len(self.trains) < 2:
            raise ConfigError(
                f"trains={trains!r} leaves nothing to search: give at least two, the first to begin with."
            )
        self._metric = _Metric(monitor, min_delta, mode)
        self._epochs = _whole("epochs", epochs)
        self.begin()

    def check(self, epochs: int, steps: int | None) -> None:
        """Refuses a fit that is over before the first trial is."""
        if epochs < 2 * self._epochs:
            raise ConfigError(
                f"fit has {epochs} epochs, and the first trial ends after {2 * self._epochs}: {self._epochs} before "
                f"and {self._epochs} within it. Give fit more epochs; the whole search takes "
                f"{len(self.trains) * self._epochs}."
            )

    def begin(self) -> None:
        """Starts at the first."""
        self._number, self._passed, self._before, self._last = -1, 0, -math.inf, -math.inf

    def at_epoch(self, epoch: int) -> Decision | None:
        """Returns the first, at the beginning, or the next, when the one before has proved itself."""
        if self._number < 0:
            self._number = 0
            return Decision("change", self.trains[0], "from the beginning")
        if self._passed < self._epochs or self._number + 1 == len(self.trains):
            return None
        self._number, self._passed, self._before = self._number + 1, 0, self._last
        return Decision("try", self.trains[self._number], "tried")

    def after_epoch(self, epoch: int, logs: Mapping[str, float]) -> Decision | None:
        """Judges the trial at its end."""
        self._last = self._metric.value(logs)
        self._passed += 1
        return self._judged() if self._number > 0 and self._passed == self._epochs else None

    def at_end(self) -> Decision | None:
        """Judges a trial that the end of training cut short."""
        return self._judged() if self._number > 0 and 0 < self._passed < self._epochs else None

    def _judged(self) -> Decision:
        words = self._metric.words(self._last, self._before)
        if self._metric.improves(self._last, self._before):
            return Decision("keep", self.trains[self._number], words)
        self._passed = self._epochs
        return Decision(
            "put back", self.trains[self._number - 1], f"{self.trains[self._number]!r} did not help, {words}"
        )


def _checked(trains: Sequence[Train]) -> tuple[Train, ...]:
    if isinstance(trains, str) or not isinstance(trains, Sequence) or not trains:
        raise ConfigError(f'trains={trains!r} must list what trains one after the other, such as ["head", 1, "all"].')
    return tuple(trains)


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name}={value!r} must be a whole number of at least 1.")
    return value
