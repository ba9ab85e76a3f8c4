"""Draws a sweep over learning rates as a PNG file."""

import pathlib

import matplotlib.figure

from tfxfer import files
from tfxfer.lr_finder.result import RateSweep

_BLUE, _ORANGE, _GREY = "#2563a8", "#d9622b", "#8a8a8a"
_MARKS = {"valley": "o", "slide": "s", "minimum": "v", "steep": "D"}


def draw_sweep(sweep: RateSweep, path: pathlib.Path) -> None:
    """Writes losses over rates, each suggestion as a mark on the smoothed curve, the chosen one with a line.

    Raises:
        WorkdirError: the folder cannot be written.
    """
    figure = matplotlib.figure.Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(sweep.rates, sweep.losses, color=_GREY, linewidth=0.8, alpha=0.6, label="of the batch")
    axes.plot(sweep.rates, sweep.smoothed, color=_BLUE, linewidth=1.8, label="smoothed")
    for suggestion in sweep.suggestions:
        if suggestion.rate is None:
            continue
        near = min(range(len(sweep.rates)), key=lambda index: abs(sweep.rates[index] / suggestion.rate - 1))
        label = f"{suggestion.rule} {suggestion.rate:.2g}"
        axes.plot(suggestion.rate, sweep.smoothed[near], _MARKS[suggestion.rule], color=_ORANGE, label=label)
    if sweep.rate is not None:
        axes.axvline(sweep.rate, color=_ORANGE, linestyle=":", linewidth=1)
    if sweep.smoothed:
        # What came after the lowest point would press the rest flat.
        low, start = min(sweep.smoothed), sweep.smoothed[0]
        height = max(max(sweep.smoothed[: sweep.smoothed.index(low) + 1]) - low, abs(start) * 0.05, 1e-12)
        axes.set_ylim(low - 0.3 * height, low + 1.8 * height)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", title=f"{len(sweep.rates)} steps; {sweep.ended}")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    with files.replacing(path) as beside:
        figure.savefig(beside, dpi=130)
