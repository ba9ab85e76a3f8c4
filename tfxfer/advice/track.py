"""What all candidates of a race have in common: examples, pixels, the machine; and networks, if they are cut alike."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from tfxfer import activations, facts, models, pipeline, recipes, runtime
from tfxfer import data as examples_of
from tfxfer.advice import held_out
from tfxfer.backbones import Backbone


@dataclasses.dataclass(frozen=True)
class Network:
    """A network with its head, and the weights that a candidate starts from, in the order of its variables."""

    backbone: Backbone
    model: keras.Model
    start: tuple[np.ndarray, ...]
    costs: facts.Costs


@dataclasses.dataclass(frozen=True)
class Track:
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
    networks: dict[tuple[str, str], Network]
    folder: pathlib.Path
    activations: pathlib.Path | None

    def network(self, recipe: recipes.Recipe) -> Network:
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
                assign(network.model, network.start)


def assign(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Gives a network's variables values, in their order."""
    for variable, value in zip(model.variables, weights, strict=True):
        variable.assign(value)


def lay_out(
    prepared: pipeline.Prepared, count: int, folder: pathlib.Path, workdir: pathlib.Path | None = None
) -> Track | None:
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
    return Track(
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


def _network(backbone: Backbone, model: keras.Model, costs: facts.Costs) -> Network:
    start = tuple(variable.numpy() for variable in model.variables)
    return Network(backbone, model, start, _up_to(costs, len(backbone.facts.groups)))


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
