"""What is frozen is computed once: activations at a cut of the network, kept in memory for all epochs of a stage."""

import math
from collections.abc import Sequence

import keras
import numpy as np

from tfxfer import graph, models, progress
from tfxfer.data.rows import Rows


def cut_tensors(model: keras.Model, trained: Sequence[str]) -> tuple[keras.KerasTensor, ...]:
    """Returns the tensors at the deepest cut below which nothing of a stage trains; none where there is no cut.

    Args:
        model: with a head of `swap_head`.
        trained: names of the groups that train beside the head, input first.
    """
    if not trained:
        return (models.pooled_features(model),)
    groups = graph.layer_groups(model)
    first = graph.find_group(groups, trained[0])[0]
    return groups[first - 1].outputs if first else ()


def extract(model: keras.Model, cut: Sequence[keras.KerasTensor], images: Rows, *, batch_size: int) -> Rows:
    """Returns the activations of all pictures at `cut`, float32, in inference mode.

    One tensor gives rows of its shape, several give flat rows with one behind the other.

    Args:
        model: that `cut` belongs to.
        cut: tensors that everything behind them depends on alone.
        images: uint8 `[pictures, height, width, 3]`.
        batch_size: pictures at a time; every batch has this size, the last one is padded, so that each row is
            what the network computes for that batch shape.
    """
    prefix = keras.Model(graph.input_of(model), _packed(cut))
    kept = np.empty((len(images), *prefix.output_shape[1:]), np.float32)
    done = 0
    with progress.bar("computing what is frozen", len(images), kind="images") as advance:
        for batch, count in images.padded_batches(batch_size):
            kept[done : done + count] = prefix.predict_on_batch(batch)[:count]
            done += count
            advance(count)
    return Rows(kept, images.labels, np.arange(len(images)), images.classes)


def suffix(model: keras.Model, cut: Sequence[keras.KerasTensor]) -> keras.Model:
    """Returns what is behind `cut` as a model of its own, of the same layers: from rows of `extract` to logits."""
    behind = keras.Model(list(cut) if len(cut) > 1 else cut[0], model.output, name=f"{model.name}_suffix")
    if len(cut) == 1:
        return behind
    packed = keras.Input(_packed(cut).shape[1:], name="activations")
    parts, start = [], 0
    for tensor in cut:
        stop = start + math.prod(tensor.shape[1:])
        parts.append(keras.layers.Reshape(tensor.shape[1:])(packed[:, start:stop]))
        start = stop
    return keras.Model(packed, behind(parts), name=behind.name)


def _packed(cut: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    if len(cut) == 1:
        return cut[0]
    flat = [keras.layers.Reshape((math.prod(tensor.shape[1:]),))(tensor) for tensor in cut]
    return keras.layers.Concatenate()(flat)
