"""Keeps the weights of the best epoch of a stage, for its end."""

from collections.abc import Sequence

import keras
import numpy as np

from tfxfer.training import checkpoints


class BestWeights(keras.callbacks.Callback):
    """Keeps what a stage moves as it was behind the epoch with the least validation loss, the earliest of equal ones.

    Attributes:
        epoch: that it was, counted from 1; 0 before the first.
    """

    def __init__(self, moved: Sequence[keras.Variable]):
        """Makes a callback for one `fit`; `moved`: what it may move of the model."""
        super().__init__()
        self.epoch = 0
        self._moved = list(moved)
        self._loss = np.inf
        self._arrays: Sequence[np.ndarray] = ()

    def on_epoch_end(self, epoch, logs=None):
        """Keeps the weights if they are the best until now."""
        if logs["val_loss"] < self._loss:
            self.epoch, self._loss = epoch + 1, float(logs["val_loss"])
            self._arrays = checkpoints.arrays_of(self._moved)

    def restore(self) -> None:
        """Puts the weights of the best epoch back; without one they stay."""
        if self._arrays:
            checkpoints.assign(self._moved, self._arrays)

    def get_state(self):
        """Returns which epoch it was, and the weights."""
        return {"epoch": self.epoch, "loss": self._loss}, self._arrays

    def set_state(self, told, arrays):
        """Takes what another process has kept."""
        self.epoch, self._loss, self._arrays = told["epoch"], told["loss"], arrays
