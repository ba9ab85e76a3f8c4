"""Reads a recipe from a config file and overrides. A config file is Python: it is run, so trust it like code."""

import dataclasses
import pathlib
import traceback
from collections.abc import Sequence

from tfxfer import presets, values
from tfxfer.errors import ConfigError, TfxferError
from tfxfer.recipes import PRESETS, Recipe


def read_recipe(path: str | None, overrides: Sequence[values.Change] = ()) -> Recipe:
    """Returns the recipe of a config file with overrides.

    Args:
        path: of a Python file with `get_config() -> Recipe`; None for the default recipe.
        overrides: fields of the recipe that get another value.

    Raises:
        ConfigError: the file cannot be run or returns no recipe, or an override does not fit.
    """
    recipe = _run_config(pathlib.Path(path)) if path is not None else Recipe()
    of_stages = [change for change in overrides if change.path.startswith("stages[")]
    recipe = values.replace(recipe, [change for change in overrides if change not in of_stages])
    if of_stages and recipe.stages in PRESETS:
        recipe = _expand(recipe)
    return values.replace(recipe, of_stages)


def _expand(recipe: Recipe) -> Recipe:
    """Returns the recipe with the stages of its preset written out, so that they can be changed one by one."""
    backbone = dataclasses.replace(recipe.backbone, weights=recipe.weights)
    return dataclasses.replace(recipe, stages=presets.by_name(recipe.stages), backbone=backbone)


def _run_config(path: pathlib.Path) -> Recipe:
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"the config file {path} cannot be read ({reason}).") from error
    namespace = {"__name__": "tfxfer_config", "__file__": str(path)}
    try:
        exec(compile(source, str(path), "exec"), namespace)
        if not callable(namespace.get("get_config")):
            raise ConfigError("it has no function get_config(). Write: def get_config(): return Recipe(…)")
        recipe = namespace["get_config"]()
    except TfxferError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:
        line = next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if f.filename == str(path)),
            None,
        )
        line = line or getattr(error, "lineno", None)
        raise ConfigError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    if not isinstance(recipe, Recipe):
        raise ConfigError(f"{path}: get_config() returned a {type(recipe).__name__}, expected a Recipe.")
    return recipe
