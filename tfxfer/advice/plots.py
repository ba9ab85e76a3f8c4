"""Draws what advice is about, as PNG: every depth, the learning curve, and how like pretraining the pictures are.

Told apart by marks and dashes, so that nothing depends on colours.
"""

import io

import matplotlib.figure
import matplotlib.ticker
import numpy as np

from tfxfer.advice import references, wording
from tfxfer.advice.result import Advice, Measurements
from tfxfer.display import drawn_name
from tfxfer.scores import Estimate

_BLUE, _ORANGE, _GREY, _GREEN = "#2563a8", "#d9622b", "#6a6a6a", "#2e7d32"


def depths(advice: Advice) -> bytes:
    """Returns what features are worth at each depth, with intervals, the best one, the cut, and what needs none."""
    measured = advice.measured
    figure, axes = _figure(max(7.0, min(16.0, 2 + 0.5 * len(measured.depths))), 4.4)
    places, factor = np.arange(len(measured.depths)), _factor(measured)
    _line(axes, places, [one.linear for one in measured.depths], factor, _BLUE, "o-", _probe(measured))
    if all(one.neighbours is not None for one in measured.depths):
        _line(axes, places, [one.neighbours for one in measured.depths], factor, _ORANGE, "^--", "5 nearest neighbours")
    for value, style, name in (
        (measured.pixels.value, "-.", "16×16 pixels, no network"),
        (measured.frequent, ":", _without_looking(measured)),
    ):
        axes.axhline(factor * value, color=_GREY, linestyle=style, linewidth=1.3, label=name)
    names = [one.name for one in measured.depths]
    best = names.index(measured.best)
    axes.plot(best, factor * measured.depths[best].linear.value, "o", mfc="none", mec="black", ms=14, mew=1.6)
    axes.annotate(
        "best", (best, factor * measured.depths[best].linear.value), (0, 12), textcoords="offset points", ha="center",
        weight="bold",
    )  # fmt: skip
    if advice.at in names:
        axes.axvline(names.index(advice.at) + 0.5, color="black", linestyle="--", linewidth=1.3, label="cut here")
    axes.set_xticks(places, [drawn_name(name) for name in names], rotation=40, ha="right")
    axes.set(ylabel=_label(measured), xlabel="features at the end of this layer group, input first")
    axes.margins(y=0.12)
    _finish(axes)
    return _png(figure)


def curve(measured: Measurements) -> bytes:
    """Returns accuracy over the number of examples, measured and forecast; b"" where there is none."""
    if not measured.sizes:
        return b""
    figure, axes = _figure(7.0, 3.6)
    factor = _factor(measured)
    _line(axes, measured.sizes, measured.curve, factor, _BLUE, "o-", "measured")
    sizes = [one.examples for one in measured.forecasts]
    told = [one.accuracy for one in measured.forecasts]
    if sizes:
        _line(axes, sizes, told, factor, _ORANGE, "s:", "forecast, range of drawn sets")
    axes.set_xscale("log")
    ticks = [*measured.sizes, *sizes]
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks], rotation=40, ha="right")
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.set(xlabel="examples", ylabel=_label(measured))
    _finish(axes)
    return _png(figure)


def similarity(measured: Measurements) -> bytes:
    """Returns the divergence from pretraining on a scale with domains that everybody knows; b"" where none is known."""
    found = measured.similarity
    if found is None or found.all <= 0 or not references.holds_at(measured.image_size):
        return b""
    figure, axes = _figure(7.5, 1.9)
    axes.axhline(0, color=_GREY, linewidth=1)
    for number, (name, value) in enumerate(references.scale(measured.image_size)):
        side = 1 if number % 2 else -1
        axes.plot(value, 0, "o", color=_GREY, ms=7)
        axes.annotate(
            f"{name}\n{value:.2f}", (value, 0), (0, 14 * side), textcoords="offset points", ha="center",
            va="bottom" if side > 0 else "top", fontsize=8,
        )  # fmt: skip
    axes.plot(found.all, 0, "D", color=_BLUE, mec="black", ms=11)
    axes.annotate(
        f"this data {found.all:.2f}", (found.all, 0), (0, 44), textcoords="offset points", ha="center", weight="bold",
        arrowprops={"arrowstyle": "-", "color": "black"},
    )  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(matplotlib.ticker.NullFormatter())
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set(ylim=(-1, 1), xlabel="like pretraining  ←  divergence, nats a channel  →  unlike")
    axes.margins(x=0.12)
    axes.yaxis.set_visible(False)
    axes.tick_params(axis="x", which="both", length=0)
    for side in ("left", "right", "top", "bottom"):
        axes.spines[side].set_visible(False)
    return _png(figure)


def _figure(width: float, height: float):
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _line(axes, places, estimates: list[Estimate], factor: int, colour: str, style: str, name: str) -> None:
    """Draws estimates, joined, with their intervals as bars."""
    values = factor * np.array([one.value for one in estimates])
    ends = factor * np.array([one.interval for one in estimates]).T
    bars = {"yerr": np.abs(ends - values), "capsize": 3}
    axes.errorbar(places, values, fmt=style, color=colour, ms=5, linewidth=1.5, label=name, **bars)


def _finish(axes) -> None:
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="best")


def _factor(measured: Measurements) -> int:
    return 1 if measured.metric == "r_squared" else 100


def _label(measured: Measurements) -> str:
    unit = "" if measured.metric == "r_squared" else ", %"
    return f"{wording.NAMES[measured.metric][0]}{unit}\n(left out, 95 % intervals)"


def _probe(measured: Measurements) -> str:
    return "linear classifier" if measured.metric == "accuracy" else "ridge regression"


def _without_looking(measured: Measurements) -> str:
    names = {"accuracy": "most frequent class", "r_squared": "mean", "average_precision": "answer without looking"}
    return names[measured.metric]


def _png(figure: matplotlib.figure.Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130)
    return stream.getvalue()
