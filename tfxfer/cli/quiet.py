"""Loads TensorFlow without the pages of notes, some marked as errors, that it writes to every terminal."""

import logging
import os
import sys
import tempfile


def load_tensorflow() -> None:
    """Imports TensorFlow and Keras; what native code writes to standard error meanwhile is shown only on failure."""
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

            tf.config.list_logical_devices()  # starts the runtime, which has notes of its own
        except BaseException:
            os.dup2(terminal, 2)
            notes.seek(0)
            sys.stderr.write(notes.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
