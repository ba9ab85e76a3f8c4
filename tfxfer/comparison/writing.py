"""Writes a comparison as files: values, curves as a table, plot and page."""

import csv
import io
import pathlib

from tfxfer import files, values
from tfxfer.comparison import plots
from tfxfer.comparison.page import html_page
from tfxfer.comparison.result import Comparison


def write(compared: Comparison, place: pathlib.Path) -> None:
    """Writes `curves.png`, `compared.csv`, `compared.html` and `compared.json` into a folder, each of them whole."""
    plots.draw(compared, place / "curves.png")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["contender", "seed", "step", "seconds", "validation_accuracy"])
    for contender in compared.contenders:
        for outcome in contender.outcomes:
            own = (contender.name, outcome.seed)
            writer.writerows([*own, one.step, f"{one.seconds:.3f}", one.accuracy] for one in outcome.points)
    files.write_text(place / "compared.csv", text.getvalue())
    files.write_text(place / "compared.html", html_page(compared, (place / "curves.png").read_bytes()))
    files.write_json(place / "compared.json", values.to_json(compared))
