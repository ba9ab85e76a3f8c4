"""A scale on the loss under float16, which goes up and down by what its gradients do; the same on all replicas."""

import keras
import tensorflow as tf

from tfxfer.optimizers import replicas

# Below it gradients are infinite whatever the scale: no step can be made any more.
_LEAST_SCALE = 2.0**-10


@keras.saving.register_keras_serializable("tfxfer")
class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Keras's `LossScaleOptimizer`, which skips a step if the gradients of any replica are no numbers.

    >>> optimizer = LossScaling(DifferentialLearningRate(keras.optimizers.Adam(1e-3), {"...": 1.0}, model=model))

    That of Keras 3.15 looks at the gradients of the first replica alone, before they are summed over replicas, and so
    lets the infinite ones of another move the weights. This one counts the steps that were skipped, too: `iterations`
    are those that were made, by which rates go and by which variables wake.

    Attributes:
        skipped: steps that were not made, since float16 could not hold their gradients at the scale of then.
    """

    def build(self, var_list):
        """Makes the scale, the slots of the optimizer within, and the count."""
        super().build(var_list)
        # Past Keras's tracking, which would take it for two.
        skipped = self.add_variable(
            shape=(), initializer="zeros", dtype="int32", aggregation="none", name="skipped_steps"
        )
        object.__setattr__(self, "skipped", skipped)

    def _tf_apply(self, grads, trainable_variables=None):
        # Overrides: Keras looks at the first replica alone here.
        grads, context = list(grads), tf.distribute.get_replica_context()
        broken = tf.cast(tf.logical_not(self.check_finite(grads)), tf.int32)
        if context.num_replicas_in_sync > 1:
            broken = context.all_reduce(tf.distribute.ReduceOp.SUM, broken)
        if not replicas.waits_for_others():
            self._step_or_skip(broken, lambda: self._stateful_handle_finite_grads(grads, trainable_variables))
            return

        def branch(strategy, broken, grads, variables):
            def step():
                strategy.extended.call_for_each_replica(self._stateful_handle_finite_grads, args=(grads, variables))

            self._step_or_skip(strategy.experimental_local_results(broken)[0], step)

        # A branch that is taken by each replica alone must not wait for the others, and every update does.
        replicas.together(branch, broken, grads, trainable_variables)

    def _step_or_skip(self, broken, step):
        keras.ops.cond(tf.equal(broken, 0), step, self._stateful_handle_non_finite_grads)

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.skipped.assign_add(1)


def steps_taken(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns how many steps an optimizer was asked for: those that it made, and those that it skipped."""
    # Private: `iterations` counts updates, fewer than steps under accumulation.
    made = getattr(optimizer, "inner_optimizer", optimizer)._iterations
    return int(keras.ops.convert_to_numpy(made)) + skipped_steps(optimizer)


def skipped_steps(optimizer: keras.optimizers.Optimizer) -> int:
    """Returns how many steps were skipped; 0 for an optimizer without a scale."""
    return int(keras.ops.convert_to_numpy(optimizer.skipped)) if isinstance(optimizer, LossScaling) else 0


def is_lost(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether gradients are no numbers at any scale, so that nothing moves any more."""
    return isinstance(optimizer, LossScaling) and float(optimizer.dynamic_scale.numpy()) < _LEAST_SCALE


def scale_of(optimizer: keras.optimizers.Optimizer):
    """Returns the scale on the loss, float32 `[]`; 1 for an optimizer without one."""
    scale = getattr(optimizer, "dynamic_scale", None)
    return tf.constant(1.0) if scale is None else tf.convert_to_tensor(scale)
