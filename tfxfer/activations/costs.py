"""Measures what a network costs on this machine: the seconds of each layer group, in inference and in training.

Each group is made a graph of its own, since what a layer takes when it is called by itself says little: two to three
times as much as in a graph, where it is fused with its neighbours. Groups that do the same to the same shapes, as most
blocks of a network do, are measured once.
"""

import dataclasses
import functools
import json
import statistics
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxfer import graph, models
from tfxfer.errors import BackboneError
from tfxfer.facts import Costs

# A pass takes a batch as training does, since what is done once for it, as with weights, is up to a third of a step
# (measured with 32 pictures of 96×96); but no more pictures than have so many pixels together: 15 of 224×224. A GPU
# takes whole batches.
_PIXELS = 800_000
# Gradients are measured group by group until so many seconds have passed, or so many times as long as a forward pass
# takes; the others get the ratio of those that were. Where forward passes alone take too long, nothing is told.
_SECONDS, _PASSES, _MOST_SECONDS = 1.5, 20, 15.0
# One graph is run so often at least and at most, in between for so long; the middle run counts, since the first one
# behind making the graph takes a tenth to a fifth more, and a stage is as slow as usual too.
_FEWEST_RUNS, _MOST_RUNS, _RUN_SECONDS = 3, 7, 0.03
# What is updated and gathered for a measurement: numbers, and bytes.
_WEIGHTS, _GATHERED, _ROW = 1 << 18, 4 << 20, 4096
# Of one step of `fit` beside everything else, where an epoch is one call (measured on two cores: a head on pooled
# features takes 0.4 ms a step with its gathering, its forward and backward pass and its update).
_STEP = 3e-4


@dataclasses.dataclass(frozen=True)
class _Part:
    """A layer group as a model of its own.

    Attributes:
        model: from the tensors that the group reads to those that others read.
        inputs: these tensors; `outputs` likewise.
        outputs: see there.
        weights: that gradients can move, but for batch norm's, which a stage mostly freezes.
        normalises: whether batch norm is among its layers.
        kind: equal for groups that do the same to tensors of the same shapes.
        layers: the number of its layers.
    """

    model: keras.Model | None
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]
    weights: tuple[keras.Variable, ...]
    normalises: bool
    kind: str
    layers: int


@dataclasses.dataclass
class _Measured:
    """Seconds of one kind of group: of a forward pass, of making its graph, and of training (None: not measured)."""

    outputs: list[tf.Tensor]
    forward: float = 0.0
    trace: float = 0.0
    training: float | None = None


def measure(model: keras.Model, *, batch_size: int) -> Costs | None:
    """Returns the seconds of `model` on this machine; None where they cannot be measured.

    Nothing of the model, and no random state, changes. It takes three to five seconds for a network of 150 layers.

    Args:
        model: on pictures, with a head of `swap_head`.
        batch_size: most pictures in a pass.
    """
    picture = model.inputs[0].shape[1:] if len(model.inputs) == 1 else (None,)
    is_stateful = any(getattr(layer, "stateful", False) for layer in graph.flatten(model))
    if None in picture or is_stateful or not np.issubdtype(model.inputs[0].dtype, np.number):
        return None
    try:
        flat = graph.inlined(model)
        parts = _parts(flat)
        return None if parts is None else _costs(flat, parts, batch_size)
    except (BackboneError, tf.errors.OpError, NotImplementedError, TypeError, ValueError):
        return None  # a layer of someone's own may allow anything, or nothing; training will tell


