"""Reads the pickles in PyTorch files, and PyTorch's legacy format, which is made of them: tensors only.

A pickle is a program. Every name that the file mentions is compared with a short list before a line of it
runs, and the unpickler itself resolves nothing but our stand-ins, so a file can make arrays and nothing else.
Legacy format: torch/serialization.py, `_legacy_save` — four pickles (magic number, protocol, system information,
the object), one with the storage keys, then each storage as a 64-bit count and its raw little-endian numbers.
"""

import dataclasses
import io
import math
import mmap
import pathlib
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from tfxfer.backbones.tensors import BFLOAT16
from tfxfer.errors import BackboneError

# A table of a thousand tensors takes 200 KB; each byte of a hostile one can take 64 in memory.
MOST_PICKLE_BYTES = 16 << 20

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": BFLOAT16,
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"),
    "torch CharStorage": np.dtype("i1"),
    "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}
_ALLOWED = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *_DTYPES,
}
# By these a pickle gets at names or makes objects in ways that PyTorch's tables do not use.
_REFUSED = ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "OBJ", "NEWOBJ", "NEWOBJ_EX")
# Where checkpoints keep their tensors, the first that is there.
_INNER_TABLES = ("state_dict", "model", "model_state", "state_dict_ema")
_MOST_NESTED = 4


class _Sealed:
    """A stand-in that a pickle can pass on, and not alter."""

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it alters what it should only name")


@dataclasses.dataclass(frozen=True, eq=False)
class Kind(_Sealed):
    """The type of a storage's numbers."""

    dtype: np.dtype


@dataclasses.dataclass(frozen=True, eq=False)
class Storage(_Sealed):
    """A run of `count` numbers of one type, kept under `key` elsewhere in the file."""

    key: str
    kind: Kind
    count: int


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor(_Sealed):
    """A view of a storage: first number, extents, and steps in numbers."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the tensor as a view of its storage's numbers.

        Raises:
            ValueError: it is not within them.
        """
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
        return np.lib.stride_tricks.as_strided(numbers[self.offset :], self.size, strides, writeable=False)


@dataclasses.dataclass(frozen=True)
class Unpickled:
    """What a pickle holds: its value, the storages it mentions by key, and its length in bytes."""

    value: Any
    storages: dict[str, Storage]
    length: int


def read(path: pathlib.Path, content: mmap.mmap) -> dict[str, np.ndarray]:
    """Returns the tensors of a mapped file of the legacy format by name, as views of it.

    Raises:
        BackboneError: a pickle that names anything but tensors, or another file that begins with a pickle.
        ValueError: what else is wrong with the file.
    """
    position = 0

    def next_pickle() -> Unpickled:
        nonlocal position
        unpickled = unpickle(path, content[position : position + MOST_PICKLE_BYTES])
        position += unpickled.length
        return unpickled

    if next_pickle().value != _MAGIC:
        raise BackboneError(f"{path} is no PyTorch file of the legacy format.")
    next_pickle()  # protocol
    next_pickle()  # system information
    table = next_pickle()
    numbers = {}
    for key in next_pickle().value:
        numbers[key] = _storage(content, position, table.storages[key])
        position += 8 + numbers[key].nbytes
    return tensors(table.value, lambda storage: numbers[storage.key])


def _storage(content: mmap.mmap, position: int, storage: Storage) -> np.ndarray:
    """Returns the numbers of the storage at `position`, where its count stands before them."""
    dtype = storage.kind.dtype
    count = int.from_bytes(content[position : position + 8], "little", signed=True)
    if count != storage.count or position + 8 + count * dtype.itemsize > len(content):
        raise ValueError("a storage is shorter than it says")
    return np.frombuffer(content, dtype, count, position + 8) if count else np.zeros(0, dtype)


