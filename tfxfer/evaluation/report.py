"""What was measured about a trained network. Values only; their JSON is `report.json`."""

import dataclasses

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
            or taken for it, which F1 is a function of; wider by √2, since a mistake counts in two classes. It held the
            truth in 95 % of simulated tests or more.
        cross_entropy: mean negative log probability of the right class, nats.
        classes: in the order of the logits.
        confusion: examples of class row that were classified as class column.
        views: of each picture, over which probabilities were averaged; 1 for the picture itself alone.
    """

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
        largest_difference: of any probability; of feature vectors of any number, over the largest.
        limit: what was allowed; none where accuracy is held instead.
        agreement: share of pictures with the same most probable class; none for feature vectors.
        accuracy: on these pictures, in [0, 1]; none for feature vectors.
        size_bytes: of the file, or of all in the folder.
        one_ms: median milliseconds for one picture on this machine, `batch_ms` for 32 at once.
        batch_ms: see there.
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
    """

    test: Measured
    validation: Measured
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
