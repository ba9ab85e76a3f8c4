"""Makes again what a program made and `objectives.written` wrote down."""

import json
from typing import Literal

import keras

from tfxfer.errors import ConfigError
from tfxfer.objectives import Written


def again(written: Written, what: Literal["loss", "metric"]):
    """Returns a loss or a metric of Keras, or a function of labels and outputs.

    Raises:
        ConfigError: nobody has registered it in this process, or it cannot be made of what was written.
    """
    try:
        return keras.saving.deserialize_keras_object(json.loads(written.config))
    except Exception as error:  # whatever a program raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if reason.startswith("Could not locate"):
            raise ConfigError(
                f"{what} {written.name} is not registered in this process: import the module that decorates it with "
                "@keras.saving.register_keras_serializable() first, in a config file at its head."
            ) from error
        raise ConfigError(f"{what} {written.name} cannot be made again: {reason.rstrip('.')}.") from error
