"""Settings of Keras and TensorFlow for the whole process: what must not be set otherwise, and seeds."""

import keras
import tensorflow as tf

from tfxfer.errors import ConfigError


def check_environment() -> None:
    """Refuses settings of Keras under which nothing here is tested.

    Raises:
        ConfigError: another backend, channels first, or a default float or dtype policy other than float32.
    """
    problems = []
    if keras.backend.backend() != "tensorflow":
        problems.append(f"Keras runs on {keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow")
    if keras.config.image_data_format() != "channels_last":
        problems.append("Keras is set to channels_first; set image_data_format to channels_last")
    if keras.config.floatx() != "float32":
        problems.append(f"Keras is set to floatx {keras.config.floatx()}; set it to float32")
    if keras.config.dtype_policy().name != "float32":
        policy = keras.config.dtype_policy().name
        problems.append(f"Keras is set to the dtype policy {policy}; set it to float32, and write precision='{policy}'")
    if problems:
        raise ConfigError(f"tfxfer needs Keras 3 on TensorFlow: {'; '.join(problems)}.")


def make_reproducible(seed: int, *, deterministic: bool = True) -> None:
    """Makes everything after it a function of `seed`: random numbers, and ops that may sum in any order.

    This sets the seeds of Python, NumPy, TensorFlow and Keras, and TensorFlow's op determinism, for the whole
    process.

    Args:
        seed: of all random numbers.
        deterministic: whether ops are to sum in the same order each time. TensorFlow does not take that back: where an
            earlier run of this process had it, it stays.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
