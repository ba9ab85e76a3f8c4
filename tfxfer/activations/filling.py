"""Fills a store with the activations of examples, and makes rows of it that a model trains on."""

import hashlib
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfxfer import progress
from tfxfer.activations.encoding import Encoding
from tfxfer.activations.store import Store
from tfxfer.data.rows import Decode, Rows

# Bytes get the range of each channel in so many rows; what later ones have beyond it is clipped.
_ROWS_FOR_RANGE = 256
# Graphs hold at most 2 GB; with so many numbers as constants it is far from that.
_MOST_FOLDED = 100_000_000
# Rows that were damaged are computed anew so many times: on a disk that loses every one of them nothing helps.
_ATTEMPTS = 3


def cached(store: Store, prefix: keras.Model, examples: Rows, *, batch_size: int, text: str) -> Rows:
    """Returns the activations of all examples, and all their views, as rows of `store`, where it computes what lacks.

    Args:
        store: open; of the shape of the prefix's output.
        prefix: what is computed once, in inference mode.
        examples: what it takes, with their views.
        batch_size: examples at a time; every batch has this size, the last one is padded, so that each row is what
            the network computes for that batch shape.
        text: what the progress bar says.

    Raises:
        CacheError: there is no room, or rows are damaged again and again.
    """
    names = fingerprints(examples)
    flat = names.reshape(-1)
    for _ in range(_ATTEMPTS):
        with store.filling(flat) as lacking:
            if len(lacking):
                _fill(store, prefix, examples, names, lacking, batch_size, text)
        if not len(store.damaged(store.places(flat))):  # which are missing from then on
            break
    return Rows(
        StoredRows(store, len(flat)),
        examples.labels,
        store.places(flat).reshape(names.shape),
        examples.classes,
        examples.keys,
        decoder(store.encoding),
    )


def fingerprints(examples: Rows) -> np.ndarray:
    """Returns 16 bytes for each view of each example, `S16` `[examples, views]`, equal for equal contents.

    Without keys they are the positions of the examples, which mean something within one run only.
    """
    keys = examples.keys or [f"position {number}" for number in range(len(examples))]
    views = examples.views
    names = [hashlib.sha256(f"{key} {view}".encode()).digest()[:16] for key in keys for view in range(views)]
    return np.frombuffer(b"".join(names), "S16").reshape(len(keys), views)


def decoder(encoding: Encoding) -> Decode:
    """Returns what makes float32 of numbers as a store keeps them, in a graph."""

    def decode(rows: tf.Tensor, _parameters: tf.Tensor) -> tf.Tensor:
        if encoding.precision == "bfloat16":
            rows = tf.bitcast(rows, tf.bfloat16)
        rows = tf.cast(rows, tf.float32)
        return rows * tf.constant(encoding.scale) + tf.constant(encoding.offset) if encoding.scale else rows

    return decode


def computing(store: Store, prefix: keras.Model, decode: Decode | None = None) -> Callable[..., tf.Tensor]:
    """Returns what computes activations as a store takes them, in a graph, of a batch and parameters of its views."""
    # Keras's own `predict` may compile with XLA, which takes minutes for a pass of seconds on a CPU.
    kept = {"float16": tf.float16, "bfloat16": tf.bfloat16}.get(store.precision, tf.float32)

    forward = _folded(prefix) if store.precision != "float32" else None

    @tf.function(reduce_retracing=True)
    def compute(batch, parameters=None):
        decoded = decode(batch, parameters) if decode else batch
        return tf.cast(forward(decoded) if forward else prefix(decoded, training=False), kept)

    return compute


def _folded(prefix: keras.Model) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """Returns the forward pass with its variables as constants, for use in a graph; None for very large networks.

    TensorFlow then folds batch norm into the convolution before it, which makes a pass a third shorter (measured on
    EfficientNet-Lite0) and changes results by some 1e-6 of their size: below what float16 and its like can tell.
    """
    if sum(math.prod(variable.shape) for variable in prefix.variables) > _MOST_FOLDED:
        return None
    kinds = (prefix.trainable_variables, prefix.non_trainable_variables)
    numbers = [[variable.numpy() for variable in variables] for variables in kinds]

    def forward(batch: tf.Tensor) -> tf.Tensor:
        constants = [[tf.constant(value) for value in values] for values in numbers]
        return prefix.stateless_call(*constants, batch, training=False)[0]

    return forward


class Appender:
    """Appends rows to a store; the first ones all at once where their range decides how they are kept."""

    def __init__(self, store: Store):
        self._store = store
        self._names: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []

    def append(self, names, rows: np.ndarray) -> None:
        """Adds rows of these fingerprints."""
        if self._store.encoding is not None:
            self._store.append(names, rows)
            return
        self._names.append(np.asarray(names, "S16"))
        self._rows.append(rows)
        if sum(map(len, self._rows)) >= _ROWS_FOR_RANGE:
            self.flush()

    def flush(self) -> None:
        """Adds what was held back; to be called at the end."""
        if self._rows:
            self._store.append(np.concatenate(self._names), np.concatenate(self._rows))
            self._names, self._rows = [], []


class StoredRows:
    """Rows of a store, gathered as from an array."""

    def __init__(self, store: Store, rows: int):
        """Makes a view of `rows` rows; the store must stay open."""
        self._store = store
        self.shape = (rows, *store.row_shape)
        self.dtype = store.encoding.dtype

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """Returns the rows at int64 `[rows]`, as they are kept."""
        return self._store.gather(places)


def _fill(store: Store, prefix: keras.Model, examples: Rows, names, lacking, batch_size: int, text: str) -> None:
    """Computes what is missing, view by view in the order of the examples."""
    compute = computing(store, prefix, examples.decode)
    position, view = np.divmod(lacking, names.shape[1])
    order = np.lexsort((position, view))
    lacking, position, view = lacking[order], position[order], view[order]
    flat = names.reshape(-1)
    appender = Appender(store)
    with progress.bar(text, len(lacking), kind="images") as advance:
        for start in range(0, len(lacking), batch_size):
            some = slice(start, start + batch_size)
            count = len(lacking[some])
            which = np.resize(position[some], batch_size), np.resize(view[some], batch_size)
            activations = compute(examples.take(*which), examples.parameters_of(*which))
            appender.append(flat[lacking[some]], activations.numpy()[:count])
            advance(count)
    appender.flush()
