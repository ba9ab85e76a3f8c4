"""The named tensors of a file as views of its bytes: nothing is copied before it is asked for."""

import mmap
from collections.abc import Iterator, Mapping

import numpy as np

BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""How readers mark numbers of a type that NumPy does not have: the upper half of a float32."""

_MOST_BYTES_HELD = 16 << 20


class StateDict(Mapping[str, np.ndarray]):
    """Tensors by name, read-only; those of bfloat16 are widened to float32 each time that they are asked for.

    The arrays are views of the mapped file, which must stay as it is while they live. Whoever goes through them
    holds few of its pages in memory: those of tensors asked for earlier are given back, and read again if need be.

    Args:
        arrays: by name, views of `content`.
        content: the mapped file.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], content: mmap.mmap):
        self._arrays = dict(arrays)
        self._content = content
        self._bytes_held = 0

    def __getitem__(self, name: str) -> np.ndarray:
        array = self._arrays[name]
        self._hold(array.nbytes)
        if array.dtype.names is None:
            return array
        wide = array["bfloat16"].astype("<u4")
        wide <<= 16
        return wide.view("<f4")

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor, without reading one."""
        return {name: array.shape for name, array in self._arrays.items()}

    def without_prefix(self, prefix: str) -> "StateDict":
        """Returns the same tensors, `prefix` cut off each name, if all names have it; else itself."""
        if not self._arrays or not all(name.startswith(prefix) for name in self._arrays):
            return self
        arrays = {name.removeprefix(prefix): array for name, array in self._arrays.items()}
        return StateDict(arrays, self._content)

    def _hold(self, count: int) -> None:
        """Gives the pages read so far back before `count` more bytes are, if that makes too many."""
        self._bytes_held += count
        if self._bytes_held > _MOST_BYTES_HELD and hasattr(mmap, "MADV_DONTNEED"):  # Windows has no such thing
            self._content.madvise(mmap.MADV_DONTNEED)
            self._bytes_held = count
