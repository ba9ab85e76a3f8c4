"""Finds what in a Keras model file must not be opened unasked: code in its config, weights that are not its own.

Keras keeps Python bytecode out by `safe_mode`, and only that. A config can name every class of Keras and every class
that a program registered, among them some that load programs or read files; here what may be named is listed.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from tfxfer.backbones.model_files import KERAS_2_OPERATIONS, WEIGHTS, ModelFile, opened_hdf5
from tfxfer.errors import BackboneError

if TYPE_CHECKING:
    import h5py

# What an HDF5 dataset may declare beyond what it stores, from this size on; deflate does not reach 1032 to 1.
_MOST_EXPANSION = 1000
_LARGE_DATASET_BYTES = 64 << 20

# Modules of Keras whose classes compute and do nothing else. Not `keras.utils`, which reads files and loads modules.
_MODULES = re.compile(
    r"keras(\.src)?\.(layers|models|initializers|regularizers|constraints|activations|dtype_policies|quantizers|ops|"
    r"random|optimizers|losses|metrics)(\.\w+)*"
)
_NAMES_OF_KERAS_ITSELF = ("DTypePolicy", "FloatDTypePolicy", "DTypePolicyMap", "Functional", "Model", "Sequential")
# Values, which `deserialize` turns into numbers, tuples and slices.
_VALUES = (
    "__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__", "TensorShape",
)  # fmt: skip
_PROGRAMS = {
    "Lambda": "Python code",
    "__lambda__": "Python code",
    "TFSMLayer": "a SavedModel, which is a program",
    "SavedModelLayer": "a SavedModel, which is a program",
    "JaxLayer": "JAX code",
    "FlaxLayer": "JAX code",
    "TorchModuleWrapper": "PyTorch code",
}


def foreign_code(
    config: dict[str, Any], *, packages: tuple[str, ...] = ("tfxfer",), saved_models: bool = False
) -> tuple[str, ...]:
    """Returns, in words, everything in a config that runs code other than Keras's own, or reads files.

    Args:
        config: of a model, JSON types.
        packages: whose registered classes may be named besides those of Keras, but for the ones that are programs.
        saved_models: whether our layer of a SavedModel may be named, which scans the program itself when it opens it.
    """
    found: dict[str, None] = {}
    # The top model is not compiled; models within it are.
    pending: list[tuple[Any, str]] = [({**config, "compile_config": None}, "the model")]
    while pending:
        value, owner = pending.pop()
        if isinstance(value, list):
            pending += [(item, owner) for item in value]
        if not isinstance(value, dict):
            continue
        inner = value.get("config")
        if "class_name" in value:
            if isinstance(inner, dict) and isinstance(inner.get("name"), str):
                owner = repr(inner["name"])
            ours = saved_models and value.get("registered_name") == "tfxfer>SavedModelLayer"
            what = "" if ours else _foreign(value, packages)
            if what:
                found[f"{what} in {owner}"] = None
                continue
        pending += [(item, owner) for item in value.values()]
    return tuple(found)


def is_keras_class(name: str) -> bool:
    """Whether Keras has an operation, layer, model, initializer or the like called `name`; loads Keras.

    It decides where a config names no module, as in `.h5`.
    """
    import keras

    spaces = (keras.initializers, keras.regularizers, keras.constraints, keras.dtype_policies, keras.quantizers)
    return name in _operations() or any(isinstance(getattr(space, name, None), type) for space in spaces)


@functools.cache
def _operations() -> frozenset[str]:
    """Returns the names of Keras's operations, layers and models; those of keras.ops have no public module."""
    import keras

    pending, names = [keras.Operation], set()
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind.__module__.startswith("keras."):
            names.add(kind.__name__)
    return frozenset(names)


# Numbers hardly pack; zeros do, a thousandfold, and fill a disk.
_MOST_PACKED = 50
_UNSUSPICIOUS = 64 << 20


def check_weights(file: ModelFile) -> None:
    """Refuses weights that point out of the file, or that declare far more than they hold.

    Raises:
        BackboneError: such weights, or none.
    """
    with checked_weights(file):
        pass


