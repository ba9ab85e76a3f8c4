"""The weights alone, in the safetensors format: each under its path in the network, floats as float32.

The metadata say `format: tfxfer`, the class names as JSON, and the network's name.
"""

import collections
import json
import mmap
import pathlib

import keras
import numpy as np

from tfxfer import prediction
from tfxfer.answers import meant
from tfxfer.backbones import safetensors as reader
from tfxfer.backbones.hub.layer import saved_models_allowed
from tfxfer.errors import FormatError
from tfxfer.export.formats.format import Classify, Subject, in_batches


def write(subject: Subject, path: pathlib.Path) -> None:
    """Writes all weights, statistics of batch norm among them."""
    import safetensors.numpy

    named = {name: _numbers(variable) for name, variable in _named(subject.model).items()}
    metadata = {
        "format": "tfxfer",
        "model": subject.model.name,
        "class_names": json.dumps(subject.class_names, ensure_ascii=False),
    }
    path.write_bytes(safetensors.numpy.save(named, metadata))


def opened(path: pathlib.Path, subject: Subject) -> Classify:
    """Returns the network with the file's weights, in a copy that begins with none of its own.

    Raises:
        FormatError: the file has other names or shapes than the network.
    """
    # Whoever exports has run what is in the network.
    with saved_models_allowed(allow_unsafe_model_code=True):
        copy = keras.models.clone_model(subject.model)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            # Copied, since views would not outlive the mapping.
            tensors = {name: np.array(values) for name, values in reader.read(content).items()}
        except ValueError as error:
            raise FormatError(f"{path} cannot be read: {error}.") from error
    names = list(_named(subject.model))
    strange = sorted(set(tensors) ^ set(names))
    if strange:
        raise FormatError(f"{path} has other tensors than the network: {', '.join(strange[:3])}.")
    for name, variable in zip(names, copy.weights, strict=True):
        if tensors[name].shape != tuple(variable.shape):
            raise FormatError(f"{path}: {name} has shape {tensors[name].shape}, expected is {tuple(variable.shape)}.")
        variable.assign(tensors[name])
    return in_batches(lambda pictures: meant(prediction.logits_of(copy, pictures), subject.task))


def _named(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the weights by path; a path that several have is numbered from the second on."""
    seen: collections.Counter[str] = collections.Counter()
    named = {}
    for variable in model.weights:
        number = seen[variable.path]
        seen[variable.path] += 1
        named[f"{variable.path}:{number}" if number else variable.path] = variable
    return named


def _numbers(variable: keras.Variable) -> np.ndarray:
    values = variable.value.numpy()
    # A string such as "bfloat16" or "float8_e4m3fn"; NumPy does not count these as floats.
    return np.array(values, np.float32 if "float" in variable.dtype else None, order="C")
