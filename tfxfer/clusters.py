"""Which processes train together, as a value: from a recipe's workers or the variable TF_CONFIG. No TensorFlow here."""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, Literal

from tfxfer.errors import ConfigError, suggest

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})")
_TF_CONFIG = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'
_CHIEF, _WORKER = "chief", "worker"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster:
    """The processes that train together, and which of them this is.

    Attributes:
        workers: `host:port` of each, without the chief where `chief` is one.
        chief: `host:port` of the one that writes, where it is none of `workers`; "": the first of them is it.
        task: whether this process is `chief` or one of `workers`.
        index: its place in `workers`, from 0; 0 for the chief.
    """

    workers: tuple[str, ...]
    chief: str = ""
    task: Literal["chief", "worker"] = _WORKER
    index: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """`host:port` of all, the one that writes first."""
        return (self.chief, *self.workers) if self.chief else self.workers

    @property
    def position(self) -> int:
        """The place of this process in `addresses`."""
        return self.index + 1 if self.chief and self.task == _WORKER else self.index

    @property
    def address(self) -> str:
        """`host:port` of this process."""
        return self.addresses[self.position]

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.position == 0

    @property
    def jobs(self) -> dict[str, list[str]]:
        """The addresses by job, as `tf.train.ClusterSpec` takes them."""
        return ({_CHIEF: [self.chief]} if self.chief else {}) | ({_WORKER: list(self.workers)} if self.workers else {})

    def __str__(self) -> str:
        count = len(self.addresses)
        return f"{count} worker{'s' if count > 1 else ''} ({', '.join(self.addresses)})"


def problems_of(workers: Sequence[str], task_index: int) -> list[str]:
    """Returns what is wrong with the addresses of workers, of which the process at `task_index` is this one."""
    problems = [f"workers: {problem}" for problem in _address_problems(workers)]
    if task_index and not workers:
        problems.append(f"task_index={task_index} without workers; write workers=10.0.0.1:2222,10.0.0.2:2222 too")
    elif workers and not 0 <= task_index < len(workers):
        problems.append(f"task_index={task_index} must be 0 to {len(workers) - 1}: there are {len(workers)} workers")
    return problems


def parse_tf_config(text: str) -> Cluster | None:
    """Returns the cluster of the variable TF_CONFIG as TensorFlow defines it; None where it is empty or `{}`.

    Jobs are `worker` and, if need be, `chief`. Keys of platforms beside `cluster` and `task` are passed over.

    Raises:
        ConfigError: with the key that is wrong, what stands there, and an example.
    """
    if not text.strip():
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise _refused(f"is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise _refused(f"is {text.strip()!r}, and not an object in braces")
    if not config:
        return None
    for key in ("cluster", "task"):
        if key not in config:
            raise _refused(f"has no key {key!r}, only {', '.join(map(repr, config))}{_near(key, config)}")
        if not isinstance(config[key], dict):
            raise _refused(f"has {key}={config[key]!r}, and not an object in braces")
    chief, workers = _jobs(config["cluster"])
    task, index = _task(config["task"], chief, workers)
    return Cluster(workers=workers, chief=chief, task=task, index=index)


def find_cluster(workers: Sequence[str], task_index: int, tf_config: str | None) -> Cluster | None:
    """Returns the processes that train together; None where this one trains alone.

    Args:
        workers: `host:port` of each, as the recipe names them; may be none.
        task_index: which of them this is.
        tf_config: the value of the variable TF_CONFIG.

    Raises:
        ConfigError: TF_CONFIG is malformed, or says something else than the recipe.
    """
    told = parse_tf_config(tf_config or "")
    given = Cluster(workers=tuple(workers), index=task_index) if workers else None
    if told and given and (told.addresses, told.position) != (given.addresses, given.position):
        raise ConfigError(
            f"workers={','.join(given.workers)} and task_index={given.index}, but the variable TF_CONFIG names "
            f"{','.join(told.addresses)} and number {told.position}. Give one of the two, or unset TF_CONFIG."
        )
    return told or given


def _jobs(cluster: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Returns the addresses of the chief ("" if there is none) and of the workers."""
    for job, addresses in cluster.items():
        if job not in (_CHIEF, _WORKER):
            near = suggest(job, (_CHIEF, _WORKER))
            raise _refused(f"has a job cluster.{job}, but jobs here are worker and chief.{near}")
        if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
            raise _refused(f"has cluster.{job}={addresses!r}, and not a list of texts host:port")
    chief, workers = cluster.get(_CHIEF, []), tuple(cluster.get(_WORKER, []))
    if len(chief) > 1:
        raise _refused(f"has {len(chief)} addresses in cluster.chief, and there can be one")
    if not chief and not workers:
        raise _refused(f"has cluster={cluster!r}, which names nobody: cluster.worker is missing")
    if problems := _address_problems((*chief, *workers)):
        raise _refused(f"has in cluster: {'; '.join(problems)}")
    return (chief[0] if chief else ""), workers


def _task(task: dict[str, Any], chief: str, workers: tuple[str, ...]) -> tuple[Literal["chief", "worker"], int]:
    """Returns the job of this process and its place in it."""
    jobs = {_CHIEF: 1 if chief else 0, _WORKER: len(workers)}
    present = [job for job, count in jobs.items() if count]
    for key in ("type", "index"):
        if key not in task:
            raise _refused(f"has no key task.{key}, only {', '.join(map(repr, task)) or 'nothing'}{_near(key, task)}")
    kind, index = task["type"], task["index"]
    if kind not in present:
        near = suggest(str(kind), present)
        raise _refused(f"has task.type={kind!r}, but cluster has {' and '.join(present)}.{near}")
    number = int(index) if isinstance(index, str) and index.isdecimal() else index  # TensorFlow reads texts, too
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < jobs[kind]:
        raise _refused(
            f"has task.index={index!r}, which must be a whole number from 0 to {jobs[kind] - 1}: cluster.{kind} has "
            f"{jobs[kind]} address{'es' if jobs[kind] > 1 else ''}"
        )
    return kind, number


def _address_problems(addresses: Sequence[str]) -> list[str]:
    problems = []
    for address in addresses:
        match = _ADDRESS.fullmatch(address)
        if not match or not 1 <= int(match[2]) <= 65_535:
            problems.append(f"{address!r} is not host:port with a port from 1 to 65535, such as 10.0.0.1:2222")
    twice = sorted({address for address in addresses if list(addresses).count(address) > 1})
    return problems + [f"{address!r} stands there twice" for address in twice]


def _near(key: str, given: dict[str, Any]) -> str:
    """Returns which of the keys that are given may be meant by `key`."""
    near = suggest(key, given)
    return f". {near.strip().replace('Did you mean', f'Is {key!r} meant by')}" if near else ""


def _refused(what: str) -> ConfigError:
    stop = "" if what.endswith("?") else "."
    return ConfigError(f"the variable TF_CONFIG {what}{stop} It looks like this: {_TF_CONFIG}")
