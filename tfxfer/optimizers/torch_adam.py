"""Adam whose epsilon stands where PyTorch has it."""

import keras


@keras.saving.register_keras_serializable("tfxfer")
class TorchAdam(keras.optimizers.Adam):
    """Adam as in Algorithm 1 of Kingma and Ba 2015, PyTorch and fastai: epsilon is added to the corrected root.

    Keras adds it before the correction (the paper's epsilon hat), where it counts 1/√(1 − beta_2^step) as much: 32
    times at the first step with the usual numbers, ten times with a beta_2 of 0.99. To gradients much larger than
    epsilon that is all the same.
    """

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable."""
        given = self.epsilon
        step = keras.ops.cast(self.iterations + 1, variable.dtype)
        power = keras.ops.power(keras.ops.cast(self.beta_2, variable.dtype), step)
        self.epsilon = given * keras.ops.sqrt(1 - power)
        try:
            super().update_step(gradient, variable, learning_rate)
        finally:
            self.epsilon = given
