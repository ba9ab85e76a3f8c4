"""One optimizer, one readable learning rate, and for each variable the share of it that it gets."""

import keras

from tfxfer.errors import VerificationError

_MOMENTUM = 0.9


class DifferentialSGD(keras.optimizers.SGD):
    """SGD with Nesterov momentum in which each variable moves at its own share of the learning rate.

    The share multiplies the update, momentum and decoupled weight decay included. `learning_rate` is the
    head's.
    """

    def __init__(self, learning_rate, shares: dict[int, float], *, decay: float = 0.0, clip_norm: float = 0.0):
        """Makes the optimizer.

        Args:
            learning_rate: a number or a schedule.
            shares: for the `id` of each variable that trains, its share in (0, 1].
            decay: share of a kernel taken off at each step, times the variable's rate; biases and gains,
                which have one axis longer than 1, are left alone.
            clip_norm: limit of the norm of all gradients together; 0 for none.
        """
        super().__init__(
            learning_rate, momentum=_MOMENTUM, nesterov=True, global_clipnorm=clip_norm or None, name="sgd"
        )
        self._shares = shares
        self._decay = decay
        self._share_of: list[float] = []

    def build(self, variables):
        """Makes a slot for each variable.

        Raises:
            VerificationError: a variable without a share.
        """
        unknown = [variable.path for variable in variables if id(variable) not in self._shares]
        if unknown:
            raise VerificationError(f"no learning rate was planned for {', '.join(unknown[:5])}.")
        self._share_of = [self._shares[id(variable)] for variable in variables]
        super().build(variables)

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable."""
        share = self._share_of[self._get_variable_index(variable)]
        rate = keras.ops.cast(learning_rate, variable.dtype) * share
        if self._decay and sum(extent > 1 for extent in variable.shape) > 1:
            self.assign_sub(variable, variable * (rate * self._decay))
        super().update_step(gradient, variable, rate)


def warmup_cosine(peak: float, steps: int, warmup_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a rate that rises linearly for `warmup_steps` and falls along a half cosine to 0 at `steps`.

    The first step has rate `peak / (warmup_steps + 1)`, not 0, so that no step is wasted.
    """
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(
        peak / (warmup_steps + 1), max(1, steps - warmup_steps), warmup_target=peak, warmup_steps=warmup_steps
    )
