"""The source `npz:`: pictures and labels as arrays in a file of `numpy.savez`, of one set or of ready splits.

Nothing is unpickled. What an array says of itself is compared with what the file holds before any of it is read, and
pictures that are not compressed stay in the file, mapped into memory.
"""

import contextlib
import dataclasses
import math
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfxfer.data import arrays, splits, tables
from tfxfer.data.found import Found
from tfxfer.errors import DataError
from tfxfer.tasks import Kind

# Names of the pictures and of the labels, which go together.
PAIRS = (("x", "y"), ("images", "labels"), ("image", "label"), ("data", "labels"), ("X", "y"))
CLASS_NAMES = "class_names"
# That compressed arrays may take in memory, in bytes.
MOST_BYTES = 8 << 30
_CHUNK = 1 << 20
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a zip: its mark, the lengths of the name and of what follows it


@dataclasses.dataclass(frozen=True)
class _Array:
    """An array in the file, as it describes itself."""

    member: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool
    header_bytes: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def find(file: str, kind: Kind = "single_label") -> Found:
    """Returns the pictures and labels of a file.

    Known are `x` and `y`, `images` and `labels`, or one of these with a split, on either side: `x_train`, `y_test`,
    `val_images` (`PAIRS`, `splits.BY_NAME`). Pictures are uint8, or float on 0..255, `[examples, height, width]`,
    `[…, 1]` or `[…, 3]`; labels `[examples]` or `[examples, 1]`, whole numbers or texts; for multi_label 0 and 1
    `[examples, labels]`, for regression numbers, `[examples]` or `[examples, targets]`. An array `class_names` names
    the labels 0, 1, …, or the columns.

    Args:
        file: a path.
        kind: of the task; classes may get an order afterwards, and become numbers where they are called so.

    Raises:
        DataError: no such file, none of `numpy.savez`, a damaged or hostile one, or arrays that are no labelled
            pictures.
    """
    path = pathlib.Path(file).expanduser()
    tables.check_regular(path)
    with _readable(path), zipfile.ZipFile(path) as opened:
        there = _described(path, opened)
        pairs = _pairs(path, there)
        wanted = {name for pair in pairs.values() for name in pair} | ({CLASS_NAMES} & set(there))
        _check_size(path, [there[name] for name in wanted])
        read = {name: _read(path, opened, there[name]) for name in sorted(wanted)}
    images, labels, codes = [], [], []
    for split, (image_name, label_name) in pairs.items():
        pictures, classes = read[image_name], read[label_name]
        classes = classes if kind == "multi_label" else _flat(classes)
        if pictures.ndim < 3 or classes.ndim < 1 or len(pictures) != len(classes):
            expected = "[examples, labels]" if kind == "multi_label" else "[examples]"
            raise DataError(
                f"{path}: {image_name} has shape {list(pictures.shape)} and {label_name} {list(classes.shape)}, "
                f"expected [examples, height, width, 3] and {expected}."
            )
        images.extend(np.asarray(pictures))  # slices of a map are slow
        labels.append(classes)
        codes += [splits.TRAIN if split is None else split] * len(pictures)
    kinds = {array.dtype.kind in "OSU" for array in labels}
    if len(kinds) > 1:
        raise DataError(f"{path}: labels are numbers in one split and texts in another. Write them alike.")
    names = list(read[CLASS_NAMES].ravel()) if CLASS_NAMES in read else None
    try:
        together = np.concatenate(labels)
        found = arrays.find((images, together), names, _handed(kind, together, names))
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    ready = np.array(codes, np.int8) if len(pairs) > 1 else None
    return dataclasses.replace(found, source=f"npz:{file}", splits=ready)


