"""Switches off random layers below what trains, so that what is frozen gives the same in every epoch.

Activations of frozen layers that are computed once are those of inference. Dropout or stochastic depth would make them
others in each epoch, so a stage has neither below the first group that trains, whether activations are kept or not.
"""

import contextlib
from collections.abc import Collection, Iterator

import keras

from tfxfer import graph

# What layers of Keras and of its applications call the strength of what they draw; at 0 they draw nothing.
_RATES = ("rate", "drop_path_rate", "stddev", "dropout", "recurrent_dropout")


@contextlib.contextmanager
def steady(model: keras.Model, *, awake: Collection[str] = ()) -> Iterator[tuple[str, ...]]:
    """Sets the rate of random layers below the first group that trains to 0 within the block.

    A graph holds the rate that it was made with: make train functions within the block, and drop them behind it.

    >>> with steady(model, awake=("stage5.block1",)) as random:
    ...     trainee.fit(...)

    Args:
        model: with a head of `swap_head`.
        awake: names of the layer groups that ever train; the head always does.

    Yields:
        Names of layers there that stay random, since they have no rate, such as those that turn pictures.
    """
    layers = [layer for layer in _below(model, awake) if is_random(layer)]
    rates = {id(layer): _rates(layer) for layer in layers}
    before = [(layer, name, rate) for layer in layers for name, rate in rates[id(layer)].items()]
    try:
        for layer, name, _ in before:
            setattr(layer, name, 0.0)
        yield tuple(layer.name for layer in layers if not rates[id(layer)])
    finally:
        for layer, name, rate in before:
            setattr(layer, name, rate)


def _below(model: keras.Model, awake: Collection[str]) -> list[keras.layers.Layer]:
    """Returns all layers of the groups in front of the first one that trains, each once."""
    *groups, _ = graph.layer_groups(model)
    names = [group.name for group in groups]
    first = min((names.index(name) for name in awake), default=len(groups))
    layers = [inner for group in groups[:first] for layer in group.layers for inner in graph.flatten(layer)]
    return list({id(layer): layer for layer in layers}.values())


def is_random(layer: keras.layers.Layer) -> bool:
    """Whether a layer itself draws in training: dropout of any kind, noise, changes of pictures; not at a rate of 0."""
    # Layers of Keras call it `seed_generator` or `generator`; that of ConvNeXt draws from Keras's own.
    held = any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())
    rates = _rates(layer).values()
    return (held or hasattr(layer, "drop_path_rate")) and (any(rates) or not rates)


def _rates(layer: keras.layers.Layer) -> dict[str, float]:
    values = {name: getattr(layer, name, None) for name in _RATES}
    return {name: value for name, value in values.items() if isinstance(value, (int, float))}
