"""Writes a bundle again, in more formats, checked on images, since a bundle holds none."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from tfxfer import assessment, augmentation, checks, data, display, evaluation, export, files, formats, runtime, values
from tfxfer.data.rows import Rows, evenly
from tfxfer.errors import AccuracyError, WorkdirError
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
        allow_unsafe_model_code: whether code that the network brings may run.
        show: called with each line of output.

    Raises:
        WorkdirError: `output` exists, is no bundle, or cannot be written.
        BundleError: the bundle is damaged, or its data has changed since.
        ConfigError: a format whose packages are missing.
        AccuracyError: the network is not as good as asked, on these images.
    """
    target = output or bundle
    check_target(target, asked, overwrite=overwrite)
    formats.check_installed(asked.optional_formats)
    if source is not None:
        data.check_source(source)
    opened = export.open_bundle(bundle, allow_unsafe_model_code=allow_unsafe_model_code)
    runtime.check_environment()
    recipe = values.from_json(Recipe, augmentation.of_now(files.read_json(bundle / "recipe.json")))
    plan = values.from_json(Plan, files.read_json(bundle / "plan.json"))
    report = values.from_json(Report, files.read_json(bundle / "report.json"))
    test, train = _rows(opened, assessment.open_examples(opened, source, on_bad_image=on_bad_image))
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
    report = export.write(opened.model, recipe, plan, report, test, some, target, overwrite=overwrite)
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


def check_target(target: pathlib.Path, asked: Export, *, overwrite: bool) -> None:
    """Finds out, before anything else is done, whether a bundle may be written there.

    Raises:
        WorkdirError: there is one and it is not to be replaced, or there is something else.
    """
    if target.exists() and not overwrite:
        raise WorkdirError(f"{target} exists and is not overwritten. Write --output=DIR, or --overwrite to replace it.")
    if target.exists() and not (target / "bundle.json").is_file():
        raise WorkdirError(f"{target} is no bundle, and only a bundle is replaced. Choose another --output.")
    files.check_writable(target.resolve().parent)
    if asked.hub_archive:
        export.check_archive(pathlib.Path(asked.hub_archive), target, overwrite=overwrite)


def _parted(rows: Rows) -> tuple[np.ndarray, Rows]:
    """Returns pictures to measure ranges on, evenly from all, and the other rows, to check on."""
    chosen = evenly(len(rows), min(formats.REPRESENTATIVE, len(rows) // 2))
    rest = np.setdiff1d(np.arange(len(rows)), chosen)
    return rows.take(chosen), dataclasses.replace(rows, labels=rows.labels[rest], places=rows.places[rest], keys=None)
