"""What there is on this machine to train with."""

import hashlib
import importlib.metadata
import os
import pathlib

import tensorflow as tf
from tensorflow.python.framework import config  # private: nothing public tells whether ops are deterministic

from tfxfer import decoders
from tfxfer.facts import MachineFacts
from tfxfer.recipes import Running
from tfxfer.runtime import strategies

_PACKAGE = pathlib.Path(__file__).parents[1]
_LIBRARIES = ("tfxfer", "tensorflow", "keras", "numpy")


def probe(running: Running | None = None) -> MachineFacts:
    """Returns the facts about this machine, and about the workers that train along.

    Args:
        running: what devices and strategy are asked for; None: those that are in use are told, and none are prepared.

    Raises:
        ConfigError: what is asked for cannot be; see `strategy_for`.
    """
    if running is None:
        strategy, reason, cluster = tf.distribute.get_strategy(), "in use", None
    else:
        strategy, reason = strategies.find(running)
        cluster = strategies.cluster_of(running)
    name, devices = strategies.describe(strategy, cluster)
    return MachineFacts(
        devices=devices,
        strategy=name,
        strategy_reason=reason,
        cores=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        versions=tuple((name, importlib.metadata.version(name)) for name in _LIBRARIES),
        is_deterministic=config.is_op_determinism_enabled(),
        has_fast_decoders=decoders.installed(),
    )


def identity(running: Running) -> dict[str, str]:
    """Returns what must be the same in all processes that train together, by name: versions, devices, our own code."""
    code = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        code.update(f"{path.relative_to(_PACKAGE)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    versions = {f"version of {name}": importlib.metadata.version(name) for name in _LIBRARIES}
    choice = strategies.choose(running, strategies.cluster_of(running))
    devices = {"number of devices": f"{len(choice.numbers)} {choice.kind}"}
    return versions | devices | {"code of tfxfer": code.hexdigest()}
