"""A strategy as it takes part in a race: it trains by the code that a run trains by, rung by rung.

A rung is a stage of its own, with the schedule of a short run: the rate rises, and falls to nothing (warm restarts,
Loshchilov & Hutter 2017). So what is compared has come to rest, as at the end of a run, where a constant rate would
leave everything in the noise of its last steps; and the next rung goes on from there, so that nothing trains twice.
"""

import dataclasses
import gc
from collections.abc import Callable

import numpy as np

from tfxfer import activations, answers, plans, prediction, recipes, training
from tfxfer import data as examples_of
from tfxfer.advice.candidates import Strategy
from tfxfer.advice.halving import LEAST_SHARE, LEAST_STEPS, Cost
from tfxfer.advice.track import Track, assign


class Entrant:
    """A strategy that trains a share of its schedule at a time; a context manager, which lets go of activations."""

    def __init__(self, strategy: Strategy, track: Track, show: Callable[[str], None]):
        """Loads its network and foretells what it costs.

        Raises:
            BackboneError: the network cannot be cut there, or its weights cannot be had.
            ConfigError: a stage cannot be.
        """
        self.name, self.expected = strategy.name, strategy.expected
        self.strategy = strategy
        self._track, self._show = track, show
        self._whole_recipe = strategy.recipe(track.prepared.recipe)
        self._recipe = _of_several(self._whole_recipe, track.count)
        self._network = track.network(self._recipe)
        self._weights = self._network.start
        self._done = self._rung = 0
        self._stages = plans.preset_stages(strategy.stages, track.examples.facts.task, self._recipe.loss)
        # The shape of all of it, of which a rung is a part: a shorter one would hold batch norm otherwise.
        self._whole = self._plan(self._recipe)
        # What a short stage cannot have is found out here, where another candidate may race instead of it.
        self._least = min(1.0, max(LEAST_SHARE, LEAST_STEPS / self._whole.what.stages[-1].steps))
        self._plan(self._of_rung(self._least))
        self.cost = self._foretold()
        self._kept: activations.Kept | None = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.let_go()

    def let_go(self) -> None:
        """Closes its activations, and forgets its weights; it cannot go on afterwards."""
        if self._kept is not None:
            self._kept.let_go_but(())
        self._weights = ()

    @property
    def whole_seconds(self) -> float:
        """How long the whole training is expected to take, of all training examples."""
        track, network = self._track, self._network
        found = (track.prepared.examples.facts, network.backbone.facts, track.machine, network.costs)
        return sum(plans.resolve(self._whole_recipe, *found).how.stage_seconds)

    def advance(self, share: float) -> np.ndarray:
        """Trains on; see `contest.Entrant`."""
        track, model = self._track, self._network.model
        plan = self._plan(self._of_rung(share))
        assign(model, self._weights)
        if self._kept is None:
            limit = plan.how.cache_disk_bytes * track.count  # of all in the folder, which others may have filled
            self._kept = activations.Kept(plan.what, disk_bytes=limit, tell=self._show, root=track.activations)
        self._rung += 1
        folder = track.folder / f"{self.name} {self._rung}"
        with training.explained_memory(plan):
            training.fit(model, track.fitted, track.pixels, plan, folder, tell=_nothing, note=_nothing, kept=self._kept)
            self._weights = tuple(variable.numpy() for variable in model.variables)
            self._done = self._step(share)
            right = self._right()
        gc.collect()  # what it was trained with is full of cycles, and the next one needs the memory
        return right

    def _right(self) -> np.ndarray:
        track = self._track
        rows = track.examples.rows(track.pixels, examples_of.VALIDATION)
        outputs = prediction.logits(self._network.model, rows, batch_size=self._recipe.batch_size)
        return answers.meant(outputs, rows.task).argmax(axis=1) == rows.labels

    def _plan(self, recipe: recipes.Recipe) -> plans.Plan:
        track, network = self._track, self._network
        machine = dataclasses.replace(track.machine, memory_bytes=track.machine.memory_bytes // track.count)
        return plans.resolve(recipe, track.fitted.facts, network.backbone.facts, machine, network.costs)

    def _step(self, share: float) -> int:
        return max(1, round(share * self._whole.what.stages[-1].steps))

    def _of_rung(self, share: float) -> recipes.Recipe:
        """Returns what trains from where it is to a share of its last stage; those before it come first, and whole."""
        before = () if self._done else self._stages[:-1]
        last = self._last(max(1, self._step(share) - self._done))
        return dataclasses.replace(self._recipe, stages=(*before, last))

    def _last(self, steps: int) -> recipes.Stage:
        """Returns the last stage with so many steps, all else as it is in the whole training."""
        planned = self._whole.what.stages[-1]
        return dataclasses.replace(
            self._stages[-1],
            epochs=None,
            steps=steps,
            batch_norm=planned.batch_norm,
            refresh_statistics=planned.refresh_statistics,
        )

    def _foretold(self) -> Cost:
        """Returns seconds, from what a plan foretells for rungs of three lengths, one behind the other."""
        rungs = [self._last(self._step(share)) for share in (0.25, 0.5, 1)]
        plan = self._plan(dataclasses.replace(self._recipe, stages=(*self._stages[:-1], *rungs)))
        *before, first, half, full = plan.how.stage_seconds
        whole = max(0.0, 2 * (full - half))
        again = max(0.0, full - whole)
        # A pass over validation pictures, and making its graph, come behind each rung.
        costs = self._network.costs
        looking = self._track.examples.facts.validation_examples * sum(costs.forward) + costs.trace
        return Cost(
            start=max(0.0, sum(before) + first - whole / 4 - again),
            rung=again + looking,
            whole=whole,
            least=self._least,
        )


def _of_several(recipe: recipes.Recipe, count: int) -> recipes.Recipe:
    """Returns a recipe with its share of the room for activations; a share of the machine's memory has the plan."""
    cache = recipe.cache
    memory = cache.memory_gb if cache.memory_gb == "auto" else cache.memory_gb / count
    cache = dataclasses.replace(cache, memory_gb=memory, disk_gb=cache.disk_gb / count)
    return dataclasses.replace(recipe, cache=cache)


def _nothing(*_told) -> None:
    pass
