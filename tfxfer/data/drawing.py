"""Which examples an epoch shows where classes are drawn in shares of their own: a function of seed, stage, epoch."""

import hashlib
from collections.abc import Sequence

import numpy as np


def drawn(
    labels: np.ndarray, each: Sequence[int], *, seed: int, stage: int, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the examples of an epoch in their order, and how often each was shown before: int64 `[examples]` twice.

    The examples of a class come in turns, each turn in an order of its own, and one epoch goes on where the one before
    ended: of a class none is shown again before all others have been shown as often, also over epochs.

    Args:
        labels: int `[examples]`; every class has some.
        each: how many of each class an epoch shows.
        seed: of all draws, with `stage`.
        stage: counted from 0.
        epoch: counted from 0.
    """
    by_class = np.split(np.argsort(labels, kind="stable"), np.cumsum(np.bincount(labels, minlength=len(each)))[:-1])
    which = {"seed": seed, "stage": stage}
    parts = [
        _turns(members, count, f"class {label}", epoch=epoch, **which)
        for label, (members, count) in enumerate(zip(by_class, each, strict=True))
    ]
    positions, turns = (np.concatenate(halves) for halves in zip(*parts, strict=True))
    shuffled = generator("order", seed, stage, epoch).permutation(len(positions))
    return positions[shuffled], turns[shuffled]


def generator(what: str, seed: int, stage: int, number: int) -> np.random.Generator:
    """Returns random numbers for a purpose, the same in every process."""
    key = hashlib.sha256(f"{what}:{seed}:{stage}:{number}".encode()).digest()[:16]
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key)))


def _turns(
    members: np.ndarray, count: int, what: str, *, seed: int, stage: int, epoch: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `count` of the members of a class for an epoch, and how often each was shown before."""
    size = len(members)
    together = -(-count // size)  # turns that are drawn at once, so that an epoch needs two draws at most
    places = np.arange(epoch * count, (epoch + 1) * count)
    first, last = places[0] // (together * size), places[-1] // (together * size)
    rows = np.broadcast_to(np.arange(size), (together, size))
    drawn = [
        generator(what, seed, stage, int(number)).permuted(rows, axis=1).ravel() for number in range(first, last + 1)
    ]
    return members[np.concatenate(drawn)[places - first * together * size]], places // size
