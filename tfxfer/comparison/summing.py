"""What follows from the runs of several recipes: curves, steps to an accuracy, and differences on the same examples."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from tfxfer import recipes
from tfxfer.comparison import curves
from tfxfer.comparison.result import Comparison, Contender, Difference, Outcome
from tfxfer.errors import WorkdirError
from tfxfer.evaluation import Told
from tfxfer.facts import DataFacts
from tfxfer.recipes import Recipe
from tfxfer.scores import intervals

# What each run gets from the comparison, so that it is no difference between contenders.
_GIVEN = re.compile(r"seed:|running\.|stages\[\d+\]\.(epochs|steps):")


def sum_up(
    named: Mapping[str, Recipe],
    outcomes: Sequence[Outcome],
    told: Mapping[tuple[str, int], Told | None],
    data: DataFacts,
    *,
    steps: int,
    reach: float | None,
    machine: str,
) -> Comparison:
    """Returns the comparison of runs that were made on the same examples.

    Args:
        named: the contenders' recipes, stages written out.
        outcomes: of all runs, those of each contender in the order of the seeds.
        told: by contender and seed, what the network told of each test example; None where nobody knows.
        data: facts of the examples.
        steps: of each run.
        reach: accuracy that is asked for; None: what the mean of the worst contender ended with.
        machine: what trained, in words.

    Raises:
        WorkdirError: two runs were measured on other test examples.
    """
    own = {name: [one for one in outcomes if one.contender == name] for name in named}
    level = curves.level_of([curves.band(runs) for runs in own.values()]) if reach is None else reach
    first, *others = named
    found = [_difference(first, name, own, told) for name in others]
    return Comparison(
        source=data.source,
        examples=(sum(data.train_counts), sum(data.validation_counts), sum(data.test_counts)),
        classes=len(data.class_names),
        split=data.split,
        steps=steps,
        seeds=tuple(outcome.seed for outcome in own[first]),
        level=level,
        level_given=reach is not None,
        contenders=tuple(_contender(name, named, own[name], told, level) for name in named),
        differences=tuple(one for one in found if one is not None),
        machine=machine,
    )


def _contender(
    name: str,
    named: Mapping[str, Recipe],
    outcomes: Sequence[Outcome],
    told: Mapping[tuple[str, int], Told | None],
    level: float,
) -> Contender:
    recipe, ended = named[name], [outcome for outcome in outcomes if outcome.points]
    tested = [outcome for outcome in ended if outcome.test is not None]
    lists = [told.get((name, outcome.seed)) for outcome in tested]
    return Contender(
        name=name,
        differs=_differences(next(iter(named.values())), recipe),
        batch_size=recipe.batch_size,
        outcomes=tuple(outcomes),
        curve=curves.band(outcomes),
        reached=curves.reached(outcomes, level),
        validation=curves.spread([outcome.points[-1].accuracy for outcome in ended], low=0.0, high=1.0),
        test=curves.with_draw(
            [one and one.right for one in lists], [outcome.test for outcome in tested], low=0.0, high=1.0
        ),
        seconds=curves.spread([outcome.seconds for outcome in ended], low=0.0),
    )


def _differences(first: Recipe, recipe: Recipe) -> tuple[str, ...]:
    lines = [line for line in recipes.differences(first, recipe) if not _GIVEN.match(line)]
    told = f"stages: {_told(first)} → {_told(recipe)}"  # where they are not as many, all fields of all would be listed
    return tuple(told if line.startswith("stages: ") else line for line in lines)


def _told(recipe: Recipe) -> str:
    if isinstance(recipe.stages, str):
        return recipe.stages
    parts = [f"train={one.train}" if one.frozen is None else f"frozen={one.frozen}" for one in recipe.stages]
    return ", then ".join(parts)


def _difference(
    first: str,
    name: str,
    own: Mapping[str, Sequence[Outcome]],
    told: Mapping[tuple[str, int], Told | None],
) -> Difference | None:
    """Returns by how much a contender is better than the first; None where no seed has test examples of both."""
    each, more, seeds = [], [], []
    for outcome in own[name]:
        one, other = (told.get((who, outcome.seed)) for who in (first, name))
        if one is None or other is None:
            continue
        if one.examples != other.examples:
            raise WorkdirError(
                f"{first!r} and {name!r} were measured on other test examples with seed {outcome.seed}: the data has "
                "changed meanwhile. Choose another --workdir."
            )
        each.append(intervals.paired(one.right, other.right))
        more.append(other.right.astype(np.float64) - one.right)
        seeds.append(outcome.seed)
    if not each:
        return None
    mean = curves.with_draw(more, [pair.difference for pair in each], low=-1.0, high=1.0)
    return Difference(name=name, mean=mean, each=tuple(each), seeds=tuple(seeds))
