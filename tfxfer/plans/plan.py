"""A plan: what was decided, with no "auto" and no `None` left. Two parts, *what* and *how*."""

import dataclasses

from tfxfer import values
from tfxfer.heads import Head
from tfxfer.recipes import BatchNorm, GroupRates, Optimizer, Schedule


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage, decided.

    Attributes:
        name: such as `1 head`; unique within a plan.
        trained: names of the layer groups that train beside the head, input first; the rest are frozen.
        rates: for each of `trained`, the share of the rate that it gets, in (0, 1]. The head has 1.
        group_rates: "planned": each variable has its group's share; "auto_rgn": at most that, by a measurement at
            the begin of each epoch.
        batch_norm: mode of the batch norm layers in the trained groups.
        steps: optimizer steps; `steps_per_epoch` make one pass over the training examples.
        optimizer: which, with its numbers.
        learning_rate: the head's rate at its peak, after `warmup_steps`.
        schedule: how it goes before and after.
        decay_steps: for "staircase": the steps behind which it falls to a tenth.
        weight_decay: decoupled, on kernels.
        clip_norm: limit of the global gradient norm; 0 for none.
        label_smoothing: share of the label spread over all classes.
        rescale_head: whether the head is scaled before the stage to logits of standard deviation 1.
        trainable_weights: numbers that the optimizer moves.
        trainable_tensors: variables that it moves.
        slot_bytes: memory of the optimizer's slots, float32: one for each weight under SGD with momentum, two under
            Adam.
    """

    name: str
    trained: tuple[str, ...]
    rates: tuple[float, ...]
    group_rates: GroupRates
    batch_norm: BatchNorm
    steps: int
    steps_per_epoch: int
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    warmup_steps: int
    decay_steps: tuple[int, ...]
    weight_decay: float
    clip_norm: float
    label_smoothing: float
    rescale_head: bool
    trainable_weights: int
    trainable_tensors: int
    slot_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class What:
    """The part that decides the result: its digest must match when a run goes on.

    Attributes:
        data: fingerprint of the examples and their splits.
        backbone: handle; `weights_digest` of the weights it starts from.
        image_size: height and width in pixels.
        resize: "squash" or "crop".
        class_names: in the order of the logits.
        head: with its number of outputs.
        batch_size: examples in one optimizer step, on all devices together.
        seed: of every random number.
        stages: in order.
    """

    data: str
    backbone: str
    weights_digest: str
    image_size: int
    resize: str
    class_names: tuple[str, ...]
    head: Head
    batch_size: int
    seed: int
    stages: tuple[StagePlan, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """The part that may change between runs and never changes the result.

    Attributes:
        devices: names of the devices that train.
        per_replica_batch: examples that each device sees in one step.
        cached_stages: names of the stages whose frozen part is computed once, for all epochs.
        cached_bytes: for each of them, the memory that its activations take, float32.
        pixel_store: "memory", or "disk" where the decoded pictures do not fit.
        pixel_bytes: size of the decoded pictures.
    """

    devices: tuple[str, ...]
    per_replica_batch: int
    cached_stages: tuple[str, ...]
    cached_bytes: tuple[int, ...]
    pixel_store: str
    pixel_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything decided about one run.

    Attributes:
        what: decides the result.
        how: does not.
        reasons: a sentence for each thing that was "auto".
    """

    what: What
    how: How
    reasons: tuple[str, ...]

    @property
    def digest(self) -> str:
        """16 hex digits that name the *what* part."""
        return values.digest(self.what)
