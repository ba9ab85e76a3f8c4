"""Reads the weights of a PyTorch network, in any format they are saved in, without PyTorch: tensors only.

The format is told by content: PyTorch's zip format, its legacy format, or safetensors. Nothing in a file runs, and
its numbers stay where they are: the file is mapped into memory, and the arrays are views of it.
"""

import mmap
import os
import pathlib
import pickle
import struct

from tfxfer import files
from tfxfer.backbones import safetensors, torch_pickle, torch_zip
from tfxfer.backbones.tensors import StateDict
from tfxfer.errors import BackboneError

# What DataParallel puts before each name.
_PARALLEL = "module."
_DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)


def read_state_dict(path: str | os.PathLike, *, sha256: str | None = None) -> StateDict:
    """Returns the tensors of a file by name, as views of its bytes.

    A checkpoint that holds its tensors in a table `state_dict`, `model`, `model_state` or `state_dict_ema` gives
    those; numbers and texts beside tensors are left out, and so is a `module.` that begins every name.

    Args:
        path: a `.pth`, `.pt` or `.safetensors` file.
        sha256: hex digest that the file must have; it is read once more for that.

    Raises:
        BackboneError: no such file, another digest, another format, a truncated file, or a pickle that names
            anything but tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise BackboneError(f"there is no file {path}. Give the path of a .pth, .pt or .safetensors file.")
    if sha256 is not None and files.sha256(path) != sha256.lower():
        raise BackboneError(f"{path} is not the expected file: its sha256 is not {sha256}. Install it again.")
    try:
        return _read(path).without_prefix(_PARALLEL)
    except OSError as error:
        raise BackboneError(f"{path} cannot be read ({error.strerror}).") from error
    except _DAMAGE as error:
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(f"{path} is truncated or no PyTorch state dict ({error}).") from error


def _read(path: pathlib.Path) -> StateDict:
    with open(path, "rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if content[:4] == b"PK\x03\x04":
        return StateDict(torch_zip.read(path, content), content)
    if content[:1] == b"\x80":
        return StateDict(torch_pickle.read(path, content), content)
    if content[8:9] == b"{":
        return StateDict(safetensors.read(content), content)
    raise ValueError("it begins like none of .pth, .pt and .safetensors")
