"""Examples as users have them: a source becomes labelled pictures with disjoint splits, and facts about them."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from tfxfer import recipes
from tfxfer.data import arrays, conversion, folder, groups, manifest, npz, parquet, samples, tables, tfrecords
from tfxfer.data.arrays import check_pixel_scale
from tfxfer.data.examples import Examples, for_test, settle
from tfxfer.data.found import Found
from tfxfer.data.splits import TEST, TRAIN, VALIDATION, Rule
from tfxfer.errors import ConfigError, suggest
from tfxfer.tasks import SINGLE_LABEL, Task

__all__ = [
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Examples",
    "check_pixel_scale",
    "check_source",
    "open_data",
    "open_labelled",
]

# Each with what stands behind its colon.
SOURCES = {
    "arrays": "",
    "csv": "file",
    "folder": "dir",
    "npz": "file",
    "parquet": "file",
    "sample": "name",
    "tfds": "name",
    "tfrecord": "pattern",
}


def check_source(source: str) -> None:
    """Refuses a source of an unknown kind, before anything is loaded.

    Raises:
        ConfigError: the part before the colon is none of `SOURCES`, nothing stands behind it, or a package is missing.
    """
    kind = source.partition(":")[0]
    if kind not in SOURCES:
        raise ConfigError(
            f"data={source!r}: there is no kind of source {kind!r}.{suggest(kind, SOURCES)} Kinds: "
            f"{', '.join(SOURCES)}."
        )
    if SOURCES[kind] and not source.partition(":")[2]:
        raise ConfigError(f"data={source!r} names nothing. Write {kind}:<{SOURCES[kind]}>.")
    if kind == "parquet":
        parquet.check_installed()


def check_there(asked: recipes.Data, *, columns: bool = True) -> None:
    """Refuses a source that is not there, or a table without the columns; nothing is read but headings.

    Args:
        asked: the source, and what its columns are called.
        columns: whether to look for them.

    Raises:
        DataError: says what is missing.
    """
    kind, _, name = asked.source.partition(":")
    if kind == "folder":
        folder.check_there(name)
    elif asked.is_table and columns:
        manifest.check_columns(kind, name, asked)
    elif kind == "npz" or asked.is_table:
        tables.check_regular(pathlib.Path(name).expanduser())
    elif kind == "tfrecord":
        tfrecords.files_of(name)


def open_data(
    recipe: recipes.Data, *, seed: int, data: Any = None, class_names: Sequence[str] | None = None
) -> Examples:
    """Opens the examples of a recipe: finds and checks every picture, decides the splits, gathers the facts.

    Args:
        recipe: the source and how to treat it.
        seed: of the split.
        data: for the source `arrays:`, what `tfxfer.run` was given.
        class_names: for the source `arrays:`, names of the labels.

    Raises:
        ConfigError: an unknown source, or one without a part to train on.
        DataError: examples that cannot be learned from as they are.
    """
    kind, _, name = recipe.source.partition(":")
    if kind == "tfds" and name:
        from tfxfer.data import tfds_source

        tfds_source.check_trains(name)
    return settle(
        find(recipe, data, class_names),
        on_bad_image=recipe.on_bad_image,
        on_duplicate=recipe.on_duplicate,
        seed=seed,
        validation_fraction=recipe.validation_fraction,
        test_fraction=recipe.test_fraction,
        examples_per_class=recipe.examples_per_class,
        rule=Rule(proportions=recipe.proportions, folds=recipe.folds, fold=recipe.fold),
    )


def open_labelled(recipe: recipes.Data, class_names: tuple[str, ...], task: Task = SINGLE_LABEL) -> Examples:
    """Opens examples to measure a trained network on: all of them are the test split.

    Args:
        recipe: the source, its columns, and what an unreadable image does.
        class_names: of the network; the source's classes are matched by name.
        task: of the network.

    Raises:
        ConfigError: an unknown source.
        DataError: unreadable images, or a class that the network does not know.
    """
    # Splits, groups and weights decide nothing here, so what is wrong with them does not matter.
    recipe = dataclasses.replace(recipe, split_column=None, group_column=None, weight_column=None, group_by="")
    # The order of classes is the network's, and each of them need not be there.
    if task.kind == "ordinal":
        check_source(recipe.source)
        found = dataclasses.replace(_of_source(recipe, None, None, is_measured=True), kind="ordinal")
    else:
        found = find(recipe, is_measured=True)
    return for_test(found, class_names, on_bad_image=recipe.on_bad_image, task=task)


def find(
    recipe: recipes.Data, data: Any = None, class_names: Sequence[str] | None = None, *, is_measured: bool = False
) -> Found:
    """Returns what a source has, before anything is decoded or decided; see `open_data` and `open_labelled`."""
    check_source(recipe.source)
    found = conversion.as_asked(_of_source(recipe, data, class_names, is_measured=is_measured), recipe)
    if recipe.group_by:
        found = dataclasses.replace(found, groups=groups.by_file_name(found.pictures, recipe.group_by, recipe.source))
    return found


def _of_source(
    recipe: recipes.Data, data: Any, class_names: Sequence[str] | None, *, is_measured: bool = False
) -> Found:
    kind, _, name = recipe.source.partition(":")
    if kind == "arrays":
        if data is None:
            raise ConfigError(
                "the recipe names no data. Write --data=folder:<dir>, or hand examples to run(recipe, data=…)."
            )
        return arrays.find(data, class_names, recipe.kind)
    if data is not None:
        raise ConfigError(
            f"the recipe names data {recipe.source!r}, and run was given examples too. Use one of the two."
        )
    if kind == "folder":
        return folder.find(name)
    if kind == "csv":
        return manifest.find_csv(name, recipe, is_measured=is_measured)
    if kind == "parquet":
        return manifest.find_parquet(name, recipe, is_measured=is_measured)
    if kind == "npz":
        return npz.find(name, recipe.kind)
    if kind == "sample":
        return samples.find(name)
    if kind == "tfrecord":
        return tfrecords.find(name, recipe.kind)
    from tfxfer.data import tfds_source

    return tfds_source.find(name)
