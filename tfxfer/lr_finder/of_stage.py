"""Finds a learning rate for one stage of a recipe's plan: data, backbone, head and freezing as training has them."""

import dataclasses
import pathlib
import tempfile
from typing import Any

from tfxfer import data as examples_of
from tfxfer import pipeline, recipes
from tfxfer.data import batches
from tfxfer.errors import ConfigError
from tfxfer.lr_finder.result import RateSweep
from tfxfer.lr_finder.sweep import find_learning_rate
from tfxfer.plans import StagePlan, rules
from tfxfer.training import memory
from tfxfer.training import stage as stages

# Of the sweep; there must be as many batches.
_STEPS = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageSweep:
    """A sweep for one stage, and what to do with it.

    Attributes:
        stage: of the plan; its learning rate is the head's, other groups get their shares of it.
        number: of the stage, counted from 1.
        preset: whose stages they are; "" where the recipe wrote them out.
        sweep: what was measured.
    """

    stage: StagePlan
    number: int
    preset: str
    sweep: RateSweep

    def __str__(self) -> str:
        return "\n".join([self._about(), str(self.sweep), self._next()])

    def _about(self) -> str:
        stage = self.stage
        trained = f"{len(stage.trained)} layer groups and the head train" if stage.trained else "the head trains"
        lines = [f"stage {stage.name}: {trained}, {stage.trainable_weights:,} weights"]
        if self.number > 1:
            lines.append(
                f"note: stages 1 to {self.number - 1} were not trained before, so this starts from the pretrained "
                "network and a new head; after them a lower rate may be better"
            )
        return "\n".join(lines)

    def _next(self) -> str:
        if self.sweep.rate is None:
            return f"no rate stands out; the plan's is {self.stage.learning_rate:.2g}"
        preset = f"--stages={self.preset} " if self.preset else ""
        return (
            f"the plan has {self.stage.learning_rate:.2g}; to train with this one instead, add: "
            f"{preset}'--config.stages[{self.number - 1}].learning_rate={self.sweep.rate:.2g}'"
        )


def sweep_stage(
    recipe: recipes.Recipe,
    number: int = 1,
    *,
    plot: pathlib.Path | None = None,
    data: Any = None,
    class_names: tuple[str, ...] | None = None,
) -> StageSweep:
    """Sweeps the learning rate for a stage of `recipe`, on its training examples, in the order of training.

    Seeds and op determinism are set for the whole process, as by `tfxfer.run`.

    Args:
        recipe: what would be trained.
        number: of the stage, counted from 1.
        plot: a PNG file to draw the curve to, which must not exist.
        data: examples for a recipe without a source, as for `tfxfer.run`.
        class_names: names of the labels of `data`.

    Raises:
        TfxferError: with what was wrong and what to type instead.
    """
    if number < 1:
        raise ConfigError(f"stage {number} does not exist: stages are counted from 1. Write --stage=1.")
    prepared = pipeline.prepare(recipe, data=data, class_names=class_names, with_seconds=False)
    what, how = prepared.plan.what, prepared.plan.how
    if number > len(what.stages):
        names = ", ".join(stage.name for stage in what.stages)
        raise ConfigError(f"stage {number} does not exist: the plan has {len(what.stages)} ({names}).")
    stage = what.stages[number - 1]
    with tempfile.TemporaryDirectory() as folder:
        store = pathlib.Path(folder) / "pixels.npy" if how.pixel_store == "disk" else None
        pixels = prepared.examples.pixels(what.image_size, what.framing, store)
        rows = prepared.examples.rows(pixels, examples_of.TRAIN)
        dataset = batches.training_batches(
            rows,
            batch_size=what.batch_size,
            start=0,
            steps=_STEPS,
            seed=what.seed,
            stage=number - 1,
            each=what.imbalance.drawn,
        )
        trainee = stages.prepared(prepared.model, number - 1, stage, what)
        with memory.explained(prepared.plan):
            sweep = find_learning_rate(trainee, dataset, steps=_STEPS, plot=plot)
    preset = recipe.stages if isinstance(recipe.stages, str) else ""
    if preset == "auto":
        preset, _ = rules.choose_preset(prepared.examples.facts, prepared.backbone.facts.card)
    return StageSweep(stage=stage, number=number, preset=preset, sweep=sweep)
