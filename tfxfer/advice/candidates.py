"""Which strategies race, chosen from what was measured: each with its reason, or why it is left out. Pure."""

import dataclasses

from tfxfer.advice import concluding
from tfxfer.advice.result import LeftOut, Measurements
from tfxfer.facts import BackboneCard
from tfxfer.recipes import Recipe

# With fewer examples random weights race only where pretrained ones do not help: they catch up where data and steps are
# many (He et al. 2018), and with 1,000 examples have 43.1 right where pretrained ones have 66.4 (VTAB-1k, Zhai et al.
# 2019). A prior.
_EXAMPLES_FOR_SCRATCH = 10_000

# Accuracy over that of the suffix, on average of the twelve settings of `tools/bench_regret.py`. Kumar et al. (2022)
# have 2 points more for fine-tuning than for the head, on ten data sets; Kaplun et al. (2023) as much for some layers
# as for all, and more where examples are few. Random weights are 12 points behind there, but race only where they may
# not be, and have the figure of `full`.
_EXPECTED = {"suffix": 0.0, "head": -0.02, "first blocks": 0.0, "full": -0.01, "scratch": -0.01}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strategy:
    """A way to train on some data.

    Attributes:
        name: unique within a race.
        words: what trains, such as "the head alone".
        stages: name of a preset.
        at: layer group that the network is cut behind; "": where the recipe says, or nowhere.
        reason: why it is among the candidates.
    """

    name: str
    words: str
    stages: str
    at: str
    reason: str

    @property
    def expected(self) -> float:
        """Accuracy that it has mostly, over that of the suffix; 0 where nobody has measured it."""
        return _EXPECTED.get(self.name, 0.0)

    def recipe(self, asked: Recipe) -> Recipe:
        """Returns what `tfxfer train` takes to train this way, without a race."""
        backbone = dataclasses.replace(asked.backbone, at=self.at or asked.backbone.at)
        return dataclasses.replace(asked, backbone=backbone, stages=self.stages, budget=None)

    @property
    def change(self) -> str:
        """In what its recipe differs, as flags."""
        return f"--stages={self.stages}" + (f" --config.backbone.at={self.at}" if self.at else "")


def strategies(
    measured: Measurements, card: BackboneCard, *, examples: int
) -> tuple[tuple[Strategy, ...], tuple[LeftOut, ...]]:
    """Returns which strategies are worth a race, and why others are not.

    Args:
        measured: about the data and the backbone.
        card: of the backbone.
        examples: to train on.
    """
    best, last = measured.best, measured.depths[-1].name
    at = "" if best == last else best
    linear = measured.at_best
    head = Strategy(
        name="head",
        words="the head alone" + (f", on features of {at}" if at else ""),
        stages="feature_extraction",
        at=at,
        reason=f"features are best at {best}, where a linear classifier has {linear} right",
    )
    if not card.trainable:
        return (head,), (LeftOut(name="all others", reason=f"{card.handle} cannot train, only a head on its features"),)
    found, left_out = [head, _suffix(measured), _full()], []
    if at:
        found.append(_first_blocks(at, linear))
    else:
        left_out.append(LeftOut(name="first blocks", reason=f"no earlier depth has better features than {last}"))
    if why := _why_no_scratch(measured, examples):
        left_out.append(LeftOut(name="scratch", reason=why))
    else:
        found.append(_scratch(measured, examples))
    return tuple(found), tuple(left_out)


def _suffix(measured: Measurements) -> Strategy:
    at = concluding.cut_of(measured)
    return Strategy(
        name="suffix",
        words="the head and the later half of the layer groups" + (f" up to {at}" if at else ""),
        stages="partial",
        at=at,
        reason="early layers are general, later ones are the source's (Yosinski et al. 2014), and what is below is "
        "computed once",
    )


def _full() -> Strategy:
    return Strategy(
        name="full",
        words="the head, then everything",
        stages="full",
        at="",
        reason="mostly better than fixed features (Kornblith et al. 2019)",
    )


def _first_blocks(at: str, linear) -> Strategy:
    return Strategy(
        name="first blocks",
        words=f"the head, then everything of a network cut behind {at}",
        stages="full",
        at=at,
        reason=f"features are best at {at} ({linear}), and the shorter network costs less",
    )


def _scratch(measured: Measurements, examples: int) -> Strategy:
    gain = measured.best_against_pixels.difference
    told = f"({_points(gain.low)} to {_points(gain.high)} points more right than pixels)"
    return Strategy(
        name="scratch",
        words="everything, from random weights",
        stages="scratch",
        at="",
        reason=f"{examples:,} examples may be enough without pretrained weights {told}"
        if examples >= _EXAMPLES_FOR_SCRATCH
        else f"nothing says that pretrained features help {told}",
    )


def _why_no_scratch(measured: Measurements, examples: int) -> str:
    gain = measured.best_against_pixels.difference
    helps_not = gain.value <= 0 or concluding.verdict_of(measured) == "transfer_does_not_help"
    if examples >= _EXAMPLES_FOR_SCRATCH or helps_not:
        return ""
    return (
        f"{examples:,} examples are few to begin with nothing (below {_EXAMPLES_FOR_SCRATCH:,}), and pretrained "
        f"features have {_points(gain.value)} points more right than pixels ({_points(gain.low)} to "
        f"{_points(gain.high)})"
    )


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
