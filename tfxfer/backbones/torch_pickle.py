"""Reads a PyTorch `state_dict` file (legacy, non-zip format) without PyTorch: tensors only.

A pickle is a program. Every name that the file mentions is compared with a short list before a line of it
runs, and the unpickler itself resolves nothing but our stand-ins, so a file can make arrays and nothing else.
Format: torch/serialization.py, `_legacy_save` — four pickles (magic number, protocol, system information, the
object), one with the storage keys, then each storage as a 64-bit count and its raw little-endian numbers.
"""

import dataclasses
import hashlib
import io
import math
import pathlib
import pickle
import pickletools
from typing import Any

import numpy as np

from tfxfer.errors import BackboneError

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
}
_ALLOWED = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", *_STORAGES}
_MOST_PICKLE_BYTES = 64 << 20


def read_state_dict(path: str | pathlib.Path, *, sha256: str | None = None) -> dict[str, np.ndarray]:
    """Returns the tensors of a legacy PyTorch file by name, as NumPy arrays.

    Args:
        path: a `.pth` or `.pt` file.
        sha256: hex digest that the file must have.

    Raises:
        BackboneError: another digest, another format, a truncated file, or a pickle that names anything but
            tensor storages.
    """
    content = pathlib.Path(path).read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise BackboneError(f"{path} is not the expected file: its sha256 is not {sha256}. Install it again.")
    try:
        return _Reader(content, str(path)).read()
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(f"{path} is truncated or no PyTorch state dict ({error}).") from error


@dataclasses.dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def take_from(self, numbers: np.ndarray) -> np.ndarray:
        steps = list(zip(self.size, self.stride, strict=True))
        if min((self.offset, *self.size, *self.stride)) < 0:
            raise ValueError("a tensor has a negative offset, size or stride")
        if 0 in self.size:
            return np.zeros(self.size, numbers.dtype)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        # With a stride of 0 a few bytes would unfold to any size.
        if last >= len(numbers) or math.prod(self.size) > len(numbers):
            raise ValueError("a tensor reaches beyond its storage")
        strides = [step * numbers.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, strides).copy()


class _Reader:
    def __init__(self, content: bytes, path: str):
        self._stream = io.BytesIO(content)
        self._length = len(content)
        self._path = path

    def read(self) -> dict[str, np.ndarray]:
        if self._stream.getvalue().startswith(b"PK"):
            raise BackboneError(
                f"{self._path} is a PyTorch file of the zip format, which is not read yet. Save it with "
                "torch.save(state_dict, path, _use_new_zipfile_serialization=False)."
            )
        if self._unpickle() != _MAGIC:
            raise BackboneError(f"{self._path} is no PyTorch file of the legacy format.")
        self._unpickle()  # protocol
        self._unpickle()  # system information
        entries = self._unpickle()
        if isinstance(entries, dict) and isinstance(entries.get("state_dict"), dict):
            entries = entries["state_dict"]
        storages = dict.fromkeys(self._unpickle(), self._read_storage)
        wanted = {tensor.storage.key: tensor.storage for tensor in entries.values()}
        numbers = {key: read(wanted[key]) for key, read in storages.items()}
        return {str(name): tensor.take_from(numbers[tensor.storage.key]) for name, tensor in entries.items()}

    def _unpickle(self) -> Any:
        start = self._stream.tell()
        for opcode, argument, position in pickletools.genops(self._stream):
            if position - start > _MOST_PICKLE_BYTES:
                raise ValueError("its pickle is too large for a table of tensors")
            if opcode.name in ("GLOBAL", "INST") and argument not in _ALLOWED:
                raise BackboneError(
                    f"{self._path} is refused: its pickle names {argument.replace(' ', '.')}, which is no tensor "
                    "storage. Loading it could run code. Save the state_dict alone, or as .safetensors."
                )
            if opcode.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "OBJ", "NEWOBJ", "NEWOBJ_EX"):
                raise BackboneError(
                    f"{self._path} is refused: its pickle uses {opcode.name}, which tables of tensors do not "
                    "need. Loading it could run code. Save the state_dict alone, or as .safetensors."
                )
        end = self._stream.tell()
        self._stream.seek(start)
        value = _Unpickler(self._stream).load()
        self._stream.seek(end)
        return value

    def _read_storage(self, storage: _Storage) -> np.ndarray:
        count = int.from_bytes(self._stream.read(8), "little", signed=True)
        size = count * storage.dtype.itemsize
        if count != storage.count or size > self._length - self._stream.tell():
            raise ValueError("a storage is shorter than it says")
        return np.frombuffer(self._stream.read(size), storage.dtype)


class _Unpickler(pickle.Unpickler):
    """Resolves the allowed names to stand-ins of ours, and refuses the rest a second time."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module} {name}"
        if full in _STORAGES:
            return _STORAGES[full]
        if full == "collections OrderedDict":
            return _Table
        if full == "torch._utils _rebuild_tensor_v2":
            return _rebuild
        raise pickle.UnpicklingError(f"{full} is not allowed")

    def persistent_load(self, reference: Any) -> _Storage:
        kind, dtype, key, _location, count, *_view = reference
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("a reference that is no storage")
        return _Storage(str(key), dtype, count)


class _Table(dict):
    """Stands in for OrderedDict; the state that PyTorch attaches to it (`_metadata`) is dropped."""

    def __setstate__(self, state: Any) -> None:
        pass


def _rebuild(storage: _Storage, offset: int, size: tuple, stride: tuple, *_ignored: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, int(offset), tuple(map(int, size)), tuple(map(int, stride)))
