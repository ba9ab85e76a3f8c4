"""Advice for a recipe: its data, its backbone and its pixels as training would have them."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfxfer import checks, pipeline, recipes
from tfxfer import data as examples_of
from tfxfer.advice import candidates, concluding, keeping, measuring, own_classifier
from tfxfer.advice.result import Advice, Measurements
from tfxfer.errors import ConfigError, DataError, TfxferError
from tfxfer.facts import DataFacts


def advise(
    recipe: recipes.Recipe,
    *,
    data: Any = None,
    class_names: Sequence[str] | None = None,
    workdir: pathlib.Path | None = None,
    show: Callable[[str], None] = lambda line: None,
    clock: Callable[[], float] = time.monotonic,
) -> Advice:
    """Returns what transfer learning is worth on a recipe's data, measured before anything trains.

    >>> print(tfxfer.advise(tfxfer.Recipe(data="folder:photos")))

    Numbers and labels of which a picture has several are told by ridge regression alone: there is no forecast then.
    Training examples alone are looked at. Without `workdir` nothing that is written stays, and nothing trains but
    closed-form classifiers of frozen features; and, where the recipe has a budget, candidates for strategies in a race,
    which are compared on validation examples. Seeds and op determinism are set for the whole process, as by
    `tfxfer.run`.

    Args:
        recipe: of which data, backbone, image size and seed are used, and what its candidates train with, its stages
            are not.
        data: examples for a recipe without a source, as for `tfxfer.run`.
        class_names: names of the labels 0, 1, … of `data`.
        workdir: of the run that is to follow, where what it uses again is kept below `cache`; and what was measured, so
            that the same call after a race that was stopped or refused goes on with that.
        show: called with a line before what takes a while; with what was measured, where the race is refused.
        clock: tells the time of the race, in seconds.

    Raises:
        TfxferError: with what was wrong and what to type instead.
    """
    checks.check_alone(recipe.running)
    if recipe.weights == "random":
        raise ConfigError(
            "advice is about what pretrained weights are worth, and the recipe starts from random ones: leave "
            "backbone.weights and stages='scratch' out, or train as it is, without a race (budget=None, --budget=none)."
        )
    prepared = pipeline.prepare(recipe, data=data, class_names=class_names, with_seconds=False)
    asked = keeping.question(recipe, prepared.examples.facts)
    advice = keeping.kept(workdir, asked) if workdir is not None else None
    if advice is None:
        advice = _measured(prepared, show)
        if workdir is not None:
            keeping.keep(workdir, asked, advice)
    else:
        show(f"{workdir} has what was measured before")
    return advice if recipe.budget is None else _raced(advice, prepared, workdir, clock, show)


def _measured(prepared: pipeline.Prepared, show: Callable[[str], None]) -> Advice:
    recipe, examples, what = prepared.recipe, prepared.examples, prepared.plan.what
    seen = seen_of(examples, recipe.seed)
    measured = measuring.measure(
        prepared.backbone,
        seen.examples.pixels(what.image_size, what.framing),
        seen.examples.labels,
        task=what.task,
        groups=seen.groups,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        classifier=own_classifier.of(recipe, what.image_size),
        available=seen.available,
        show=show,
    )
    return advice_of(measured, examples.facts, recipe.backbone.handle, seen.copies)


def advice_of(measured: Measurements, facts: DataFacts, handle: str, copies: int) -> Advice:
    """Returns what follows from measurements.

    Args:
        measured: of one backbone on some data.
        facts: about all of the data.
        handle: of the backbone.
        copies: training examples that were left out.
    """
    return Advice(
        data=facts,
        backbone=handle,
        measured=measured,
        verdict=concluding.verdict_of(measured),
        quarter=concluding.quarter_of(measured),
        conclusions=concluding.conclude(measured),
        at=concluding.advised_cut(measured),
        stages=concluding.stages_of(measured),
        copies=copies,
    )


@dataclasses.dataclass(frozen=True)
class Seen:
    """The examples that are looked at: some of those that train.

    Attributes:
        examples: drawn, each content once.
        groups: number of the group of each, int64 `[examples]`; None where each stands alone.
        copies: training examples that were left out since their content is that of another.
        available: training examples without these, drawn or not.
    """

    examples: examples_of.Examples
    groups: np.ndarray | None
    copies: int
    available: int


def seen_of(examples: examples_of.Examples, seed: int) -> Seen:
    """Returns the examples to look at, the same for each backbone.

    Args:
        examples: all that there are.
        seed: of the draw.

    Raises:
        DataError: all are of one group.
    """
    train = examples.indices(examples_of.TRAIN)
    # Copies of a picture give each other away, and more than one tells nothing more.
    first = {examples.keys[index]: index for index in reversed(train)}
    single = np.array(sorted(first.values()), np.int64)
    # Drawn before anything is decoded: all that are drawn fit into memory, all that there are may not.
    some = examples.some(single[measuring.drawn(examples.labels[single], seed)])
    return Seen(some, _groups(some, examples.facts.split), len(train) - len(single), len(single))


def _raced(advice: Advice, prepared: pipeline.Prepared, workdir: pathlib.Path | None, clock, show) -> Advice:
    """Returns the advice with a race, where there is something to race for."""
    from tfxfer.advice import racing

    recipe, measured = prepared.recipe, advice.measured
    if advice.verdict in ("nothing_learnable", "easy"):
        show("no race: " + ("nothing is learnable" if advice.verdict == "nothing_learnable" else "any method will do"))
        return advice
    if measured.metric != "accuracy":
        show("no race: it compares shares of right answers, which are for classes")
        return advice
    card = prepared.backbone.facts.card
    found, left_out = candidates.strategies(measured, card, examples=advice.data.train_examples)
    if len(found) == 1:
        show(f"no race: {left_out[0].reason}")
        return advice
    more = {"left_out": left_out, "workdir": workdir, "clock": clock, "show": show}
    try:
        race = racing.race(prepared, found, budget=recipe.budget, **more)
    except TfxferError:
        show(f"the race ends with an error; what was measured before it:\n\n{advice}\n")
        raise
    if race is None:
        show("no race: what a step of this network takes cannot be measured beforehand, so no budget could be kept")
        return advice
    winner = next(one for one in found if one.name == race.winner)
    conclusions = concluding.conclude(measured, race)
    return dataclasses.replace(advice, race=race, at=winner.at, stages=winner.stages, conclusions=conclusions)


def _groups(examples: examples_of.Examples, split: str) -> np.ndarray | None:
    """Returns the number of each example's group, int64 `[examples]`; None where each stands alone.

    Args:
        examples: that are looked at.
        split: how the splits came about, which names what makes the groups.

    Raises:
        DataError: all are of one group.
    """
    if examples.groups is None or set(examples.groups) == {None}:
        return None
    names = [index if name is None else name for index, name in enumerate(examples.groups)]
    known: dict[str | int, int] = {}
    numbers = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
    if len(known) == 1:
        raise DataError(
            f"all {len(names):,} training examples are of one group, {names[0]!r} ({split}), and advice leaves out "
            "whole groups: at least two are needed. Put more groups into the training examples, or leave the "
            "groups out: --config.data.group_column=none, and no group_by."
        )
    return numbers if len(known) < len(names) else None


def advised(recipe: recipes.Recipe, advice: Advice) -> recipes.Recipe:
    """Returns the recipe with the advised cut and stages, if anything is to be trained, and without a race."""
    if not advice.stages:
        return dataclasses.replace(recipe, budget=None)
    backbone = dataclasses.replace(recipe.backbone, at=advice.at or recipe.backbone.at)
    return dataclasses.replace(recipe, backbone=backbone, stages=advice.stages, budget=None)
