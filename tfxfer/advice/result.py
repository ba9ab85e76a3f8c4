"""What was measured about some data and a backbone, and what follows from it. Values only."""

import dataclasses
import os
import pathlib
from typing import Literal

from tfxfer import files
from tfxfer.errors import WorkdirError
from tfxfer.facts import DataFacts
from tfxfer.scores import Compared, Divergence, Estimate, Forecast, Learnable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Depth:
    """What the features at the end of one layer group are worth, on examples that were left out.

    Attributes:
        name: of the layer group.
        width: of the features.
        linear: accuracy of a ridge classifier on them; of numbers and labels, what `Measurements.metric` says.
        balanced: likewise, mean recall over classes; None where there are none.
        neighbours: accuracy of the five nearest neighbours; None where there are no classes.
        megabytes: of the weights up to there, as float32, without a head; a megabyte is 10⁶ bytes.
    """

    name: str
    width: int
    linear: Estimate
    balanced: Estimate | None
    neighbours: Estimate | None
    megabytes: float


Metric = Literal["accuracy", "r_squared", "average_precision"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """What a ridge regression on the best features tells of one number or label, on examples that were left out.

    Attributes:
        score: R² of a number, at most 1; average precision of a label, in [0, 1].
        error: of a number its mean absolute error, in the user's units; None for labels.
        mean_error: what that would be for the mean of all examples; None for labels.
        share: of a label, of the examples that have it: its average precision without looking; None for numbers.
    """

    score: Estimate
    error: Estimate | None = None
    mean_error: float | None = None
    share: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurements:
    """Everything that was measured, on training examples alone.

    Attributes:
        image_size: height and width that the network saw, pixels.
        examples: how many were looked at; of more than `measuring.MOST_EXAMPLES` some are drawn.
        frequent: share of the most frequent class, which an answer without looking has right; of labels the average
            precision of such an answer, of numbers its R², 0.
        pixels: accuracy of a ridge classifier on 16×16 pixels, without any network.
        depths: input first.
        best: name of the depth to read features from.
        best_against_last: the last depth and the best one, on the same examples, less what the best looks better for
            having been chosen.
        best_against_pixels: the pixels and the best depth, likewise.
        learnable: whether labels mean anything.
        similarity: to what the network was pretrained on; none where nothing tells.
        sizes: examples that the learning curve has accuracies for; () where there are too few.
        curve: the accuracies, the mean of `curve_depths`.
        forecasts: for twice and four times `available`, as far as that is no more than four times `examples`.
        seconds: of the inference pass; `scoring_seconds` of all that came behind it.
        scoring_seconds: see there.
        balanced_against_pixels: balanced accuracy of the best depth less that of the pixels, where each class weighs
            the same; None where nobody measured it.
        groups: how many groups the examples are of, each left out as one; None: each stands for itself.
        metric: what all that is called an accuracy here is: of numbers the mean R² over targets, of labels the mean
            average precision over labels, of a ridge regression. For these `only_first` and `only_second` of what is
            compared count the examples that one is nearer to, and there are no neighbours, curve and forecasts.
        targets: of numbers and labels, each in the order of `DataFacts.class_names`.
        nearest_class: `scores.nearest_prototype` by the network's own classifier, where there is one, and no batch norm
            that tells similarity.
        all_examples: that there are to train on, each content once; 0: those that were looked at.
        expected: of the best depth, less what it looks better for having been chosen; None with groups, of which
            nobody measured that.
        curve_depths: the best depth and those that can hardly be told from it, input first; () where there is no curve.
    """

    image_size: int
    examples: int
    frequent: float
    pixels: Estimate
    depths: tuple[Depth, ...]
    best: str
    best_against_last: Compared
    best_against_pixels: Compared
    learnable: Learnable
    similarity: Divergence | None
    sizes: tuple[int, ...]
    curve: tuple[Estimate, ...]
    forecasts: tuple[Forecast, ...]
    seconds: float
    scoring_seconds: float
    balanced_against_pixels: Estimate | None = None
    groups: int | None = None
    metric: Metric = "accuracy"
    targets: tuple[Target, ...] = ()
    nearest_class: float | None = None
    all_examples: int = 0
    curve_depths: tuple[str, ...] = ()
    expected: Estimate | None = None

    @property
    def available(self) -> int:
        """How many examples there are to train on, looked at or not."""
        return max(self.examples, self.all_examples)

    @property
    def has_pairs(self) -> bool:
        """Whether two examples of one class were ever neighbours; else nothing that is left out can be told."""
        return self.metric != "accuracy" or self.learnable.by_chance > 0

    @property
    def at_best(self) -> Estimate:
        """What is expected of the best depth on other examples."""
        return self.expected or self.depth(self.best).linear

    def depth(self, name: str) -> Depth:
        """Returns the depth of that name."""
        return next(depth for depth in self.depths if depth.name == name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What to do, in a sentence, and the measured reason."""

    advice: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Candidate:
    """A strategy that ran in the race.

    Attributes:
        name: such as "head", unique within the race.
        words: what trains.
        change: in what its recipe differs from the one that was asked, as flags.
        accuracy: on the validation examples of the race, when it was last measured.
        seconds: that were spent on it.
        whole_seconds: that its whole training is predicted to take on this machine, alone.
        share: of its own schedule that it trained, in (0, 1].
        rung: to which it stayed, counted from 1.
        reason: why it is among them.
        why_not: why it did not win; "" for the winner.
        failed: whether that is for an error, and not for others that were better.
    """

    name: str
    words: str
    change: str
    accuracy: Estimate
    seconds: float
    whole_seconds: float
    share: float
    rung: int
    reason: str
    why_not: str
    failed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A strategy that did not run, and why; `lacks_seconds` is whether it would with a larger budget."""

    name: str
    reason: str
    lacks_seconds: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Race:
    """Short trainings of several strategies, compared on the same validation examples.

    Attributes:
        candidates: that ran, the winner first, then those that came farthest, the most accurate first.
        left_out: that did not run.
        winner: name of the candidate to train with.
        runner_up: name of the one that came next; "" where only one ran.
        runner_up_is_better: probability that the runner-up is right more often than the winner on further examples,
            both as they were at the last rung that both came to, in [0, 1]; 0 without one.
        examples: validation examples that all were compared on; `trained_on` those that all learned from.
        trained_on: see there.
        shares: of their own schedules that all in the race had trained at least at the end of each rung, in (0, 1].
        budget: seconds that it was given.
        seconds: that it took; `predicted_seconds` as it was told before it began, if those who train on cost as much
            as all that could did on average.
        predicted_seconds: see there.
        ended: why it ended, in words.
        borrowed: how many of `examples` are of the training split, which a run learns from; 0 for none.
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]
    winner: str
    runner_up: str
    runner_up_is_better: float
    examples: int
    trained_on: int
    shares: tuple[float, ...]
    budget: float
    seconds: float
    predicted_seconds: float
    ended: str
    borrowed: int = 0

    @property
    def held_out(self) -> str:
        """What its examples are called."""
        return "held-out" if self.borrowed else "validation"

    def candidate(self, name: str) -> Candidate:
        """Returns the candidate of that name."""
        return next(one for one in self.candidates if one.name == name)


Verdict = Literal["nothing_learnable", "transfer_does_not_help", "undecided", "easy", "transfer_helps"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Advice:
    """What transfer learning from one backbone is worth on some data.

    Attributes:
        data: facts about the examples.
        backbone: handle.
        measured: everything that was measured.
        verdict: in a word.
        quarter: which of the four cases of the textbook table this is, in words; "" where nothing tells.
        conclusions: in the order in which they matter.
        at: layer group to cut the network behind; "" for all of it.
        stages: preset of `tfxfer.presets` to train with; "" where nothing is to be trained.
        copies: training examples that were left out since their content is that of another.
        race: of strategies; None where none was asked for, or there was nothing to race for.
    """

    data: DataFacts
    backbone: str
    measured: Measurements
    verdict: Verdict
    quarter: str
    conclusions: tuple[Conclusion, ...]
    at: str
    stages: str
    copies: int = 0
    race: Race | None = None

    def __str__(self) -> str:
        from tfxfer.advice.page import page

        return page(self)

    def plot(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the drawing of every depth as PNG.

        Raises:
            WorkdirError: the file is there and may not be overwritten, or cannot be written.
        """
        from tfxfer.advice import plots

        if pathlib.Path(path).exists() and not overwrite:
            raise WorkdirError(f"{path} exists and is not overwritten. Choose another name, or write overwrite=True.")
        with files.replacing(path, overwrite=overwrite) as beside:
            beside.write_bytes(plots.depths(self))

    def save_page(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes everything as one HTML file, as `tfxfer advise --html` does.

        Raises:
            ConfigError: the file is not called as one.
            WorkdirError: it is there and may not be overwritten, or cannot be written.
        """
        from tfxfer.advice import html_page

        html_page.write(self, pathlib.Path(path), overwrite=overwrite)