@contextlib.contextmanager
def checked_weights(file: ModelFile) -> Iterator[pathlib.Path]:
    """Gives the HDF5 file with the weights, looked through: the file itself, or a copy of the member of a zip.

    Raises:
        BackboneError: as `check_weights` does.
    """
    if file.kind == "hdf5":
        check_hdf5(file.path, file.path)
        yield file.path
        return
    # Seeking back in a member of a zip reads it from its beginning again, so it is copied to where that costs nothing.
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, WEIGHTS)
        try:
            with (
                zipfile.ZipFile(file.path) as opened,
                opened.open(WEIGHTS) as member,
                open(path, "wb", buffering=0) as copy,
            ):
                info = opened.getinfo(WEIGHTS)
                if info.file_size > _UNSUSPICIOUS and info.file_size > _MOST_PACKED * info.compress_size:
                    raise BackboneError(
                        f"{file.path} is refused: its weights unpack from {info.compress_size:,} to {info.file_size:,} "
                        "bytes, as no numbers of a network do."
                    )
                shutil.copyfileobj(member, copy, 1 << 20)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BackboneError(f"{file.path} is damaged ({error}). Get it again.") from error
        check_hdf5(file.path, path)
        yield path


def check_hdf5(path: pathlib.Path, opened: str | os.PathLike | BinaryIO) -> None:
    """Refuses links, data that lie in other files, and declared sizes beyond what is stored.

    Args:
        path: for messages.
        opened: the HDF5 file, as a path or a stream.

    Raises:
        BackboneError: the file has such things, or is damaged.
    """
    import h5py

    seen: set[int] = set()
    with opened_hdf5(path, opened) as file:
        groups: list[h5py.Group] = [file]
        while groups:
            group = groups.pop()
            for key in group:
                link = group.get(key, getlink=True)
                name = f"{group.name.rstrip('/')}/{key}"
                if not isinstance(link, h5py.HardLink):
                    raise BackboneError(f"{path} is refused: {name} is a link to elsewhere. Keras writes none.")
                item = group[key]
                address = h5py.h5o.get_info(item.id).addr
                if address in seen:  # two names of one object; without this, a group within itself has no end
                    continue
                seen.add(address)
                if isinstance(item, h5py.Group):
                    groups.append(item)
                elif isinstance(item, h5py.Dataset):
                    _check_dataset(path, name, item)


def _foreign(value: dict[str, Any], packages: tuple[str, ...]) -> str:
    """Returns what a serialized object runs or reads beyond Keras, in words; "" if nothing."""
    kind, config = value["class_name"], value.get("config")
    module, registered = value.get("module"), value.get("registered_name")
    if not isinstance(kind, str):
        return "an object without the name of a class"
    if kind in _PROGRAMS:
        return f"{kind} ({_PROGRAMS[kind]})"
    if isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        return f"{kind} (it reads the file {config['vocabulary']!r})"
    if kind in _VALUES or kind in KERAS_2_OPERATIONS:
        return ""
    if kind == "function":
        of_keras = module == "builtins" or (isinstance(module, str) and _MODULES.fullmatch(module))
        plain = isinstance(config, str) and config.isidentifier() and registered in (None, config, kind)
        return "" if of_keras and plain else f"the function {module}.{config}"
    if registered in [f"{package}>{kind}" for package in packages]:
        return ""
    if registered not in (None, kind):
        return f"the class {registered}"
    if not module:
        return "" if is_keras_class(kind) else f"the class {kind}"
    of_keras = module == "keras" and kind in _NAMES_OF_KERAS_ITSELF
    if not of_keras and isinstance(module, str):
        # A name with a dot would reach out of the module.
        of_keras = bool(_MODULES.fullmatch(module)) and kind.isidentifier()
    return "" if of_keras else f"the class {module}.{kind}"


def _check_dataset(path: pathlib.Path, name: str, dataset: h5py.Dataset) -> None:
    if dataset.external or dataset.is_virtual:
        raise BackboneError(f"{path} is refused: the numbers of {name} lie in another file. Keras writes none so.")
    declared = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > _LARGE_DATASET_BYTES and declared > _MOST_EXPANSION * stored:
        raise BackboneError(
            f"{path} is refused: {name} says that it has shape {dataset.shape}, {declared >> 20} MiB, and stores "
            f"{stored} bytes. It was made to fill memory, or is damaged."
        )
