"""The strategy by which devices share the work (`tf.distribute`): one object for a process, made before all else."""

import contextlib
import os
from collections.abc import Sequence

import tensorflow as tf

from tfxfer import clusters
from tfxfer.clusters import Cluster
from tfxfer.devices import Choice, choose_strategy, parse_devices
from tfxfer.errors import ConfigError
from tfxfer.recipes import Running
from tfxfer.runtime import hardware, remote

# What was made in this process, by choice and cluster. Two objects that share work number their collective ops alike
# and disturb each other (fits are cancelled, or add what does not belong together).
_made: dict[tuple, tuple[tf.distribute.Strategy, str]] = {}

_NAMES = {
    tf.distribute.OneDeviceStrategy: "one_device",
    tf.distribute.MirroredStrategy: "mirrored",
    tf.distribute.MultiWorkerMirroredStrategy: "multi_worker_mirrored",
    tf.distribute.TPUStrategy: "tpu",
}


def strategy_for(running: Running) -> tf.distribute.Strategy:
    """Returns the strategy that is asked for, the same object each time; the first call prepares the devices.

    >>> strategy = strategy_for(Running(devices="gpu:0,1"))

    Within the scope of a strategy of your own, and where nothing else is asked for, it is that one.

    Raises:
        ConfigError: TF_CONFIG is malformed, devices are not there or can no longer be chosen, another strategy over
            several devices was made in this process, or an address of this worker cannot be listened on.
    """
    return find(running)[0]


def scope(running: Running | None = None) -> contextlib.AbstractContextManager:
    """Returns the scope in which variables are to be created: of the strategy asked for, else of the present one."""
    strategy = tf.distribute.get_strategy() if running is None else strategy_for(running)
    return strategy.scope()


def cluster_of(running: Running) -> Cluster | None:
    """Returns the processes that train together, by `running` or the variable TF_CONFIG; None: this one alone.

    Raises:
        ConfigError: TF_CONFIG is malformed, or says something else than `running`.
    """
    return clusters.find_cluster(running.workers, running.task_index, os.environ.get("TF_CONFIG"))


def describe(strategy: tf.distribute.Strategy, cluster: Cluster | None = None) -> tuple[str, tuple[str, ...]]:
    """Returns the name of a strategy as in a recipe, and those of its devices: `gpu:0`, `cpu:0@10.0.0.1:2222`.

    GPUs have their numbers in the machine. Workers are taken to have as many devices each.

    Raises:
        ConfigError: it is a strategy that nothing here trains under.
    """
    if not tf.distribute.has_strategy() and strategy is tf.distribute.get_strategy():
        gpu = tf.config.list_logical_devices("GPU")
        return "one_device", tuple(_numbered([gpu[0].name if gpu else "/device:CPU:0"]))
    name = next((name for kind, name in _NAMES.items() if isinstance(strategy, kind)), None)
    if name is None:
        raise ConfigError(
            f"this runs in the scope of a {type(strategy).__name__}, under which tfxfer does not train. Leave it, or "
            f"take one of {', '.join(kind.__name__ for kind in _NAMES)}."
        )
    own = _numbered(strategy.extended.worker_devices)
    if name != "multi_worker_mirrored" or cluster is None:
        return name, tuple(own)
    return name, tuple(f"{device}@{address}" for address in cluster.addresses for device in own)


def find(running: Running) -> tuple[tf.distribute.Strategy, str]:
    """Returns the strategy that is asked for, as `strategy_for` does, and why it is that one."""
    cluster = cluster_of(running)
    choice = choose(running, cluster)
    if tf.distribute.has_strategy():
        return _present(running, choice, cluster)
    key = (choice.strategy, choice.kind, choice.numbers, cluster)
    if key not in _made:
        _check_alone(choice)
        late = hardware.use(choice)
        reason = f"{choice.reason}; {late}" if late else choice.reason
        _made[key] = _make(choice, cluster), reason
    return _made[key]


def choose(running: Running, cluster: Cluster | None) -> Choice:
    """Returns what is asked for, by what there is on this machine; nothing is made."""
    there, visible = hardware.gpus()
    return choose_strategy(running.strategy, parse_devices(running.devices), cluster, gpus=there, visible=visible)


def _present(running: Running, choice: Choice, cluster: Cluster | None) -> tuple[tf.distribute.Strategy, str]:
    """Returns the strategy in whose scope this runs.

    Raises:
        ConfigError: another one is asked for.
    """
    strategy = tf.distribute.get_strategy()
    name, devices = describe(strategy, cluster)
    made = [(known, reason) for known, reason in _made.values() if known is strategy]
    if (running.strategy, running.devices, running.workers) == ("auto", "auto", ()):
        return made[0] if made else (strategy, "it is the one in whose scope this runs")
    asked = [f"{choice.kind}:{number}" for number in choice.numbers]
    own = list(dict.fromkeys(device.partition("@")[0] for device in devices))
    if choice.strategy != name or (own != asked and name != "tpu"):
        raise ConfigError(
            f"this runs in the scope of a {type(strategy).__name__} over {', '.join(devices)}, and asked for is "
            f"{choice.strategy} over {', '.join(asked)}. Leave the scope, or leave out strategy and devices."
        )
    return made[0] if made else (strategy, choice.reason)


def _check_alone(choice: Choice) -> None:
    others = [strategy for strategy, _ in _made.values() if strategy.num_replicas_in_sync > 1]
    if choice.strategy != "one_device" and others:
        name, devices = describe(others[0])
        raise ConfigError(
            f"this process trains as {name} over {', '.join(devices)}, and two strategies in one process disturb each "
            "other. Begin a new process for other devices."
        )


def _make(choice: Choice, cluster: Cluster | None) -> tf.distribute.Strategy:
    if choice.strategy == "mirrored":
        return tf.distribute.MirroredStrategy(hardware.names(choice))
    if choice.strategy == "multi_worker_mirrored":
        return remote.join(cluster)
    if choice.strategy == "tpu":
        return remote.tpu()
    return tf.distribute.get_strategy()


def _numbered(names: Sequence[str]) -> list[str]:
    """Returns short names of devices; GPUs that TensorFlow sees one by one have their numbers in the machine."""
    there, visible = hardware.gpus()
    short = []
    for name in names:
        spec = tf.DeviceSpec.from_string(name)
        kind, number = spec.device_type.lower(), spec.device_index
        if kind == "gpu" and number < len(visible) < len(there):
            number = visible[number]
        short.append(f"{kind}:{number}")
    return short
