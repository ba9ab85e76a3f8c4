"""Strategies as entrants of a race: each trains by the code that a run trains by, rung by rung.

A rung is a stage of its own, with the schedule of a short run: the rate rises, and falls to nothing (warm restarts,
Loshchilov & Hutter 2017). So what is compared has come to rest, as at the end of a run, where a constant rate would
leave everything in the noise of its last steps; and the next rung goes on from there, so that nothing trains twice.
"""

import contextlib
import dataclasses
import gc
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfxfer import activations, answers, facts, models, pipeline, plans, prediction, recipes, runtime, training
from tfxfer import data as examples_of
from tfxfer.advice import contest, held_out
from tfxfer.advice.candidates import Strategy
from tfxfer.advice.halving import LEAST_SHARE, LEAST_STEPS, Cost
from tfxfer.advice.result import Candidate, LeftOut, Race
from tfxfer.backbones import Backbone
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.scores import intervals


def race(
    prepared: pipeline.Prepared,
    strategies: Sequence[Strategy],
    *,
    budget: float,
    left_out: Sequence[LeftOut] = (),
    workdir: pathlib.Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    show: Callable[[str], None] = lambda line: None,
) -> Race | None:
    """Trains several strategies for a while, compares them on the same validation examples, and returns the winner.

    Nothing of what is prepared changes. Without `workdir` nothing stays on disk.

    Args:
        prepared: data and backbone.
        strategies: at least one.
        budget: seconds for all of it, > 0; what it takes beyond is what one rung takes longer than foretold.
        left_out: strategies that were not to run.
        workdir: of the run that is to follow: what that uses again stays for it, decoded pictures in the folder's
            cache and activations that are kept on disk among those of all runs; None: all is in a temporary folder.
        clock: tells the time in seconds.
        show: called with a line before what takes a while.

    Returns:
        What was measured; None where the seconds of this network cannot be foretold.

    Raises:
        ConfigError: the budget is too small for a single candidate.
        TrainingError: no candidate can be trained.
    """
    began = clock()
    with contextlib.ExitStack() as ending:
        folder = ending.enter_context(_folder(workdir))
        track = _track(prepared, len(strategies), folder, workdir)
        if track is None:
            return None
        entrants, refused = [], []
        for strategy in strategies:
            try:
                entrants.append(ending.enter_context(_Entrant(strategy, track, show)))
            except (BackboneError, ConfigError) as error:
                refused.append(LeftOut(name=strategy.name, reason=str(error)))
        if not entrants:
            raise ConfigError("; ".join(f"{one.name}: {one.reason}" for one in refused))
        ending.callback(track.put_back)
        found = contest.run(entrants, budget=budget, clock=clock, began=began, show=show)
        return _told(found, (*left_out, *refused, *found.left_out), track, budget, clock() - began)


@contextlib.contextmanager
def _folder(workdir: pathlib.Path | None):
    """Gives a folder for checkpoints, which is gone afterwards; one that a kill has left in a workdir, too."""
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="tfxfer-race-") as name:
            yield pathlib.Path(name)
        return
    folder = workdir / "cache" / "race"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class _Network:
    """A network with its head, and the weights that a candidate starts from, in the order of its variables."""

    backbone: Backbone
    model: keras.Model
    start: tuple[np.ndarray, ...]
    costs: facts.Costs


@dataclasses.dataclass(frozen=True)
class _Track:
    """What all candidates have in common.

    Attributes:
        prepared: what was asked and found.
        examples: that they learn from and are compared on.
        fitted: the same for `fit`, which is to look at few of those that they are compared on.
        pixels: of them.
        count: of candidates, which share the room for activations.
        machine: as it is for one alone.
        costs: of the layer groups of the whole network, and of its head.
        networks: by where they are cut and the weights that they start from.
        folder: for checkpoints.
        activations: folder of those on disk; None: that of all runs.
    """

    prepared: pipeline.Prepared
    examples: examples_of.Examples
    fitted: examples_of.Examples
    pixels: np.ndarray
    count: int
    machine: facts.MachineFacts
    costs: facts.Costs
    networks: dict[tuple[str, str], _Network]
    folder: pathlib.Path
    activations: pathlib.Path | None

    def network(self, recipe: recipes.Recipe) -> _Network:
        """Returns the network of a candidate, which those share that cut it alike."""
        key = (recipe.backbone.at, recipe.weights)
        if key not in self.networks:
            backbone = pipeline.load_backbone(recipe, self.prepared.examples.facts)
            what = self.prepared.plan.what
            with runtime.strategy_for(recipe.running).scope():
                model = models.swap_head(backbone, what.head, seed=what.seed)
            self.networks[key] = _network(backbone, model, self.costs)
        return self.networks[key]

    def put_back(self) -> None:
        """Gives the network that was prepared the weights that it came with; nobody else has the others."""
        for network in self.networks.values():
            if network.model is self.prepared.model:
                _assign(network.model, network.start)


