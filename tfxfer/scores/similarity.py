"""How like the pictures of pretraining some pictures are to a network, without any of the former.

Each batch norm keeps mean and variance of what it was given in pretraining. The further the moments on new pictures are
from these, the less the network knows such pictures.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tfxfer.errors import DataError
from tfxfer.scores import inputs

# Divergences of batch norms below this count as this, nats a channel: a hundredth of what photographs have.
_LEAST = 1e-3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Divergence:
    """How far pictures are from those of pretraining: geometric means over batch norms, nats a channel, > 0.

    Pictures as in pretraining are not at 0, since a single one has not the moments of all; what is near is read off
    from pictures that are known.

    Attributes:
        all: over all batch norms.
        early: over the third nearest the input: light, edges, texture; `middle`; `late`: what things mean.
        middle: see there.
        late: see there.
        layers: of each batch norm, input first.
    """

    all: float
    early: float
    middle: float
    late: float
    layers: tuple[float, ...]


def divergence(
    stored_mean: ArrayLike, stored_variance: ArrayLike, mean: ArrayLike, variance: ArrayLike, *, epsilon: float = 1e-3
) -> float:
    """Returns the divergence of one batch norm, nats a channel, ≥ 0.

    That of a normal distribution with the measured moments from one with the stored moments (Kullback & Leibler 1951):
    ½ [(variance + (mean − stored mean)²) / stored variance − 1 − ln(variance / stored variance)], averaged over
    channels and pictures; ε is added to both variances, as the layer does, or channels that stand still would count
    most.

    Give the moments of each picture, over its positions. With those of a whole set one picture makes up for another:
    photographs of which half are inverted would be nearer to pretraining than all of them as they were, and pictures
    that are much alike farther, for that alone.

    Args:
        stored_mean: `[channels]`, what the layer keeps; `stored_variance` likewise, ≥ 0.
        stored_variance: see there.
        mean: `[pictures, channels]`, of what the layer is given; `variance` likewise, ≥ 0. `[channels]`: of one.
        variance: see there.
        epsilon: of the layer, > 0.

    Raises:
        DataError: other shapes, NaN, or a variance below 0.
    """
    names = ("stored_mean", "stored_variance", "mean", "variance")
    given = (stored_mean, stored_variance, mean, variance)
    rows = [inputs.features_of(np.atleast_2d(one), name=name) for name, one in zip(names, given, strict=True)]
    of_layer, of_pictures = {row.shape for row in rows[:2]}, {row.shape for row in rows[2:]}
    fits = of_layer == {(1, rows[2].shape[1])} and len(of_pictures) == 1
    if not fits or (rows[1] < 0).any() or (rows[3] < 0).any() or not epsilon > 0:
        shapes = ", ".join(f"{name} {row.shape}" for name, row in zip(names, rows, strict=True))
        raise DataError(
            f"{shapes}, epsilon {epsilon}: expected [channels] twice, then [pictures, channels] twice, variances ≥ 0 "
            "and epsilon > 0."
        )
    old, new = rows[1] + epsilon, rows[3] + epsilon
    apart = (new + (rows[2] - rows[0]) ** 2) / old - 1 - np.log(new / old)
    return float(0.5 * apart.mean())


def summary(layers: Sequence[float]) -> Divergence:
    """Returns the divergences of a network's batch norms, input first, as one.

    Geometric means, since batch norms differ by factors, and single ones are far off for reasons of their own. With the
    share of inverted photographs they rise at 64 pixels, too, where medians fall (`tools/bench_advise.py`).

    Raises:
        DataError: there is none.
    """
    if not len(layers):
        raise DataError("the network has no batch norm, so nothing tells what it was pretrained on.")
    thirds = np.array_split(np.asarray(layers, np.float64), 3)
    # Of one or two batch norms some thirds have none: the nearest stands for them.
    early, middle, late = (third if len(third) else thirds[0] for third in thirds)
    return Divergence(
        all=_typical(np.asarray(layers, np.float64)),
        early=_typical(early),
        middle=_typical(middle),
        late=_typical(late),
        layers=tuple(float(one) for one in layers),
    )


def _typical(layers: np.ndarray) -> float:
    # One layer that is given what it keeps, all of it constant, must not make all others count for nothing.
    return float(np.exp(np.log(np.maximum(layers, _LEAST)).mean()))


def nearest_prototype(features: ArrayLike, prototypes: ArrayLike) -> float:
    """Returns how near pictures are to the nearest class of pretraining: the mean correlation with its row, in [-1, 1].

    The rows of a classifier come to point to the means of their classes (Papyan, Han & Donoho 2020, "Prevalence of
    neural collapse during the terminal phase of deep learning training"). What all rows have in common is taken off
    them. Correlation, over the channels, and not the cosine: networks end in activations ≥ 0, whose common part is in
    every cosine, and more in those of dull pictures. With blur, noise and the share of inverted photographs it falls
    more evenly than the cosine, the probability of the most probable class, or the logits do (`tools/bench_advise.py`).

    Networks have scales of their own: it is for several sets of pictures and one network.

    Args:
        features: that the classifier reads, `[examples, width]`, two columns at least.
        prototypes: its rows, `[classes, width]`, two at least.

    Raises:
        DataError: other shapes, or NaN.
    """
    given = inputs.features_of(features)
    rows = inputs.features_of(prototypes, name="prototypes")
    if given.shape[1] != rows.shape[1] or len(rows) < 2 or rows.shape[1] < 2:
        raise DataError(
            f"features {given.shape}, prototypes {rows.shape}: expected [examples, width] and [classes, width], "
            "two classes and a width of two at least."
        )
    correlations = _directions(given) @ _directions(rows - rows.mean(axis=0)).T
    return float(correlations.max(axis=1).mean())


def _directions(rows: np.ndarray) -> np.ndarray:
    """Returns rows less their means, of length 1; those that are the same everywhere stay 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-12)
