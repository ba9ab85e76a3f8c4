"""Several backbones on the same examples, ranked: values only, and the rule of the order."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from tfxfer.advice.result import Advice, Measurements, Verdict
from tfxfer.scores import Compared, Estimate

# A backbone is worse than the most accurate one where that is better with at least this probability; else a tie.
CERTAIN = 0.975
# What is said of a network, the most promising first.
_WORTH: tuple[Verdict, ...] = ("transfer_helps", "easy", "undecided", "transfer_does_not_help", "nothing_learnable")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores without a unit of accuracy, higher is better; None: not asked for, or the backbone has no such thing.

    Attributes:
        logme: `scores.logme` of the features at the end of the network, as its paper takes them.
        hscore: `scores.shrunk_h_score` of the same.
        leep: `scores.leep` of what the network's own classifier says.
        nce: `scores.nce` of the class that it holds for most probable.
        why_none: why a score that was asked for is None; "" where none is.
    """

    logme: float | None = None
    hscore: float | None = None
    leep: float | None = None
    nce: float | None = None
    why_none: str = ""


SCORES = tuple(field.name for field in dataclasses.fields(Scores) if field.name != "why_none")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranked:
    """One backbone.

    Attributes:
        handle: `source:name`.
        measured: what was measured on it.
        verdict: what follows from it, in a word.
        at: layer group behind which it would be cut; "" for all of it.
        against_best: this one and the most accurate one, on the same examples.
        is_tied: whether the most accurate one is not better for certain; so of that one itself.
        top1: published ImageNet-1k top-1 accuracy in per cent; 0 where none is known.
        megabytes: of its weights up to `at`, as float32, without a head; a megabyte is 10⁶ bytes.
        seconds: of its inference pass for 1,000 pictures, on this machine, all of the network.
        scores: that were asked for.
    """

    handle: str
    measured: Measurements
    verdict: Verdict
    at: str
    against_best: Compared
    is_tied: bool
    top1: float
    megabytes: float
    seconds: float
    scores: Scores = Scores()

    @property
    def accuracy(self) -> Estimate:
        """Expected accuracy of a linear classifier on its features at the best depth, on left-out examples."""
        return self.measured.at_best


@dataclasses.dataclass(frozen=True, kw_only=True)
class NotRanked:
    """A backbone that was not ranked: its handle, and why."""

    handle: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranking:
    """Backbones on the same examples.

    Attributes:
        rows: in the order of `ordered`.
        left_out: what could not be ranked.
        advice: for the one to take (see `smallest`).
        scores: names of those that were asked for.
        seconds: that all of it took.
    """

    rows: tuple[Ranked, ...]
    left_out: tuple[NotRanked, ...]
    advice: Advice
    scores: tuple[str, ...]
    seconds: float

    @property
    def tied(self) -> tuple[Ranked, ...]:
        """Those of which none is better for certain than the others; the first rows, at least one."""
        return tuple(row for row in self.rows if row.is_tied)

    @property
    def chosen(self) -> Ranked:
        """The one to take."""
        return smallest(self.rows)

    def save_page(self, path: str | os.PathLike, *, overwrite: bool = False) -> None:
        """Writes the ranking, and all about the backbone to take, as one HTML file with nothing outside it.

        Args:
            path: of an HTML file.
            overwrite: whether it may be there.

        Raises:
            ConfigError: it is called otherwise.
            WorkdirError: it is there and may not be, or cannot be written.
        """
        from tfxfer.advice import html_page

        html_page.write(self.advice, pathlib.Path(path), ranking=self, overwrite=overwrite)

    def __str__(self) -> str:
        from tfxfer.advice.ranking_page import page

        return page(self)


def ordered(rows: Sequence[Ranked]) -> tuple[Ranked, ...]:
    """Returns backbones in order, the best first.

    What is tied with the most accurate comes first, since each of these may be the best: by published accuracy, which
    orders networks no worse than scores of features do (mean rank correlation 0.65 on eleven data sets, LogME 0.51,
    LEEP 0.41; TencentARC/SFDA), those without one behind, then by size. All others: by what was measured.
    """
    tied = sorted((row for row in rows if row.is_tied), key=lambda row: (-row.top1, row.megabytes))
    others = sorted((row for row in rows if not row.is_tied), key=lambda row: -row.accuracy.value)
    return (*tied, *others)


def smallest(rows: Sequence[Ranked]) -> Ranked:
    """Returns the smallest of those that are tied with the most accurate; of equally small ones the first.

    Only those count of which the measurements say most: a small network for which it is open whether transfer helps is
    not taken before one that is known to help.
    """
    tied = [row for row in rows if row.is_tied]
    most = min(_WORTH.index(row.verdict) for row in tied)
    return min((row for row in tied if _WORTH.index(row.verdict) == most), key=lambda row: row.megabytes)
