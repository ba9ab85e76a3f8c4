"""Measures a bundle on labelled images: its own test split again, or new ones."""

import dataclasses
import pathlib
from collections.abc import Callable

from tfxfer import data, evaluation, export, files, recipes, runtime, values, view_averaging
from tfxfer.errors import BundleError
from tfxfer.evaluation import AnyMeasured
from tfxfer.recipes import Recipe
from tfxfer.recipes.inputs import headings_in


def assess(
    bundle: pathlib.Path,
    source: str | None = None,
    *,
    on_bad_image: str = "error",
    image_column: str = "",
    label_column: str = "",
    label_separator: str = "",
    allow_unsafe_model_code: bool = False,
    tta: int = 1,
    note: Callable[[str], None] = lambda _: None,
) -> AnyMeasured:
    """Returns the result of a bundle's model.

    Args:
        bundle: folder of a bundle.
        source: labelled images whose classes are matched by name, all of them used; None: the data that the
            bundle was trained from, its test split.
        on_bad_image: "error" or "skip".
        image_column: where `source` is a table, the heading of its paths; "" for that of the bundle's recipe, where
            that was one too, else for those that are known. `label_column` likewise, of its classes, and
            `label_separator`, what stands between several in one cell.
        label_column: see there.
        label_separator: see there.
        allow_unsafe_model_code: whether ops of a SavedModel in its network may run that the scan refuses.
        tta: views of each picture, over which answers are averaged, ≥ 1; 1: the picture itself alone.
        note: called with a line where pictures of `source` were trained on.

    Raises:
        BundleError: the bundle is damaged, or its data has changed since.
        DataError: the data cannot be read, or has a class that the bundle does not know.
        ConfigError: an unknown kind of source, or more views than training had.
    """
    if source is not None:
        data.check_source(source)
    opened = export.open_bundle(bundle, allow_unsafe_model_code=allow_unsafe_model_code)
    runtime.check_environment()
    model = opened.model
    if tta > 1:
        model = view_averaging.averaged(model, view_averaging.augment_of(bundle), tta, opened.task)
    columns = {"image_column": image_column, "label_column": label_column, "label_separator": label_separator}
    examples = open_examples(opened, source, on_bad_image=on_bad_image, **columns)
    examples = examples.some(examples.indices(data.TEST))  # nothing else is decoded
    if trained_on := export.count_known(examples, data.TEST, export.read_known(bundle)):
        count = len(examples.labels)
        note(
            f"warning: {trained_on:,} of {count:,} images ({100 * trained_on / count:.1f} %) are among those that the "
            "network was trained on, so that it looks better than it is. Measure on others."
        )
    pixels = examples.pixels(opened.model.input_shape[1], opened.framing)
    measured = evaluation.measure(model, examples.rows(pixels, data.TEST), opened.class_names)
    return dataclasses.replace(measured, views=tta) if tta > 1 else measured


def open_examples(
    bundle: export.Bundle,
    source: str | None,
    *,
    on_bad_image: str = "error",
    image_column: str = "",
    label_column: str = "",
    label_separator: str = "",
) -> data.Examples:
    """Returns the examples to measure a bundle on, in the split `data.TEST`.

    Args:
        bundle: an opened one.
        source: labelled images, all of them in that split; None: those that the bundle was trained from.
        on_bad_image: "error" or "skip".
        image_column: as in `assess`; `label_column` and `label_separator` likewise.
        label_column: see there.
        label_separator: see there.

    Raises:
        BundleError: the bundle was trained on arrays of a program, or its data has changed since.
        DataError: the data cannot be read, or has a class that the bundle does not know.
    """
    if source is not None:
        columns = {"image_column": image_column, "label_column": label_column, "label_separator": label_separator}
        asked = recipes.Data(source=source, on_bad_image=on_bad_image, **columns)
        kind = bundle.task.kind
        if asked.is_table:
            trained = _recipe(bundle).data
            columns = {name: heading or getattr(trained, name) for name, heading in columns.items()}
            several = len(headings_in(columns["label_column"])) > 1
            if several or kind != "multi_label":
                columns["label_separator"] = ""
            asked = dataclasses.replace(asked, task=kind, **columns)
        elif kind != "single_label":
            asked = dataclasses.replace(asked, task=kind)
        return data.open_labelled(asked, bundle.class_names, bundle.task)
    recipe = _recipe(bundle)
    if recipe.data.source == "arrays:":
        raise BundleError("this bundle was trained on arrays of a Python program. Give labelled images: --data=…")
    examples = data.open_data(recipe.data, seed=recipe.split_seed)
    planned = files.read_json(bundle.folder / "plan.json")["what"]["data"]
    if examples.facts.fingerprint != planned:
        raise BundleError(
            f"{recipe.data.source} has changed since the bundle was trained, so its test split would hold other "
            "images. Give new labelled images: --data=…"
        )
    return examples


def _recipe(bundle: export.Bundle) -> Recipe:
    return values.from_json(Recipe, files.read_json(bundle.folder / "recipe.json"))


def describe(measured: AnyMeasured) -> str:
    """Returns the result in a few lines: the whole, then each class."""
    means, views = getattr(measured, "class_means", ""), getattr(measured, "views", 1)
    said = evaluation.headline(measured)
    said += f", by the mean over {views} views of each picture" if views > 1 else ""
    return "\n".join([said, *([means] if means else []), *evaluation.lines_of(measured)])


def write(measured: AnyMeasured, output: pathlib.Path) -> None:
    """Writes the result as JSON."""
    files.write_json(output, values.to_json(measured))
