"""What training measured, epoch by epoch and stage by stage. Values only."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch measured: mean loss and accuracy in [0, 1], on training batches and on validation."""

    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageRecord:
    """What one stage did.

    Attributes:
        name: of the stage.
        epochs: in order.
        frozen_digest: of the variables that were to stand still, the same before and after.
        moved: how many of the variables that train did change.
        seconds: of the whole stage, features included.
        idle: paths of variables that train and did not change, such as a bias before batch norm.
    """

    name: str
    epochs: tuple[EpochRecord, ...]
    frozen_digest: str
    moved: int
    seconds: float
    idle: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class History:
    """What a whole training run measured: its stages, in order."""

    stages: tuple[StageRecord, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.seconds for stage in self.stages)
