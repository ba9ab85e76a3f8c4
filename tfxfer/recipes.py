"""What the user decided: the data, the backbone, the head and the stages of training. Pure values.

"auto" stands where tfxfer is to decide; `plans.resolve` replaces every one of them by a value and says why.
"""

import dataclasses
import itertools
import re
import typing
from collections.abc import Callable, Sequence
from typing import Literal

from tfxfer import values
from tfxfer.errors import ConfigError, suggest
from tfxfer.heads import Head, Linear
from tfxfer.reuse import Augment, Cache

# Presets that need nothing but their name; `tfxfer.presets` has others, which need an argument.
Preset = Literal[
    "feature_extraction", "partial", "full", "fastai_fine_tune", "ulmfit", "lp_ft", "caffe", "keras_guide",
    "layer_decay", "auto_rgn", "gradual", "searching", "scratch",
]  # fmt: skip
PRESETS: tuple[str, ...] = typing.get_args(Preset)
BatchNorm = Literal["frozen", "affine", "train"]
Schedule = Literal["cosine", "constant", "one_cycle", "slanted_triangular", "staircase"]
GroupRates = Literal["planned", "auto_rgn"]
Train = Literal["head", "all"] | int | float | str | Sequence[str]
Frozen = int | float | str | Sequence[str]
_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?) ?%")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum; weight decay and clipping are the stage's.

    0.9 is what BiT, LP-FT, TLLib, torchvision and Caffe fine-tune with; Nesterov's form is Kornblith et al. 2019.

    Attributes:
        momentum: share of the last step that is made again, 0 ≤ momentum < 1.
        nesterov: whether the gradient counts as if it were taken a step ahead.
    """

    momentum: float = 0.9
    nesterov: bool = True

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems and not 0 <= self.momentum < 1:
            problems.append(f"momentum={self.momentum} must be at least 0 and below 1")
        if not problems and self.nesterov and self.momentum == 0:
            problems.append("nesterov=true looks ahead by momentum, and momentum=0; write nesterov=false")
        _refuse(self, problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam; with weight decay in the stage it is AdamW, since that is always decoupled (Loshchilov and Hutter 2019).

    The numbers are those of Kingma and Ba 2015, but for epsilon, which is that of Keras.

    Attributes:
        beta_1: decay of the mean of gradients, 0 ≤ beta_1 < 1.
        beta_2: decay of the mean of their squares, 0 ≤ beta_2 < 1.
        epsilon: what is added to the root of that, > 0.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems:
            for name in ("beta_1", "beta_2"):
                if not 0 <= getattr(self, name) < 1:
                    problems.append(f"{name}={getattr(self, name)} must be at least 0 and below 1")
            if not 0 < self.epsilon <= 1:
                problems.append(f"epsilon={self.epsilon} must be above 0 and at most 1")
        _refuse(self, problems)


Optimizer = SGD | Adam


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
    """Which examples, and how they become pixels.

    Attributes:
        source: `folder:<dir>`, `tfds:<name>`, `sample:digits`, or `arrays:` for examples handed to `run`.
        on_bad_image: what an unreadable image does: "error" names all of them and stops, "skip" leaves them
            out and lists them in the report.
        on_duplicate: what one picture in two splits does: "error" names the pairs and stops, "drop" leaves the copy
            on the side of training out.
        resize: "squash" to the square, or "crop" its centre after scaling the shorter side.
        validation_fraction: share of each class for validation where the source has no split, 0 < f < 1.
        test_fraction: share of each class for the test, 0 < f < 1.
    """

    source: str = "arrays:"
    on_bad_image: Literal["error", "skip"] = "error"
    on_duplicate: Literal["error", "drop"] = "error"
    resize: Literal["squash", "crop"] = "squash"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems:
            if ":" not in self.source:
                problems.append(
                    f"source={self.source!r} names no kind of source; write folder:{self.source} for a folder"
                )
            for name in ("validation_fraction", "test_fraction"):
                if not 0 < getattr(self, name) < 1:
                    problems.append(f"{name}={getattr(self, name)} must be above 0 and below 1")
            if self.validation_fraction + self.test_fraction >= 1:
                problems.append("validation_fraction + test_fraction must leave something to train on")
        _refuse(self, problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """Which pretrained network.

    Attributes:
        handle: `source:name`, such as `builtin:efficientnet_lite0` or `keras:MobileNetV2`.
        weights: "pretrained", "random", or a path to a weights file of this network.
        at: layer group, stage or layer behind which the network is cut, also `layers[7]` or an expression "re:…" that
            is found in one layer's name; "" for all of it.
        output: which output of a network that has several by name; "" where there is one.
        allow_unsafe_model_code: whether code that the network's file brings may run.
    """

    handle: str = "builtin:efficientnet_lite0"
    weights: str = "pretrained"
    at: str = ""
    output: str = ""
    allow_unsafe_model_code: bool = False

    def __post_init__(self):
        """Refuses values of another type."""
        _refuse(self, values.check_fields(self))


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
            "constant": stays; "one_cycle": as fastai's, from 1/25 of the peak up and down to 1/100000, both along
            a cosine; "slanted_triangular": as ULMFiT's, from 1/32 up and down again along straight lines;
            "staircase": as BiT's, a tenth behind each of `decay_at`.
        warmup: share of the steps in which the rate rises, 0 ≤ warmup < 1; along a line where nothing else is said.
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
        batch_norm: "frozen": stored statistics, gamma and beta fixed; "affine": stored statistics, gamma and
            beta of the trained groups train; "train": statistics move too; "auto": by the rule of the plan.
        refresh_statistics: whether the statistics of batch norm are measured anew after the stage, in one pass over
            the training examples; "auto": where they move, which is `batch_norm` "train".
        weight_decay: decoupled, on kernels only, ≥ 0; multiplied by each variable's rate.
        clip_norm: limit of the global gradient norm, > 0, or None.
        label_smoothing: 0 ≤ smoothing < 1.
        rescale_head: whether the head is scaled before the stage so that its logits have a standard deviation of 1,
            for a head that the stage before has trained; one of zeros stays.
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
    decay_at: tuple[float, ...] = ()
    group_rates: GroupRates = "planned"
    head_to_body: float = 10.0
    layer_decay: float = 1.0
    group_factor: float = 1.0
    batch_norm: BatchNorm | Literal["auto"] = "auto"
    refresh_statistics: bool | Literal["auto"] = "auto"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    rescale_head: bool = False
    unfreezing: Unfreezing | None = None

    def __post_init__(self):
        """Takes lists for tuples and names with commas for a tuple of them; refuses values outside their ranges."""
        for name in ("train", "frozen"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, _names(getattr(self, name)))
        for name in ("train", "frozen", "decay_at"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.train == ("head",):
            object.__setattr__(self, "train", "head")
        problems = values.check_fields(self)
        _refuse(self, problems or [*self._out_of_range(), *self._selected_nothing(), *self._contradictions()])

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
            f"weight_decay={self.weight_decay} must be 0 to 1": 0 <= self.weight_decay <= 1,
            f"clip_norm={self.clip_norm} must be above 0, or none": self.clip_norm is None
            or 0 < self.clip_norm < float("inf"),
            f"label_smoothing={self.label_smoothing} must be at least 0 and below 1": 0 <= self.label_smoothing < 1,
        }
        return [problem for problem, holds in checks.items() if not holds]

    @property
    def trains_head_alone(self) -> bool:
        """Whether it says so; what `frozen` names may come to the same."""
        return self.train == "head" and self.frozen is None

    def _selected_nothing(self) -> list[str]:
        """Returns what `train` and `frozen` say that can be no part of any network."""
        if self.frozen is not None and self.train != "head":
            both = f"train={self.train!r} and frozen={self.frozen!r} say the same thing twice"
            return [f"{both}; give frozen and train='head', or train and frozen=None"]
        option, given = ("train", self.train) if self.frozen is None else ("frozen", self.frozen)
        least = 1 if option == "train" else 0
        if isinstance(given, int):
            return [] if given >= least else [f"{option}={given} must be at least {least} group{'s' * (not least)}"]
        if isinstance(given, float):
            inside = 0 < given < 1
            return [] if inside else [f"{option}={given} is a share of the groups and must be between 0 and 1"]
        if isinstance(given, str):
            share = percent(given)
            inside = share is None or 0 < share < 1
            return [] if inside else [f"{option}={given!r} is a share of the weights and must be between 0% and 100%"]
        if not given or not all(isinstance(name, str) and name for name in given):
            return [f"{option}={given!r} must be names, at least one; write train='head' to train the head alone"]
        if "all" in given or len(set(given)) < len(given):
            return [f"{option}={given!r} must name each layer or layer group once; write train='all' for all of them"]
        return []

    def _contradictions(self) -> list[str]:
        """Returns which fields do not go together."""
        staircase, measured = self.schedule == "staircase", self.group_rates == "auto_rgn"
        rising = self.schedule in ("one_cycle", "slanted_triangular")
        stairs = (self.warmup, *self.decay_at, 1.0)
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
            "refresh_statistics=true measures statistics that move, and only the head trains; write train='all', or "
            "refresh_statistics=false": self.refresh_statistics is not True or not self.trains_head_alone,
            f"refresh_statistics=true measures statistics that move, and with batch_norm={self.batch_norm!r} none do; "
            "write batch_norm='train'": self.refresh_statistics is not True or self.batch_norm in ("train", "auto"),
        }
        return [problem for problem, holds in checks.items() if not holds]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything the user decides about one run.

    Attributes:
        data: the examples; a text is read as `Data(source=text)`.
        backbone: the pretrained network; a text is read as `Backbone(handle=text)`.
        head: what stands on it.
        stages: the stages of training; or the name of a preset (see `tfxfer.presets`); "auto": the preset
            that the plan's rule picks from the facts.
        image_size: height and width that the network sees, in pixels, 16 to 2048; "auto": the backbone's own,
            or 128 for small pictures.
        batch_size: examples in one optimizer step, ≥ 1.
        seed: of the split, the order and every random number in the network, ≥ 0.
        augment: what is done to training pictures.
        cache: where activations of frozen layers are kept.
    """

    data: Data = dataclasses.field(default_factory=Data)
    backbone: Backbone = dataclasses.field(default_factory=Backbone)
    head: Head = dataclasses.field(default_factory=Linear)
    stages: tuple[Stage, ...] | Preset | Literal["auto"] = "auto"
    image_size: int | Literal["auto"] = "auto"
    batch_size: int = 32
    seed: int = 0
    augment: Augment = dataclasses.field(default_factory=Augment)
    cache: Cache = dataclasses.field(default_factory=Cache)

    def __post_init__(self):
        """Reads texts as data and backbone; refuses values outside their ranges."""
        if isinstance(self.data, str):
            object.__setattr__(self, "data", Data(source=self.data))
        if isinstance(self.backbone, str):
            object.__setattr__(self, "backbone", Backbone(handle=self.backbone))
        if isinstance(self.stages, list):
            object.__setattr__(self, "stages", tuple(self.stages))
        if isinstance(self.stages, str) and self.stages not in (*PRESETS, "auto"):
            names = ", ".join(("auto", *PRESETS))
            near = suggest(self.stages, PRESETS)
            _refuse(self, [f"stages={self.stages!r} is no preset, expected one of {names}{'.' if near else ''}{near}"])
        problems = values.check_fields(self)
        if not problems:
            if self.stages == ():
                problems.append("stages=() trains nothing; write stages='auto' or a tuple of Stage(…)")
            if self.image_size != "auto" and not 16 <= self.image_size <= 2048:
                problems.append(f"image_size={self.image_size} must be 16 to 2048 pixels")
            if not 1 <= self.batch_size <= 65_536:
                problems.append(f"batch_size={self.batch_size} must be 1 to 65536")
            if not 0 <= self.seed < 2**31:
                problems.append(f"seed={self.seed} must be 0 to {2**31 - 1}")
        _refuse(self, problems)

    @property
    def weights(self) -> str:
        """The backbone's starting weights: the `scratch` preset implies "random"."""
        return "random" if self.stages == "scratch" else self.backbone.weights


