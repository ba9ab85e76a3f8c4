"""Writes a bundle again, in more formats, checked on images, since a bundle holds none."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from tfxfer import (
    assessment,
    augmentation,
    checks,
    data,
    display,
    evaluation,
    export,
    files,
    folders,
    formats,
    runtime,
    values,
)
from tfxfer.data.rows import Rows, evenly
from tfxfer.errors import AccuracyError
from tfxfer.evaluation import Report
from tfxfer.plans import Plan
from tfxfer.recipes import Export, Recipe


def export_again(
    bundle: pathlib.Path,
    asked: Export,
    *,
    source: str | None = None,
    output: pathlib.Path | None = None,
    overwrite: bool = False,
    on_bad_image: str = "error",
    image_column: str = "",
    label_column: str = "",
    label_separator: str = "",
    allow_unsafe_model_code: bool = False,
    show: Callable[[str], None] = print,
) -> Report:
    """Writes a bundle's network again; returns its report, with the formats that are there now.

    Args:
        bundle: folder of a bundle.
        asked: formats besides those that every bundle has, and besides those that this one has where it is replaced.
        source: labelled images to check files on; None: those that the bundle was trained from.
        output: where to; None: in the place of `bundle`, with `overwrite`.
        overwrite: whether a bundle, and an archive, that are there are replaced, once the new one is complete.
        on_bad_image: "error" or "skip".
        image_column: where `source` is a table, as in `assessment.assess`; the next two likewise.
        label_column: see there.
        label_separator: see there.
        allow_unsafe_model_code: whether code that the network brings may run.
        show: called with each line of output.

    Raises:
        WorkdirError: `output` exists, is no bundle, or cannot be written.
        BundleError: the bundle is damaged, or its data has changed since.
        ConfigError: a format whose packages are missing.
        AccuracyError: the network is not as good as asked, on these images.
    """
    columns = {"image_column": image_column, "label_column": label_column, "label_separator": label_separator}
    target = output or bundle
    folders.check_target(target, overwrite=overwrite)
    if asked.hub_archive:
        export.check_archive(pathlib.Path(asked.hub_archive), target, overwrite=overwrite)
    formats.check_installed(asked.optional_formats)
    if source is not None:
        data.check_source(source)
    opened = export.open_bundle(bundle, allow_unsafe_model_code=allow_unsafe_model_code)
    runtime.check_environment()
    recipe = values.from_json(Recipe, augmentation.of_now(files.read_json(bundle / "recipe.json")))
    plan = values.from_json(Plan, files.read_json(bundle / "plan.json"))
    report = values.from_json(Report, files.read_json(bundle / "report.json"))
    test, train = _rows(opened, assessment.open_examples(opened, source, on_bad_image=on_bad_image, **columns))
    _check_accuracy(opened, asked, test)
    if target.resolve() == bundle.resolve():
        # What it has stays in it.
        asked = dataclasses.replace(asked, formats=(*(one.format for one in report.export), *asked.formats))
        formats.check_installed(asked.optional_formats)
    if source is None:
        some = export.representative(train)
    elif any(formats.FORMATS[name].needs_pictures for name in asked.optional_formats):
        some, test = _parted(test)
    else:
        some = test.take(np.arange(0))
    recipe = dataclasses.replace(recipe, export=asked)
    known = export.read_known(bundle)
    report = export.write(opened.model, recipe, plan, report, test, some, target, known=known, overwrite=overwrite)
    for line in (*display.parity_lines(report.export), *display.left_out_lines(report.left_out)):
        show(line)
    show(f"files: {target}")
    return report


def _rows(opened: export.Bundle, examples: data.Examples) -> tuple[Rows, Rows]:
    """Returns pictures to check on, and those of training that ranges are measured on; no others are decoded."""
    train = examples.indices(data.TRAIN)
    train = train[evenly(len(train), formats.REPRESENTATIVE)] if len(train) else train
    examples = examples.some(np.union1d(train, examples.indices(data.TEST)))
    pixels = examples.pixels(opened.model.input_shape[1], opened.framing)
    return examples.rows(pixels, data.TEST), examples.rows(pixels, data.TRAIN)


def _check_accuracy(opened: export.Bundle, asked: Export, test: Rows) -> None:
    checks.check_accuracy(asked, opened.task.kind)
    if asked.assert_accuracy_at_least:
        measured = evaluation.measure(opened.model, test, opened.class_names)
        if measured.accuracy < asked.assert_accuracy_at_least:
            raise AccuracyError(f"{evaluation.too_low(measured, asked.assert_accuracy_at_least)} Nothing was exported.")


def _parted(rows: Rows) -> tuple[np.ndarray, Rows]:
    """Returns pictures to measure ranges on, evenly from all, and the other rows, to check on."""
    chosen = evenly(len(rows), min(formats.REPRESENTATIVE, len(rows) // 2))
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    return rows.take(chosen), dataclasses.replace(rows, labels=rows.labels[rest], places=rows.places[rest], keys=None)
