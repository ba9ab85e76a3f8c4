"""A stage of training, as a value: what trains, how long and how fast."""

import dataclasses
import itertools
from typing import Literal

from tfxfer import values
from tfxfer.recipes.optimizers import SGD, Optimizer
from tfxfer.recipes.selections import Frozen, Train, names_or_text, selected_nothing
from tfxfer.recipes.unfreezing import Searching, Unfreezing

BatchNorm = Literal["frozen", "affine", "train"]
Schedule = Literal["cosine", "constant", "one_cycle", "slanted_triangular", "staircase"]
GroupRates = Literal["planned", "auto_rgn"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One uninterrupted piece of training: what trains, how long and how fast.

    Attributes:
        train: "head"; "all"; a whole number k: the last k layer groups; a number between 0 and 1: that share
            of the groups, from the output down; "30%": that share of the weights, as nearly as whole layers make
            it; a name of a layer group, stage or layer: it and all that runs after it; an expression, "re:…", or
            positions, "layers[-8:]": just that (see `outlines`); or several of these names, in a tuple or with
            commas: exactly these, wherever they are ("stage2," means stage2 alone; "re:…" ends such a list). The
            head always trains.
        frozen: the same from the input up, instead of `train`: a number or share of layer groups, of weights
            ("90%"), a name: it and all that runs before it; "layers[:8]": just that; several names: exactly these.
        epochs: passes over the training examples, ≥ 1; exclusive with `steps`.
        steps: optimizer steps, ≥ 1; exclusive with `epochs`.
        optimizer: SGD(…) or Adam(…); each stage starts with a fresh one.
        learning_rate: the head's rate at its peak, > 0; "auto": for SGD 0.03 × batch size / 32, a third of that
            where only the head trains; for Adam 0.001 × √(batch size / 32), or what gives the groups a tenth of
            that where it is less.
        schedule: how the rate goes. It rises over the warm-up and then: "cosine": falls along a half cosine to 0;
            "constant": stays; "one_cycle": as fastai's, from `cycle_start` of the peak up and down to 1/100000, both
            along a cosine; "slanted_triangular": as ULMFiT's, from 1/32 up and down again along straight lines;
            "staircase": as BiT's, a tenth behind each of `decay_at`.
        warmup: share of the steps in which the rate rises, 0 ≤ warmup < 1; along a line where nothing else is said.
        cycle_start: for "one_cycle": the share of the peak that the rate begins at, 0 < start ≤ 1; fastai has 1/25.
        decay_at: for "staircase": where the rate falls, shares of the steps in order, each above `warmup` and
            below 1.
        group_rates: "planned": by the three numbers below; "auto_rgn": measured at the begin of each epoch, each
            variable in proportion to its relative gradient norm (Lee et al. 2023), at most the head's over
            `head_to_body`.
        head_to_body: the head's rate over the backbone's, before the two below, ≥ 1.
        layer_decay: how the rate falls toward the input, 0 < decay ≤ 1, normalised by depth: a group at
            relative depth d (0 input, 1 head) gets decay^(12·(1−d)) of the rate.
        group_factor: the same told otherwise, 1 ≤ factor ≤ 100: each group's rate over that of the group below it,
            counted from the head; ULMFiT has 2.6.
        bias_rate: the rate of biases over that of the other variables of their group, 0.01 to 100; Caffe has 2. The
            shift of a norm is a bias too.
        batch_norm: "frozen": stored statistics, gamma and beta fixed; "affine": stored statistics, gamma and
            beta of the trained groups train; "train": statistics move too; "auto": by the rule of the plan.
        refresh_statistics: whether the statistics of batch norm are measured anew after the stage, in one pass over
            the training examples; "auto": where they move, which is `batch_norm` "train".
        weight_decay: on kernels only, ≥ 0; multiplied by each variable's rate. Decoupled, but for
            SGD(decay_in_gradient=True).
        clip_norm: limit of the global gradient norm, > 0, or None.
        label_smoothing: 0 ≤ smoothing < 1.
        rescale_head: whether the head is scaled before the stage so that its logits have a standard deviation of 1,
            for a head that the stage before has trained; one of zeros stays.
        rollbacks: how often the stage goes back and on with half the rate when its loss is no number or far too large,
            0 to 10: to the checkpoint before its last one first, then to its beginning; in the end it stops.
        restore_best_weights: whether the stage ends with the weights of the epoch with the least validation loss,
            instead of the last one's.
        unfreezing: whether what `train` says wakes bit by bit within the stage: Gradual(…) at fixed times,
            WhenStalled(…) when validation stalls, Searching(…) as long as it helps; None for all at once.
    """

    train: Train = "head"
    frozen: Frozen | None = None
    epochs: int | None = None
    steps: int | None = None
    optimizer: Optimizer = dataclasses.field(default_factory=SGD)
    learning_rate: float | Literal["auto"] = "auto"
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    cycle_start: float = 0.04
    decay_at: tuple[float, ...] = ()
    group_rates: GroupRates = "planned"
    head_to_body: float = 10.0
    layer_decay: float = 1.0
    group_factor: float = 1.0
    bias_rate: float = 1.0
    batch_norm: BatchNorm | Literal["auto"] = "auto"
    refresh_statistics: bool | Literal["auto"] = "auto"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    rescale_head: bool = False
    rollbacks: int = 0
    restore_best_weights: bool = False
    unfreezing: Unfreezing | None = None

    def __post_init__(self):
        """Takes lists for tuples and names with commas for a tuple of them; refuses values outside their ranges."""
        for name in ("train", "frozen"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, names_or_text(getattr(self, name)))
        for name in ("train", "frozen", "decay_at"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.train == ("head",):
            object.__setattr__(self, "train", "head")
        problems = values.check_fields(self) or [
            *self._out_of_range(),
            *selected_nothing(self.train, self.frozen),
            *self._contradictions(),
        ]
        values.refuse(self, problems)

    def _out_of_range(self) -> list[str]:
        checks = {
            f"epochs={self.epochs} and steps={self.steps}, but exactly one of the two must be given": (
                self.epochs is None
            )
            != (self.steps is None),
            f"epochs={self.epochs} must be at least 1": self.epochs is None or self.epochs >= 1,
            f"steps={self.steps} must be at least 1": self.steps is None or self.steps >= 1,
            f"learning_rate={self.learning_rate} must be above 0 and at most 10": self.learning_rate == "auto"
            or 0 < self.learning_rate <= 10,
            f"warmup={self.warmup} must be at least 0 and below 1": 0 <= self.warmup < 1,
            f"head_to_body={self.head_to_body} must be 1 to 10000": 1 <= self.head_to_body <= 10_000,
            f"layer_decay={self.layer_decay} must be above 0 and at most 1": 0 < self.layer_decay <= 1,
            f"group_factor={self.group_factor} must be 1 to 100": 1 <= self.group_factor <= 100,
            f"cycle_start={self.cycle_start} must be above 0 and at most 1": 0 < self.cycle_start <= 1,
            f"bias_rate={self.bias_rate} must be 0.01 to 100": 0.01 <= self.bias_rate <= 100,
            f"weight_decay={self.weight_decay} must be 0 to 1": 0 <= self.weight_decay <= 1,
            f"clip_norm={self.clip_norm} must be above 0, or none": self.clip_norm is None
            or 0 < self.clip_norm < float("inf"),
            f"rollbacks={self.rollbacks} must be 0 to 10": 0 <= self.rollbacks <= 10,
            f"label_smoothing={self.label_smoothing} must be at least 0 and below 1": 0 <= self.label_smoothing < 1,
        }
        return [problem for problem, holds in checks.items() if not holds]

    @property
    def trains_head_alone(self) -> bool:
        """Whether it says so; what `frozen` names may come to the same."""
        return self.train == "head" and self.frozen is None

    def _contradictions(self) -> list[str]:
        """Returns which fields do not go together."""
        staircase, measured = self.schedule == "staircase", self.group_rates == "auto_rgn"
        rising = self.schedule in ("one_cycle", "slanted_triangular")
        stairs, one_cycle = (self.warmup, *self.decay_at, 1.0), self.schedule == "one_cycle"
        at_peak = getattr(self.optimizer, "beta_1_at_peak", "same")
        coupled = getattr(self.optimizer, "decay_in_gradient", False)
        checks = {
            f"decay_at={self.decay_at} belongs to schedule='staircase', not to {self.schedule!r}": staircase
            or not self.decay_at,
            "schedule='staircase' needs to know where it falls; write decay_at=(0.4, 0.6, 0.8)": not staircase
            or self.decay_at,
            f"decay_at={self.decay_at} must be shares of the steps in order, above warmup={self.warmup} and below 1": (
                not (staircase and self.decay_at) or all(a < b for a, b in itertools.pairwise(stairs))
            ),
            f"schedule={self.schedule!r} begins with a rise, and warmup=0 leaves none; write schedule='cosine'": (
                not rising or self.warmup > 0
            ),
            f"cycle_start={self.cycle_start} belongs to schedule='one_cycle', not to {self.schedule!r}": one_cycle
            or self.cycle_start == Stage.cycle_start,
            f"beta_1_at_peak={at_peak} belongs to schedule='one_cycle', not to {self.schedule!r}": one_cycle
            or at_peak == "same",
            "decay_in_gradient=true says where weight decay goes, and there is none; write weight_decay=0.0005": (
                self.weight_decay > 0 or not coupled
            ),
            f"layer_decay={self.layer_decay} and group_factor={self.group_factor} both say how the rate falls toward "
            "the input; leave one of them at 1": self.layer_decay == 1 or self.group_factor == 1,
            "group_rates='auto_rgn' measures the rates that layer_decay and group_factor would give; leave both at 1": (
                not measured or self.layer_decay == self.group_factor == 1
            ),
            "group_rates='auto_rgn' has nothing to measure where only the head trains; write train='all'": (
                not measured or not self.trains_head_alone
            ),
            f"unfreezing={type(self.unfreezing).__name__} has nothing to wake where only the head trains; write "
            "train='all'": self.unfreezing is None or not self.trains_head_alone,
            "restore_best_weights=true and unfreezing=Searching both go back by what validation says; leave one of "
            "them out": not (self.restore_best_weights and isinstance(self.unfreezing, Searching)),
            "refresh_statistics=true measures statistics that move, and only the head trains; write train='all', or "
            "refresh_statistics=false": self.refresh_statistics is not True or not self.trains_head_alone,
            f"refresh_statistics=true measures statistics that move, and with batch_norm={self.batch_norm!r} none do; "
            "write batch_norm='train'": self.refresh_statistics is not True or self.batch_norm in ("train", "auto"),
        }
        return [problem for problem, holds in checks.items() if not holds]