def names_in(text: str) -> tuple[str, ...]:
    """Returns the names in a text with commas; an expression `re:…` takes all that follows, commas too.

    >>> names_in("stem, layers[3], re:a{1,2}")
    ('stem', 'layers[3]', 're:a{1,2}')
    """
    names, rest = [], text.strip()
    if (rest[:1], rest[-1:]) in (("(", ")"), ("[", "]")):
        rest = rest[1:-1]
    while rest:
        name, _, after = (rest, "", "") if rest.startswith("re:") else rest.partition(",")
        names.append(name.strip())
        rest = after.strip()
    return tuple(name for name in names if name)


def _names(text: str) -> str | tuple[str, ...]:
    """Returns a tuple of names where there are several, which commas say, else the text itself."""
    listed = not text.lstrip().startswith("re:") and "," in text
    return names_in(text) if listed else text


def percent(train: object) -> float | None:
    """Returns the share of the weights that "30%" means, 0.3; None for everything else."""
    match = _PERCENT.fullmatch(train) if isinstance(train, str) else None
    return float(match[1]) / 100 if match else None


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Returns `path: old → new` for each field in which two recipes differ."""
    return _differences(values.to_json(one), values.to_json(other), "")


def _differences(one, other, path: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [line for key in one for line in _differences(one[key], other[key], f"{path}.{key}".lstrip("."))]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            line for i, pair in enumerate(zip(one, other, strict=True)) for line in _differences(*pair, f"{path}[{i}]")
        ]
    return [] if one == other else [f"{path}: {one!r} → {other!r}"]


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
    _refuse(value, problems)


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


def _refuse(value, problems: list[str]) -> None:
    if problems:
        text = "; ".join(problems)
        raise ConfigError(f"{type(value).__name__}: {text}{'' if text.endswith('?') else '.'}")
