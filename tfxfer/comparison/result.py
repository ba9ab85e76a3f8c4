"""What came out of recipes that were trained on the same examples. Values only."""

import dataclasses

from tfxfer.scores import Compared, Estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement within a run.

    Attributes:
        step: optimizer steps of all stages until then, ≥ 1.
        seconds: of training until then.
        accuracy: on the validation examples, in [0, 1].
    """

    step: int
    seconds: float
    accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run.

    Attributes:
        contender: whose it is.
        seed: of everything but the splits.
        points: in order of their steps; none where it diverged.
        seconds: of training.
        test: accuracy on the test examples with its 95 % interval (Wilson's score interval); None where it diverged.
        diverged: how, in words; "" for not.
    """

    contender: str
    seed: int
    points: tuple[Point, ...]
    seconds: float
    test: Estimate | None
    diverged: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure of several runs that differ by their seeds.

    Attributes:
        value: mean over the runs.
        low: end of the 95 % interval, ≤ `high`: of the mean over seeds (Student's t), and where that is said, of the
            draw of test examples too; None where one run tells no spread.
        high: see there.
        runs: how many.
    """

    value: float
    low: float | None
    high: float | None
    runs: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class BandPoint:
    """Validation accuracy of the runs of one contender after so many steps, and the mean of their seconds."""

    step: int
    seconds: float
    accuracy: Spread


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reached:
    """How long it took to an accuracy on the validation examples, between measurements along a line.

    Attributes:
        steps: optimizer steps until the mean curve reached it; None where it did not. `seconds` likewise, of training.
        seconds: see there.
        at_most: whether that was its first measurement, so that it took no longer than this.
        each: steps of each run that ended, in the order of the seeds; None where one did not reach it.
    """

    steps: float | None
    seconds: float | None
    at_most: bool
    each: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contender:
    """One recipe and its runs.

    Attributes:
        name: of it.
        differs: in what its recipe differs from that of the first, a line each.
        batch_size: examples in a step.
        outcomes: of its runs, in the order of the seeds.
        curve: the mean of the runs that ended, where all of them were measured.
        reached: the accuracy that all are asked for.
        validation: accuracy on validation examples at the end, over seeds; None where every run diverged; the next two
            likewise.
        test: accuracy on test examples: over seeds, and over the draw of test examples.
        seconds: of training, over seeds.
    """

    name: str
    differs: tuple[str, ...]
    batch_size: int
    outcomes: tuple[Outcome, ...]
    curve: tuple[BandPoint, ...]
    reached: Reached
    validation: Spread | None
    test: Spread | None
    seconds: Spread | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Test accuracy of a contender less that of the first one, on the same examples.

    Attributes:
        name: of the contender.
        mean: over the seeds with which both ended; in its interval is what other seeds and other test examples would
            change.
        each: for these seeds, both on the same test examples; what other seeds would change is not in it.
        seeds: these.
    """

    name: str
    mean: Spread
    each: tuple[Compared, ...]
    seeds: tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Recipes that were trained on the same examples for the same number of steps.

    Attributes:
        source: of the examples.
        examples: how many there are for training, validation and test.
        classes: how many.
        split: how the splits came about; they are the same in all runs.
        steps: of each run.
        seeds: of each contender.
        level: accuracy on validation examples that `reached` is about, in [0, 1]; 0 where no run has ended.
        level_given: whether it was asked for; else it is what the mean of the worst contender ended with.
        contenders: in the order asked for.
        differences: of each behind the first, where test examples of both are known.
        machine: what trained, in words.
    """

    source: str
    examples: tuple[int, int, int]
    classes: int
    split: str
    steps: int
    seeds: tuple[int, ...]
    level: float
    level_given: bool
    contenders: tuple[Contender, ...]
    differences: tuple[Difference, ...]
    machine: str

    def __str__(self) -> str:
        from tfxfer.comparison.page import text_page

        return text_page(self)
