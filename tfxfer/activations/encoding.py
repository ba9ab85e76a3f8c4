"""How activations are kept: as float16, bfloat16, float32, or bytes with a range for each channel.

An encoding is plain values, so that a TensorFlow graph can decode what NumPy encoded: cast (bfloat16: bitcast)
to float32, and for uint8 `stored * scale + offset` along the last axis.
"""

import dataclasses
import math

import numpy as np

from tfxfer.errors import CacheError
from tfxfer.reuse import Precision

_LARGEST_FLOAT16 = 65504.0
# Every float16 from here on, its sign removed, is infinite or no number.
_INFINITE_FLOAT16 = 0x7C00


class CacheRangeError(CacheError):
    """Activations that a precision cannot hold. They are never stored: fill anew with `precision="float32"`.

    A scale per store instead would have to be known before the last batch is, and one per row could not be
    decoded by a cast; networks that pass 65,504 are rare, so they pay with a second filling.
    """


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How rows of floats are kept.

    Attributes:
        precision: what each number becomes.
        scale: of uint8: what one step means, for each channel (the last axis), > 0. Otherwise empty.
        offset: of uint8: what 0 means, for each channel. Otherwise empty.
    """

    precision: Precision
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()

    @classmethod
    def of(cls, precision: Precision, rows: np.ndarray) -> "Encoding":
        """Returns the encoding in `precision` whose range, if it has one, is that of the given rows.

        Args:
            precision: of the numbers kept.
            rows: float32 `[n, …, channels]`; a few batches. What comes later is clipped to their range.

        Raises:
            CacheRangeError: a number of `rows` is not finite, and the precision is uint8.
        """
        if precision != "uint8":
            return cls(precision)
        flat = np.asarray(rows, np.float32).reshape(-1, rows.shape[-1])
        low, high = flat.min(axis=0), flat.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):  # infinite where the ends are too far apart
            _check_finite(precision, float(np.max(high) - np.min(low)), np.inf)
        scale = np.where(high > low, (high - low) / 255, 1).astype(np.float32)
        return cls(precision, tuple(scale.tolist()), tuple(low.tolist()))

    @property
    def dtype(self) -> np.dtype:
        """Of the numbers kept; those of bfloat16 are kept as the uint16 of their bits."""
        return stored_dtype(self.precision)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Returns `rows` as they are kept.

        Args:
            rows: float32 `[n, …, channels]`, or what a graph has already cast to float16 or bfloat16.

        Raises:
            CacheRangeError: a number that this precision cannot hold.
        """
        if self.precision == "float32":
            return np.asarray(rows, np.float32)
        if self.precision == "float16":
            return self._float16(rows)
        if self.precision == "bfloat16":
            import ml_dtypes  # which TensorFlow brings

            return np.asarray(rows, ml_dtypes.bfloat16).view(np.uint16)
        rows = np.asarray(rows, np.float32)
        _check_finite(self.precision, _peak(rows), np.inf)
        steps = (rows - np.asarray(self.offset, np.float32)) / np.asarray(self.scale, np.float32)
        return np.clip(np.rint(steps, out=steps), 0, 255, out=steps).astype(np.uint8)

    def decode(self, stored: np.ndarray) -> np.ndarray:
        """Returns what `encode` made, as float32."""
        if self.precision == "bfloat16":
            return (stored.astype(np.uint32) << 16).view(np.float32)
        rows = stored.astype(np.float32)
        if self.precision == "uint8":
            rows = rows * np.asarray(self.scale, np.float32) + np.asarray(self.offset, np.float32)
        return rows

    def is_valid(self, precision: Precision, channels: int) -> bool:
        """Whether this, which a file of unknown origin may have told, can be the encoding of such rows."""
        count = channels if precision == "uint8" else 0
        numbers = (*self.scale, *self.offset)
        return (
            self.precision == precision
            and len(self.scale) == len(self.offset) == count
            and all(map(math.isfinite, numbers))
            and all(scale > 0 for scale in self.scale)
        )

    def _float16(self, rows: np.ndarray) -> np.ndarray:
        if rows.dtype == np.float16:  # cast by a graph: what did not fit is infinite now
            bits = np.ascontiguousarray(rows).view(np.uint16) & 0x7FFF
            _check_finite(self.precision, math.inf if bits.size and bits.max() >= _INFINITE_FLOAT16 else 0, 1)
            return rows
        _check_finite(self.precision, _peak(rows), _LARGEST_FLOAT16)
        return np.asarray(rows).astype(np.float16)


def stored_dtype(precision: Precision) -> np.dtype:
    """Returns the dtype of the numbers as they are kept; for bfloat16 the uint16 of their bits."""
    return np.dtype("uint16" if precision == "bfloat16" else precision)


def _peak(rows: np.ndarray) -> float:
    """Returns the largest magnitude; NaN where there is one."""
    return float(np.maximum(rows.max(), -rows.min())) if rows.size else 0.0


def _check_finite(precision: str, peak: float, limit: float) -> None:
    if peak <= limit and math.isfinite(peak):
        return
    found = f"of magnitude {peak:.4g}" if math.isfinite(peak) else "that are not finite or too large"
    raise CacheRangeError(
        f"{precision} cannot hold activations {found}; nothing was stored. Fill the cache with precision='float32'."
    )
