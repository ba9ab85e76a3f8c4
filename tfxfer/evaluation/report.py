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
        cross_entropy: mean negative log probability of the right class, nats.
        classes: in the order of the logits.
        confusion: examples of class row that were classified as class column.
    """

    examples: int
    correct: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    balanced_accuracy: float
    cross_entropy: float
    classes: tuple[ClassResult, ...]
    confusion: tuple[tuple[int, ...], ...]


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
    """How far an exported file's probabilities are from the model's in memory.

    Attributes:
        file: relative to the bundle.
        examples: pictures compared.
        largest_difference: of any probability, at most `limit`.
        limit: what was allowed.
    """

    file: str
    examples: int
    largest_difference: float
    limit: float


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
        export: parity of each exported file.
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
    export: tuple[Parity, ...]
    versions: tuple[tuple[str, str], ...]
