"""The job as it reads: contenders are checked on their data, each is trained with each seed, then all are compared."""

import dataclasses
import functools
import gc
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfxfer import checks, files, folders, pipeline, plans, runtime, values
from tfxfer.comparison import contenders, summing, writing
from tfxfer.comparison import runs as runs_of
from tfxfer.comparison.result import Comparison
from tfxfer.comparison.runs import Made
from tfxfer.errors import BackboneError, ConfigError, TrainingError, WorkdirError
from tfxfer.recipes import Recipe

# Its presence makes a folder a comparison of tfxfer.
_ASKED = "asked.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Decided:
    """What is trained: optimizer steps of each run, and each contender's recipe with stages of so many."""

    steps: int
    recipes: dict[str, Recipe]


def compare(
    asked: Recipe | Mapping[str, Recipe],
    *,
    workdir: str | pathlib.Path,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int | None = None,
    epochs: float | None = None,
    reach: float | None = None,
    data: Any = None,
    class_names: Sequence[str] | None = None,
    show: Callable[[str], None] = print,
) -> Comparison:
    """Trains recipes on the same examples for the same number of optimizer steps, and compares them.

    >>> print(tfxfer.compare(tfxfer.Recipe(data="folder:photos"), workdir="runs/compared"))

    Splits are those of the first recipe in all runs; the seed decides what is drawn besides: the head, random weights,
    the order of examples, their views. Each run is one of `tfxfer.run` in a folder below `workdir`: the same call after
    a kill goes on there and repeats nothing. A run whose loss is no number is kept as diverged, and the others go on.

    Args:
        asked: recipes by name; or one, which is compared with the same network trained from random weights.
        workdir: a folder for everything that is written: the runs, `compared.json`, `compared.csv` (the curves),
            `curves.png` and `compared.html`.
        seeds: of each recipe; with one there is no spread, and so no band.
        steps: optimizer steps of each run, or
        epochs: passes over the training examples; by default what the first recipe's stages have. Stages of the others
            are made longer or shorter in proportion.
        reach: accuracy on validation examples, in (0, 1], to which steps and seconds are told; None: what the mean of
            the worst contender ends with.
        data: examples for recipes without a source, as for `tfxfer.run`.
        class_names: of them.
        show: called with each line of output.

    Raises:
        TfxferError: with what was wrong and what to type instead.
    """
    contenders.check_asked(seeds, steps=steps, epochs=epochs, reach=reach)
    named, place = contenders.contenders_of(asked), pathlib.Path(workdir)
    running = next(iter(named.values())).running
    checks.check_alone(running)
    _check_place(place, running.resume)
    named = {name: contenders.that_goes_on(recipe) for name, recipe in named.items()}
    question = {
        "contenders": {name: values.to_json(recipe) for name, recipe in named.items()},
        "steps": steps,
        "epochs": epochs,
    }
    decided = _decided_before(place, question) or _decide(named, steps, epochs, data, class_names)
    # What slows the machine for a while slows all contenders.
    runs = [(name, seed) for seed in seeds for name in decided.recipes]
    for name, seed in runs:
        folders.check_workdir(runs_of.folder_of(place, name, seed), contenders.of_seed(decided.recipes[name], seed))
    _write_decided(place, question, decided)
    made = {}
    fingerprint = functools.cache(lambda: _fingerprint(next(iter(decided.recipes.values())), data, class_names))
    for number, (name, seed) in enumerate(runs, start=1):
        show(f"run {number} of {len(runs)}: {name}, seed {seed}")
        recipe = contenders.of_seed(decided.recipes[name], seed)
        folder = runs_of.folder_of(place, name, seed)
        made[name, seed] = runs_of.make(name, recipe, folder, data, class_names, fingerprint, show)
        gc.collect()  # networks are full of cycles, and the next run needs the memory
    compared = _summed(decided, made, reach, place)
    writing.write(compared, place)
    return compared


def _fingerprint(recipe: Recipe, data: Any, class_names: Sequence[str] | None) -> str:
    return pipeline.open_examples(recipe, data=data, class_names=class_names).facts.fingerprint


