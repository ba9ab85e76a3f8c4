"""What the processes of a run tell each other, so that all do the same at the same moment.

Each method is called by all of them, in the same order; a process that trains alone is answered at once.
"""

import contextlib
import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxfer import values
from tfxfer.clusters import Cluster
from tfxfer.errors import ConfigError, TfxferError, VerificationError, WorkerError
from tfxfer.recipes import Running
from tfxfer.runtime import strategies

# So many bytes are sent at a time, so that no message is too large for what carries it.
_PART = 32 << 20
_WORD = 8


class Workers:
    """The processes that train together under a strategy, of which the chief, the first, writes the files."""

    def __init__(self, strategy: tf.distribute.Strategy | None):
        """Takes the strategy, joined; None: of one process."""
        is_ours = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        resolver = strategy.cluster_resolver if is_ours else None
        jobs = resolver.cluster_spec().as_dict() if resolver is not None else {}
        self._cluster = None
        if sum(len(addresses) for addresses in jobs.values()) > 1:
            chief, workers = jobs.get("chief", [""])[0], tuple(jobs.get("worker", ()))
            self._cluster = Cluster(workers=workers, chief=chief, task=resolver.task_type, index=resolver.task_id)

            @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)
            def total(numbers):
                return strategy.reduce(tf.distribute.ReduceOp.SUM, numbers, axis=None)

            self._total = total

    @property
    def count(self) -> int:
        """How many they are."""
        return 1 if self._cluster is None else len(self._cluster.addresses)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the files."""
        return self._cluster is None or self._cluster.is_chief

    @property
    def position(self) -> int:
        """The number of this process among them, from 0."""
        return 0 if self._cluster is None else self._cluster.position

    def __str__(self) -> str:
        """Which of them this process is, in words."""
        return "this process alone" if self._cluster is None else _called(self._cluster, self._cluster.position)

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Returns for each flag whether one of the processes says so."""
        if self.count == 1:
            return flags
        return tuple(bool(number) for number in self.sum(flags))

    def sum(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Returns the sum of whole numbers over all processes, int64 of the shape given, which all have alike."""
        own = np.asarray(numbers, np.int64)
        return own if self.count == 1 else self._total(tf.constant(own.ravel())).numpy().reshape(own.shape)

    def gathered(self, rows: np.ndarray) -> np.ndarray:
        """Returns an array of each process, of the same shape and dtype in all, `[processes, …]`."""
        if self.count == 1:
            return rows[None]
        words = np.zeros((self.count, -(-rows.nbytes // _WORD)), np.int64)
        content = rows.tobytes().ljust(_WORD * words.shape[1], b"\0")
        words[self.position] = np.frombuffer(content, np.int64)
        words = self.sum(words)
        return np.stack([np.frombuffer(own.tobytes(), rows.dtype, rows.size).reshape(rows.shape) for own in words])

    def of_chief(self, number: int) -> int:
        """Returns the number that the chief gives."""
        return number if self.count == 1 else int(self.sum([number if self.is_chief else 0])[0])

    def array_of_chief(self, array: np.ndarray) -> np.ndarray:
        """Returns the array of the chief, of the same shape in all, as float64."""
        words = np.ascontiguousarray(array, np.float64).view(np.int64)
        return self.sum(words if self.is_chief else np.zeros_like(words)).view(np.float64)

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Returns what the chief makes; the others make nothing.

        Raises:
            WorkerError: the chief could not make it. There the error is its own.
        """
        if self.count == 1:
            return make()
        content, error = b"", None
        if self.is_chief:
            try:
                content = make()
            except Exception as raised:
                error = raised
        try:
            size = self.of_chief(len(content) if error is None else -_exit_code(error))
        except tf.errors.OpError as lost:
            raise error or lost from lost
        if error:
            raise error
        if size < 0:
            raise WorkerError(
                f"{_called(self._cluster, 0)}, which writes the files, has stopped; it says why.", exit_code=-size
            )
        words = np.frombuffer(content.ljust(-(-size // _WORD) * _WORD, b"\0"), np.int64)
        parts = [self.sum(words[at : at + _PART // _WORD]) for at in range(0, len(words), _PART // _WORD)]
        return b"".join(part.tobytes() for part in parts)[:size]

    def value_from_chief(self, kind: Any, make: Callable[[], Any]) -> Any:
        """Returns the value that the chief makes, of a dataclass `kind` or None; see `from_chief`."""
        if self.count == 1:
            return make()
        told = json.loads(self.from_chief(lambda: json.dumps(values.to_json(make())).encode()))
        return None if told is None else values.from_json(kind, told)

    def follow_chief(self, variables: Sequence[keras.Variable]) -> None:
        """Puts the chief's values into variables, bit for bit: what each computes for itself differs by rounding."""
        if self.count == 1:
            return
        own = [keras.ops.convert_to_numpy(variable) for variable in variables]
        same, start = self.from_chief(lambda: b"".join(value.tobytes() for value in own)), 0
        for variable, value in zip(variables, own, strict=True):
            variable.assign(np.frombuffer(same, value.dtype, value.size, start).reshape(value.shape))
            start += value.nbytes

    def check_alike(self, facts: Mapping[str, str]) -> None:
        """Checks that all processes say the same.

        Args:
            facts: by what they are called in the message.

        Raises:
            ConfigError: one says something else than the chief; the message names it. All processes raise it.
        """
        if self.count == 1:
            return
        first, *others = [json.loads(told) for told in self._told_by_all(json.dumps(facts).encode())]
        apart = [
            f"{_called(self._cluster, number)} has another {name} ({_short(own.get(name))}, the first "
            f"{_short(first.get(name))})"
            for number, own in enumerate(others, start=1)
            for name in sorted(first.keys() | own.keys())
            if own.get(name) != first.get(name)
        ]
        if apart:
            raise ConfigError(f"{'; '.join(apart)}. Start the same command, with the same tfxfer, on all workers.")

    @contextlib.contextmanager
    def losses_told(self) -> Iterator[None]:
        """Says which process is gone where one that the others wait for is.

        Raises:
            WorkerError: one is.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.count == 1 or not _is_told_by(error):
                raise
            raise WorkerError(
                f"{self._lost(str(error))} has stopped or cannot be reached, so that this one stops, too. Start the "
                "same command on all workers again: it goes on behind the last checkpoint."
            ) from error

    def _told_by_all(self, content: bytes) -> list[bytes]:
        """Returns what each process says, in their order."""
        place = self._cluster.position
        sizes = self.sum([len(content) if number == place else 0 for number in range(self.count)])
        table = np.zeros((self.count, sizes.max()), np.int64)
        table[place, : len(content)] = list(content)
        table = self.sum(table)
        return [bytes(row[:size].tolist()) for row, size in zip(table, sizes, strict=True)]

    def _lost(self, text: str) -> str:
        """Returns which processes an error of TensorFlow names, in words."""
        found = {(job, int(task)) for job, task in re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", text)}
        starts = {"chief": 0, "worker": 1 if self._cluster.chief else 0}
        positions = sorted({starts[job] + task for job, task in found if job in starts} - {self._cluster.position})
        return " and ".join(_called(self._cluster, number) for number in positions) or "another worker"


def join_workers(running: Running) -> Workers:
    """Returns the processes that train together by `running` or TF_CONFIG; waits until all are there.

    Raises:
        ConfigError: they cannot be joined, see `strategy_for`; or this is called in the scope of a strategy.
    """
    is_alone = strategies.cluster_of(running) is None
    if not is_alone and tf.distribute.has_strategy():
        # In it the chief's variables alone, such as those of a checkpoint, would be waited for by all.
        raise ConfigError("several workers train together outside of the scope of any strategy. Leave the scope.")
    return workers_of(None if is_alone else strategies.strategy_for(running))


def alone() -> Workers:
    """Returns this process as one that trains alone."""
    return workers_of(None)


@functools.lru_cache(maxsize=4)
def workers_of(strategy: tf.distribute.Strategy | None) -> Workers:
    """Returns the processes that train together under a strategy, the same object each time."""
    return Workers(strategy)


def _is_told_by(error: tf.errors.OpError) -> bool:
    """Whether an error says that another process is gone."""
    text = str(error)
    return "Collective ops is aborted" in text or "unhealthy" in text or isinstance(error, tf.errors.UnavailableError)


def _called(cluster: Cluster, position: int) -> str:
    return f"worker {position} of {len(cluster.addresses)} ({cluster.addresses[position]})"


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, TfxferError) else VerificationError.exit_code


def _short(text: str | None) -> str:
    return "none" if text is None else text if len(text) <= 40 else f"{text[:16]}…"
