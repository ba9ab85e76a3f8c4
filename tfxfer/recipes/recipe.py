"""Everything that is asked of one run, as a value, and how two of them differ."""

import dataclasses
import typing
from typing import Literal

from tfxfer import objectives, values
from tfxfer.augmentation import Augment
from tfxfer.errors import suggest
from tfxfer.heads import Head, Linear
from tfxfer.imbalance import Imbalance
from tfxfer.objectives import Loss, Metric
from tfxfer.recipes.export import Export
from tfxfer.recipes.inputs import Backbone, Data
from tfxfer.recipes.running import Running
from tfxfer.recipes.stage import Stage
from tfxfer.reuse import Cache

# Presets that need nothing but their name; `tfxfer.presets` has others, which need an argument.
Preset = Literal[
    "feature_extraction", "partial", "full", "fastai_fine_tune", "ulmfit", "lp_ft", "caffe", "keras_guide",
    "layer_decay", "auto_rgn", "gradual", "searching", "scratch",
]  # fmt: skip
PRESETS: tuple[str, ...] = typing.get_args(Preset)
# What a network computes in; the names are Keras's. Its weights are float32 in all of them.
ComputePrecision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything the user decides about one run.

    Attributes:
        data: the examples; a text is read as `Data(source=text)`.
        backbone: the pretrained network; a text is read as `Backbone(handle=text)`.
        head: what stands on it.
        stages: the stages of training; or the name of a preset (see `tfxfer.presets`); "auto": the preset
            that the plan's rule picks from the facts, or with a `budget` what wins a race.
        image_size: height and width that the network sees, in pixels, 16 to 2048; "auto": the backbone's own,
            or 128 for small pictures.
        batch_size: examples in one optimizer step, ≥ 1.
        seed: of the split (unless `data.split_seed` says another), the order and every random number in the network,
            ≥ 0.
        precision: in which the backbone computes while it trains: "float32"; "mixed_bfloat16", eight bits a number and
            the range of float32; "mixed_float16", eleven bits up to 65,504, with a scale on the loss. Weights, pixel
            scale, head and loss are float32 in each, and so is all of the network that ships.
        augment: what is done to training pictures.
        imbalance: how classes with few training examples are made to count.
        loss: what training makes small, and what the best epoch is known by: a name of `objectives.LOSSES` that fits
            the task; "auto": its first. In Python also a loss of Keras, or one of your own that is registered with it:
            it gets labels and outputs as `tasks.Task` has them, classes as shares of them, numbers standardised.
        metrics: shown after each epoch and measured on the test besides what always is: names of `objectives.METRICS`
            that fit the task; in Python also metrics of Keras, or registered ones, or functions: they get labels as
            above and what outputs mean (probabilities; one number in the user's units, several standardised).
        synchronise_batch_norm: where several devices train and statistics move: true: all normalise by the whole batch,
            as one device does; false: each by its own share, which saves them waiting for each other, and the stored
            statistics are the mean of theirs; then what is learned depends on the number of devices.
        cache: where activations of frozen layers are kept.
        running: devices and checkpoints.
        export: formats besides Keras's own and the SavedModels, and the accuracy below which nothing is exported.
        budget: seconds, above 0, for a race of several strategies before training, of which the most accurate on
            validation examples trains; for `stages="auto"` alone. Which one wins depends on the clock, so that it may
            differ from machine to machine; a run that goes on keeps it. None: no race.
    """

    data: Data = dataclasses.field(default_factory=Data)
    backbone: Backbone = dataclasses.field(default_factory=Backbone)
    head: Head = dataclasses.field(default_factory=Linear)
    stages: tuple[Stage, ...] | Preset | Literal["auto"] = "auto"
    image_size: int | Literal["auto"] = "auto"
    batch_size: int = 32
    seed: int = 0
    precision: ComputePrecision = "float32"
    augment: Augment = dataclasses.field(default_factory=Augment)
    imbalance: Imbalance = dataclasses.field(default_factory=Imbalance)
    loss: Loss = "auto"
    metrics: tuple[Metric, ...] = ()
    synchronise_batch_norm: bool = True
    cache: Cache = dataclasses.field(default_factory=Cache)
    running: Running = dataclasses.field(default_factory=Running)
    export: Export = dataclasses.field(default_factory=Export)
    budget: float | None = None

    def __post_init__(self):
        """Reads texts as data and backbone; refuses values outside their ranges."""
        if isinstance(self.data, str):
            object.__setattr__(self, "data", Data(source=self.data))
        if isinstance(self.backbone, str):
            object.__setattr__(self, "backbone", Backbone(handle=self.backbone))
        if isinstance(self.stages, list):
            object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "loss", objectives.written(self.loss, "loss"))
        if isinstance(self.metrics, (list, tuple)):
            object.__setattr__(self, "metrics", tuple(objectives.written(one, "metric") for one in self.metrics))
        if isinstance(self.stages, str) and self.stages not in (*PRESETS, "auto"):
            names = ", ".join(("auto", *PRESETS))
            near = suggest(self.stages, PRESETS)
            values.refuse(
                self, [f"stages={self.stages!r} is no preset, expected one of {names}{'.' if near else ''}{near}"]
            )
        problems = values.check_fields(self)
        if not problems:
            if self.stages == ():
                problems.append("stages=() trains nothing; write stages='auto' or a tuple of Stage(…)")
            if self.image_size != "auto" and not 16 <= self.image_size <= 2048:
                problems.append(f"image_size={self.image_size} must be 16 to 2048 pixels")
            if not 1 <= self.batch_size <= 65_536:
                problems.append(f"batch_size={self.batch_size} must be 1 to 65536")
            if self.budget is not None and not 0 < self.budget < float("inf"):
                problems.append(f"budget={self.budget} must be above 0 seconds, or none")
            elif self.budget is not None and self.stages != "auto":
                given = repr(self.stages) if isinstance(self.stages, str) else "a tuple"
                problems.append(
                    f"budget={self.budget:g} is for a race that decides on stages, and stages is {given}; write "
                    "stages=auto, or budget=none"
                )
            if not 0 <= self.seed < 2**31:
                problems.append(f"seed={self.seed} must be 0 to {2**31 - 1}")
        values.refuse(self, problems)

    @property
    def split_seed(self) -> int:
        """The seed of the splits."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

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
