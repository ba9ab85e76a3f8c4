"""A plan: what was decided, with no "auto" and no `None` left. Two parts, *what* and *how*."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Literal

from tfxfer import augmentation, decoders, values
from tfxfer.augmentation import Augment
from tfxfer.framing import Framing, Resize
from tfxfer.heads import Head
from tfxfer.objectives import Loss, Metric
from tfxfer.plans.imbalance import NOTHING, ImbalancePlan
from tfxfer.recipes import BatchNorm, ComputePrecision, GroupRates, Optimizer, Schedule
from tfxfer.reuse import Precision
from tfxfer.tasks import SINGLE_LABEL, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnfreezingPlan:
    """Which layer groups of a stage wake behind its beginning, and when; the default is that none does.

    Attributes:
        by: "nothing"; "epochs" or "steps": at `times`; "stall": when `monitor` has not improved for `epochs`; "search":
            each is tried for `epochs` and put back if `monitor` has not improved, which ends the stage.
        wakings: for each the names of the layer groups that wake, input first.
        times: for each, before which epoch or step it comes, counted from 0.
        monitor: "val_loss" or "val_accuracy".
        epochs: without improvement, or of a trial.
        min_delta: what counts as an improvement.
        warmup_steps: in which the rate of what has woken rises to its place.
    """

    by: Literal["nothing", "epochs", "steps", "stall", "search"] = "nothing"
    wakings: tuple[tuple[str, ...], ...] = ()
    times: tuple[int, ...] = ()
    monitor: str = ""
    epochs: int = 0
    min_delta: float = 0.0
    warmup_steps: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage, decided.

    Attributes:
        name: such as `1 head`; unique within a plan.
        trained: names of the layer groups that ever train beside the head, input first; the rest are frozen.
        trained_layers: for each of `trained`, the addresses of the layers of it that train; empty where all do.
        unfreezing: which of them wake behind the beginning of the stage.
        rates: for each of `trained`, the share of the rate that it gets, in (0, 1]. The head has 1.
        bias_rate: the rate of biases over that of the other variables of their group.
        group_rates: "planned": each variable has its group's share; "auto_rgn": at most that, by a measurement at
            the begin of each epoch.
        batch_norm: mode of the batch norm layers in the trained groups.
        refresh_statistics: whether their statistics are measured anew after the stage.
        views: of each training picture, of which an epoch shows one.
        steps: optimizer steps; `steps_per_epoch` make one pass over the training examples.
        optimizer: which, with its numbers.
        learning_rate: the head's rate at its peak, after `warmup_steps`.
        schedule: how it goes before and after.
        cycle_start: for "one_cycle": the share of the peak that the rate begins at.
        decay_steps: for "staircase": the steps behind which it falls to a tenth.
        weight_decay: on kernels; decoupled where the optimizer says nothing else.
        clip_norm: limit of the global gradient norm; 0 for none.
        label_smoothing: share of the label spread over all classes.
        rescale_head: whether the head is scaled before the stage to logits of standard deviation 1.
        rollbacks: how often it goes back with half the rate when its loss is no number.
        restore_best_weights: whether it ends with the weights of its best epoch.
        trainable_weights: numbers that the optimizer moves.
        trainable_tensors: variables that it moves.
        slot_bytes: memory of the optimizer's slots, float32: one for each weight under SGD with momentum, two under
            Adam.
    """

    name: str
    trained: tuple[str, ...]
    trained_layers: tuple[tuple[str, ...], ...]
    unfreezing: UnfreezingPlan
    rates: tuple[float, ...]
    bias_rate: float
    group_rates: GroupRates
    batch_norm: BatchNorm
    refresh_statistics: bool
    views: int
    steps: int
    steps_per_epoch: int
    optimizer: Optimizer
    learning_rate: float
    schedule: Schedule
    warmup_steps: int
    cycle_start: float
    decay_steps: tuple[int, ...]
    weight_decay: float
    clip_norm: float
    label_smoothing: float
    rescale_head: bool
    rollbacks: int
    restore_best_weights: bool
    trainable_weights: int
    trainable_tensors: int
    slot_bytes: int

    def addresses(self, groups: Sequence[str] | None = None) -> tuple[str, ...]:
        """Returns what `freeze` gets as `train` so that of `groups`, all of `trained` if none are given, just what
        is planned trains."""
        parts = dict(zip(self.trained, self.trained_layers, strict=True))
        return tuple(name for group in (parts if groups is None else groups) for name in parts[group] or (group,))

    def groups_of(self, addresses: Collection[str]) -> tuple[str, ...]:
        """Returns which of `trained` some addresses stand for, input first."""
        return tuple(group for group in self.trained if not set(self.addresses((group,))).isdisjoint(addresses))

    def awake(self, wakings: int) -> tuple[str, ...]:
        """Returns which of `trained` train after so many wakings, input first."""
        asleep = {name for names in self.unfreezing.wakings[wakings:] for name in names}
        return tuple(name for name in self.trained if name not in asleep)


