"""Fills a store with the activations of examples, and makes rows of it that a model trains on."""

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfxfer import progress, runtime
from tfxfer.activations.encoding import CacheRangeError, Encoding
from tfxfer.activations.store import Store
from tfxfer.data.rows import Decode, Rows
from tfxfer.errors import CacheError
from tfxfer.runtime import Workers

# Bytes get the range of each channel in so many rows; what later ones have beyond it is clipped.
_ROWS_FOR_RANGE = 256
# Graphs hold at most 2 GB; with so many numbers as constants it is far from that.
_MOST_FOLDED = 100_000_000
# Rows that were damaged are computed anew so many times: on a disk that loses every one of them nothing helps.
_ATTEMPTS = 3


def cached(
    store: Store, prefix: keras.Model, examples: Rows, *, batch_size: int, text: str, workers: Workers | None = None
) -> Rows:
    """Returns the activations of all examples, and all their views, as rows of `store`, where it computes what lacks.

    Args:
        store: open; of the shape of the prefix's output.
        prefix: what is computed once, in inference mode.
        examples: what it takes, with their views.
        batch_size: examples at a time; every batch has this size, the last one is padded, so that each row is what
            the network computes for that batch shape.
        text: what the progress bar says.
        workers: that compute it together, each for a store of its own; None: this process alone.

    Raises:
        CacheError: there is no room, here or at another worker, or rows are damaged again and again.
    """
    names, workers = fingerprints(examples), workers or runtime.alone()
    flat = names.reshape(-1)
    for _ in range(_ATTEMPTS):
        with _filling(store, flat, workers) as (lacking, own):
            if len(lacking):
                _fill(store, prefix, examples, names, lacking, own, batch_size, text, workers)
        with all_or_none(workers):
            damaged = store.damaged(store.places(flat))  # which are missing from then on
        if not workers.any(len(damaged) > 0)[0]:
            break
    with all_or_none(workers):
        places = store.places(flat).reshape(names.shape)
    return Rows(
        StoredRows(store, len(flat)),
        examples.labels,
        places,
        examples.classes,
        examples.keys,
        decoder(store.encoding),
        weights=examples.weights,
        task=examples.task,
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


@contextlib.contextmanager
def _filling(store: Store, names: np.ndarray, workers: Workers) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Allows `append` within the block, and gives the positions that some worker lacks, and those that this one does.

    Raises:
        CacheError: of the store, or for another worker's.
    """
    own = np.empty(0, np.int64)
    with contextlib.ExitStack() as filling:
        # In the order of workers, so that two jobs never wait for each other's locks.
        for number in range(workers.count):
            with all_or_none(workers):
                if number == workers.position:
                    own = filling.enter_context(store.filling(names))
        lacks = np.zeros(len(names), np.int64)
        lacks[own] = 1
        yield np.flatnonzero(workers.sum(lacks)), own


@contextlib.contextmanager
def all_or_none(workers: Workers) -> Iterator[None]:
    """Lets a block fail in all workers where it fails in one, and by the same kind of error: what they do next hangs
    on it, and they wait for each other.

    Raises:
        CacheRangeError: in one of them activations are beyond the precision.
        CacheError: in one of them something else is wrong.
    """
    error = None
    try:
        yield
    except CacheError as raised:
        error = raised
    is_range = isinstance(error, CacheRangeError)
    other, beyond = workers.sum([error is not None and not is_range, is_range])
    if error is not None and (is_range or not beyond):
        raise error
    if beyond:
        raise CacheRangeError("activations at another worker are beyond what the precision holds.")
    if other:
        raise CacheError("another worker cannot keep activations, and says why.")


def _fill(
    store: Store, prefix: keras.Model, examples: Rows, names, lacking, own, batch_size: int, text: str, workers: Workers
) -> None:
    """Computes what some worker lacks, each of them every so many batches, view by view in the order of the examples.

    Raises:
        CacheError: rows cannot be kept here, or by another worker.
    """
    compute = computing(store, prefix, examples.decode)
    position, view = np.divmod(lacking, names.shape[1])
    order = np.lexsort((position, view))
    lacking, position, view = lacking[order], position[order], view[order]
    flat, is_own = names.reshape(-1), np.isin(lacking, own)
    appender = Appender(store)
    together = batch_size * workers.count
    with progress.bar(text, len(lacking), kind="images") as advance:
        for start in range(0, len(lacking), together):
            # Behind the last one a worker without a share computes that again, for nobody.
            first = min(start + workers.position * batch_size, len(lacking) - 1)
            share = slice(first, first + batch_size)
            which = np.resize(position[share], batch_size), np.resize(view[share], batch_size)
            activations = compute(examples.take(*which), examples.parameters_of(*which)).numpy()
            some = slice(start, start + together)
            kept = is_own[some]
            rows = workers.gathered(activations).reshape(-1, *activations.shape[1:])[: len(kept)]
            with all_or_none(workers):
                if kept.any():
                    appender.append(flat[lacking[some]][kept], rows[kept])
            advance(len(kept))
    with all_or_none(workers):
        appender.flush()
