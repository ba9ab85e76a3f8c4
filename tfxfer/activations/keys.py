"""What decides the rows of a store, and the fingerprints that name its rows."""

import dataclasses

import numpy as np

from tfxfer import values
from tfxfer.activations.encoding import Precision
from tfxfer.errors import CacheError

# A fingerprint as NumPy sorts and compares it: 16 bytes, the zeros at the end included.
FINGERPRINT = np.dtype("S16")


@dataclasses.dataclass(frozen=True)
class Key:
    """Everything that decides what the rows of a store are, but for the examples themselves.

    Attributes:
        network: handle of the backbone, such as `builtin:efficientnet_lite0`.
        cut: name of the last layer group that is computed once, or of the tensor.
        prefix: digest of the layers, weights and statistics below the cut.
        pixels: what an example goes through before the network.
        image_size: height and width of a picture, pixels; 0 where examples are none.
        views: what is done to an example to get its views, with the seeds.
        precision: in which numbers are kept.
        row_shape: of the activations of one example.
        versions: of the libraries that compute them, such as `tensorflow 2.21.0`.
        worker: whose store it is, of several that train together: each has its own, also in a folder that they share.
    """

    network: str
    cut: str
    prefix: str
    pixels: str
    image_size: int
    views: str
    precision: Precision
    row_shape: tuple[int, ...]
    versions: tuple[str, ...]
    worker: int = 0

    @property
    def digest(self) -> str:
        """16 hex digits: the name of the store's folder."""
        return values.digest(self)


def as_fingerprints(fingerprints) -> np.ndarray:
    """Returns fingerprints of 16 bytes as one array of `FINGERPRINT`.

    Args:
        fingerprints: uint64 `[n, 2]`, uint8 `[n, 16]`, an array of `S16` or `V16`, or a sequence of bytes.

    Raises:
        CacheError: they are not of 16 bytes each.
    """
    if isinstance(fingerprints, np.ndarray):
        given = np.ascontiguousarray(fingerprints)
        if given.ndim == 1 and given.dtype.kind in "SV" and given.dtype.itemsize == 16:
            return given.view(FINGERPRINT)
        if given.ndim == 2 and given.dtype.kind in "ui" and given.shape[1] * given.itemsize == 16:
            return given.view(FINGERPRINT).reshape(-1)
        raise CacheError(f"fingerprints {given.dtype} {given.shape} are not of 16 bytes each; give uint64 [n, 2].")
    if any(len(name) != 16 for name in fingerprints):
        raise CacheError("a fingerprint is 16 bytes.")
    return np.frombuffer(b"".join(fingerprints), FINGERPRINT) if len(fingerprints) else np.empty(0, FINGERPRINT)