def _costs(model: keras.Model, parts: Sequence[_Part], batch_size: int) -> Costs | None:
    start = time.perf_counter()
    shape = model.inputs[0].shape[1:]
    batch_size = models.at_once(batch_size, shape, pixels=_PIXELS)
    pictures = np.random.default_rng(0).integers(0, 256, (batch_size, *shape))
    values = {id(model.inputs[0]): tf.constant(pictures, model.inputs[0].dtype)}
    kinds: dict[str, _Measured] = {}
    for part in parts:
        if part.kind not in kinds:
            kinds[part.kind] = _forward(part, [values[id(tensor)] for tensor in part.inputs])
        if time.perf_counter() - start > _MOST_SECONDS:
            return None
        # Of groups of one kind the first one's outputs stand for those of all: numbers take no time, shapes do.
        values |= zip(map(id, part.outputs), kinds[part.kind].outputs, strict=True)
    found = [kinds[part.kind] for part in parts]
    start, limit = time.perf_counter(), min(_SECONDS, _PASSES * sum(one.forward for one in found))
    for number in _coarse_to_fine(len(parts)):
        part, measured = parts[number], kinds[parts[number].kind]
        if measured.training is None:
            measured.training = _training(part, [values[id(tensor)] for tensor in part.inputs], is_first=number == 0)
        if time.perf_counter() - start > limit:
            break
    normalising = [number for number, part in enumerate(parts) if part.normalises and found[number].training]
    dearest = max(normalising, key=lambda number: found[number].training, default=None)
    training = _completed(found)
    return Costs(
        forward=tuple(one.forward / batch_size for one in found),
        backward=tuple(max(0.0, t - one.forward) / batch_size for t, one in zip(training, found, strict=True)),
        layers=tuple(part.layers for part in parts),
        step=_STEP,
        update=_update_seconds(),
        trace=sum(one.trace for one in found),
        gather=_gather_seconds(),
        batch_statistics=1.0
        if dearest is None
        else _by_batches(
            parts[dearest],
            [values[id(tensor)] for tensor in parts[dearest].inputs],
            found[dearest].training if dearest else None,  # the first one's is without gradients of pixels
        ),
    )


def _parts(model: keras.Model) -> list[_Part] | None:
    """Returns the layer groups of a flat model, input first; None where one is but a part of a layer."""
    groups = graph.layer_groups(model)
    if any(group.part for group in groups):
        return None
    places = {id(layer): number for number, group in enumerate(groups) for layer in group.layers}
    calls: list[list[graph.Call]] = [[] for _ in groups]
    at = 0
    for call in graph.calls_of(model):
        at = max(at, places.get(id(call.operation), at))
        if call.inputs:
            calls[at].append(call)
    read = {id(tensor): len(groups) for tensor in model.outputs}
    for number, some in enumerate(calls):
        read |= {id(tensor): max(number, read.get(id(tensor), 0)) for call in some for tensor in call.inputs}
    return [
        _part(some, group, [t for call in some for t in call.outputs if read.get(id(t), 0) > number])
        for number, (some, group) in enumerate(zip(calls, groups, strict=True))
    ]


def _part(calls: list[graph.Call], group: graph.LayerGroup, outputs: list[keras.KerasTensor]) -> _Part:
    written = {id(tensor) for call in calls for tensor in call.outputs}
    inputs = {id(tensor): tensor for call in calls for tensor in call.inputs if id(tensor) not in written}
    norms = {id(variable) for variable in group.batch_norm_variables}
    does = [
        (type(call.operation).__name__, _settings(call.operation), [tensor.shape for tensor in call.inputs])
        for call in calls
    ]
    return _Part(
        # A name of its own: Keras counts those that it makes up, and later models would be called otherwise.
        model=keras.Model(list(inputs.values()), outputs, name="measured") if outputs else None,
        inputs=tuple(inputs.values()),
        outputs=tuple(outputs),
        weights=tuple(variable for variable in group.trainable_variables if id(variable) not in norms),
        normalises=bool(norms),
        kind=str(does) if calls else group.name,
        layers=len(group.layers),
    )


def _settings(operation: keras.Operation) -> str:
    """Returns the settings of a layer without its name; one that tells none is like no other."""
    try:
        settings = dict(operation.get_config())
    except (NotImplementedError, TypeError):
        return operation.name
    settings.pop("name", None)
    return json.dumps(settings, sort_keys=True, default=str)


