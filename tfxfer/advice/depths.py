"""What a backbone computes on pictures at every depth, in one inference pass: pooled features and inputs of batch norm.

Features are means over positions at the end of each layer group that the network can be cut behind. For batch norm
the pass takes the moments of what it is given, to be held against its stored statistics, which say what it was given in
pretraining.
"""

import dataclasses

import keras
import numpy as np

from tfxfer import graph, models
from tfxfer.backbones import Backbone
from tfxfer.errors import BackboneError, DataError
from tfxfer.models.statistics import Moments
from tfxfer.pixels import check_pixel_scale
from tfxfer.scores import similarity

_FLOAT = "float32"


@dataclasses.dataclass(frozen=True)
class NormInputs:
    """What one batch normalisation was given, in pretraining and on some pictures: moments of each channel.

    Attributes:
        name: of the layer.
        stored_mean: float64 `[channels]`, as the layer keeps it; `stored_variance` likewise.
        stored_variance: see there.
        mean: float64 `[channels]`, on the pictures; `variance` likewise.
        variance: see there.
        epsilon: what the layer adds to a variance.
    """

    name: str
    stored_mean: np.ndarray
    stored_variance: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float

    @property
    def divergence(self) -> float:
        """How far the pictures are from those of pretraining here, nats a channel; see `scores.divergence`."""
        # An epsilon of 0 would divide by the variance of channels that stand still.
        epsilon = max(self.epsilon, 1e-12)
        return similarity.divergence(self.stored_mean, self.stored_variance, self.mean, self.variance, epsilon=epsilon)


@dataclasses.dataclass(frozen=True)
class Depths:
    """Pictures at every depth of a backbone.

    Attributes:
        names: of the layer groups that the network can be cut behind, input first.
        features: for each of them, float32 `[pictures, width]`; the last are what the backbone gives.
        norms: of each batch norm, input first; () where there is none that can be seen.
    """

    names: tuple[str, ...]
    features: tuple[np.ndarray, ...]
    norms: tuple[NormInputs, ...]


def measure(backbone: Backbone, images: np.ndarray, *, batch_size: int = 32) -> Depths:
    """Returns what a backbone computes on pictures, in inference mode, each seen once.

    Args:
        backbone: for pictures, with one output.
        images: `[pictures, height, width, channels]` of the backbone's size, on 0..255, uint8 or float.
        batch_size: pictures at a time, ≥ 1.

    Raises:
        BackboneError: the backbone takes no pictures or gives several levels, or the pictures have another size.
        DataError: there are no pictures, or their pixels are on another scale.
    """
    _check(backbone, images)
    flat = graph.inlined(backbone.model)
    ends, norms = _ends(flat), _norms(flat)
    looking = keras.Model(graph.input_of(flat), _looked_at(ends, norms))
    rows, seen = [], Moments()
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        # Every batch has the same size, the last one is padded: one trace, and the same rounding in all rows.
        given = models.predict_on_batch(looking, batch[np.arange(batch_size) % len(batch)])
        features, *of_norms = [part[: len(batch)] for part in (given if norms else [given])]
        rows.append(features)
        if norms:
            means, variances = (part.astype(np.float64) for part in of_norms)
            seen.add(len(batch), means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0))
    widths = np.cumsum([tensor.shape[-1] for _, tensor in ends])[:-1]
    features = np.split(np.concatenate(rows), widths, axis=1)
    names = tuple(name for name, _ in ends)
    return Depths(names, tuple(np.ascontiguousarray(part) for part in features), _compared(norms, seen))


def _ends(flat: keras.Model) -> list[tuple[str, keras.KerasTensor]]:
    """Returns the groups that a head can be put behind with the tensor there; the model's output stands at the end."""
    ends = [(group.name, group.outputs[0]) for group in graph.layer_groups(flat) if len(group.outputs) == 1]
    if not ends or ends[-1][1] is not flat.output:
        # Of a SavedModel, whose groups have no ends, this is all.
        ends.append(("output", flat.output))
    return [(name, tensor) for name, tensor in ends if tensor.shape[-1] is not None and "float" in tensor.dtype]


def _norms(flat: keras.Model) -> list[tuple[keras.layers.BatchNormalization, keras.KerasTensor]]:
    """Returns each batch norm over the last axis with what it reads; one that is called twice is there twice."""
    return [
        (call.operation, call.inputs[0])
        for call in graph.calls_of(flat)
        if isinstance(call.operation, keras.layers.BatchNormalization)
        and call.operation.axis in (-1, len(call.inputs[0].shape) - 1)
    ]


def _looked_at(ends, norms) -> list[keras.KerasTensor]:
    """Returns features `[batch, width of all]` and, where there are batch norms, means and variances of their inputs.

    Three tensors, since each one costs a copy to the host.
    """
    pooled = [_over_positions(keras.ops.mean, tensor) for _, tensor in ends]
    outputs = [_joined(pooled)]
    if norms:
        outputs += [
            _joined([_over_positions(of, tensor) for _, tensor in norms]) for of in (keras.ops.mean, keras.ops.var)
        ]
    return outputs


def _over_positions(statistic, tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a statistic over all axes but the first and the last, float32 `[batch, channels]`."""
    numbers = keras.ops.cast(tensor, _FLOAT)
    axes = tuple(range(1, len(tensor.shape) - 1))
    if axes:
        return statistic(numbers, axis=axes)
    return numbers if statistic is keras.ops.mean else keras.ops.zeros_like(numbers)


def _joined(tensors: list[keras.KerasTensor]) -> keras.KerasTensor:
    return keras.ops.concatenate(tensors, axis=1) if len(tensors) > 1 else tensors[0]


def _compared(norms, seen: Moments) -> tuple[NormInputs, ...]:
    if not norms:
        return ()
    ends = np.cumsum([layer.moving_mean.shape[0] for layer, _ in norms])[:-1]
    parts = zip(norms, np.split(seen.mean, ends), np.split(seen.variance, ends), strict=True)
    return tuple(
        NormInputs(
            layer.name,
            layer.moving_mean.numpy().astype(np.float64),
            layer.moving_variance.numpy().astype(np.float64),
            mean,
            variance,
            float(layer.epsilon),
        )
        for (layer, _), mean, variance in parts
    )


def _check(backbone: Backbone, images: np.ndarray) -> None:
    handle, expected = backbone.facts.card.handle, backbone.model.input_shape
    if backbone.facts.levels or backbone.facts.card.takes != "images":
        raise BackboneError(f"{handle} gives no single features of pictures, which advice is about.")
    if images.ndim != 4 or images.shape[1:] != expected[1:]:
        raise BackboneError(f"images have shape {images.shape}, expected [pictures, {expected[1:]}].")
    if not len(images):
        raise DataError("there are no pictures to look at.")
    check_pixel_scale(images)
