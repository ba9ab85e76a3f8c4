"""Random numbers of a stage: the states of dropout and its like."""

import hashlib

import keras
import tensorflow as tf


def seed(model: keras.Model, number: int, *, stage: int) -> None:
    """Sets the state of every random layer, within others too, a function of seed, stage and its place in the model.

    Args:
        model: whose layers draw.
        number: the seed of the run.
        stage: counted from 0.
    """
    for place, state in enumerate(_states(model)):
        key = hashlib.sha256(f"dropout:{number}:{stage}:{place}".encode()).digest()
        state.assign([int.from_bytes(key[:4]) // 2, 0])


def draw_apart(model: keras.Model) -> None:
    """Lets each replica draw numbers of its own; with equal states they would draw the same masks.

    The first one's state stays, and is the one that checkpoints hold.
    """
    strategy, states = model.distribute_strategy, _states(model)
    if strategy.num_replicas_in_sync == 1 or not states:
        return

    @tf.function(autograph=False)
    def add_replica() -> None:
        def add() -> None:
            own = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                state.assign(state.value + tf.cast(tf.stack([own, 0]), state.dtype))

        strategy.run(add)

    add_replica()


def _states(model: keras.Model) -> list[keras.Variable]:
    return [variable for variable in model.variables if variable.path.endswith("seed_generator_state")]
