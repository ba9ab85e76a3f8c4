"""Loads TensorFlow without the pages of notes, some marked as errors, that it writes to every terminal."""

import logging
import os
import sys
import tempfile

from tfxfer.clusters import Cluster
from tfxfer.errors import TfxferError
from tfxfer.recipes import Running


def load_tensorflow(running: Running | None = None) -> None:
    """Imports TensorFlow and Keras; what native code writes to standard error meanwhile is shown only on failure.

    Args:
        running: devices and strategy to start with; None: one device.

    Raises:
        ConfigError: they cannot be; see `runtime.strategy_for`.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its warnings are about retracing, which several small models in a row cause by their nature.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow as tf

            from tfxfer import runtime

            # Devices can be chosen only before TensorFlow starts.
            if running is None:
                runtime.grow_memory()
            else:
                _tell_waiting(runtime.cluster_of(running))
                runtime.strategy_for(running)
            tf.config.list_logical_devices()  # starts the runtime, which has notes of its own
        except TfxferError:  # has said all there is to say
            raise
        except BaseException:
            os.dup2(terminal, 2)
            notes.seek(0)
            sys.stderr.write(notes.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def _tell_waiting(cluster: Cluster | None) -> None:
    if cluster is not None and len(cluster.addresses) > 1:
        place = f"worker {cluster.position} of {len(cluster.addresses)} ({cluster.address})"
        print(f"{place}: waits until all are there", flush=True)
