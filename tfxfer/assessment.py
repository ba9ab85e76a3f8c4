"""Measures a bundle on labelled images: its own test split again, or new ones."""

import dataclasses
import pathlib

from tfxfer import data, display, evaluation, export, files, recipes, runtime, values, view_averaging
from tfxfer.errors import BundleError
from tfxfer.evaluation import Measured
from tfxfer.recipes import Recipe


def assess(
    bundle: pathlib.Path,
    source: str | None = None,
    *,
    on_bad_image: str = "error",
    image_column: str = "",
    label_column: str = "",
    allow_unsafe_model_code: bool = False,
    tta: int = 1,
) -> Measured:
    """Returns the result of a bundle's model.

    Args:
        bundle: folder of a bundle.
        source: labelled images whose classes are matched by name, all of them used; None: the data that the
            bundle was trained from, its test split.
        on_bad_image: "error" or "skip".
        image_column: where `source` is a table, the heading of its paths; "" for that of the bundle's recipe, where
            that was one too, else for those that are known. `label_column` likewise, of its classes.
        label_column: see there.
        allow_unsafe_model_code: whether ops of a SavedModel in its network may run that the scan refuses.
        tta: views of each picture, over which probabilities are averaged, ≥ 1; 1: the picture itself alone.

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
        model = view_averaging.averaged(model, view_averaging.augment_of(bundle), tta)
    columns = {"image_column": image_column, "label_column": label_column}
    examples = open_examples(opened, source, on_bad_image=on_bad_image, **columns)
    pixels = examples.pixels(opened.model.input_shape[1], opened.framing)
    measured = evaluation.measure(model, examples.rows(pixels, data.TEST), opened.class_names)
    return dataclasses.replace(measured, views=tta)


def open_examples(
    bundle: export.Bundle,
    source: str | None,
    *,
    on_bad_image: str = "error",
    image_column: str = "",
    label_column: str = "",
) -> data.Examples:
    """Returns the examples to measure a bundle on, in the split `data.TEST`.

    Args:
        bundle: an opened one.
        source: labelled images, all of them in that split; None: those that the bundle was trained from.
        on_bad_image: "error" or "skip".
        image_column: as in `assess`; `label_column` likewise.
        label_column: see there.

    Raises:
        BundleError: the bundle was trained on arrays of a program, or its data has changed since.
        DataError: the data cannot be read, or has a class that the bundle does not know.
    """
    if source is not None:
        columns = {"image_column": image_column, "label_column": label_column}
        asked = recipes.Data(source=source, on_bad_image=on_bad_image, **columns)
        if asked.is_table:
            trained = _recipe(bundle).data
            columns = {name: heading or getattr(trained, name) for name, heading in columns.items()}
            asked = dataclasses.replace(asked, **columns)
        return data.open_labelled(asked, bundle.class_names)
    recipe = _recipe(bundle)
    if recipe.data.source == "arrays:":
        raise BundleError("this bundle was trained on arrays of a Python program. Give labelled images: --data=…")
    examples = data.open_data(recipe.data, seed=recipe.seed)
    planned = files.read_json(bundle.folder / "plan.json")["what"]["data"]
    if examples.facts.fingerprint != planned:
        raise BundleError(
            f"{recipe.data.source} has changed since the bundle was trained, so its test split would hold other "
            "images. Give new labelled images: --data=…"
        )
    return examples


def _recipe(bundle: export.Bundle) -> Recipe:
    return values.from_json(Recipe, files.read_json(bundle.folder / "recipe.json"))


def describe(measured: Measured) -> str:
    """Returns the result in a few lines: the whole, then each class."""
    low, high = (100 * bound for bound in measured.accuracy_interval)
    lines = [
        f"accuracy {100 * measured.accuracy:.1f} % on {measured.examples:,} examples (95 % interval {low:.1f} to "
        f"{high:.1f} %), balanced {100 * measured.balanced_accuracy:.1f} %"
        + (f", by the mean over {measured.views} views of each picture" if measured.views > 1 else ""),
        measured.class_means,
    ]
    width = max(len(display.clean(result.name)) for result in measured.classes)
    lines += [
        f"  {display.clean(result.name):<{width}}  precision {100 * result.precision:5.1f} %  recall "
        f"{100 * result.recall:5.1f} %  {result.examples:,} examples"
        for result in measured.classes
    ]
    return "\n".join(lines)


def write(measured: Measured, output: pathlib.Path) -> None:
    """Writes the result as JSON."""
    files.write_json(output, values.to_json(measured))