@dataclasses.dataclass(frozen=True, kw_only=True)
class What:
    """The part that decides the result: its digest must match when a run goes on.

    Attributes:
        data: fingerprint of the examples and their splits.
        backbone: handle; `weights_digest` of the weights it starts from.
        image_size: height and width in pixels.
        resize: how pictures become squares, on which `background`; see `Framing`.
        background: see there.
        class_names: in the order of the logits; names of labels, or of the targets of regression.
        head: with its number of outputs.
        batch_size: examples in one optimizer step, on all devices together.
        seed: of every random number.
        precision: that the backbone computes in while it trains.
        augment: what is done to training pictures.
        synchronise_batch_norm: whether devices normalise by the whole batch, and not each by its share.
        stages: in order.
        imbalance: what is done about classes with few examples.
        task: what is to be told of a picture.
        loss: that is made small; "" for that of the task.
        metrics: shown besides those of the task.
    """

    data: str
    backbone: str
    weights_digest: str
    image_size: int
    resize: Resize
    class_names: tuple[str, ...]
    head: Head
    batch_size: int
    seed: int
    precision: ComputePrecision
    augment: Augment
    synchronise_batch_norm: bool
    stages: tuple[StagePlan, ...]
    imbalance: ImbalancePlan = NOTHING
    background: str = Framing.background
    task: Task = SINGLE_LABEL
    loss: Loss = ""
    metrics: tuple[Metric, ...] = ()

    @property
    def framing(self) -> Framing:
        """How pictures become squares."""
        return Framing(resize=self.resize, background=self.background)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageCache:
    """The activations that are kept for a stage.

    Attributes:
        stage: its name.
        cut: name of the layer group that they are those behind of, or "features": what the head is put on.
        source: what they are computed from: "pixels", or a cut nearer to the input, whose activations a later stage
            needs.
        precision: of the numbers kept.
        store: "memory" or "disk".
        row_bytes: of one picture's; `bytes` of those of all views of all training and validation pictures.
        seconds_saved: by it, expected; 0 where nothing was measured.
    """

    stage: str
    cut: str
    source: str
    precision: Precision
    store: Literal["memory", "disk"]
    row_bytes: int
    bytes: int
    seconds_saved: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class How:
    """The part that may change between runs and never changes the result.

    Attributes:
        devices: names of the devices that train.
        strategy: how they share the work, a name of `tf.distribute`; `strategy_reason` why it is that one.
        strategy_reason: see there.
        per_replica_batch: examples that each device sees in one step, at most.
        step_bytes: for each stage, about how much memory a step takes on each device; 0 where nothing is known.
        jit_compile: whether XLA compiles the steps; `jit_reason` why.
        jit_reason: see there.
        deterministic: whether ops sum in the same order each time; `deterministic_reason` why.
        deterministic_reason: see there.
        caches: of the stages whose frozen part is computed once, for all epochs.
        cache_disk_bytes: most that activations on disk may take, those of other runs included.
        stage_seconds: for each stage, how long it is expected to take; 0 where nothing was measured.
        pixel_store: "memory", or "disk" where the decoded pictures do not fit.
        pixel_bytes: size of the decoded pictures.
        decoder: what decodes JPEGs, a name of `decoders`; all come to the same bytes.
        checkpoint_seconds: from one checkpoint within a stage to the next.
        checkpoints_kept: how many of a stage stay.
        checkpoint_bytes: size of the largest of them: what a stage moves, with the optimizer's slots.
        profile_steps: of each stage, the first that is profiled and the one behind the last; twice 0 for none.
        validate_every: optimizer steps from one look at validation within an epoch to the next; 0: there are none.
    """

    devices: tuple[str, ...]
    strategy: str
    strategy_reason: str
    per_replica_batch: int
    step_bytes: tuple[int, ...]
    jit_compile: bool
    jit_reason: str
    deterministic: bool
    deterministic_reason: str
    caches: tuple[StageCache, ...]
    cache_disk_bytes: int
    stage_seconds: tuple[float, ...]
    pixel_store: str
    pixel_bytes: int
    checkpoint_seconds: float
    checkpoints_kept: int
    checkpoint_bytes: int
    profile_steps: tuple[int, int]
    validate_every: int = 0
    decoder: str = decoders.PILLOW


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

    def cache_of(self, stage: str) -> StageCache | None:
        """Returns the cache of the stage of that name, if it has one."""
        return next((cache for cache in self.how.caches if cache.stage == stage), None)

    @property
    def digest(self) -> str:
        """16 hex digits that name the *what* part.

        Fields with a default came later than runs that could still go on: with it they do not count.
        """
        later = {field.name: field.default for field in dataclasses.fields(self.what)}
        told = values.to_json(self.what) | {"augment": augmentation.counted(self.what.augment)}
        return values.digest({name: told[name] for name in told if getattr(self.what, name) != later[name]})


def as_before(plan: Plan, before: Plan) -> Plan:
    """Returns a plan that keeps activations as another one with the same *what* does, since rounding depends on it."""
    kept = ("caches", "cache_disk_bytes", "stage_seconds")
    how = dataclasses.replace(plan.how, **{name: getattr(before.how, name) for name in kept})
    return dataclasses.replace(plan, how=how, reasons=before.reasons)