def tensors(value: Any, numbers_of: Callable[[Storage], np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors of an unpickled table, or of the table in it, as views of their storages' numbers.

    Raises:
        ValueError: there are none, or one is not within its storage.
    """
    for _ in range(_MOST_NESTED):
        inner = [value[key] for key in _INNER_TABLES if isinstance(value, dict) and isinstance(value.get(key), dict)]
        value = inner[0] if inner else value
    entries = value.items() if isinstance(value, dict) else ()
    found = {name: entry for name, entry in entries if isinstance(name, str) and isinstance(entry, Tensor)}
    if not found:
        raise ValueError("it holds no table of tensors")
    return {name: entry.view(numbers_of(entry.storage)) for name, entry in found.items()}


def unpickle(path: pathlib.Path, content: bytes) -> Unpickled:
    """Returns the value of the pickle that `content` begins with; `path` is for the messages.

    Raises:
        BackboneError: it names anything but tensors; nothing of it has run.
        pickle.UnpicklingError: and others, of what Python's unpickler raises: it is damaged.
    """
    length = _screen(path, content)
    unpickler = _Unpickler(io.BytesIO(content[:length]))
    return Unpickled(unpickler.load(), unpickler.storages, length)


def _screen(path: pathlib.Path, content: bytes) -> int:
    """Returns the length of the pickle, after looking at each of its instructions without running one."""
    stream = io.BytesIO(content)
    for opcode, argument, position in pickletools.genops(stream):
        if opcode.name in ("GLOBAL", "INST") and argument not in _ALLOWED:
            raise BackboneError(
                f"{path} is refused: its pickle names {argument.replace(' ', '.')}, which is no tensor "
                "storage. Loading it could run code. Save the state_dict alone, or as .safetensors."
            )
        if opcode.name in _REFUSED:
            raise BackboneError(
                f"{path} is refused: its pickle uses {opcode.name}, which tables of tensors do not "
                "need. Loading it could run code. Save the state_dict alone, or as .safetensors."
            )
        # Python's unpickler makes a list as long as the largest index.
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument) > position:
            raise ValueError("its pickle uses memory that it does not need")
    return stream.tell()


class _Unpickler(pickle.Unpickler):
    """Resolves the allowed names to stand-ins of ours, and refuses the rest a second time."""

    def __init__(self, stream: io.BytesIO):
        super().__init__(stream)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module} {name}"
        if full in _DTYPES:
            return Kind(_DTYPES[full])
        if full in _FUNCTIONS:
            return _FUNCTIONS[full]
        raise pickle.UnpicklingError(f"{full} is not allowed")

    def persistent_load(self, reference: Any) -> Storage:
        kind, number, key, _location, count, *view = reference
        if kind != "storage" or not isinstance(number, Kind) or not isinstance(key, str) or any(view):
            raise pickle.UnpicklingError("a reference that is no storage")
        if not isinstance(count, int) or count < 0:
            raise pickle.UnpicklingError("a storage of impossible length")
        storage = self.storages.setdefault(key, Storage(key, number, count))
        if (storage.kind.dtype, storage.count) != (number.dtype, count):
            raise pickle.UnpicklingError("one storage is described in two ways")
        return storage


class _Table(dict):
    """Stands in for OrderedDict; the state that PyTorch attaches to it (`_metadata`) is dropped.

    PyTorch makes it empty and fills it. Made from a list, one short list would unfold as often as it is named.
    """

    def __init__(self, *given: Any):
        if given:
            raise pickle.UnpicklingError("a table that is made from something else")
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass


@dataclasses.dataclass(frozen=True, eq=False)
class _Function(_Sealed):
    """Stands in for a function that a pickle may call."""

    call: Callable

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


def _rebuild_tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_ignored: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    if not all(type(number) is int for number in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor of a shape that is not made of whole numbers")
    return Tensor(storage, offset, tuple(size), tuple(stride))


def _rebuild_parameter(data: Tensor, *_ignored: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise pickle.UnpicklingError("a parameter without a tensor")
    return data


_FUNCTIONS = {
    "collections OrderedDict": _Function(_Table),
    "torch._utils _rebuild_tensor_v2": _Function(_rebuild_tensor),
    "torch._utils _rebuild_parameter": _Function(_rebuild_parameter),
}
