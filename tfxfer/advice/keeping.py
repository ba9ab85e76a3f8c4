"""What was measured for a run, kept in its folder: a race that is stopped or refused does not measure again."""

import dataclasses
import pathlib
from typing import Any

from tfxfer import files, recipes, runtime, values
from tfxfer.advice.result import Advice
from tfxfer.errors import TfxferError
from tfxfer.facts import DataFacts

# Below the cache: a folder with nothing else is still free for another recipe.
_MEASURED = pathlib.Path("cache", "measured.json")


def question(recipe: recipes.Recipe, data: DataFacts) -> dict[str, Any]:
    """Returns all that decides what is measured; the seconds of a race and where activations are kept do not."""
    asked = dataclasses.replace(recipe, budget=None, cache=recipes.Recipe().cache)
    versions = [list(one) for one in runtime.probe(recipe.running).versions]
    return {"recipe": values.digest(asked), "data": data.fingerprint, "versions": versions}


def kept(workdir: pathlib.Path, asked: dict[str, Any]) -> Advice | None:
    """Returns what was measured in this folder; None where that is nothing, of something else, or damaged."""
    if not (workdir / _MEASURED).exists():
        return None
    try:
        found = files.read_json(workdir / _MEASURED)
        if not isinstance(found, dict) or found.get("asked") != asked:
            return None
        return values.from_json(Advice, found.get("advice"))
    except TfxferError:
        return None


def keep(workdir: pathlib.Path, asked: dict[str, Any], advice: Advice) -> None:
    """Writes what was measured into the folder of a run.

    Raises:
        WorkdirError: it cannot be written.
    """
    files.write_json(workdir / _MEASURED, {"asked": asked, "advice": values.to_json(advice)})
