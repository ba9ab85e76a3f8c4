"""Which recipes compete, and what makes them comparable: same examples, same splits, same number of steps. Pure."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from tfxfer import recipes
from tfxfer.errors import ConfigError
from tfxfer.recipes import Export, Recipe, Stage

PRETRAINED, SCRATCH = "pretrained", "from scratch"
# What may differ though it is about data: how the same pictures become pixels.
_MAY_DIFFER = ("data.resize:", "data.background:")
_MUST_AGREE = ("data.", "running.")
_MOST = 2**31
_POINTS = 30
# Names become folders.
_NAME = re.compile(r"\w[\w .+-]{0,99}")


def contenders_of(asked: Recipe | Mapping[str, Recipe]) -> dict[str, Recipe]:
    """Returns the recipes that compete by name, without what does not concern a comparison, all with one split.

    Args:
        asked: several recipes by name; or one that starts from pretrained weights, which is then compared with the
            same network from random weights, all of it trained as `presets.scratch` does.

    Raises:
        ConfigError: fewer than two, names that cannot be folders, or recipes of other data, devices or tasks; all
            problems at once.
    """
    for name, recipe in {"the recipe": asked}.items() if isinstance(asked, Recipe) else asked.items():
        if recipe.budget is not None:
            raise ConfigError(
                f"{name} has budget={recipe.budget:g}, for a race that decides on stages: each seed would have its own "
                "winner. Run tfxfer advise --budget=… --write=recipe.py first, and compare recipe.py."
            )
    named = _with_control(asked) if isinstance(asked, Recipe) else dict(asked)
    problems = _bad_names(named)
    if len(named) < 2:
        problems.append("one recipe has nothing to be compared with; give several, or one without a name")
    first = next(iter(named.values()), None)
    for name, recipe in named.items():
        if recipe.data.kind not in ("single_label", "ordinal"):
            problems.append(
                f"{name!r} has task={recipe.data.kind}, and what is compared is accuracy, of one class each"
            )
        lines = [line for line in recipes.differences(first, recipe) if line.startswith(_MUST_AGREE)]
        lines = [line for line in lines if not line.startswith(_MAY_DIFFER)]
        if lines:
            problems.append(f"{name!r} has other data or devices than {next(iter(named))!r}: {'; '.join(lines)}")
    if problems:
        raise ConfigError("; ".join(problems) + ".")
    return {name: _comparable(recipe, first.split_seed) for name, recipe in named.items()}


def _with_control(recipe: Recipe) -> dict[str, Recipe]:
    """Returns a recipe and the one that says whether its pretrained weights help."""
    if recipe.weights == "random":
        raise ConfigError(
            "the recipe starts from random weights, so there is nothing to be compared with training from scratch. "
            "Leave --stages=scratch and weights=random out, or name recipes: --recipes=one.py,other.py."
        )
    backbone = dataclasses.replace(recipe.backbone, weights="random")
    return {PRETRAINED: recipe, SCRATCH: dataclasses.replace(recipe, stages="scratch", backbone=backbone)}


def _bad_names(named: Mapping[str, Recipe]) -> list[str]:
    problems, seen = [], set()
    for name in named:
        if not _NAME.fullmatch(name):
            problems.append(f"{name!r} is to be the name of a folder; write letters, digits, blanks, . _ + and -")
        if name.casefold() in seen:
            problems.append(f"{name!r} is there twice")
        seen.add(name.casefold())
    return problems


def _comparable(recipe: Recipe, split_seed: int) -> Recipe:
    data = dataclasses.replace(recipe.data, split_seed=split_seed)
    return dataclasses.replace(recipe, data=data, export=Export())  # nobody ships what was trained to be compared


def check_asked(
    seeds: Sequence[int], *, steps: int | None = None, epochs: float | None = None, reach: float | None = None
) -> None:
    """Refuses numbers that nothing can be compared by.

    Args:
        seeds: of each contender.
        steps: of each run, instead of `epochs`.
        epochs: see there.
        reach: accuracy, in (0, 1].

    Raises:
        ConfigError: all problems at once.
    """
    problems = []
    if not seeds:
        problems.append("no seeds are given; write --seeds=0,1,2")
    if len(set(seeds)) < len(seeds):
        problems.append(f"seeds {', '.join(map(str, seeds))} name one twice, which would be the same run again")
    if outside := [str(seed) for seed in seeds if not 0 <= seed < _MOST]:
        problems.append(f"seeds {', '.join(outside)} must be 0 to {_MOST - 1}")
    if steps is not None and epochs is not None:
        problems.append(f"steps={steps} and epochs={epochs:g} both say how long; give one of the two")
    if steps is not None and not 1 <= steps < _MOST:
        problems.append(f"steps={steps} must be at least 1")
    if epochs is not None and not 0 < epochs < 1_000_000:
        problems.append(f"epochs={epochs:g} must be above 0")
    if reach is not None and not 0 < reach <= 1:
        problems.append(f"reach={reach:g} is an accuracy, above 0 and at most 1, such as 0.9")
    if problems:
        raise ConfigError("; ".join(problems) + ".")


def budget_of(planned: int, steps_per_epoch: int, *, steps: int | None, epochs: float | None) -> int:
    """Returns how many optimizer steps each run makes.

    Args:
        planned: by the first contender's own stages, which counts where nothing else is asked.
        steps_per_epoch: of it.
        steps: asked for; or `epochs`.
        epochs: see there.
    """
    if steps is not None:
        return steps
    return planned if epochs is None else max(1, round(epochs * steps_per_epoch))


def with_steps(recipe: Recipe, stages: Sequence[Stage], planned: Sequence[int], total: int, name: str) -> Recipe:
    """Returns a recipe with its stages written out, which take `total` steps together, in proportion as planned.

    Args:
        recipe: of these stages.
        stages: written out.
        planned: steps of each.
        total: to be shared, each stage getting one at least.
        name: of the contender, for the message.

    Raises:
        ConfigError: there are more stages than steps.
    """
    backbone = dataclasses.replace(recipe.backbone, weights=recipe.weights)  # "scratch" is no name any more
    if sum(planned) == total:
        return dataclasses.replace(recipe, stages=tuple(stages), backbone=backbone)
    if total < len(stages):
        raise ConfigError(
            f"{total} optimizer steps are too few for {name!r}, which has {len(stages)} stages. Write a larger --steps."
        )
    shares = [total * own / sum(planned) for own in planned]
    whole = [max(1, math.floor(share)) for share in shares]
    while sum(whole) != total:  # what rounding left over goes to whoever lacks most, or comes from whoever has most
        lacks = [share - count for share, count in zip(shares, whole, strict=True)]
        if sum(whole) < total:
            whole[lacks.index(max(lacks))] += 1
        else:
            whole[whole.index(max(whole))] -= 1
    exact = tuple(
        dataclasses.replace(stage, epochs=None, steps=count) for stage, count in zip(stages, whole, strict=True)
    )
    return dataclasses.replace(recipe, stages=exact, backbone=backbone)


def with_looks(recipe: Recipe, total: int) -> Recipe:
    """Returns a recipe whose curve has some thirty points over `total` steps, where it says nothing itself."""
    every = recipe.running.validate_every or max(1, total // _POINTS)
    return dataclasses.replace(recipe, running=dataclasses.replace(recipe.running, validate_every=every))


def that_goes_on(recipe: Recipe) -> Recipe:
    """Returns a recipe whose run goes on if there is one; whether a run must be there is asked of the comparison."""
    return dataclasses.replace(recipe, running=dataclasses.replace(recipe.running, resume="auto"))


def of_seed(recipe: Recipe, seed: int) -> Recipe:
    """Returns what is trained with a seed: the splits stay, everything else that is drawn changes."""
    return dataclasses.replace(recipe, seed=seed)
