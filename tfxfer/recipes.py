"""What the user decided: the data, the backbone, the head and the stages of training. Pure values.

"auto" stands where tfxfer is to decide; `plans.resolve` replaces every one of them by a value and says why.
"""

import dataclasses
from typing import Literal

from tfxfer import values
from tfxfer.errors import ConfigError, suggest
from tfxfer.heads import Head, Linear

PRESETS = ("feature_extraction", "partial", "full", "gradual", "scratch")
Preset = Literal["feature_extraction", "partial", "full", "gradual", "scratch"]
BatchNorm = Literal["frozen", "affine", "train"]


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
        at: layer group, stage or layer behind which the network is cut; "" for all of it.
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
            of the groups, from the output down; or a group's name: this group and all above it. The head
            always trains.
        epochs: passes over the training examples, ≥ 1; exclusive with `steps`.
        steps: optimizer steps, ≥ 1; exclusive with `epochs`.
        learning_rate: the head's rate at its peak, > 0; "auto": 0.03 × batch size / 32, a third of that where
            only the head trains.
        warmup: share of the steps in which the rate rises from 0, 0 ≤ warmup < 1; a cosine to 0 follows.
        head_to_body: the head's rate over the backbone's, before layer decay, ≥ 1.
        layer_decay: how the rate falls toward the input, 0 < decay ≤ 1, normalised by depth: a group at
            relative depth d (0 input, 1 head) gets decay^(12·(1−d)) of the rate.
        batch_norm: "frozen": stored statistics, gamma and beta fixed; "affine": stored statistics, gamma and
            beta of the trained groups train; "train": statistics move too; "auto": by the rule of the plan.
        weight_decay: decoupled, on kernels only, ≥ 0; multiplied by each variable's rate.
        clip_norm: limit of the global gradient norm, > 0, or None.
        label_smoothing: 0 ≤ smoothing < 1.
    """

    train: Literal["head", "all"] | int | float | str = "head"
    epochs: int | None = None
    steps: int | None = None
    learning_rate: float | Literal["auto"] = "auto"
    warmup: float = 0.1
    head_to_body: float = 10.0
    layer_decay: float = 1.0
    batch_norm: BatchNorm | Literal["auto"] = "auto"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        _refuse(self, problems or self._out_of_range())

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
            f"weight_decay={self.weight_decay} must be 0 to 1": 0 <= self.weight_decay <= 1,
            f"clip_norm={self.clip_norm} must be above 0, or none": self.clip_norm is None
            or 0 < self.clip_norm < float("inf"),
            f"label_smoothing={self.label_smoothing} must be at least 0 and below 1": 0 <= self.label_smoothing < 1,
        }
        if isinstance(self.train, int):
            checks[f"train={self.train} must be at least 1 group"] = self.train >= 1
        elif isinstance(self.train, float):
            checks[f"train={self.train} is a share of the groups and must be between 0 and 1"] = 0 < self.train < 1
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
    """

    data: Data = dataclasses.field(default_factory=Data)
    backbone: Backbone = dataclasses.field(default_factory=Backbone)
    head: Head = dataclasses.field(default_factory=Linear)
    stages: tuple[Stage, ...] | Preset | Literal["auto"] = "auto"
    image_size: int | Literal["auto"] = "auto"
    batch_size: int = 32
    seed: int = 0

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


def _refuse(value, problems: list[str]) -> None:
    if problems:
        text = "; ".join(problems)
        raise ConfigError(f"{type(value).__name__}: {text}{'' if text.endswith('?') else '.'}")
