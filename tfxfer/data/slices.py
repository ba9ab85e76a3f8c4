"""Encoded pictures that lie in larger files, each a run of bytes: read one by one, never all at once."""

import contextlib
import dataclasses
import os
import stat
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np

from tfxfer.data import images
from tfxfer.data.pictures import Encoded
from tfxfer.errors import DataError


class Copy:
    """An open file without a name: a kill leaves nothing of it, and it is gone with the last that holds it."""

    def __init__(self):
        self.stream: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 – closed below
        weakref.finalize(self, self.stream.close)


@dataclasses.dataclass(frozen=True)
class Slices(Encoded):
    """Pictures in runs of bytes.

    Attributes:
        paths: of the files; empty where all lie in `copy`.
        names: what messages call the files, such as `train-00000-of-00010, record`.
        which: int32 `[pictures]`, in which file each lies, ascending.
        offsets: int64 `[pictures]`, where it begins.
        lengths: int64 `[pictures]`, bytes it has.
        numbers: int64 `[pictures]`, which of the file it is, from 1.
        copy: where they lie if there are no `paths`.
    """

    paths: Sequence[str]
    names: Sequence[str]
    which: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray
    numbers: np.ndarray
    copy: Copy | None = None

    def __len__(self) -> int:
        return len(self.which)

    def name(self, index: int) -> str:
        """Returns the file, and which picture of it this is."""
        return f"{self.names[self.which[index]]} {self.numbers[index]}"

    def file_name(self, index: int) -> str:
        """Returns nothing: there is no file of its own."""
        return ""

    def content(self, index: int) -> bytes:
        """Returns the encoded bytes."""
        offset, length = int(self.offsets[index]), int(self.lengths[index])
        if length > images.MOST_BYTES:
            raise images.UnreadableImageError(f"larger than {images.MOST_BYTES >> 20} MiB")
        try:
            if self.copy is not None:
                content = os.pread(self.copy.stream.fileno(), length, offset)
            else:
                with _opened(self.paths[self.which[index]]) as handle:
                    content = os.pread(handle, length, offset)
        except OSError as error:
            raise images.UnreadableImageError(f"cannot be read ({error.strerror})") from error
        if len(content) != length:
            raise images.UnreadableImageError("the file has become shorter since it was opened")
        return content


class Copying:
    """Writes encoded pictures of a source without random access one behind the other, into a file without a name."""

    def __init__(self, source: str):
        """Takes the source, for errors."""
        self._source = source
        self._copy = Copy()
        self._lengths: list[int] = []

    @property
    def count(self) -> int:
        """Pictures written so far."""
        return len(self._lengths)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return sum(self._lengths)

    def add(self, content: bytes) -> None:
        """Writes one picture.

        Raises:
            DataError: there is no room.
        """
        with self._room():
            self._copy.stream.write(content)
        self._lengths.append(len(content))

    def pictures(self, names: Sequence[str], which: np.ndarray, numbers: np.ndarray) -> Slices:
        """Returns the pictures, in the order in which they came; the arguments are those of `Slices`."""
        with self._room():
            self._copy.stream.flush()
        lengths = np.array(self._lengths, np.int64)
        return Slices((), names, which, np.cumsum(lengths) - lengths, lengths, numbers, self._copy)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self._source} cannot be read in any order, and there is no room for a copy in "
                f"{tempfile.gettempdir()} ({error.strerror}). Set the variable TMPDIR to a folder on a larger disk."
            ) from error


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise images.UnreadableImageError("its file is no regular one any more")
        yield handle
    finally:
        os.close(handle)
