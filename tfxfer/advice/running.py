"""Runs a recipe, and before it, where that is asked for, the race that decides how."""

import functools
import gc
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tfxfer import checks, files, folders, pipeline, recipes, values
from tfxfer.advice.result import Advice
from tfxfer.errors import TfxferError, WorkdirError
from tfxfer.evaluation import Report

# In a workdir; from then on nothing races any more.
_ADVICE = "advice.json"


def run(
    recipe: recipes.Recipe,
    *,
    workdir: str | pathlib.Path,
    data: Any = None,
    class_names: Sequence[str] | None = None,
    show: Callable[[str], None] = print,
) -> Report:
    """Runs a recipe: opens the data, loads the backbone, trains, measures and exports.

    >>> report = run(Recipe(data="folder:photos"), workdir="runs/photos")
    >>> report.test.accuracy
    0.97...

    The same call on an unfinished `workdir` goes on behind the last checkpoint and ends in the same weights; on a
    finished one it returns the report. Seeds and op determinism are set for the whole process. Several workers make
    the same call, and all return the report; the first of them writes, the others use `workdir` for a cache at most.
    Where one of them raises, let its process end: that is how the others know.

    With a budget (`Recipe.budget`) advice and a race come first and decide on the stages; `advice.json` in `workdir`
    has what they came to, which a run that goes on keeps. Until then the folder is free for another recipe, and has at
    most what was measured and decoded, below `cache`: a race that is stopped begins again, measurements do not.

    Args:
        recipe: what to do.
        workdir: a folder for everything that is written; made if need be.
        data: examples for a recipe without a source: `(images, labels)` or a `tf.data.Dataset`; see README.
        class_names: names of the labels 0, 1, … of `data`.
        show: called with each line of output.

    Raises:
        TfxferError: with what was wrong and what to type instead; see `tfxfer.errors`.
    """
    decide = None
    if recipe.budget is not None:
        checks.check_alone(recipe.running)
        decide = functools.partial(
            decided, workdir=pathlib.Path(workdir), data=data, class_names=class_names, show=show
        )
    return pipeline.run(recipe, workdir=workdir, data=data, class_names=class_names, show=show, decide=decide)


def decided(
    recipe: recipes.Recipe,
    *,
    workdir: pathlib.Path,
    data: Any = None,
    class_names: Sequence[str] | None = None,
    show: Callable[[str], None] = print,
) -> tuple[recipes.Recipe, str]:
    """Returns the recipe that advice and a race come to, and why; asks for them where the workdir has none yet.

    Args:
        recipe: with a budget.
        workdir: that is to hold the run; the recipe, `advice.json` and `advice.txt` come into it.
        data: examples for a recipe without a source; `class_names` of their labels.
        class_names: see there.
        show: called with each line of output.

    Raises:
        WorkdirError: `advice.json` cannot be read.
        TfxferError: likewise with what was wrong and what to type instead.
    """
    from tfxfer.advice import asking

    place = workdir / _ADVICE
    if place.exists():
        advice = _read(place)
        show(f"{place} says how to train; nothing races again.")
    else:
        advice = asking.advise(
            recipe, data=data, class_names=class_names, workdir=workdir, show=lambda line: show(f"… {line}")
        )
        gc.collect()  # the networks that raced are full of cycles, and training needs the memory
        show(f"\n{advice}\n")
        # Not before: where data or race are refused, the folder stays free for the recipe to be written instead.
        files.write_json(workdir / folders.RECIPE, values.to_json(recipe))
        files.write_text(workdir / "advice.txt", f"{advice}\n")
        files.write_json(place, values.to_json(advice))
    return asking.advised(recipe, advice), _why(advice)


def _read(place: pathlib.Path) -> Advice:
    try:
        return values.from_json(Advice, files.read_json(place))
    except TfxferError as error:
        raise WorkdirError(
            f"{place}, which says how to train, is damaged or of another version ({error}). Remove it to race again, "
            "or choose another --workdir."
        ) from error


def _why(advice: Advice) -> str:
    """Returns in a sentence how the stages came about."""
    first, last = advice.conclusions[0], advice.conclusions[-1]
    if not advice.stages:
        return f"no race: {first.advice}"
    told = (
        last if advice.race is not None else next((one for one in advice.conclusions if "--stages" in one.advice), last)
    )
    return f"stages {advice.stages}: {told.advice} Because {told.reason}"
