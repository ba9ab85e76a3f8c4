"""Reads PyTorch's zip format: a pickle of the table, and one uncompressed member for each storage.

Format: torch/serialization.py, `_save`, and caffe2/serialize/inline_container.cc: all members lie in one folder,
`data.pkl` and `data/<key>` beside `byteorder`, `version` and others that say nothing about the numbers.
"""

import mmap
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from tfxfer import archives
from tfxfer.backbones import torch_pickle
from tfxfer.backbones.torch_pickle import Storage
from tfxfer.errors import BackboneError

_LOCAL_HEADER = 30
_TABLE = "data.pkl"


def read(path: pathlib.Path, content: mmap.mmap) -> dict[str, np.ndarray]:
    """Returns the tensors of a mapped file by name, as views of it.

    Raises:
        BackboneError: a damaged archive, or a pickle that names anything but tensors.
        ValueError: what else is wrong with the file.
    """
    # Nothing is unpacked: what is read takes no more memory than the file is long.
    most_bytes = max(archives.MOST_BYTES, len(content))
    members = {info.filename: info for info in archives.check_zip(path, most_bytes=most_bytes)}
    folder = _folder(path, members)
    byte_order = "<"
    if f"{folder}/byteorder" in members:
        first, length = _place(content, members[f"{folder}/byteorder"])
        byte_order = {b"little": "<", b"big": ">"}[content[first : first + length]]

    def numbers_of(storage: Storage) -> np.ndarray:
        info = members.get(f"{folder}/data/{storage.key}")
        if info is None:
            raise ValueError(f"the member {folder}/data/{storage.key} is missing")
        first, length = _place(content, info)
        dtype = storage.kind.dtype.newbyteorder(byte_order)
        if length != storage.count * dtype.itemsize:
            raise ValueError(f"the member {info.filename} has {length} bytes, not {storage.count} numbers")
        return np.frombuffer(content, dtype, storage.count, first) if length else np.zeros(0, dtype)

    first, length = _place(content, members[f"{folder}/{_TABLE}"])
    if length > torch_pickle.MOST_PICKLE_BYTES:
        raise ValueError("its pickle is too large for a table of tensors")
    table = torch_pickle.unpickle(path, content[first : first + length])
    return torch_pickle.tensors(table.value, numbers_of)


def _folder(path: pathlib.Path, members: Mapping[str, zipfile.ZipInfo]) -> str:
    folders = [name.removesuffix(f"/{_TABLE}") for name in members if name.endswith(f"/{_TABLE}")]
    folders = [folder for folder in folders if "/" not in folder]
    if len(folders) != 1:
        raise ValueError(f"a zip with {len(folders)} members <folder>/{_TABLE}, which torch.save writes once")
    if f"{folders[0]}/constants.pkl" in members:
        raise BackboneError(
            f"{path} is refused: it is a program (TorchScript), not a table of tensors. Save the weights alone: "
            "torch.save(torch.jit.load(path).state_dict(), other_path)."
        )
    return folders[0]


def _place(content: mmap.mmap, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Returns the first byte of a member in the file, and its length."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"the member {info.filename} is compressed, which torch.save never does")
    header = content[info.header_offset : info.header_offset + _LOCAL_HEADER]
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise ValueError(f"the member {info.filename} is not where the archive says")
    name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
    first = info.header_offset + _LOCAL_HEADER + name + extra
    if first + info.file_size > len(content):
        raise ValueError(f"the member {info.filename} reaches beyond the end of the file")
    return first, info.file_size
