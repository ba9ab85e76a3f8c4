"""What is frozen is computed once: activations at a cut of the network, kept in memory for all epochs of a stage."""

from collections.abc import Sequence

import keras
import numpy as np

from tfxfer import graph, models, progress
from tfxfer.data.rows import Rows


def cut_tensor(model: keras.Model, trained: Sequence[str]) -> keras.KerasTensor | None:
    """Returns the tensor at the deepest cut below which nothing of a stage trains; None where there is none.

    Args:
        model: with a head of `swap_head`.
        trained: names of the groups that train beside the head, input first.
    """
    if not trained:
        return models.pooled_features(model)
    groups = graph.layer_groups(model)
    first = graph.find_group(groups, trained[0])
    return groups[first - 1].output if first else None


def extract(model: keras.Model, cut: keras.KerasTensor, images: Rows, *, batch_size: int) -> Rows:
    """Returns the activations of all pictures at `cut`, float32 `[pictures, …]`, in inference mode.

    Args:
        model: that `cut` belongs to.
        cut: a tensor that everything behind it depends on alone.
        images: uint8 `[pictures, height, width, 3]`.
        batch_size: pictures at a time; every batch has this size, the last one is padded, so that each row is
            what the network computes for that batch shape.
    """
    prefix = keras.Model(graph.input_of(model), cut)
    kept = np.empty((len(images), *prefix.output_shape[1:]), np.float32)
    done = 0
    with progress.bar("computing what is frozen", len(images), kind="images") as advance:
        for batch, count in images.padded_batches(batch_size):
            kept[done : done + count] = prefix.predict_on_batch(batch)[:count]
            done += count
            advance(count)
    return Rows(kept, images.labels, np.arange(len(images)), images.classes)


def suffix(model: keras.Model, cut: keras.KerasTensor) -> keras.Model:
    """Returns what is behind `cut` as a model of its own, of the same layers: from activations to logits."""
    return keras.Model(cut, model.output, name=f"{model.name}_suffix")
