"""The pictures of a source, one road for all of them: a name, a content digest and uint8 pixels by index."""

import abc
import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from tfxfer import progress
from tfxfer.data import images
from tfxfer.facts import ARRAY, BadImage
from tfxfer.framing import Framing

# Pictures that a thread takes at a time: handing over each costs what Python does for one. And how many such are handed
# out ahead to each thread.
_TOGETHER, _AHEAD = 8, 4


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """What one look at a picture tells.

    Attributes:
        key: hex SHA-256 of what identifies it: its file, or its pixels.
        height: in pixels, upright; `width` likewise.
        width: see there.
        mode: what its pixels are, as Pillow calls it: RGB, L, P, CMYK, I;16, …; or `facts.ARRAY`.
    """

    key: str
    height: int
    width: int
    mode: str


class Pictures(Protocol):
    """Random access to undecoded pictures."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """Returns what messages call the picture."""

    def file_name(self, index: int) -> str:
        """Returns the name of its file without folders; empty where it has none."""

    def look(self, index: int) -> Look:
        """Reads all of the picture, once.

        Raises:
            UnreadableImageError: it cannot be decoded.
        """

    def draw(self, index: int, size: int, framing: Framing) -> np.ndarray:
        """Returns uint8 `[size, size, 3]`, as `images.render` does.

        Raises:
            UnreadableImageError: it cannot be decoded.
        """


class Encoded(abc.ABC):
    """Pictures that are the bytes of files, of which those of one are to be had at a time."""

    @abc.abstractmethod
    def content(self, index: int) -> bytes:
        """Returns the bytes of a picture's file.

        Raises:
            UnreadableImageError: they cannot be read.
        """

    def look(self, index: int) -> Look:
        """Reads and decodes the picture; see `Pictures`."""
        content = self.content(index)
        height, width = images.check(content)
        return Look(hashlib.sha256(content).hexdigest(), height, width, images.mode(content))

    def draw(self, index: int, size: int, framing: Framing) -> np.ndarray:
        """Decodes the picture; see `Pictures`."""
        return images.render(self.content(index), size, framing)


@dataclasses.dataclass(frozen=True)
class Files(Encoded):
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

    def look(self, index: int) -> Look:
        """Returns the digest of shape and numbers; see `Pictures`."""
        picture = np.ascontiguousarray(self.pixels[index])
        digest = hashlib.sha256(str(picture.shape).encode())
        digest.update(picture)
        return Look(digest.hexdigest(), *picture.shape[:2], ARRAY)

    def draw(self, index: int, size: int, framing: Framing) -> np.ndarray:
        """Resizes the picture; see `Pictures`."""
        return images.resize(self.pixels[index], size, framing)


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one look at every picture found.

    Attributes:
        keys: hex SHA-256 of each picture's content; empty for an unreadable one.
        sizes: int32 `[pictures, 2]`, height and width in pixels.
        bad: the unreadable ones by index.
        modes: of each, as in `Look`; empty for an unreadable one.
    """

    keys: tuple[str, ...]
    sizes: np.ndarray
    bad: dict[int, BadImage]
    modes: tuple[str, ...]


def survey(pictures: Pictures) -> Survey:
    """Reads every picture once, in parallel, to its last byte: damage is found before anything trains."""

    def look(index: int) -> Look | BadImage:
        try:
            return pictures.look(index)
        except images.UnreadableImageError as error:
            return BadImage(name=_as_text(pictures.name(index)), reason=str(error))

    keys, modes, bad = [], [], {}
    sizes = np.zeros((len(pictures), 2), np.int32)
    for index, seen in enumerate(in_parallel(look, len(pictures), "checking images")):
        if isinstance(seen, BadImage):
            bad[index] = seen
            keys.append("")
            modes.append("")
        else:
            keys.append(seen.key)
            modes.append(sys.intern(seen.mode))
            sizes[index] = seen.height, seen.width
    return Survey(tuple(keys), sizes, bad, tuple(modes))


def render(pictures: Pictures, size: int, framing: Framing, out: np.ndarray) -> None:
    """Decodes and resizes every picture into `out`, uint8 `[pictures, size, size, 3]`.

    Raises:
        UnreadableImageError: a picture that was readable before is no longer; the message names it.
    """

    def draw(index: int) -> None:
        try:
            out[index] = pictures.draw(index, size, framing)
        except images.UnreadableImageError as error:
            raise images.UnreadableImageError(f"{pictures.name(index)}: {error}") from error

    images.hasten(len(pictures))
    for _ in in_parallel(draw, len(pictures), "decoding images"):
        pass


def in_parallel(function: Callable[[int], Any], count: int, text: str) -> Iterator[Any]:
    """Yields `function(0)`, `function(1)`, … in order; decoders release the interpreter's lock."""
    workers = min(32, os.cpu_count() or 1)

    def some(start: int) -> list:
        return [function(index) for index in range(start, min(start + _TOGETHER, count))]

    with (
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
        progress.bar(text, count, kind="images") as advance,
    ):
        waiting = collections.deque()
        try:
            # A few ahead, so that a million files do not become a million waiting tasks.
            for start in range(0, count, _TOGETHER):
                waiting.append(pool.submit(some, start))
                if len(waiting) > _AHEAD * workers:
                    yield from _told(waiting.popleft().result(), advance)
            while waiting:
                yield from _told(waiting.popleft().result(), advance)
        finally:
            for future in waiting:
                future.cancel()


def _as_text(name: str) -> str:
    """Returns a name that any file can hold: bytes that are no text, as names of files may have, become �."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _told(results: list, advance: Callable[[int], object]) -> list:
    advance(len(results))
    return results
