"""One run of a comparison: made, taken as it was made before, or kept as diverged."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tfxfer import display, evaluation, files, pipeline, runtime, values
from tfxfer.comparison import curves
from tfxfer.comparison.result import Outcome
from tfxfer.errors import TrainingError
from tfxfer.evaluation import Report, Told
from tfxfer.facts import DataFacts
from tfxfer.plans import Plan
from tfxfer.recipes import Recipe
from tfxfer.scores import Estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """One run: what came out, what was told of each test example, and facts of its data; None where it diverged."""

    outcome: Outcome
    told: Told | None = None
    data: DataFacts | None = None


def folder_of(place: pathlib.Path, name: str, seed: int) -> pathlib.Path:
    """Returns where a run of a contender is, below the folder of the comparison."""
    return place / "runs" / name / f"seed_{seed}"


def make(
    name: str,
    recipe: Recipe,
    folder: pathlib.Path,
    data: Any,
    class_names: Sequence[str] | None,
    fingerprint: Callable[[], str],
    show: Callable[[str], None],
) -> Made:
    """Makes a run, or takes what came out of it before.

    Args:
        name: of the contender.
        recipe: with the seed of the run.
        folder: of the run; whether it has diverged stands beside it.
        data: as for `tfxfer.run`; `class_names` likewise.
        class_names: see there.
        fingerprint: opens the data and tells its fingerprint; called where a run diverges, or has before.
        show: called with a line for each epoch, and one for the end.

    Raises:
        TfxferError: it cannot be made, for another reason than that its loss is no number.
    """
    note = folder.with_name(f"{folder.name}.diverged.json")
    why = _why_diverged(note, recipe, fingerprint)
    if not why:
        try:
            report = pipeline.run(
                recipe,
                workdir=folder,
                data=data,
                class_names=class_names,
                show=lambda line: show(f"  {line}") if line.startswith("stage ") else None,
            )
            return _made(name, recipe.seed, report, folder, show)
        except TrainingError as error:
            why = str(error)
            files.write_json(note, {**_asked(recipe, fingerprint), "why": why})
    show(f"  diverged: {why} To train it again, remove {note}.")
    return Made(outcome=Outcome(contender=name, seed=recipe.seed, points=(), seconds=0.0, test=None, diverged=why))


def _asked(recipe: Recipe, fingerprint: Callable[[], str]) -> dict[str, Any]:
    """Returns all that decides whether a run diverges."""
    versions = [list(one) for one in runtime.probe(recipe.running).versions]
    return {"recipe": values.digest(recipe), "data": fingerprint(), "versions": versions}


def _why_diverged(note: pathlib.Path, recipe: Recipe, fingerprint: Callable[[], str]) -> str:
    """Returns how a run has diverged before; "" where it has not, or another recipe, other data or libraries have."""
    kept = files.read_json(note) if note.exists() else {}
    if not isinstance(kept, dict) or kept.get("recipe") != values.digest(recipe):
        return ""
    asked = _asked(recipe, fingerprint)
    return kept.get("why", "") if all(kept.get(name) == asked[name] for name in asked) else ""


def _made(name: str, seed: int, report: Report, folder: pathlib.Path, show) -> Made:
    plan = values.from_json(Plan, files.read_json(folder / "plan.json"))
    points = curves.points_of(report.history, plan.what.stages)
    low, high = report.test.accuracy_interval
    outcome = Outcome(
        contender=name,
        seed=seed,
        points=points,
        seconds=points[-1].seconds,
        test=Estimate(value=report.test.accuracy, low=low, high=high),
    )
    show(f"  test accuracy {outcome.test}, training {display.duration_text(outcome.seconds)}")
    return Made(outcome=outcome, told=evaluation.read_told(folder / "report"), data=report.data)
