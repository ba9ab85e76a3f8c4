"""Draws what was measured: confusion matrix, precision of labels or scatter of numbers, and curves, as PNG files."""

import pathlib
from collections.abc import Sequence

import matplotlib
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from tfxfer import files
from tfxfer.display import drawn_name
from tfxfer.evaluation.report import AnyMeasured, Measured, MeasuredLabels, MeasuredNumbers
from tfxfer.training import EpochRecord, History

_BLUE, _ORANGE, _GREY = "#2563a8", "#d9622b", "#8a8a8a"


def drawing(measured: AnyMeasured) -> str:
    """Returns the name of the picture that `draw` writes of a result."""
    return {MeasuredNumbers: "scatter.png", MeasuredLabels: "labels.png"}.get(type(measured), "confusion.png")


def draw(measured: AnyMeasured, folder: pathlib.Path) -> None:
    """Writes the picture that says most about a result."""
    how = {MeasuredNumbers: draw_scatter, MeasuredLabels: draw_labels}.get(type(measured), draw_confusion)
    how(measured, folder / drawing(measured))


def draw_scatter(measured: MeasuredNumbers, path: pathlib.Path) -> None:
    """Writes what was told over what is true, a part for each of the first twelve targets."""
    shown = measured.targets[:12]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = matplotlib.figure.Figure(figsize=(4.2 * columns, 4 * rows), layout="constrained")
    for place, target in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, place)
        true, told = zip(*target.points, strict=True)
        axes.plot(true, told, ".", color=_BLUE, alpha=0.5)
        ends = [min(true), max(true)]
        axes.plot(ends, ends, color=_GREY, linewidth=1)
        axes.set(xlabel="true", ylabel="predicted", title=f"{drawn_name(target.name)}: R² {target.r2:.3f}")
        axes.grid(alpha=0.25)
    _save(figure, path)


def draw_labels(measured: MeasuredLabels, path: pathlib.Path) -> None:
    """Writes the average precision of each label, the forty lowest where there are more."""
    there = [result for result in measured.labels if result.examples]
    shown = sorted(there, key=lambda result: result.average_precision)[:40]
    figure = matplotlib.figure.Figure(figsize=(7, 1.5 + 0.25 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(shown))
    axes.barh(places, [result.average_precision for result in shown], color=_BLUE)
    axes.set_yticks(places, [f"{drawn_name(result.name)} ({result.examples})" for result in shown])
    axes.set(xlim=(0, 1), xlabel="average precision", title=f"{measured.examples:,} test examples")
    axes.grid(alpha=0.25, axis="x")
    _save(figure, path)


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
    labels = [drawn_name(name) for name in names]
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
    """Writes loss and the main metric over epochs, training and validation, with the stages marked."""
    figure = matplotlib.figure.Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [epoch for stage in history.stages for epoch in stage.epochs]
    numbers = range(1, len(epochs) + 1)
    series = (
        ("loss", [(e.loss, e.validation_loss) for e in epochs], 1),
        _scores(epochs),
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


def _scores(epochs: Sequence[EpochRecord]) -> tuple[str, list[tuple[float, float]], int]:
    """Returns the name of the main metric, its values on training and validation, and the factor to show them by."""
    name = epochs[0].score.name
    pairs = [(epoch.score.train, epoch.score.validation) for epoch in epochs]
    return (name, pairs, 1) if name.startswith("mae") else (f"{name}, %", pairs, 100)


def _mark_stages(axes, history: History) -> None:
    start = 1
    for number, stage in enumerate(history.stages):
        if number:
            axes.axvline(start - 0.5, color=_GREY, linestyle=":", linewidth=1)
        if len(history.stages) > 1:
            axes.annotate(
                f" {drawn_name(stage.name)}", (start - 0.5, 1), xycoords=("data", "axes fraction"), va="top",
                fontsize=8, color=_GREY,
            )  # fmt: skip
        start += len(stage.epochs)


def _percent(measured: Measured) -> str:
    return f"{100 * measured.accuracy:.1f} %"


def _save(figure: matplotlib.figure.Figure, path: pathlib.Path) -> None:
    with files.replacing(path) as beside:
        figure.savefig(beside, dpi=130)