def _check_place(place: pathlib.Path, resume: str) -> None:
    """Refuses a folder that holds something else, before anything is done.

    Raises:
        WorkdirError: it does, cannot be written, or has or lacks a comparison against `resume`.
    """
    has_one = (place / _ASKED).exists()
    if resume == "must" and not has_one:
        raise WorkdirError(f"{place} has no comparison that could go on. Check --workdir, or write --resume=auto.")
    if resume == "never" and has_one:
        raise WorkdirError(f"{place} has a comparison already. Choose another --workdir, or write --resume=auto.")
    if place.exists() and (not place.is_dir() or (any(place.iterdir()) and not has_one)):
        raise WorkdirError(f"{place} exists and is no comparison of tfxfer. Choose another --workdir.")
    files.check_writable(place)


def _decided_before(place: pathlib.Path, question: dict[str, Any]) -> _Decided | None:
    """Returns what was decided when the same was asked in this folder; None for another question."""
    if not (place / _ASKED).exists():
        return None
    kept = files.read_json(place / _ASKED)
    if not isinstance(kept, dict) or kept.get("asked") != question:
        return None
    try:
        own = kept["decided"]["recipes"].items()
        return _Decided(
            steps=int(kept["decided"]["steps"]),
            recipes={name: values.from_json(Recipe, recipe) for name, recipe in own},
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise WorkdirError(f"{place / _ASKED} is damaged ({error}). Choose another --workdir.") from error


def _write_decided(place: pathlib.Path, question: dict[str, Any], decided: _Decided) -> None:
    recipes = {name: values.to_json(recipe) for name, recipe in decided.recipes.items()}
    files.write_json(place / _ASKED, {"asked": question, "decided": {"steps": decided.steps, "recipes": recipes}})


def _decide(
    named: Mapping[str, Recipe], steps: int | None, epochs: float | None, data: Any, class_names: Sequence[str] | None
) -> _Decided:
    """Opens data and backbone of each contender, and makes all of them take the same number of steps.

    Raises:
        TfxferError: a recipe does not work on its data; the message names it.
    """
    total, exact, prints = 0, {}, {}
    for name, recipe in named.items():
        try:
            prepared = pipeline.prepare(recipe, data=data, class_names=class_names, with_seconds=False)
            facts, network, planned = prepared.examples.facts, prepared.backbone.facts, prepared.plan.what.stages
            own = [stage.steps for stage in planned]
            total = total or contenders.budget_of(sum(own), planned[0].steps_per_epoch, steps=steps, epochs=epochs)
            stages, _ = plans.stages_of(recipe, facts, network.card)
            exact[name] = contenders.with_looks(contenders.with_steps(recipe, stages, own, total, name), total)
            plans.resolve(exact[name], facts, network, runtime.probe(recipe.running))
        except (ConfigError, BackboneError) as error:  # others are of the data, which is that of all
            raise type(error)(f"{name}: {error}") from error
        prints[name] = facts.fingerprint
    if len(set(prints.values())) > 1:
        raise ConfigError("the data changed while it was read. Run the command again.")
    return _Decided(steps=total, recipes=exact)


def _summed(
    decided: _Decided, made: Mapping[tuple[str, int], Made], reach: float | None, place: pathlib.Path
) -> Comparison:
    """Returns the comparison of all runs.

    Raises:
        WorkdirError: they are of other data.
        TrainingError: every one diverged.
    """
    known = {one.data.fingerprint: one.data for one in made.values() if one.data is not None}
    if len(known) > 1:
        raise WorkdirError(f"the data changed between the runs in {place}. Choose another --workdir.")
    if not known:
        first = next(iter(made.values())).outcome
        raise TrainingError(f"every run diverged; {first.contender} with seed {first.seed}: {first.diverged}")
    machine = runtime.probe()
    return summing.sum_up(
        decided.recipes,
        [one.outcome for one in made.values()],
        {key: one.told for key, one in made.items()},
        next(iter(known.values())),
        steps=decided.steps,
        reach=reach,
        machine=f"{', '.join(machine.devices)}; {machine.cores} cores",
    )
