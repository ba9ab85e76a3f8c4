"""Whether a loss and metrics that are asked for go with the task, the stages and the correction of rare classes."""

import re

from tfxfer import objectives, recipes
from tfxfer.errors import ConfigError
from tfxfer.plans import imbalance, rules
from tfxfer.tasks import Kind, Task


def check_kind(recipe: recipes.Recipe, kind: Kind) -> None:
    """Refuses what a recipe asks for that means nothing in its task, before the data is open.

    Raises:
        ConfigError: of the loss and metrics, of the correction of rare classes, or of the stages.
    """
    check_objectives(recipe, kind)
    imbalance.check_kind(recipe.imbalance, kind)
    if not isinstance(recipe.stages, str):
        rules.check_task(recipe.stages, Task(kind=kind))


def check_objectives(recipe: recipes.Recipe, kind: Kind, names: int | None = None) -> None:
    """Refuses what does not go together, all of it at once.

    Args:
        recipe: what is asked.
        kind: of the task.
        names: number of classes, labels or targets; None where the data is not open yet.

    Raises:
        ConfigError: a loss or a metric of another task, or a correction that the loss cannot make.
    """
    problems = objectives.problems(recipe.loss, recipe.metrics, kind)
    if not problems and objectives.meant(recipe.loss, kind):
        problems += _beside_loss(recipe, kind)
    for metric in recipe.metrics if names is not None else ():
        top = re.fullmatch(r"top_(\d+)_accuracy", metric) if isinstance(metric, str) else None
        if top and int(top[1]) >= names:
            problems.append(f"metrics={metric!r} is 100 % of {names} classes, whatever is told; leave it out")
    if problems:
        raise ConfigError("; ".join(problems) + ("" if problems[-1].endswith("?") else "."))


def _beside_loss(recipe: recipes.Recipe, kind: Kind) -> list[str]:
    """Returns which other wishes a loss that is not the task's own cannot fulfil."""
    loss, asked = objectives.called(recipe.loss), recipe.imbalance
    first = objectives.own(kind)
    found = [
        f"{name}={value:g} is of {first}, and loss={loss}; write {name}=0, or leave the loss out"
        for name, value in (("focal_gamma", asked.focal_gamma), ("logit_adjustment", asked.logit_adjustment))
        if value
    ]
    stages = () if isinstance(recipe.stages, str) else recipe.stages
    if not objectives.smooths(recipe.loss, kind):
        found += [
            f"stage {number} has label_smoothing={stage.label_smoothing:g}, which loss={loss} does not take; write "
            "label_smoothing=0"
            for number, stage in enumerate(stages, start=1)
            if stage.label_smoothing
        ]
    return found
