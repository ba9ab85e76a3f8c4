"""What a stage trains on: its examples as batches, in the order that seed, stage and step decide."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfxfer.data import batches, mixing
from tfxfer.data.rows import Rows
from tfxfer.plans import StagePlan, What

# Batches that are looked at in each epoch: by AutoRGN, and for the drift of statistics; and behind the stage, for what
# has not moved.
_BATCHES_TO_MEASURE = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageData:
    """The examples of one stage.

    Attributes:
        number: of the stage, counted from 0.
        stage: what is to be done with them.
        what: the plan that it belongs to.
        train: rows that are trained on, pictures or activations of them.
        validation: likewise, not trained on.
        cached: whether they are activations.
    """

    number: int
    stage: StagePlan
    what: What
    train: Rows
    validation: Rows
    cached: bool

    def batches(self, start: int, stop: int) -> tf.data.Dataset:
        """Returns what the steps from `start` to `stop` train on."""
        mix = mixing.mixer(self.what.augment, seed=self.what.seed, stage=self.number, cached=self.cached)
        return self._batches(start, stop, mix)

    def some(self) -> tf.data.Dataset:
        """Returns the first batches, not mixed."""
        return self._batches(0, _BATCHES_TO_MEASURE, None)

    def one_pass(self) -> tf.data.Dataset:
        """Returns the batches of the first epoch, not mixed."""
        return self._batches(0, self.stage.steps_per_epoch, None)

    def held_out(self) -> tf.data.Dataset:
        """Returns the batches of the validation split.

        Where classes are drawn in shares of their own, examples have weights that do as much, so that validation loss
        is what training makes small.
        """
        rows, each = self.validation, self.what.imbalance.drawn
        if each:
            times = np.array(each) / np.bincount(self.train.labels, minlength=len(each))
            weights = times[rows.labels].astype(np.float32)
            rows = dataclasses.replace(rows, weights=weights if rows.weights is None else weights * rows.weights)
        return batches.ordered_batches(rows, batch_size=self.what.batch_size)

    def _batches(self, start: int, stop: int, mix) -> tf.data.Dataset:
        return batches.training_batches(
            self.train,
            batch_size=self.what.batch_size,
            start=start,
            steps=stop - start,
            seed=self.what.seed,
            stage=self.number,
            mix=mix,
            each=self.what.imbalance.drawn,
        )
