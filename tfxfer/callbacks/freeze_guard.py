"""Proves in anyone's `fit` that what was frozen stands still and what was to train moves."""

import keras

from tfxfer import optimizers
from tfxfer.models.proof import Proof


class FreezeGuard(keras.callbacks.Callback):
    """Compares frozen weights bit by bit, and stops `fit` with the name of the variable that is at fault.

    >>> tfxfer.freeze(model, train="stage5")
    >>> model.compile(keras.optimizers.Adam(1e-4), loss=…)
    >>> model.fit(train, callbacks=[FreezeGuard()])

    It works on any built model, frozen by whatever means, and follows `tfxfer.freeze` and `GradualUnfreezing` within
    `fit`: what was frozen until then is compared, and a new proof begins. It notices what Keras does not: weights that
    someone assigns, `trainable` changed since `compile`, an optimizer that does not know what is to train, a layer
    group that no gradient reaches. It reads all weights once at the beginning, after each change, and at the end, about
    3 s a gigabyte each time, and keeps digests only.

    Attributes:
        idle: paths of variables that were to train and have not moved by the end of an epoch, which is no fault for a
            single one: see `tfxfer.models.proof`.

    Raises:
        VerificationError: from `fit`, when one of these things is found.
    """

    def __init__(self):
        super().__init__()
        self.idle: tuple[str, ...] = ()

    def on_train_begin(self, logs=None):
        """Begins anew; the first digests wait for the first batch, when other callbacks have restored what they do."""
        self._proof: Proof | None = None
        self._function = None
        self._moved = False

    def on_train_batch_begin(self, batch, logs=None):
        """Notices that the train function was made again, as every change that takes effect has it."""
        if self._proof is not None and self.model.train_function is self._function:
            return
        if self._proof is not None:
            self._proof.check_frozen()
        self._proof, self._since = Proof(self.model), self._steps()
        self._function, self._moved = self.model.train_function, False

    def on_epoch_end(self, epoch, logs=None):
        """Looks, once after each change, whether all that is to train has moved; weights may be put back later."""
        if self._moved or self._proof is None or self.model.train_function is not self._function:
            return
        steps = self._steps() - self._since
        if steps:
            self._proof.check(steps=steps)
            self.idle, self._moved = self._proof.idle, steps > 1

    def on_train_end(self, logs=None):
        """Compares what was frozen, and whether flags are still as they were."""
        if self._proof is None:
            return
        self._proof.check_frozen()
        if self.model.train_function is self._function:
            self._proof.check_flags()

    def _steps(self) -> int:
        optimizer = optimizers.of(self.model) or self.model.optimizer
        return int(keras.ops.convert_to_numpy(optimizer.iterations))
