"""Branches that replicas take together."""

from collections.abc import Callable

import tensorflow as tf


def waits_for_others() -> bool:
    """Whether the update of a variable waits for other replicas here, which a branch of one replica alone must not.

    So it is under a `MirroredStrategy` on CPUs; others sum what they need by collective ops.
    """
    context = tf.distribute.get_replica_context()
    is_one_of_several = context is not None and context.num_replicas_in_sync > 1
    # Private: nothing public tells.
    return is_one_of_several and not tf.__internal__.distribute.strategy_supports_no_merge_call()


def together(function: Callable, *arguments) -> None:
    """Calls a function of the strategy and of the values of all replicas once, for all of them."""
    tf.distribute.get_replica_context().merge_call(function, args=arguments)
