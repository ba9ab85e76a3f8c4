"""Ranks backbones by what their features are worth on some data: the same examples and probes for each."""

import dataclasses
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfxfer import checks, pipeline, recipes
from tfxfer.advice import asking, concluding, depths, measuring, own_classifier, ranking_scores
from tfxfer.advice.ranking_check import PRESENT, check_ranking
from tfxfer.advice.ranking_result import CERTAIN, NotRanked, Ranked, Ranking, Scores, ordered, smallest
from tfxfer.errors import BackboneError, ConfigError, TfxferError
from tfxfer.facts import BackboneFacts, DataFacts
from tfxfer.framing import Framing
from tfxfer.scores import intervals
from tfxfer.tasks import Task


def rank(
    recipe: recipes.Recipe,
    *,
    backbones: Sequence[str] | str = PRESENT,
    scores: Sequence[str] = (),
    data: Any = None,
    class_names: Sequence[str] | None = None,
    show: Callable[[str], None] = lambda line: None,
) -> Ranking:
    """Returns backbones ranked by what their features are worth on a recipe's data, before anything trains.

    >>> print(tfxfer.rank(tfxfer.Recipe(data="folder:photos"), backbones=["keras:VGG16", "keras:MobileNetV2"]))

    Each looks at the same training examples, at the recipe's image size or at its own where that is "auto", and gets
    the measurements of `advise`; then it is released. What cannot be loaded is named and left out. Seeds and op
    determinism are set for the whole process, as by `tfxfer.run`.

    Args:
        recipe: of which data, image size, precision and seed are used, its backbone and stages are not.
        backbones: handles, or "present": all whose pretrained weights are on this machine.
        scores: further columns: "logme", "hscore", "leep", "nce".
        data: examples for a recipe without a source, as for `tfxfer.run`.
        class_names: names of the labels 0, 1, … of `data`.
        show: called with a line before what takes a while.

    Raises:
        TfxferError: with what was wrong and what to type instead.
    """
    start = time.monotonic()
    checks.check_alone(recipe.running)
    handles = check_ranking(recipe, backbones, scores)
    examples = pipeline.open_examples(recipe, data=data, class_names=class_names)
    _check_task(examples.facts.task)
    asked = _Asked(recipe, asking.seen_of(examples, recipe.seed), examples.facts, tuple(scores), show)
    found, left_out = _looked_at(asked, handles)
    if not found:
        reasons = "\n".join(f"  {one.handle}: {one.reason}" for one in left_out)
        raise BackboneError(f"none of the backbones can be ranked:\n{reasons}")
    rows = _compared(found)
    chosen = smallest(rows)
    return Ranking(
        rows=ordered(rows),
        left_out=tuple(left_out),
        advice=asking.advice_of(chosen.measured, examples.facts, chosen.handle, asked.seen.copies),
        scores=tuple(scores),
        seconds=time.monotonic() - start,
    )


def _check_task(task: Task) -> None:
    if not task.has_classes:
        raise ConfigError(
            f"backbones are ranked by one class for each picture, and the task is {task.kind}. Write tfxfer advise for "
            "each of them: --backbone=…"
        )


def advised_by_ranking(recipe: recipes.Recipe, ranking: Ranking) -> recipes.Recipe:
    """Returns the recipe with the backbone to take, and the cut and stages that are advised for it."""
    backbone = dataclasses.replace(recipe.backbone, handle=ranking.chosen.handle)
    return asking.advised(dataclasses.replace(recipe, backbone=backbone), ranking.advice)


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What is the same for all backbones."""

    recipe: recipes.Recipe
    seen: asking.Seen
    facts: DataFacts
    scores: tuple[str, ...]
    show: Callable[[str], None]

    def recipe_for(self, handle: str) -> recipes.Recipe:
        backbone = dataclasses.replace(self.recipe.backbone, handle=handle)
        return dataclasses.replace(self.recipe, backbone=backbone)


@dataclasses.dataclass(frozen=True)
class _Found:
    """What is kept of a backbone once it is released."""

    handle: str
    facts: BackboneFacts
    taken: measuring.Taken
    scores: Scores


def _looked_at(asked: _Asked, handles: Sequence[str]) -> tuple[list[_Found], list[NotRanked]]:
    """Returns what was found of each backbone, and which could not be looked at; both in the order of `handles`."""
    sizes: dict[str, int] = {}
    found: dict[str, _Found] = {}
    reasons: dict[str, str] = {}
    for handle in handles:
        sizes |= _tried(handle, reasons, lambda one: pipeline.image_size_of(asked.recipe_for(one), asked.facts))
    data = asked.recipe.data
    for size in sorted(set(sizes.values())):
        # One size at a time: all pictures of all sizes may not fit into memory.
        pixels = asked.seen.examples.pixels(size, Framing(resize=data.resize, background=data.background))
        for handle in (one for one in handles if sizes.get(one) == size):
            asked.show(f"{handle} at {size}×{size} pixels")
            found |= _tried(handle, reasons, lambda one, pixels=pixels: _look(asked, one, pixels))
            gc.collect()  # networks are full of cycles, and the next one needs the memory
    return (
        [found[one] for one in handles if one in found],
        [NotRanked(handle=one, reason=reasons[one]) for one in handles if one in reasons],
    )


def _tried(handle: str, reasons: dict[str, str], act: Callable[[str], Any]) -> dict[str, Any]:
    """Returns what came of a backbone, by its handle; where nothing did, its reason is put into `reasons`.

    Whatever goes wrong in one backbone, or in the code of its source, is no reason to lose the others.
    """
    try:
        return {handle: act(handle)}
    except TfxferError as error:
        reasons[handle] = str(error)
    except Exception as error:
        reasons[handle] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return {}


def _look(asked: _Asked, handle: str, pixels: np.ndarray) -> _Found:
    recipe = asked.recipe_for(handle)
    backbone = pipeline.load_backbone(recipe, asked.facts)
    classifier = own_classifier.of(recipe, pixels.shape[1])
    taken = measuring.take(
        backbone,
        pixels,
        asked.seen.examples.labels,
        groups=asked.seen.groups,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        classifier=classifier,
        show=asked.show,
    )
    scores = ranking_scores.taken(asked.scores, taken, pixels, classifier, batch_size=recipe.batch_size)
    # Features of all examples are not needed any more, and there may be many backbones.
    return _Found(handle, backbone.facts, dataclasses.replace(taken, features=taken.features[:0]), scores)


def _compared(found: Sequence[_Found]) -> tuple[Ranked, ...]:
    """Returns the rows, each held against the one that has most examples right; of several the first.

    Where a network tells something of the labels, it goes before those that do not, and where none does, all are tied:
    left-out answers to labels that are noise are right more or less often than by chance for no reason.
    """
    verdicts = {one.handle: concluding.verdict_of(one.taken.measured) for one in found}
    is_learnable = {handle: verdict != "nothing_learnable" for handle, verdict in verdicts.items()}
    best = max(found, key=lambda one: (is_learnable[one.handle], one.taken.right.mean()))
    rows = []
    for one in found:
        at = concluding.advised_cut(one.taken.measured)
        compared = intervals.paired(one.taken.right, best.taken.right)
        rows.append(
            Ranked(
                handle=one.handle,
                measured=one.taken.measured,
                verdict=verdicts[one.handle],
                at=at,
                against_best=compared,
                is_tied=compared.second_is_better < CERTAIN or not is_learnable[best.handle],
                top1=one.facts.card.top1,
                megabytes=depths.megabytes(one.facts, at),
                seconds=1000 * one.taken.seconds,
                scores=one.scores,
            )
        )
    return tuple(rows)
