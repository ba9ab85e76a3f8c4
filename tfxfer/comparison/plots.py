"""Draws accuracy on validation examples over steps and over seconds, with bands over seeds."""

import pathlib

import matplotlib.figure

from tfxfer import files
from tfxfer.comparison.result import Comparison, Contender
from tfxfer.display import clean

# Told apart without colours too.
_COLOURS = ("#2563a8", "#d9622b", "#3f8f4f", "#7a4fa3", "#8a6d1b", "#c2447e")
_LINES = ("-", "--", "-.", ":")
_GREY = "#8a8a8a"


def draw(compared: Comparison, path: pathlib.Path) -> None:
    """Writes the curves as a PNG file of two panels: the mean over seeds, and its 95 % interval as a band."""
    figure = matplotlib.figure.Figure(figsize=(11, 4.2), layout="constrained")
    for position, (unit, label) in enumerate(
        (("step", "optimizer steps"), ("seconds", "seconds of training")), start=1
    ):
        axes = figure.add_subplot(1, 2, position)
        for number, contender in enumerate(compared.contenders):
            _draw_one(axes, contender, unit, _COLOURS[number % len(_COLOURS)], _LINES[number % len(_LINES)])
        if compared.level:
            axes.axhline(100 * compared.level, color=_GREY, linestyle=":", linewidth=1)
        axes.set(xlabel=label, ylabel="validation accuracy, %", ylim=(None, 101))
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, loc="lower right")
    with files.replacing(path) as beside:
        figure.savefig(beside, dpi=130)


def _draw_one(axes, contender: Contender, unit: str, colour: str, line: str) -> None:
    name = _shown(contender.name)
    if not contender.curve:
        axes.plot([], [], color=colour, linestyle=line, label=f"{name} (diverged)")
        return
    places = [getattr(point, unit) for point in contender.curve]
    accuracies = [point.accuracy for point in contender.curve]
    axes.plot(
        places, [100 * one.value for one in accuracies], color=colour, linestyle=line, marker="o", ms=3, label=name
    )
    if accuracies[0].low is not None:
        low, high = ([100 * getattr(one, end) for one in accuracies] for end in ("low", "high"))
        axes.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)


def _shown(name: str) -> str:
    # `$` would begin a formula, and what begins with `_` is left out of a legend.
    return " " * name.startswith("_") + clean(name if len(name) <= 40 else name[:39] + "…").replace("$", r"\$")
