"""Changes what trains within one `fit`: at given epochs or steps, when a metric stalls, or as long as it helps.

What trained goes on with every bit of its optimizer's state, what wakes starts as under a fresh optimizer at the
present rate; `DifferentialLearningRate` sees to both. When to change is decided in `unfreezing_schedules`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfxfer import models, optimizers, values
from tfxfer.addressing import Places
from tfxfer.callbacks import unfreezing_schedules as schedules
from tfxfer.callbacks.unfreezing_schedules import Train
from tfxfer.errors import ConfigError
from tfxfer.models import selection
from tfxfer.recipes import BatchNorm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One change of what trains.

    Attributes:
        epoch: in which it was made, counted from 0 as `fit` does.
        step: optimizer steps made before it.
        train: what trains from then on, as in `freeze`.
        reason: why, in words.
        done: counts of layers and weights.
    """

    epoch: int
    step: int
    train: Train
    reason: str
    done: models.Frozen

    def __str__(self) -> str:
        return f"epoch {self.epoch + 1}: {self.reason}, train={_short(self.train)}: {self.done}"


class GradualUnfreezing(keras.callbacks.Callback):
    """Wakes more of a network as training goes on, within one `fit` and without a second `compile`.

    >>> model.compile(tfxfer.DifferentialLearningRate(keras.optimizers.Adam(1e-3), rates, model=model), loss="mse")
    >>> callback = tfxfer.GradualUnfreezing({0: "head", 2: 1, 4: "stage3"})
    >>> model.fit(dataset, epochs=6, callbacks=[callback])
    >>> [change.train for change in callback.changes]
    ['head', 1, 'stage3']

    The entry in force is a function of the epoch (or step) alone, so that `fit(initial_epoch=…)` of a saved model goes
    on where it was. After each change, and at the end, frozen variables are compared bit by bit.
    """

    def __init__(
        self,
        schedule: Mapping[int, Train] | schedules.Schedule,
        *,
        by: str = "epoch",
        batch_norm: BatchNorm = "frozen",
        warmup_steps: int = 0,
        reset: Sequence[keras.callbacks.Callback] = (),
        show: Callable[[str], None] | None = print,
        named_by: keras.Model | None = None,
    ):
        """Makes the callback; `when_stalled` and `searching` make other kinds.

        Args:
            schedule: from when → what trains from then on, as `train` of `freeze`. Counted from 0; before the first
                entry the model trains as it was given.
            by: "epoch", or "step", of the optimizer.
            batch_norm: of what trains, as in `freeze`.
            warmup_steps: ≥ 0, in which the rate of what wakes rises to its place.
            reset: callbacks that begin anew at each change, such as `EarlyStopping` and `ReduceLROnPlateau`, whose best
                value belongs to another freeze state; those that are not named carry on.
            show: called with a line for each change; `None` for silence.
            named_by: the model in which names mean something and groups are counted, frozen in place too, where `fit`
                is of another one that shares its layers, such as a part of it behind cached activations.

        Raises:
            ConfigError: an empty schedule, a time that is no whole number from 0 on, or what no freeze can mean.
        """
        super().__init__()
        if not isinstance(warmup_steps, int) or isinstance(warmup_steps, bool) or warmup_steps < 0:
            raise ConfigError(f"warmup_steps={warmup_steps!r} must be a whole number of at least 0.")
        strange = [one for one in reset if not isinstance(one, keras.callbacks.Callback)]
        if strange:
            raise ConfigError(f"reset={strange[0]!r} is no callback. Give the objects that `fit` gets too.")
        own = isinstance(schedule, schedules.Schedule)
        self._schedule = schedule if own else schedules.AtTimes(schedule, by=by)
        self._batch_norm, self._warmup_steps = batch_norm, warmup_steps
        self._reset, self._show, self._named_by = tuple(reset), show, named_by
        self._epoch = 0
        self._trial: _State | None = None
        self._goes_on = False
        self._proof: models.Proof | None = None
        self.changes: list[Change] = []

    @classmethod
    def when_stalled(
        cls,
        trains: Sequence[Train],
        *,
        monitor: str = "val_loss",
        patience: int = 2,
        min_delta: float = 0.0,
        mode: str = "auto",
        **settings,
    ) -> "GradualUnfreezing":
        """Returns a callback that goes on to the next of `trains` when a metric has stopped to improve.

        Args:
            trains: what trains, one after the other, as in `freeze`; the first from the beginning.
            monitor: name of the metric, as in `EarlyStopping`.
            patience: epochs without improvement before a change, ≥ 1.
            min_delta: what counts as an improvement, ≥ 0.
            mode: "min", "max", or "auto": by the name.
            settings: as of the class.
        """
        return cls(schedules.WhenStalled(trains, monitor, patience, min_delta, mode), **settings)

    @classmethod
    def searching(
        cls,
        trains: Sequence[Train],
        *,
        monitor: str = "val_loss",
        epochs: int = 1,
        min_delta: float = 0.0,
        mode: str = "auto",
        **settings,
    ) -> "GradualUnfreezing":
        """Returns a callback that unlocks, looks whether validation improves, and takes back what did not help.

        "Unlock one or two layers at a time and see": each of `trains` is tried for `epochs`. If the metric at their end
        is better than before, it stays and the next is tried; if not, the weights, the optimizer's state and the freeze
        state of before are put back and training stops. `found` is what was kept.

        Args:
            trains: what trains, one after the other, as in `freeze`; the first from the beginning.
            monitor: name of the metric, as in `EarlyStopping`.
            epochs: of each trial, and of the first, ≥ 1.
            min_delta: what counts as an improvement, ≥ 0.
            mode: "min", "max", or "auto": by the name.
            settings: as of the class.
        """
        return cls(schedules.Searching(trains, monitor, epochs, min_delta, mode), **settings)

    @property
    def found(self) -> Train | None:
        """What trains by the last change that stood; `None` before the first."""
        return self.changes[-1].train if self.changes else None

    def on_train_begin(self, logs=None):
        """Finds everything that could go wrong, before anything trains."""
        optimizer = optimizers.of(self.model)
        if optimizer is None:
            kind = type(self.model.optimizer).__name__
            raise ConfigError(
                f"GradualUnfreezing needs an optimizer that variables can join: compile with "
                f"tfxfer.DifferentialLearningRate(optimizer, multipliers), not with {kind} alone. Without other rates: "
                f"DifferentialLearningRate(keras.optimizers.{kind}(…), lambda variable: 1.0)."
            )
        self._schedule.check(self.params["epochs"], self.params.get("steps"))
        self._check_trains(optimizer)
        if not self._goes_on:
            self._schedule.begin()
            self.changes, self._trial = [], None
        self._goes_on = False
        self._watch()

    def on_epoch_begin(self, epoch, logs=None):
        """Changes what trains, if it is time."""
        self._epoch = epoch
        self._follow(self._schedule.at_epoch(epoch))

    def on_train_batch_begin(self, batch, logs=None):
        """Changes what trains, if it is time by steps."""
        pace = getattr(self.model, "pace", None)  # of tfxfer's own model, which may have made steps ahead
        if self._schedule.counts_steps and (pace is None or pace.is_caught_up):
            self._follow(self._schedule.at_step(self._step()))

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the metric, where one decides."""
        self._follow(self._schedule.after_epoch(epoch, logs or {}))

    def on_train_end(self, logs=None):
        """Takes back a trial that did not help, and compares what was frozen."""
        self._follow(self._schedule.at_end())
        if self._proof is not None:
            self._proof.check(steps=0)  # whether all has moved is no question after `restore_best_weights`

    def steps_to_change(self) -> int | None:
        """Returns how many steps the optimizer makes until the next change by steps; `None` for none."""
        return self._schedule.steps_to_change(self._step())

    def get_state(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Returns what it knows in the middle of a `fit`, for a process that goes on with it: JSON types and arrays."""
        told = {
            "schedule": self._schedule.get_state(),
            "changes": [values.to_json(change) | {"done": None} for change in self.changes],
            "tries": self._trial is not None,
            "epoch": self._epoch,
        }
        return told, self._trial.arrays if self._trial is not None else []

    def set_state(self, told: dict[str, Any], arrays: Sequence[np.ndarray]) -> None:
        """Takes what `get_state` gave, before `fit(initial_epoch=…)` of the same model, frozen as at the beginning.

        It makes the changes of before again, so that the optimizer has the slots that it had; their numbers, and those
        of the model, are the caller's to put back.
        """
        self.changes = []
        for number, change in enumerate(told["changes"]):
            if told["tries"] and number == len(told["changes"]) - 1:
                self._trial = _State(self.model, arrays)
            train = tuple(change["train"]) if isinstance(change["train"], list) else change["train"]
            self.changes.append(Change(**change | {"train": train, "done": self._frozen(train, self._warmup_steps)}))
        self._schedule.set_state(told["schedule"])
        self._epoch = told["epoch"]
        self._goes_on = True

    def _check_trains(self, optimizer: optimizers.DifferentialLearningRate) -> None:
        """Finds entries that mean nothing, the same as the one before, or variables without a multiplier."""
        places = Places(self._named)
        held = models.held_batch_norm(places, self._batch_norm)
        former: set[int] = set()
        for train in self._schedule.trains:
            wanted = selection.selected(places, train, None)
            if wanted == former:
                raise ConfigError(
                    f"the schedule's train={train!r} means just what the entry before it means. Leave it out."
                )
            if self._schedule.only_grows and former - wanted:
                raise ConfigError(
                    f"train={train!r} would freeze what the entry before it trains, and a search only unlocks more."
                )
            former = wanted
            for place in places.places:
                if id(place.variable) in wanted - held:
                    optimizer.multiplier(place.variable)

    def _follow(self, decision: schedules.Decision | None) -> None:
        if decision is None:
            return
        if decision.kind == "put back":
            self._put_back(decision)
            return
        if decision.kind == "try":
            self._trial = _State(self.model)
        elif decision.kind == "keep":
            self._trial = None
            if self._show is not None:
                self._show(f"epoch {self._epoch + 1}: kept, {decision.reason}")
            return
        self._change(decision)

    def _change(self, decision: schedules.Decision) -> None:
        if self._proof is not None:
            self._proof.check(steps=self._step() - self._since)
        self._record(decision, self._frozen(decision.train, self._warmup_steps))

    @property
    def _named(self) -> keras.Model:
        return self.model if self._named_by is None else self._named_by

    def _frozen(self, train: Train, warmup_steps: int) -> models.Frozen:
        with self.model.distribute_strategy.scope():
            settings = {"train": train, "batch_norm": self._batch_norm}
            if self._named_by is None:
                return models.freeze(self.model, **settings, warmup_steps=warmup_steps)
            done = models.freeze(self._named_by, **settings)
            models.follow(self.model, self.model.optimizer, warmup_steps=warmup_steps)
            return done

    def _record(self, decision: schedules.Decision, done: models.Frozen) -> None:
        change = Change(epoch=self._epoch, step=self._step(), train=decision.train, reason=decision.reason, done=done)
        self.changes.append(change)
        for callback in self._reset:
            callback.on_train_begin()
        if self._show is not None:
            self._show(str(change))
        self._watch()

    def _put_back(self, decision: schedules.Decision) -> None:
        done = self._frozen(decision.train, 0)
        self._trial.restore()
        self._trial = None
        self._record(decision, done)
        self.model.stop_training = True

    def _watch(self) -> None:
        self._proof, self._since = models.Proof(self.model), self._step()

    def _step(self) -> int:
        return int(keras.ops.convert_to_numpy(optimizers.of(self.model).iterations))


def _short(train: Train) -> str:
    if isinstance(train, (int, float, str)) or len(train) < 4:
        return repr(train)
    return f"{train[0]!r} … {train[-1]!r} ({len(train)} names)"


class _State:
    """The numbers of a model and its optimizer before a trial."""

    def __init__(self, model: keras.Model, arrays: Sequence[np.ndarray] | None = None):
        """Takes the numbers as they are, or `arrays` as they were."""
        self._variables = [*model.variables, *model.optimizer.variables]
        self.arrays = [variable.numpy() for variable in self._variables] if arrays is None else list(arrays)

    def restore(self) -> None:
        """Puts them back once what woke sleeps again; a search only unlocks more, so the slots are the same objects."""
        for variable, numbers in zip(self._variables, self.arrays, strict=True):
            variable.assign(numbers)
