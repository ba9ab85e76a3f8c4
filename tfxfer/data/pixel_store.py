"""Decoded pictures in a file, found again by a run that goes on, so that nothing is decoded twice.

Beside the file lies a small one that says what the pixels were made of, and their checksum: a power failure may leave
a file whose name is there and whose bytes are not.
"""

import hashlib
import pathlib
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import PIL

from tfxfer import files
from tfxfer.errors import WorkdirError
from tfxfer.framing import Framing

# Of how `images.render` comes to its bytes; to be raised when that changes.
_VERSION = 1
_BYTES_AT_ONCE = 64 << 20


def origin(keys: Sequence[str], size: int, framing: Framing) -> str:
    """Returns hex digits for all that decides the pixels: contents in their order, the square, and who decodes."""
    digest = hashlib.sha256(f"{_VERSION} {PIL.__version__} {size} {framing.resize} {framing.colour}".encode())
    for key in keys:
        digest.update(b"\n")
        digest.update(key.encode())
    return digest.hexdigest()


def stored(
    path: pathlib.Path, made_of: str, shape: tuple[int, ...], render: Callable[[np.ndarray], None]
) -> np.ndarray:
    """Returns pixels, uint8 of that shape, mapped from `path`: what lies there if it is the same, else new ones.

    Args:
        path: of a `.npy` file, replaced where it holds something else.
        made_of: of `origin`.
        shape: `[examples, size, size, 3]`.
        render: fills an array.

    Raises:
        WorkdirError: there is no room, or the folder cannot be written.
    """
    beside = path.with_suffix(".json")
    found = _found(path, beside, made_of, shape)
    if found is not None:
        return found
    # Gone first: a kill must not leave it beside other pixels.
    beside.unlink(missing_ok=True)
    with files.replacing(path) as temporary:
        out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        render(out)
        out.flush()
        checksum = _checksum(out)
    files.write_json(beside, {"made_of": made_of, "crc32": checksum})
    return np.load(path, mmap_mode="r")


def _found(path: pathlib.Path, beside: pathlib.Path, made_of: str, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        told = files.read_json(beside)
        if not isinstance(told, dict) or told.get("made_of") != made_of:
            return None
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (WorkdirError, OSError, ValueError, EOFError):
        return None
    if pixels.shape != shape or pixels.dtype != np.uint8 or _checksum(pixels) != told.get("crc32"):
        return None
    return pixels


def _checksum(pixels: np.ndarray) -> int:
    """Returns the CRC-32 of all numbers, some at a time."""
    rows = max(1, _BYTES_AT_ONCE // max(1, pixels[:1].nbytes))
    checksum = 0
    for start in range(0, len(pixels), rows):
        checksum = zlib.crc32(np.ascontiguousarray(pixels[start : start + rows]), checksum)
    return checksum