def _forward(part: _Part, inputs: list[tf.Tensor]) -> _Measured:
    if part.model is None:
        return _Measured(outputs=[], training=0.0)
    run = tf.function(lambda *tensors: tf.nest.flatten(part.model(list(tensors), training=False)))
    first, outputs = _timed(lambda: run(*inputs))
    seconds = _usual(lambda: run(*inputs))
    return _Measured(outputs=outputs, forward=seconds, trace=max(0.0, first - seconds))


def _by_batches(part: _Part, inputs: list[tf.Tensor], stored: float | None) -> float:
    """Returns how many times as long training takes where batch norm normalises by the batch; nothing changes.

    Args:
        part: that has batch norm.
        inputs: of it.
        stored: seconds with stored statistics; None: not measured.
    """
    state = part.model.non_trainable_variables
    kept = [variable.numpy() for variable in state]
    try:
        stored = stored or _training(part, inputs, is_first=False)
        return max(1.0, _training(part, inputs, is_first=False, by_batches=True) / stored)
    except (tf.errors.OpError, NotImplementedError, TypeError, ValueError):
        return 1.0  # the other figures hold
    finally:
        for variable, value in zip(state, kept, strict=True):
            variable.assign(value)


def _training(part: _Part, inputs: list[tf.Tensor], *, is_first: bool, by_batches: bool = False) -> float:
    """Returns the seconds of a forward pass with the gradients of weights, and of inputs, which pixels have not."""

    @tf.function
    def run(*tensors):
        tensors = list(tensors)
        watched = [variable.value for variable in part.weights]
        watched += [] if is_first else [tensor for tensor in tensors if tensor.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            outputs = part.model(tensors, training=by_batches)
        gradients = tape.gradient(outputs, watched) if watched else outputs
        return [gradient for gradient in gradients if gradient is not None]

    run(*inputs)
    return _usual(lambda: run(*inputs))


def _completed(found: Sequence[_Measured]) -> list[float]:
    """Returns the training seconds of all groups; where they were not measured, by the ratio of those that were."""
    known = [one for one in found if one.training is not None]
    ratio = sum(one.training for one in known) / max(1e-9, sum(one.forward for one in known))
    return [one.forward * ratio if one.training is None else one.training for one in found]


def _coarse_to_fine(count: int) -> list[int]:
    """Returns 0 … count − 1 from the end on in such an order that wherever one stops, they are spread over all."""
    order: list[int] = []
    step = 1 << max(0, count - 1).bit_length()
    while step:
        order += [number for number in range(count - 1, -1, -step) if number not in order]
        step //= 2
    return order


@functools.cache
def _update_seconds() -> float:
    """Returns the seconds for one weight in a step of SGD with momentum and a limit of the gradient's norm."""
    gradients = tf.zeros([_WEIGHTS])
    weights, slots = tf.Variable(gradients), tf.Variable(gradients)

    @tf.function  # called one by one, operations allocate each result anew, which takes half as long again
    def run():
        clipped = gradients / tf.maximum(tf.reduce_sum(gradients * gradients), 1.0)
        slots.assign(0.9 * slots - 0.1 * clipped)
        weights.assign_add(0.9 * slots - 0.1 * clipped)

    run()
    return _usual(run) / _WEIGHTS


@functools.cache
def _gather_seconds() -> float:
    """Returns the seconds to gather one byte of rows that lie apart."""
    rows = np.ones((4 * _GATHERED // _ROW, _ROW), np.uint8)
    places = np.random.default_rng(0).permutation(len(rows))[: _GATHERED // _ROW]
    return _usual(lambda: rows[places]) / _GATHERED


def _usual(run: Callable[[], object]) -> float:
    """Returns the median of the seconds of a few runs."""
    seconds: list[float] = []
    while len(seconds) < _FEWEST_RUNS or (len(seconds) < _MOST_RUNS and sum(seconds) < _RUN_SECONDS):
        seconds.append(_timed(run)[0])
    return statistics.median(seconds)


def _timed(run: Callable):
    """Returns the seconds of one run until all devices are done, and what it returns."""
    start = time.perf_counter()
    result = run()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start, result
