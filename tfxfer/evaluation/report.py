"""What was measured about a trained network. Values only; their JSON is `report.json`."""

import dataclasses
from typing import ClassVar

from tfxfer.facts import BadImage, DataFacts
from tfxfer.training import History


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassResult:
    """One class: precision and recall in [0, 1] (0 where undefined), and its number of examples."""

    name: str
    precision: float
    recall: float
    examples: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """A network's result on a set of examples, each seen once.

    Attributes:
        examples: how many.
        correct: how many were classified rightly.
        accuracy: their share, in [0, 1].
        accuracy_interval: 95 % interval of it (Wilson's score interval).
        balanced_accuracy: mean recall over the classes that have examples.
        balanced_accuracy_interval: 95 % interval of it, from Wilson's of each recall (Zou & Donner 2008); it held the
            truth in 93 to 94 % of simulated tests. None in reports of older versions; the next two likewise.
        macro_f1: mean over these classes of the harmonic mean of precision and recall.
        macro_f1_interval: 95 % interval of it, from Wilson's of each class's share of right ones in all that are of it
            or taken for it, which F1 is a function of; wider as a mistake counts in two classes. It held the truth in
            94 to 95 % of simulated tests.
        cross_entropy: mean negative log probability of the right class, nats.
        classes: in the order of the logits.
        confusion: examples of class row that were classified as class column.
        views: of each picture, over which probabilities were averaged; 1 for the picture itself alone.
    """

    unnamed: ClassVar[bool] = True  # as it was when there was no other

    examples: int
    correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    cross_entropy: float
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]
    balanced_accuracy_interval: tuple[float, float] | None = None
    macro_f1: float | None = None
    macro_f1_interval: tuple[float, float] | None = None
    views: int = 1

    @property
    def class_means(self) -> str:
        """Balanced accuracy and macro F1 in words, with their intervals; empty where they are not known."""
        if self.macro_f1 is None:
            return ""
        told = [
            f"{name} {100 * value:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
            for name, value, (low, high) in (
                ("balanced accuracy", self.balanced_accuracy, self.balanced_accuracy_interval),
                ("macro F1", self.macro_f1, self.macro_f1_interval),
            )
        ]
        return ", ".join(told)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredOrdinal(Measured):
    """A network's result on examples of classes in order: what `Measured` has, and how far off it is.

    Attributes:
        rank_error: mean number of places between the class of an example and the most probable one.
        rank_error_interval: 95 % interval of it (bootstrap).
        weighted_kappa: Cohen's kappa with quadratic weights: 1 for all right, 0 for what chance brings; 0 where it is
            undefined, since all examples are of one class and all are told to be.
        weighted_kappa_interval: likewise.
    """

    unnamed: ClassVar[bool] = False

    rank_error: float
    rank_error_interval: tuple[float, float]
    weighted_kappa: float
    weighted_kappa_interval: tuple[float, float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelResult:
    """One label, which is told where its probability is at least a half.

    Attributes:
        name: of the label.
        average_precision: area under precision over recall; 0 where no example has the label.
        precision: share of right ones among those that are told; 0 where none is. `recall` of those that are there.
        recall: see there.
        f1: harmonic mean of both.
        examples: that have it.
    """

    name: str
    average_precision: float
    precision: float
    recall: float
    f1: float
    examples: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredLabels:
    """A network's result on examples with any number of labels; intervals hold 95 %, by bootstrap over examples.

    Attributes:
        examples: how many.
        mean_average_precision: over the labels that some example has.
        mean_average_precision_interval: of it.
        micro_f1: over all labels of all examples together.
        micro_f1_interval: of it.
        macro_f1: mean over the labels that some example has.
        macro_f1_interval: of it.
        exact: share of examples all of whose labels are right; no other counts as an accuracy here.
        exact_interval: of it (Wilson's score interval).
        cross_entropy: mean negative log probability of what is right, nats, summed over labels.
        labels: in the order of the outputs.
        views: as in `Measured`.
    """

    examples: int
    mean_average_precision: float
    mean_average_precision_interval: tuple[float, float]
    micro_f1: float
    micro_f1_interval: tuple[float, float]
    macro_f1: float
    macro_f1_interval: tuple[float, float]
    exact: float
    exact_interval: tuple[float, float]
    cross_entropy: float
    labels: tuple[LabelResult, ...]
    views: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetResult:
    """One target of regression, in the user's units; intervals hold 95 %, by bootstrap over examples.

    Attributes:
        name: of the target.
        mae: mean absolute error.
        mae_interval: of it.
        rmse: root of the mean squared error.
        rmse_interval: of it.
        r2: 1 − squared error over that of the mean of these examples; at most 1, below 0 for worse than that mean; 0
            where all examples are equal.
        r2_interval: of it.
        mean_mae: mean absolute error of the mean of the training examples: what is to be beaten.
        points: what is true and what was told, of at most 500 examples, evenly from all.
    """

    name: str
    mae: float
    mae_interval: tuple[float, float]
    rmse: float
    rmse_interval: tuple[float, float]
    r2: float
    r2_interval: tuple[float, float]
    mean_mae: float
    points: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeasuredNumbers:
    """A network's result on examples with numbers: how many, and each target in the order of the outputs.

    `views` is as in `Measured`.
    """

    examples: int
    targets: tuple[TargetResult, ...]
    views: int = 1


AnyMeasured = Measured | MeasuredOrdinal | MeasuredLabels | MeasuredNumbers


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageSeconds:
    """How long one stage took, and how long the plan said that it would; 0 where nothing was measured before."""

    name: str
    seconds: float
    expected: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trained:
    """Training in numbers.

    Attributes:
        seconds: of all stages together; `stages` has each.
        stages: in order.
    """

    seconds: float
    stages: tuple[StageSeconds, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity:
    """How an exported file, read back, compares with the network in memory on test pictures.

    Attributes:
        format: its name.
        file: relative to the bundle; a folder for SavedModels.
        examples: pictures on which agreement and accuracy were measured.
        compared: how many of them gave the largest difference.
        largest_difference: of any probability; of a number of regression, in standard deviations of the target; of
            feature vectors of any number, over the largest.
        limit: what was allowed, of numbers besides roundings of float32; none where accuracy or R² is held instead.
        agreement: share of pictures with the same most probable class, or the same labels; none for feature vectors and
            numbers.
        accuracy: on these pictures, in [0, 1], where each is of one class; of labels the share of pictures all of whose
            labels are right; none for feature vectors and numbers.
        size_bytes: of the file, or of all in the folder.
        one_ms: median milliseconds for one picture on this machine, `batch_ms` for 32 at once.
        batch_ms: see there.
        r2: of numbers, the mean over targets; none for anything else.
    """

    format: str
    file: str
    examples: int
    compared: int
    largest_difference: float
    limit: float | None
    agreement: float | None
    accuracy: float | None
    size_bytes: int
    one_ms: float
    batch_ms: float
    r2: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A format that was asked for and is not in the bundle, and why."""

    format: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the network came from.

    Attributes:
        handle: of the backbone.
        made_by: who made its weights.
        license: theirs.
        groups: names of its layer groups, input first; () in reports from before they were told.
    """

    handle: str
    made_by: str
    license: str
    groups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Everything measured about one run.

    Attributes:
        test: on the test split, by the shipped model, on pixels.
        validation: on the validation split.
        train: how long training took.
        seconds: of the whole run.
        history: each stage and epoch.
        data: facts about the examples.
        skipped: unreadable images that were left out.
        plan: digest of the plan.
        backbone: handle of the network it started from, with its origin and the licence of its weights.
        export: parity of each exported file.
        left_out: formats that could not be exported.
        versions: library name and version.
        strategy: how the stages came about, where advice and a race decided on them; else "".
        loss: that was made small, by name; "" in reports of older versions.
        scores: metrics that were asked for, on the test split: the name and the number; None where it is none.
    """

    test: AnyMeasured
    validation: AnyMeasured
    train: Trained
    seconds: float
    history: History
    data: DataFacts
    skipped: tuple[BadImage, ...]
    plan: str
    backbone: Origin
    export: tuple[Parity, ...]
    left_out: tuple[LeftOut, ...]
    versions: tuple[tuple[str, str], ...]
    strategy: str = ""
    loss: str = ""
    scores: tuple[tuple[str, float | None], ...] = ()
