"""The machine and TensorFlow's state on it: devices and the strategy they share the work by, versions, seeds.

    from tfxfer import Running, runtime

    with runtime.scope(Running(devices="gpu:all")):
        model = ...

Devices are chosen before TensorFlow touches them: this comes before anything else of TensorFlow in a process.
"""

from tfxfer.runtime.environment import check_environment, make_reproducible
from tfxfer.runtime.hardware import grow_memory
from tfxfer.runtime.machine import identity, probe
from tfxfer.runtime.strategies import cluster_of, scope, strategy_for
from tfxfer.runtime.workers import Workers, alone, join_workers, workers_of

__all__ = [
    "Workers",
    "alone",
    "check_environment",
    "cluster_of",
    "grow_memory",
    "identity",
    "join_workers",
    "make_reproducible",
    "probe",
    "scope",
    "strategy_for",
    "workers_of",
]
