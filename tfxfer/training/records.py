"""What training measured, epoch by epoch and stage by stage. Values only."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A metric of an epoch besides its loss: its name, and what it was on training batches and on validation."""

    name: str
    train: float
    validation: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch measured: mean loss and accuracy in [0, 1], on training batches and on validation.

    Attributes:
        loss: on training batches; `validation_loss` on validation.
        accuracy: likewise; None for tasks whose examples are not of one class.
        validation_loss: see there.
        validation_accuracy: see there.
        seconds: that the epoch took.
        others: what is measured where there is no accuracy: "f1" of labels, in [0, 1], or "mae", the mean absolute
            error of a number in the user's units; of several numbers "mae in deviations"; then what else was asked for.
    """

    loss: float
    accuracy: float | None
    validation_loss: float
    validation_accuracy: float | None
    seconds: float
    others: tuple[Score, ...] = ()

    @property
    def asked_for(self) -> tuple[Score, ...]:
        """The metrics that are there because they were asked for."""
        return self.others if self.accuracy is not None else self.others[1:]

    @property
    def score(self) -> Score:
        """The main metric besides the loss."""
        if self.accuracy is None or self.validation_accuracy is None:
            return self.others[0]
        return Score(name="accuracy", train=self.accuracy, validation=self.validation_accuracy)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LookRecord:
    """Validation within an epoch.

    Attributes:
        step: optimizer steps of the stage made before it.
        validation_loss: mean loss; `validation_accuracy` as in `EpochRecord`.
        validation_accuracy: see there.
        seconds: of the epoch until then, looks before this one among them.
        took: seconds of the look itself.
    """

    step: int
    validation_loss: float
    validation_accuracy: float | None
    seconds: float
    took: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class WakingRecord:
    """One change of what trains within a stage.

    Attributes:
        epoch: before which it was made, or in which, counted from 1.
        step: optimizer steps of the stage made before it.
        woke: names of the layer groups that train from then on and did not before, input first.
        slept: of those that train no more, since they did not help.
        reason: in words.
    """

    epoch: int
    step: int
    woke: tuple[str, ...]
    slept: tuple[str, ...]
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DriftRecord:
    """The loss after an epoch under the statistics of the batch and under the stored ones, on the same examples.

    Attributes:
        epoch: counted from 1.
        batch_loss: mean loss when batch norm normalises by the batch, as in training.
        stored_loss: when it normalises by what is stored, as in evaluation.
    """

    epoch: int
    batch_loss: float
    stored_loss: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class RefreshRecord:
    """What measuring the statistics of batch norm anew did; nothing, by default.

    Attributes:
        layers: how many batch norms have new statistics.
        examples: of the training split that were looked at.
        shift: the largest distance of a layer's old mean from its new one, in standard deviations.
        validation_loss: mean loss on validation afterwards; 0 if nothing was measured.
        validation_accuracy: share of validation examples that are right afterwards; 0 if nothing was measured, or the
            examples are not of one class.
    """

    layers: int = 0
    examples: int = 0
    shift: float = 0.0
    validation_loss: float = 0.0
    validation_accuracy: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What one stage did.

    Attributes:
        name: of the stage.
        epochs: in order.
        frozen_digest: of the variables that were to stand still, the same before and after.
        moved: how many of the variables that train did change.
        seconds: of the whole stage, features included.
        idle: variables that train and did not change, such as a bias before batch norm: the path, and why.
        wakings: changes of what trains behind its beginning, in order.
        drift: for each epoch in which statistics of batch norm moved, whether they fit the network.
        drift_warning: what was said of it; "" for nothing.
        refreshed: how they were measured anew after the stage.
        best_epoch: whose weights it ended with, counted from 1; 0: those of the last one.
        looks: at validation within epochs, in order, where that was asked for.
    """

    name: str
    epochs: tuple[EpochRecord, ...]
    frozen_digest: str
    moved: int
    seconds: float
    idle: tuple[str, ...] = ()
    wakings: tuple[WakingRecord, ...] = ()
    drift: tuple[DriftRecord, ...] = ()
    drift_warning: str = ""
    refreshed: RefreshRecord = RefreshRecord()
    best_epoch: int = 0
    looks: tuple[LookRecord, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """What a whole training run measured: its stages, in order."""

    stages: tuple[StageRecord, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.seconds for stage in self.stages)
