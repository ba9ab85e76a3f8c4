"""What a backbone computes on pictures at every depth, in one inference pass: pooled features and inputs of batch norm.

Features are means over positions at the end of each layer group that the network can be cut behind. For batch norm
the pass takes the moments of what it is given, picture by picture, and holds them against its stored statistics, which
say what it was given in pretraining.
"""

import dataclasses
import time

import keras
import numpy as np

from tfxfer import graph, models
from tfxfer.backbones import Backbone
from tfxfer.errors import BackboneError, DataError
from tfxfer.facts import BackboneFacts
from tfxfer.pixels import check_pixel_scale
from tfxfer.scores import similarity

_FLOAT = "float32"
# Bytes of a float32 number, and of a megabyte.
_BYTES, _MEGABYTE = 4, 1e6
# Without a GPU pictures of so many pixels together go through at once, 9 of 128×128: what batch norms read is held
# until its moments are taken, which for 32 of them is 0.25 GB more and hardly faster.
_PIXELS = 160_000


@dataclasses.dataclass(frozen=True)
class Depths:
    """Pictures at every depth of a backbone.

    Attributes:
        names: of the layer groups that the network can be cut behind, input first.
        features: for each of them, float32 `[pictures, width]`; the last are what the backbone gives.
        divergences: of each batch norm, input first, from its stored statistics, the mean over pictures, nats a
            channel (see `scores.divergence`); () where there is none that can be seen.
        megabytes: of the weights up to each of them, as float32, without a head; a megabyte is 10⁶ bytes.
        seconds: of the network for one picture, without what the first batch takes beside it, such as tracing.
    """

    names: tuple[str, ...]
    features: tuple[np.ndarray, ...]
    divergences: tuple[float, ...]
    megabytes: tuple[float, ...]
    seconds: float = 0.0


def measure(backbone: Backbone, images: np.ndarray, *, batch_size: int = 32) -> Depths:
    """Returns what a backbone computes on pictures, in inference mode, each seen once.

    Args:
        backbone: for pictures, with one output.
        images: `[pictures, height, width, channels]` of the backbone's size, on 0..255, uint8 or float.
        batch_size: pictures at a time, ≥ 1; of large ones fewer where there is no GPU.

    Raises:
        BackboneError: the backbone takes no pictures or gives several levels, or the pictures have another size.
        DataError: there are no pictures, or their pixels are on another scale.
    """
    _check(backbone, images)
    batch_size = models.at_once(batch_size, images.shape[1:], pixels=_PIXELS)
    flat = graph.inlined(backbone.model)
    ends, norms = _ends(flat), _norms(flat)
    looking = keras.Model(graph.input_of(flat), _looked_at(ends, norms))
    rows, apart, seconds = [], np.zeros(len(norms)), []

    def look(batch: np.ndarray):
        """Every batch has the same size, the last one is padded: one trace, and the same rounding in all rows."""
        start = time.monotonic()
        given = models.predict_on_batch(looking, batch[np.arange(batch_size) % len(batch)])
        seconds.append(time.monotonic() - start)
        return given

    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        given = look(batch)
        features, *of_norms = [part[: len(batch)] for part in (given if norms else [given])]
        rows.append(features)
        if norms:
            apart += len(batch) * _divergences(norms, *of_norms)
    if len(seconds) == 1:
        look(images)
    widths = np.cumsum([tensor.shape[-1] for _, tensor in ends])[:-1]
    features = np.split(np.concatenate(rows), widths, axis=1)
    names = tuple(name for name, _ in ends)
    return Depths(
        names=names,
        features=tuple(np.ascontiguousarray(part) for part in features),
        divergences=tuple((apart / len(images)).tolist()),
        megabytes=tuple(megabytes(backbone.facts, name) for name in names),
        seconds=float(np.median(seconds[1:])) / batch_size,
    )


def megabytes(facts: BackboneFacts, at: str) -> float:
    """Returns the size of a network's weights up to the end of a group, in megabytes; "" for all of them."""
    names = [group.name for group in facts.groups]
    groups = facts.groups[: names.index(at) + 1] if at in names else facts.groups
    return _BYTES * sum(group.parameters + group.statistics for group in groups) / _MEGABYTE


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


def _divergences(norms, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Returns the divergence of each batch norm on a batch, float64 `[norms]`."""
    ends = np.cumsum([layer.moving_mean.shape[0] for layer, _ in norms])[:-1]
    parts = zip(norms, np.split(means, ends, axis=1), np.split(variances, ends, axis=1), strict=True)
    return np.array(
        [
            similarity.divergence(
                layer.moving_mean.numpy(),
                layer.moving_variance.numpy(),
                mean,
                variance,
                epsilon=max(float(layer.epsilon), 1e-12),  # 0 would divide by channels that stand still
            )
            for (layer, _), mean, variance in parts
        ]
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
