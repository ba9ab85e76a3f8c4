"""Foretells the seconds of a stage from those of one measured step: pure arithmetic on `facts.Costs`."""

import dataclasses
import math
from collections.abc import Sequence

from tfxfer.facts import Costs

# Reading a byte of a row over gathering it with NumPy: from the store through a queue into a graph, where it becomes
# float32. An estimate: a gathering, a copy and a cast.
_READING = 3.0
# Beside steps and tracing, `fit` takes so long for an epoch and its validation (measured, two cores).
_EPOCH_SECONDS = 0.05
# The first epoch over later ones, in forward passes whose graphs are made as fast: of layers that train, whose step has
# gradients and the optimizer's ops, and of frozen ones before them; validation is in both. Measured on EfficientNet-
# Lite0 at 96 px (two busy cores, medians of three; such a pass 0.9 to 1.1 s) with its head and its last 3, 8 and 13
# blocks training: 0.45, 1.1, 2.6, 3.2 s behind a cut; with these and all of it from pixels: 2.8, 3.0, 3.4, 4.2, 4.2 s.
_TRAINING_TRACE, _FROZEN_TRACE = 3.8, 2.5
# Of a stage whatever trains: 0.45 s in its first epoch, for loss, metrics and the head, and 0.45 s beside its epochs,
# for building the model, proving what stood still, and ends of `fit` (measured likewise). It is slow where making
# graphs is, and told as so many layers of a forward pass, of which each took 6 to 7 ms.
_LEAST_LAYERS = 120
# A forward pass in which batch norm is folded into convolutions over one in which it is not (measured, two cores).
_FOLDED = 0.67
# Making the graphs of a part that is computed once, over one forward pass: one for training and one for validation
# examples, with the weights as constants (measured on EfficientNet-Lite0: 0.5 to 1.0 each); and the least of it.
_FILL_TRACE, _LEAST_FILL = 1.6, 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageWork:
    """What a stage has to do.

    Attributes:
        train_examples: in each epoch; `validation_examples` are looked at behind it.
        validation_examples: likewise.
        epochs: passes, also broken ones.
        steps: of the optimizer in all.
        views: of each training example.
        weights: numbers that the optimizer moves.
        first: position of the first layer group that trains; their number where only the head does.
        trained: positions of all groups that train, beside the head.
        by_batches: whether these normalise by the statistics of batches.
        refreshes: whether those are measured anew behind the stage.
    """

    train_examples: int
    validation_examples: int
    epochs: float
    steps: int
    views: int
    weights: int
    first: int
    trained: tuple[int, ...]
    by_batches: bool = False
    refreshes: bool = False


class Forecast:
    """Seconds of stages of one network on one machine."""

    def __init__(self, costs: Costs, batch_size: int, *, folds: bool = False):
        """Takes measured seconds, the examples in a step, and whether filling folds batch norm into convolutions."""
        self._fill = _FOLDED if folds else 1.0
        self._costs = costs
        self._batch = batch_size

    def seconds(
        self, work: StageWork, depth: int | None, row_bytes: int = 0, fills: Sequence[tuple[int, int]] | None = None
    ) -> float:
        """Returns the seconds of a stage.

        Args:
            work: what it has to do.
            depth: how many layer groups lie below the cut at which activations are kept; None without a cache.
            row_bytes: of one row there.
            fills: from which depth to which activations are computed first; None: from pixels to the cut.
        """
        costs, start = self._costs, depth or 0
        behind = sum(costs.forward[start:])
        longer = dict.fromkeys(work.trained, costs.batch_statistics) if work.by_batches else {}
        forward = sum(cost * longer.get(at, 1.0) for at, cost in enumerate(costs.forward) if at >= start)
        backward = sum(
            longer.get(at, 1.0) * (cost if at in work.trained or at == len(costs.backward) - 1 else cost / 2)
            for at, cost in enumerate(costs.backward)
            if at >= work.first
        )
        passes = work.epochs * work.train_examples
        seconds = passes * (forward + backward + row_bytes * costs.gather * _READING)
        seconds += work.epochs * work.validation_examples * (behind + row_bytes * costs.gather * _READING)
        seconds += work.steps * (costs.step + work.weights * costs.update) + math.ceil(work.epochs) * _EPOCH_SECONDS
        seconds += costs.trace * (_LEAST_LAYERS / max(1, sum(costs.layers)) + self._traced(work.first, start))
        if work.refreshes:  # a pass in training mode, with a graph of its own, and one over what is for validation
            seconds += work.train_examples * forward + work.validation_examples * behind
            seconds += costs.trace * self._share(start, len(costs.layers))
        if depth is not None:
            rows = work.train_examples * work.views + work.validation_examples
            for below, above in [(0, depth)] if fills is None else fills:
                seconds += self._fill * rows * sum(costs.forward[below:above])
                seconds += _LEAST_FILL + _FILL_TRACE * costs.trace * self._share(below, above)
        return seconds

    def _traced(self, first: int, start: int) -> float:
        """Returns how many forward passes of the whole network take as long to trace."""
        trained = self._share(first, len(self._costs.layers))
        return self._share(start, first) * _FROZEN_TRACE + trained * _TRAINING_TRACE

    def _share(self, start: int, stop: int) -> float:
        return sum(self._costs.layers[start:stop]) / max(1, sum(self._costs.layers))
