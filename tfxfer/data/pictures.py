"""The pictures of a source, one road for all of them: a name, a content digest and uint8 pixels by index."""

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from tfxfer import progress
from tfxfer.data import images
from tfxfer.facts import BadImage


class Pictures(Protocol):
    """Random access to undecoded pictures."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Returns what messages call the picture."""

    def file_name(self, index: int) -> str:
        """Returns the name of its file without folders; empty where it has none."""

    def content(self, index: int) -> bytes:
        """Returns what identifies the picture: its file, or its pixels."""

    def check(self, index: int) -> tuple[int, int]:
        """Reads all of the picture; returns its height and width in pixels.

        Raises:
            UnreadableImageError: it cannot be decoded.
        """

    def decode(self, index: int, least_size: int | None) -> np.ndarray:
        """Returns uint8 `[height, width, 3]`.

        Raises:
            UnreadableImageError: it cannot be decoded.
        """


@dataclasses.dataclass(frozen=True)
class Files:
    """Pictures in files, below `root`."""

    root: pathlib.Path
    paths: tuple[pathlib.Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Returns the path below the root."""
        return str(self.paths[index].relative_to(self.root))

    def file_name(self, index: int) -> str:
        """Returns the name of the file."""
        return self.paths[index].name

    def content(self, index: int) -> bytes:
        """Returns the bytes of the file."""
        return images.read(self.paths[index])

    def check(self, index: int) -> tuple[int, int]:
        """Decodes the file; returns height and width in pixels."""
        return images.check(self.content(index))

    def decode(self, index: int, least_size: int | None) -> np.ndarray:
        """Returns uint8 `[height, width, 3]`."""
        return images.decode(self.content(index), least_size=least_size)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Pictures in memory: each uint8 `[height, width, 3]`."""

    pixels: Sequence[np.ndarray]

    def __len__(self) -> int:
        return len(self.pixels)

    def name(self, index: int) -> str:
        """Returns the position."""
        return f"example {index}"

    def file_name(self, index: int) -> str:
        """Returns nothing: there is no file."""
        return ""

    def content(self, index: int) -> bytes:
        """Returns shape and numbers."""
        picture = np.ascontiguousarray(self.pixels[index])
        return str(picture.shape).encode() + picture.tobytes()

    def check(self, index: int) -> tuple[int, int]:
        """Returns height and width in pixels."""
        return self.pixels[index].shape[:2]

    def decode(self, index: int, least_size: int | None) -> np.ndarray:
        """Returns uint8 `[height, width, 3]`."""
        return self.pixels[index]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one look at every picture found.

    Attributes:
        keys: hex SHA-256 of each picture's content; empty for an unreadable one.
        sizes: int32 `[pictures, 2]`, height and width in pixels.
        bad: the unreadable ones by index.
    """

    keys: tuple[str, ...]
    sizes: np.ndarray
    bad: dict[int, BadImage]


def survey(pictures: Pictures) -> Survey:
    """Reads and decodes every picture once, in parallel: damage is found before anything trains."""

    def look(index: int) -> tuple[str, tuple[int, int], BadImage | None]:
        try:
            size = pictures.check(index)
            return hashlib.sha256(pictures.content(index)).hexdigest(), size, None
        except images.UnreadableImageError as error:
            return "", (0, 0), BadImage(name=pictures.name(index), reason=str(error))

    keys, bad = [], {}
    sizes = np.zeros((len(pictures), 2), np.int32)
    for index, (key, size, problem) in enumerate(_in_parallel(look, len(pictures), "checking images")):
        keys.append(key)
        sizes[index] = size
        if problem:
            bad[index] = problem
    return Survey(tuple(keys), sizes, bad)


def render(pictures: Pictures, size: int, policy: str, out: np.ndarray) -> None:
    """Decodes and resizes every picture into `out`, uint8 `[pictures, size, size, 3]`.

    Raises:
        UnreadableImageError: a picture that was readable before is no longer.
    """

    def draw(index: int) -> None:
        out[index] = images.resize(pictures.decode(index, size), size, policy)

    for _ in _in_parallel(draw, len(pictures), "decoding images"):
        pass


def _in_parallel(function, count: int, text: str):
    """Yields `function(0)`, `function(1)`, … in order; decoders release the interpreter's lock."""
    workers = min(32, os.cpu_count() or 1)
    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        progress.bar(text, count, kind="images") as advance,
    ):
        # Submitted piece by piece, so that a million files do not become a million waiting tasks.
        for start in range(0, count, 1024):
            for result in pool.map(function, range(start, min(start + 1024, count))):
                advance(1)
                yield result
