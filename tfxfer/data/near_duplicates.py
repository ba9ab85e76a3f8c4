"""Finds pictures that are nearly the same: compressed again, resized, made grey or a little brighter.

Each picture becomes 63 bits, which of its lowest frequencies stand out (a perceptual hash by the cosine transform,
phash.org), and 16×16 grey levels. Two are nearly the same if at most `MOST_BITS` bits differ and their levels correlate
by `LEAST_CORRELATION`. Measured on 300 crops of photographs, at correlations of 0.98 and 0.95: JPEG of
quality 50 is found in 99 % of cases, half the size or grey in 99.7 % or more, 2 % cut off on each side in 83 and 90 %;
5 % cut off, a caption or mirroring is not found. Of 500,000 pairs of different handwritten digits 8 and 57 pass, the
most alike there are.

Where features of a network are kept, what they say counts too: two are nearly the same if these, less their mean over
all pictures, have a cosine of `LEAST_COSINE`. With EfficientNet-Lite0 at 224 pixels, of 26 photographs and 180 drawings
mirrored ones are found in 100 and 92 % of cases, 5 % cut off on each side in 85 and 47 %, a black bar below in 96 and
72 %, turned by 5 degrees in 65 and 18 %, grey in 8 and 2 %. Of pairs of different photographs and drawings none passes,
of 124,750 of digits 12, of clothes none.
"""

from collections.abc import Iterator

import numpy as np

SIDE = 32
MOST_BITS = 7
LEAST_CORRELATION = 0.97
# Levels of a picture that is one colour all over tell nothing.
_LEAST_CONTRAST = 2.0
_BANDS, _BITS = 4, 16
# Candidates at a time, and in all: sets of pictures that all look alike would be compared pair by pair.
_AT_ONCE = 1 << 21
MOST_CANDIDATES = 400_000_000
# Pairs that are enough: of frames of a video nearly all are alike, and their number grows as the square.
MOST_PAIRS = 1_000_000
LEAST_COSINE = 0.9
# Of more pictures the first are compared by features: each with each, 10^12 products at this number and 1,280 features.
MOST_FEATURES = 30_000
_ROWS_AT_ONCE = 1024


def fingerprint(grey: np.ndarray) -> tuple[int, np.ndarray]:
    """Returns the hash of a picture, below 2^64, and its levels, uint8 `[16, 16]`.

    Args:
        grey: uint8 `[32, 32]`, the picture squashed.
    """
    frequencies = (_COSINES @ grey.astype(np.float32) @ _COSINES.T).ravel()
    bits = frequencies > np.median(frequencies[1:])
    bits[0] = False  # brightness, which is to change nothing
    levels = grey.reshape(16, 2, 16, 2).mean((1, 3)).round().astype(np.uint8)
    return int.from_bytes(np.packbits(bits[_ORDER]).tobytes()), levels


def pairs(hashes: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, bool]:
    """Returns which pictures are nearly the same, and whether all were compared.

    Hashes that differ by at most 7 bits agree, in one of four parts of 16 bits, in all but one bit at most: so only
    those are compared that share such a part. Of pictures with equal hashes each is compared with the first.

    Args:
        hashes: uint64 `[pictures]`.
        levels: uint8 `[pictures, 16, 16]`.

    Returns:
        int64 `[pairs, 2]`, each pair ascending, in order, and False where there were too many candidates or pairs.
    """
    clear = np.flatnonzero(levels.std(axis=(1, 2)) >= _LEAST_CONTRAST)
    unique, first, of = np.unique(hashes[clear], return_index=True, return_inverse=True)
    again = np.flatnonzero(first[of] != np.arange(len(of)))
    found = [_alike(levels, np.stack([clear[first[of[again]]], clear[again]], axis=1))]
    tried, kept = 0, 0
    for band, candidates in _candidates(unique):
        tried += len(candidates)
        if tried > MOST_CANDIDATES or kept >= MOST_PAIRS:
            return _sorted(found), False
        near = _first_near(unique[candidates[:, 0]] ^ unique[candidates[:, 1]], band)
        found.append(_alike(levels, clear[first[candidates[near]]]))
        kept += len(found[-1])
    return _sorted(found), True