def _assign(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Gives a network's variables values, in their order."""
    for variable, value in zip(model.variables, weights, strict=True):
        variable.assign(value)


def _track(
    prepared: pipeline.Prepared, count: int, folder: pathlib.Path, workdir: pathlib.Path | None = None
) -> _Track | None:
    """Returns what candidates race on; None where nobody knows what a step takes."""
    recipe, what = prepared.recipe, prepared.plan.what
    costs = activations.measure(prepared.model, batch_size=recipe.batch_size)
    if costs is None:
        return None
    machine = runtime.probe(recipe.running)
    store = pipeline.pixel_store(prepared.plan, workdir or folder)
    # Those for the test have no part in it; but a file of all pictures is one that the run takes as it is.
    shown = prepared.examples if workdir and store else held_out.without_test(prepared.examples)
    examples = held_out.for_race(shown, recipe.seed)
    return _Track(
        prepared=prepared,
        examples=examples,
        fitted=held_out.looked_at_less(examples),
        pixels=examples.pixels(what.image_size, what.framing, store),
        count=max(1, count),
        machine=machine,
        costs=costs,
        networks={
            (recipe.backbone.at, recipe.weights): _network(prepared.backbone, prepared.model, costs),
        },
        folder=folder,
        activations=None if workdir else folder / "activations",
    )


def _network(backbone: Backbone, model: keras.Model, costs: facts.Costs) -> _Network:
    start = tuple(variable.numpy() for variable in model.variables)
    return _Network(backbone, model, start, _up_to(costs, len(backbone.facts.groups)))


def _up_to(costs: facts.Costs, groups: int) -> facts.Costs:
    """Returns the costs of a network's first layer groups, and of its head, which stands at the end."""

    def shortened(each: tuple) -> tuple:
        return (*each[:groups], each[-1])

    share = sum(shortened(costs.layers)) / max(1, sum(costs.layers))
    return dataclasses.replace(
        costs,
        forward=shortened(costs.forward),
        backward=shortened(costs.backward),
        layers=shortened(costs.layers),
        trace=costs.trace * share,
    )


class _Entrant:
    """A strategy that trains a share of its schedule at a time; a context manager, which lets go of activations."""

    def __init__(self, strategy: Strategy, track: _Track, show: Callable[[str], None]):
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
        _assign(model, self._weights)
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


def _told(found: contest.Result, left_out: Sequence[LeftOut], track: _Track, budget: float, seconds: float) -> Race:
    """Returns the race as a value."""
    first, second = found.standings[0], next(iter(found.standings[1:]), None)
    common = min(len(first.right), len(second.right)) - 1 if second else 0
    examples = track.examples.facts
    return Race(
        candidates=tuple(_candidate(one) for one in found.standings),
        left_out=tuple(left_out),
        winner=first.name,
        runner_up=second.name if second else "",
        runner_up_is_better=intervals.paired(first.right[common], second.right[common]).second_is_better
        if second
        else 0.0,
        examples=examples.validation_examples,
        trained_on=examples.train_examples,
        shares=found.shares,
        budget=float(budget),
        seconds=seconds,
        predicted_seconds=found.predicted_seconds,
        ended=found.ended,
        borrowed=examples.validation_examples - track.prepared.examples.facts.validation_examples,
    )


def _candidate(one: contest.Standing) -> Candidate:
    right = one.right[-1]
    entrant = one.entrant
    return Candidate(
        name=one.name,
        words=entrant.strategy.words,
        change=entrant.strategy.change,
        accuracy=intervals.share(int(right.sum()), right.size),
        seconds=one.seconds,
        whole_seconds=entrant.whole_seconds,
        share=one.share,
        rung=len(one.right),
        reason=entrant.strategy.reason,
        why_not=one.why_not,
        failed=one.failed,
    )


def _nothing(*_told) -> None:
    pass
