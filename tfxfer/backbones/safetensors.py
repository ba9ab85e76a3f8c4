"""Reads the safetensors format: the length of a header, a header in JSON, and the numbers, without gaps.

Format: github.com/huggingface/safetensors, README, "Format"; its limits and checks hold here too.
"""

import json
import math
import mmap
from typing import Any

import numpy as np

from tfxfer.backbones.tensors import BFLOAT16

_MOST_HEADER_BYTES = 100_000_000
_LENGTH = 8
_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "U16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "F16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}


def read(content: mmap.mmap) -> dict[str, np.ndarray]:
    """Returns the tensors of a mapped file by name, as views of it.

    Raises:
        ValueError: what is wrong with the file.
    """
    length = int.from_bytes(content[:_LENGTH], "little")
    if length > _MOST_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes; safetensors allows {_MOST_HEADER_BYTES}")
    start = _LENGTH + length
    if start > len(content):
        raise ValueError("the file ends within its header")
    header = json.loads(content[_LENGTH:start].decode("utf-8"), object_pairs_hook=_unique)
    header.pop("__metadata__", None)
    if not header:
        raise ValueError("it holds no tensors")
    places = {name: _place(name, entry) for name, entry in header.items()}
    _check_gapless(places, len(content) - start)
    return {
        name: np.frombuffer(content, dtype, math.prod(shape), start + first).reshape(shape)
        if math.prod(shape)
        else np.zeros(shape, dtype)
        for name, (dtype, shape, first, _) in places.items()
    }


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name is there twice in its header")
    return table


def _place(name: str, entry: Any) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """Returns type, shape, first byte and the byte behind the last, of one entry of the header."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name!r} is described by something else than dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _DTYPES:
        raise ValueError(f"{name!r} has numbers of type {kind!r}; read are {', '.join(_DTYPES)}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} has a shape or data_offsets that are no lists of whole numbers")
    first, end = offsets
    dtype = _DTYPES[kind]
    if math.prod(shape) * dtype.itemsize != end - first:
        raise ValueError(f"{name!r} has {end - first} bytes, which is not its shape {shape} of {kind}")
    return dtype, tuple(shape), first, end


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)


def _check_gapless(places: dict[str, tuple[np.dtype, tuple[int, ...], int, int]], length: int) -> None:
    """Refuses tensors that overlap, leave gaps, or do not end with the file."""
    position = 0
    for first, end in sorted((first, end) for _, _, first, end in places.values()):
        if first != position:
            raise ValueError(f"byte {min(first, position)} of its numbers is of two tensors or of none")
        position = end
    if position != length:
        raise ValueError(f"its header tells of {position} bytes of numbers, and there are {length}")
