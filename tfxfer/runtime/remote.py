"""Strategies that begin by reaching others: several workers, a TPU."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

import tensorflow as tf

from tfxfer.clusters import Cluster
from tfxfer.errors import ConfigError
from tfxfer.runtime import hardware


def join(cluster: Cluster) -> tf.distribute.Strategy:
    """Waits until all workers are there, and returns the strategy that joins them.

    SIGINT ends the process at once meanwhile; SIGTERM is noted by TensorFlow and passed over until then.

    Raises:
        ConfigError: its own address cannot be listened on, or TensorFlow had started.
    """
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster.jobs), task_type=cluster.task, task_id=cluster.index, rpc_layer="grpc"
    )
    try:
        with _stoppable():
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.UnknownError as error:
        if "gRPC server" not in str(error):
            raise
        raise ConfigError(
            f"port {cluster.address.rpartition(':')[2]} of this worker ({cluster.address}) cannot be opened: something "
            "listens on it, perhaps an earlier run. End that, or give another port to all workers."
        ) from error
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise ConfigError(f"workers cannot be joined any more: {hardware.LATE}") from error


def tpu() -> tf.distribute.Strategy:
    """Returns the strategy of the TPU that the variable TPU_NAME names, or that is part of this machine.

    Raises:
        ConfigError: there is none.
    """
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, OSError, tf.errors.OpError) as error:
        first = str(error).partition(chr(10))[0][:200]
        raise ConfigError(
            f"strategy=tpu, and TensorFlow finds no TPU {name!r} ({first}). Set the variable TPU_NAME, or write "
            "--strategy=auto."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Lets SIGINT end the process as long as the block lasts: native code that waits runs no handlers of Python.

    Handlers are put back behind it, also that of SIGTERM, in whose place TensorFlow puts its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, signal.SIG_DFL)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