def pairs_of_features(features: np.ndarray) -> tuple[np.ndarray, bool]:
    """Returns which pictures have nearly the same features, and whether all were compared.

    Args:
        features: float `[pictures, width]`; rows that are not finite are of no picture that is known.

    Returns:
        int64 `[pairs, 2]`, each pair ascending, in order, and False where there were too many pictures or pairs.
    """
    known = np.flatnonzero(np.isfinite(features).all(axis=1))
    compared_all, known = len(known) <= MOST_FEATURES, known[:MOST_FEATURES]
    some = features[known].astype(np.float32)
    some -= some.mean(axis=0) if len(some) else 0
    lengths = np.linalg.norm(some, axis=1, keepdims=True)
    some = np.divide(some, lengths, out=np.zeros_like(some), where=lengths > 0)  # one that is as the mean is like none
    found, kept = [np.empty((0, 2), np.int64)], 0
    for begin in range(0, len(some), _ROWS_AT_ONCE):
        one, other = np.nonzero(some[begin : begin + _ROWS_AT_ONCE] @ some[begin:].T >= LEAST_COSINE)
        later = other > one
        found.append(np.stack([known[begin + one[later]], known[begin + other[later]]], axis=1))
        kept += int(later.sum())
        if kept >= MOST_PAIRS:
            return _sorted(found), False
    return _sorted(found), compared_all


def _first_near(differ: np.ndarray, band: int) -> np.ndarray:
    """Returns which bits that differ are few, bool `[candidates]`, where no part before `band` found them already."""
    near = _count_bits(differ) <= MOST_BITS
    for before in range(band):
        near &= _BIT_COUNTS[_part(differ, before)] > 1
    return near


def _part(hashes: np.ndarray, band: int) -> np.ndarray:
    return ((hashes >> np.uint64(_BITS * band)) & np.uint64(0xFFFF)).astype(np.int64)


def _candidates(unique: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields a part's number and positions of hashes that agree there in all but one bit, int64 `[candidates, 2]`."""
    for band in range(_BANDS):
        parts = _part(unique, band)
        order = np.argsort(parts, kind="stable")
        counts = np.bincount(parts, minlength=1 << _BITS)
        begins = np.cumsum(counts) - counts
        ranks = np.empty(len(parts), np.int64)
        ranks[order] = np.arange(len(parts))
        for flip in [0, *(1 << bit for bit in range(_BITS))]:
            # Of two that differ in a bit, the one without it looks for the other; of two equal ones, the later.
            seeking = np.flatnonzero(parts & flip == 0)
            of = parts[seeking] ^ flip
            lengths = counts[of] if flip else ranks[seeking] - begins[of]
            for some in _portions(lengths):
                yield band, _expanded(seeking[some], begins[of[some]], lengths[some], order)


def _portions(lengths: np.ndarray) -> Iterator[slice]:
    """Yields slices of so many lengths that they make up about `_AT_ONCE`."""
    ends = np.cumsum(lengths)
    begin = 0
    while begin < len(lengths):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end


def _expanded(seeking: np.ndarray, begins: np.ndarray, lengths: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Returns each that seeks with each of its run in `order`."""
    total = int(lengths.sum())
    within = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.stack([np.repeat(seeking, lengths), order[np.repeat(begins, lengths) + within]], axis=1)


def _alike(levels: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Returns those of the candidates whose levels correlate."""
    kept = []
    for begin in range(0, len(candidates), 1 << 15):
        some = candidates[begin : begin + (1 << 15)]
        one, other = (_standardised(levels[some[:, side]]) for side in (0, 1))
        kept.append(some[(one * other).sum(axis=1) >= LEAST_CORRELATION])
    return np.concatenate(kept) if kept else np.empty((0, 2), np.int64)


def _standardised(levels: np.ndarray) -> np.ndarray:
    flat = levels.reshape(len(levels), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def _count_bits(numbers: np.ndarray) -> np.ndarray:
    return _BIT_COUNTS[numbers.view(np.uint16).reshape(-1, 4)].sum(axis=1)


def _sorted(found: list[np.ndarray]) -> np.ndarray:
    each = np.sort(np.concatenate(found), axis=1)
    return each[np.lexsort((each[:, 1], each[:, 0]))]


_COSINES = np.cos(np.pi * (2 * np.arange(SIDE)[None] + 1) * np.arange(8)[:, None] / (2 * SIDE)).astype(np.float32)
# Neighbours in frequency, which are not independent, go to different parts.
_ORDER = np.arange(64).reshape(_BITS, _BANDS).T.ravel()
_BIT_COUNTS = np.array([number.bit_count() for number in range(1 << _BITS)], np.uint8)