def _described(path: pathlib.Path, opened: zipfile.ZipFile) -> dict[str, _Array]:
    """Returns what each array says of itself, by name without `.npy`.

    Raises:
        DataError: one holds Python objects, is packed in an unusual way, or says another size than it has.
    """
    found: dict[str, _Array] = {}
    for member in opened.infolist():
        name = member.filename.removesuffix(".npy")
        if not member.filename.endswith(".npy"):
            continue
        if name in found:
            raise DataError(f"{path} is refused: it has two arrays called {name!r}.")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{path} is refused: {name!r} is encrypted or packed in another way than by NumPy.")
        with opened.open(member) as stream:
            try:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, is_fortran, dtype = read(stream)
            except ValueError as error:
                raise DataError(f"{path}: {name!r} is no array ({str(error).splitlines()[0]}).") from error
            array = _Array(member, shape, dtype, is_fortran, stream.tell())
        if dtype.hasobject:
            raise DataError(
                f"{path} is refused: {name!r} holds Python objects, and unpickling them would run code of the file. "
                "Save texts as np.array(names, dtype=str), and pictures of different sizes as files: folder:<dir>."
            )
        if dtype.kind not in "buifSU":
            raise DataError(f"{path}: {name!r} holds {dtype}, expected numbers or texts.")
        if array.bytes + array.header_bytes != member.file_size or min(shape, default=0) < 0:
            raise DataError(
                f"{path} is damaged or hostile: {name!r} says that it has {array.bytes:,} bytes, and the file "
                f"{member.file_size - array.header_bytes:,}."
            )
        found[name] = array
    return found


def _pairs(path: pathlib.Path, there: Sequence[str]) -> dict[int | None, tuple[str, str]]:
    """Returns the names of pictures and labels by split; None stands for all of them.

    Raises:
        DataError: no pair, both kinds, or pictures without labels.
    """
    found: dict[int | None, tuple[str, str]] = {}
    for image, label in PAIRS:
        for split, code in [(None, None), *splits.BY_NAME.items()]:
            for of in ("{0}",) if split is None else ("{0}_{1}", "{1}_{0}"):
                names = (of.format(image, split), of.format(label, split))
                if names[0] in there and names[1] not in there and (image, label) == PAIRS[0]:
                    raise DataError(f"{path} has {names[0]!r} without {names[1]!r}, its labels. {_has(there)}")
                if not set(names) <= set(there):
                    continue
                if code in found:
                    raise DataError(f"{path} has {found[code][0]!r} and {names[0]!r}, which mean the same. Keep one.")
                found[code] = names
    if None in found and len(found) > 1:
        raise DataError(f"{path} has {found[None][0]!r} and splits beside it. Keep one of the two. {_has(there)}")
    if not found:
        raise DataError(
            f"{path} has no arrays x and y, images and labels, or x_train and y_train, x_test and y_test. {_has(there)}"
        )
    return found


def _has(there: Sequence[str]) -> str:
    return f"It has: {tables.listed(list(there))}." if there else "It has no arrays."


def _check_size(path: pathlib.Path, wanted: Sequence[_Array]) -> None:
    unpacked = sum(array.bytes for array in wanted if array.member.compress_type != zipfile.ZIP_STORED)
    if unpacked > MOST_BYTES:
        raise DataError(
            f"{path} is refused: its compressed arrays unpack to {unpacked:,} bytes, and at most {MOST_BYTES:,} are "
            "held in memory. Save them with np.savez, uncompressed: then they are read in place."
        )


def _read(path: pathlib.Path, opened: zipfile.ZipFile, array: _Array) -> np.ndarray:
    """Returns an array, read to its end so that its checksum is compared; mapped where it is not compressed."""
    order = "F" if array.is_fortran else "C"
    if not array.bytes:
        return np.empty(array.shape, array.dtype)
    if array.member.compress_type != zipfile.ZIP_STORED:
        with opened.open(array.member) as stream:
            content = stream.read()
        return np.frombuffer(content, array.dtype, offset=array.header_bytes).reshape(array.shape, order=order)
    with opened.open(array.member) as stream:
        while stream.read(_CHUNK):
            pass
    with path.open("rb") as stream:
        stream.seek(array.member.header_offset)
        mark, name, extra = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
        if mark != b"PK\x03\x04":
            raise zipfile.BadZipFile("a member begins without its mark")
        begin = stream.tell() + name + extra + array.header_bytes
    return np.memmap(path, array.dtype, "r", begin, array.shape, order)


def _handed(kind: Kind, labels: np.ndarray, names: Sequence[Any] | None) -> Kind:
    """Returns the kind that the labels are for as they lie there: numbers may be told by what classes are called."""
    is_place = labels.ndim == 1 and labels.dtype.kind in "iu" and names is not None and len(names) > 1
    is_called = labels.dtype.kind in "SU" or is_place
    return "single_label" if kind == "regression" and is_called else kind


def _flat(labels: np.ndarray) -> np.ndarray:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


@contextlib.contextmanager
def _readable(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error) as error:
        raise DataError(
            f"{path} is truncated, damaged or no file of numpy.savez ({error or type(error).__name__}). Get it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
