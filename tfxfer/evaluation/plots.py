"""Draws what was measured: the confusion matrix and the training curves, as PNG files."""

import pathlib

import matplotlib
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from tfxfer import files
from tfxfer.evaluation.report import Measured
from tfxfer.training import History

_BLUE, _ORANGE, _GREY = "#2563a8", "#d9622b", "#8a8a8a"


def draw_confusion(measured: Measured, path: pathlib.Path) -> None:
    """Writes the confusion matrix: rows are the true class, columns the predicted one, shares by row."""
    counts = np.array(measured.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [result.name for result in measured.classes]
    size = min(20.0, max(4.5, 0.5 * len(names) + 2.5))
    figure = matplotlib.figure.Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 30:
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    ticks = range(len(names))
    labels = [_shorten(name) for name in names]
    axes.set_xticks(
        ticks,
        labels,
        rotation=45 if max(map(len, labels)) > 3 else 0,
        ha="right" if max(map(len, labels)) > 3 else "center",
    )
    axes.set_yticks(ticks, labels)
    axes.set(
        xlabel="predicted",
        ylabel="true",
        title=f"{measured.examples:,} test examples, {_percent(measured)} right",
    )
    _save(figure, path)


def draw_curves(history: History, path: pathlib.Path) -> None:
    """Writes loss and accuracy over epochs, training and validation, with the stages marked."""
    figure = matplotlib.figure.Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [epoch for stage in history.stages for epoch in stage.epochs]
    numbers = range(1, len(epochs) + 1)
    series = (
        ("loss", [(e.loss, e.validation_loss) for e in epochs], 1),
        ("accuracy, %", [(e.accuracy, e.validation_accuracy) for e in epochs], 100),
    )
    for position, (title, pairs, factor) in enumerate(series, start=1):
        axes = figure.add_subplot(1, 2, position)
        train, validation = zip(*pairs, strict=True)
        axes.plot(numbers, np.multiply(train, factor), color=_ORANGE, marker="o", ms=3, label="training")
        axes.plot(numbers, np.multiply(validation, factor), color=_BLUE, marker="o", ms=3, label="validation")
        _mark_stages(axes, history)
        axes.set(xlabel="epoch", title=title)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    _save(figure, path)


def _mark_stages(axes, history: History) -> None:
    start = 1
    for number, stage in enumerate(history.stages):
        if number:
            axes.axvline(start - 0.5, color=_GREY, linestyle=":", linewidth=1)
        if len(history.stages) > 1:
            axes.annotate(
                f" {_shorten(stage.name)}", (start - 0.5, 1), xycoords=("data", "axes fraction"), va="top",
                fontsize=8, color=_GREY,
            )  # fmt: skip
        start += len(stage.epochs)


def _shorten(name: str) -> str:
    # `$` would begin a formula.
    text = name if len(name) <= 18 else name[:17] + "…"
    return text.replace("$", r"\$")


def _percent(measured: Measured) -> str:
    return f"{100 * measured.accuracy:.1f} %"


def _save(figure: matplotlib.figure.Figure, path: pathlib.Path) -> None:
    with files.replacing(path) as beside:
        figure.savefig(beside, dpi=130)
