"""One singular value decomposition of features, from which ridge, LogME and the H-score all follow."""

import dataclasses

import numpy as np

# Singular values below this share of the largest count as none: for float32 features their rounding is larger.
RANK_TOLERANCE = 1e-10


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Features less their mean as u · diag(s) · v, without what is zero.

    Attributes:
        u: float64 `[examples, rank]`, orthonormal columns.
        s: float64 `[rank]`, descending, > 0.
        v: float64 `[rank, width]`, orthonormal rows.
        mean: what was taken off each column, float64 `[width]`.
        freedom: numbers that are left of a target once its mean is taken off: examples − 1; all of them where no mean
            was taken off.
    """

    u: np.ndarray
    s: np.ndarray
    v: np.ndarray
    mean: np.ndarray
    freedom: int

    @property
    def rank(self) -> int:
        """How many directions the features vary in; 0 where all examples have the same."""
        return len(self.s)

    @property
    def width(self) -> int:
        """Columns of the features."""
        return len(self.mean)


def decompose(features: np.ndarray, *, about_mean: bool = True) -> Spectrum:
    """Returns the decomposition of features, float64 `[examples, width]`, about their mean or about 0.

    Costs O(examples · width · min(examples, width)).
    """
    mean = features.mean(axis=0) if about_mean else np.zeros(features.shape[1])
    # numpy lets other threads run meanwhile; scipy 1.17 does not.
    u, s, v = np.linalg.svd(features - mean, full_matrices=False)
    # What is left of equal numbers after their mean was taken off is rounding, whatever the largest value is.
    smallest = max(RANK_TOLERANCE * s[0], np.finfo(np.float64).eps * np.sqrt(features.size) * np.abs(features).max())
    rank = int((s > smallest).sum())
    return Spectrum(u[:, :rank], s[:rank], v[:rank], mean, len(features) - about_mean)
