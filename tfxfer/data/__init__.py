"""Examples as users have them: a source becomes labelled pictures with disjoint splits, and facts about them."""

from collections.abc import Sequence
from typing import Any

from tfxfer import recipes
from tfxfer.data import arrays, folder, samples
from tfxfer.data.arrays import check_pixel_scale
from tfxfer.data.examples import Examples, Found, for_test, settle
from tfxfer.data.splits import TEST, TRAIN, VALIDATION
from tfxfer.errors import ConfigError, suggest

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

SOURCES = ("arrays", "folder", "sample", "tfds")


def check_source(source: str) -> None:
    """Refuses a source of an unknown kind, before anything is loaded.

    Raises:
        ConfigError: the part before the colon is none of `SOURCES`, or nothing stands behind it.
    """
    kind = source.partition(":")[0]
    if kind not in SOURCES:
        raise ConfigError(
            f"data={source!r}: there is no kind of source {kind!r}.{suggest(kind, SOURCES)} Kinds: "
            f"{', '.join(SOURCES)}."
        )
    if kind != "arrays" and not source.partition(":")[2]:
        raise ConfigError(f"data={source!r} names nothing. Write {kind}:<{'dir' if kind == 'folder' else 'name'}>.")


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
        ConfigError: an unknown source.
        DataError: examples that cannot be learned from as they are.
    """
    check_source(recipe.source)
    return settle(
        _find(recipe.source, data, class_names),
        on_bad_image=recipe.on_bad_image,
        on_duplicate=recipe.on_duplicate,
        seed=seed,
        validation_fraction=recipe.validation_fraction,
        test_fraction=recipe.test_fraction,
    )


def open_labelled(source: str, class_names: tuple[str, ...], *, on_bad_image: str) -> Examples:
    """Opens examples to measure a trained network on: all of them are the test split.

    Args:
        source: as in `recipes.Data`.
        class_names: of the network; the source's classes are matched by name.
        on_bad_image: "error" or "skip".

    Raises:
        ConfigError: an unknown source.
        DataError: unreadable images, or a class that the network does not know.
    """
    check_source(source)
    return for_test(_find(source, None, None), class_names, on_bad_image=on_bad_image)


def _find(source: str, data: Any, class_names: Sequence[str] | None) -> Found:
    kind, _, name = source.partition(":")
    if kind == "arrays":
        if data is None:
            raise ConfigError(
                "the recipe names no data. Write --data=folder:<dir>, or hand examples to run(recipe, data=…)."
            )
        return arrays.find(data, class_names)
    if data is not None:
        raise ConfigError(f"the recipe names data {source!r}, and run was given examples too. Use one of the two.")
    if kind == "folder":
        return folder.find(name)
    if kind == "sample":
        return samples.find(name)
    from tfxfer.data import tfds_source

    return tfds_source.find(name)
