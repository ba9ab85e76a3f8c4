"""`cached_prefix`: what is frozen in anyone's Keras model is computed once, the rest trains in their own `fit`."""

import dataclasses
import hashlib
import math
import os
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from tfxfer import graph, runtime
from tfxfer.activations import cuts, filling
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.keys import Key
from tfxfer.activations.store import MemoryStore, Store
from tfxfer.data.batches import gathered_together
from tfxfer.errors import ConfigError
from tfxfer.models import randomness
from tfxfer.reuse import Precision

# More would rarely be smaller than what is one stage nearer to the input.
_MOST_TENSORS = 2


@dataclasses.dataclass(frozen=True)
class CachedPrefix:
    """A model cut in two, and the activations between.

    Attributes:
        model: what is behind the cut, of the layers of the model that was given, from activations to its outputs; not
            compiled. What it learns, that model has learned.
        dataset: batches of (activations float32, labels), shuffled anew in each pass; sample weights where there were
            some.
        cut: names of the layers whose outputs are kept.
        prefix: what is below the cut, in inference mode: from pictures to activations.
        row_bytes: of one example's activations; `bytes` of all.
        bytes: likewise.
        batch_size: of the dataset.
        precision: in which activations are kept.
    """

    model: keras.Model
    dataset: tf.data.Dataset
    cut: tuple[str, ...]
    prefix: keras.Model
    row_bytes: int
    bytes: int
    batch_size: int
    precision: Precision

    def cached(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Returns other examples, such as those for validation, as batches for `model`, in order, in memory."""
        store = _in_memory(self.precision, self.prefix.output_shape[1:])
        return _batches(_filled(store, self.prefix, dataset, self.batch_size), self.batch_size, shuffle=False, seed=0)

    def __iter__(self):
        return iter((self.model, self.dataset))


def cached_prefix(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    cut: str = "auto",
    batch_size: int | None = None,
    precision: Precision = "float16",
    store: Literal["memory", "disk"] = "memory",
    folder: str | os.PathLike | None = None,
    shuffle: bool = True,
    seed: int = 0,
    ignore_randomness: bool = False,
) -> CachedPrefix:
    """Runs the frozen part of `model` once over `dataset`; returns the rest, and what it trains on.

    >>> tfxfer.freeze(model, train=3)
    >>> suffix, activations = tfxfer.cached_prefix(model, pictures)
    >>> suffix.compile("adam", loss)
    >>> suffix.fit(activations, epochs=20)
    >>> model.predict(pictures)

    The suffix is of the same layers: when it is trained, `model` is. Steps of a small suffix take less time than a
    round trip through Python: `suffix.compile(…, steps_per_execution=len(activations))` spares that.

    Args:
        model: functional or sequential, frozen as it is to train; models nested in it are looked into.
        dataset: batches of (inputs, labels) or (inputs, labels, sample weights), each example once, in an order that
            stays if the activations go to disk; without augmentation, which would be the same in every epoch.
        cut: name of the layer or layer group behind which the model is cut; "auto": as near to the outputs as nothing
            that trains, is random, or moves its statistics lies below.
        batch_size: of the batches made; None: that of `dataset`.
        precision: of the numbers kept; see `Cache`.
        store: "memory", at most half of it; or "disk": a folder in which the next call with the same frozen layers and
            examples finds them again.
        folder: of the stores on disk; None: `$TFXFER_CACHE_DIR`, else a folder of the user's.
        shuffle: whether each pass has an order of its own.
        seed: of these orders.
        ignore_randomness: whether random layers (dropout, stochastic depth) may lie below the cut, where they do
            nothing.

    Raises:
        ConfigError: nothing is frozen that could be computed once, or something below `cut` trains, is random or
            moves its statistics; the message names the layer.
        BackboneError: the model has no layer graph.
        CacheError: there is no room.
    """
    flat = graph.inlined(model)
    tensors, names = _cut(flat, cut, ignore_randomness)
    prefix, suffix = cuts.part(flat, tensors), cuts.suffix(flat, tensors)
    size = batch_size or _batch_size(dataset)
    if store == "memory":
        kept: Store = _in_memory(precision, prefix.output_shape[1:])
    else:
        kept = DiskStore(_key(model.name, names, prefix, precision), folder)
    rows = _filled(kept, prefix, dataset, size)
    return CachedPrefix(
        model=suffix,
        dataset=_batches(rows, size, shuffle=shuffle, seed=seed),
        cut=names,
        prefix=prefix,
        row_bytes=kept.row_bytes,
        bytes=kept.row_bytes * len(rows.places),
        batch_size=size,
        precision=precision,
    )


def _key(network: str, cut: tuple[str, ...], prefix: keras.Model, precision: Precision) -> Key:
    """Returns what a store on disk is found again by: the frozen layers themselves, whatever the examples are."""
    return Key(
        network=network,
        cut=" ".join(cut),
        prefix=cuts.digest(prefix),
        pixels="as given",
        image_size=0,
        views="",
        precision=precision,
        row_shape=prefix.output_shape[1:],
        versions=tuple(f"{library} {version}" for library, version in runtime.probe().versions),
    )


@dataclasses.dataclass(frozen=True)
class _Kept:
    """Where the activations of each example lie, and what belongs to it."""

    store: Store
    places: np.ndarray
    beside: tuple[np.ndarray, ...]


def _cut(model: keras.Model, name: str, ignore_randomness: bool) -> tuple[tuple[keras.KerasTensor, ...], tuple]:
    """Returns the tensors of a cut, and the names of the layers that give them."""
    crossings = graph.crossings(model)
    active = [_why_active(call.operation, ignore_randomness) for call, _ in crossings]
    first = next((at for at, why in enumerate(active) if why), len(crossings))
    made = {id(tensor): call.operation.name for call, _ in crossings for tensor in call.outputs}
    if name != "auto":
        tensors = graph.feature_tensor(model, name)
        for at, (call, _) in enumerate(crossings):
            if any(tensor is tensors for tensor in call.outputs) and at >= first:
                culprit = crossings[first][0].operation.name
                raise ConfigError(
                    f"cut={name!r} is behind layer {culprit!r}, which {active[first]}. Freeze it, or write cut='auto'."
                )
        return (tensors,), (made[id(tensors)],)
    # Behind the last layer below with weights any cut costs next to nothing more; there the smallest is best.
    weighted = max((at for at in range(first) if getattr(crossings[at][0].operation, "weights", ())), default=-1)
    found = [
        (sum(math.prod(tensor.shape[1:]) for tensor in tensors), -at, tensors)
        for at, (_, tensors) in enumerate(crossings[:first])
        if at >= weighted and 0 < len(tensors) <= _MOST_TENSORS
    ]
    if weighted < 0 or not found:
        found = _earlier(crossings[: max(0, weighted)])
    if not found:
        call = crossings[min(first, len(crossings) - 1)][0]
        raise ConfigError(
            f"nothing of {model.name!r} can be computed once: its layer {call.operation.name!r} "
            f"{active[first] if first < len(active) else 'is the last'}. Freeze some of it: tfxfer.freeze(model, "
            "train='head')."
        )
    _, _, tensors = min(found, key=lambda option: option[:2])
    return tensors, tuple(made[id(tensor)] for tensor in tensors)


def _earlier(crossings) -> list[tuple[int, int, tuple[keras.KerasTensor, ...]]]:
    """Returns the deepest cut of these that few enough tensors cross and that has weights below it."""
    for at in reversed(range(len(crossings))):
        tensors = crossings[at][1]
        if 0 < len(tensors) <= _MOST_TENSORS:
            weights = any(getattr(call.operation, "weights", ()) for call, _ in crossings[: at + 1])
            return [(0, 0, tensors)] if weights else []
    return []


def _why_active(operation: keras.Operation, ignore_randomness: bool) -> str:
    """Returns why a layer cannot be computed once; "" where it can."""
    if not isinstance(operation, keras.layers.Layer):
        return ""
    for layer in graph.flatten(operation):
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            return "moves its statistics in training"
        if randomness.is_random(layer) and not ignore_randomness:
            return "is random in training (ignore_randomness=True leaves that out)"
    return "trains" if operation.trainable_variables else ""


def _in_memory(precision: Precision, shape: tuple[int, ...]) -> MemoryStore:
    """Returns a store that takes no more than half of main memory: beyond that the system would swap, or kill us."""
    return MemoryStore(precision, shape, limit_bytes=runtime.probe().memory_bytes // 2)


def _batch_size(dataset: tf.data.Dataset) -> int:
    """Returns the number of examples in the first batch."""
    for inputs, *_ in dataset.take(1):
        if isinstance(inputs, tf.Tensor):
            return int(inputs.shape[0])
        raise ConfigError(f"the inputs of an example are {type(inputs).__name__}; only one tensor can be kept so far.")
    raise ConfigError("the dataset has no batches.")


def _filled(store: Store, prefix: keras.Model, dataset: tf.data.Dataset, batch_size: int) -> _Kept:
    by_content = isinstance(store, DiskStore)
    names, beside = [], []
    if by_content:
        for inputs, *others in dataset.as_numpy_iterator():
            names += [hashlib.sha256(np.ascontiguousarray(example)).digest()[:16] for example in inputs]
            beside.append(others)
        with store.filling(names) as missing:
            if len(missing):
                _compute(store, prefix, dataset, batch_size, names=names, wanted=set(missing.tolist()))
        if len(store.damaged(store.places(names))):
            with store.filling(names) as missing:
                _compute(store, prefix, dataset, batch_size, names=names, wanted=set(missing.tolist()))
    else:
        with store.filling([_position(0)]):
            beside = _compute(store, prefix, dataset, batch_size, names=names, wanted=None)
    columns = zip(*beside, strict=True)
    return _Kept(store, store.places(names), tuple(np.concatenate(column) for column in columns))


def _compute(store, prefix, dataset, batch_size: int, *, names: list[bytes], wanted: set[int] | None) -> list:
    """Appends what is wanted, or everything, naming it by position; returns what stands beside the inputs."""
    compute = filling.computing(store, prefix)
    appender = filling.Appender(store)
    beside, start = [], 0
    for inputs, *others in dataset.prefetch(2):
        count = int(inputs.shape[0])
        if wanted is None:
            names += [_position(number) for number in range(start, start + count)]
            beside.append([other.numpy() for other in others])
            rows = range(count)
        else:
            rows = [row for row in range(count) if start + row in wanted]
        if len(rows):
            padded = inputs if count >= batch_size else tf.gather(inputs, np.resize(np.arange(count), batch_size))
            activations = compute(padded).numpy()[:count]
            appender.append([names[start + row] for row in rows], activations[list(rows)])
        start += count
    appender.flush()
    return beside


def _position(number: int) -> bytes:
    return number.to_bytes(16)


def _batches(kept: _Kept, batch_size: int, *, shuffle: bool, seed: int) -> tf.data.Dataset:
    """Returns batches of rows and what belongs to them."""
    store, count = kept.store, len(kept.places)
    size = batch_size * store.row_bytes
    together = gathered_together(size)
    decode = filling.decoder(store.encoding)
    kinds = (tf.as_dtype(store.encoding.dtype), *(tf.as_dtype(column.dtype) for column in kept.beside))

    def pick(positions: np.ndarray) -> tuple[np.ndarray, ...]:
        return store.gather(kept.places[positions]), *(column[positions] for column in kept.beside)

    def take(positions):
        taken = tf.numpy_function(pick, [positions], kinds, stateful=False)
        shapes = (store.row_shape, *(column.shape[1:] for column in kept.beside))
        rows, *others = (tf.ensure_shape(part, (None, *shape)) for part, shape in zip(taken, shapes, strict=True))
        return decode(rows, None), *others

    def split(*columns):
        def part(number):
            which = slice(number * batch_size, (number + 1) * batch_size)
            return tuple(column[which] for column in columns)

        batches = -(-tf.shape(columns[0], tf.int64)[0] // batch_size)
        return tf.data.Dataset.range(batches).map(part)

    options = tf.data.Options()
    options.autotune.enabled = False
    positions = tf.data.Dataset.range(count)
    if shuffle:
        positions = positions.shuffle(count, seed=seed, reshuffle_each_iteration=True)
    chunks = positions.batch(together * batch_size).map(take).prefetch(1)
    counted = chunks.flat_map(split).apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))
    return counted.prefetch(2).with_options(options)
