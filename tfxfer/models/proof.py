"""Proves that what was frozen stood still and what was to train moved, bit by bit.

What counts as a fault: a frozen weight that changed; flags that changed since without anyone telling Keras; an
optimizer that does not know what trains; a layer group in which nothing moved. A single variable that did not move is
none by itself, and only named: the gradient of a unit that is off, or of a bias in front of batch norm, is 0 or noise,
and a small rate may be lost against a gain of 1 in float32. `models.idle` tells these from a fault, by the gradient.
In a whole group some number is always so near to 0 that it moves.
"""

import hashlib
from collections.abc import Collection

import keras
import numpy as np

from tfxfer import graph, optimizers
from tfxfer.errors import BackboneError, VerificationError
from tfxfer.models.batch_norm import StoredStatistics

# A zero head lets no gradient below it in its first step.
_FEWEST_STEPS_TO_MOVE = 2
_NAMED = 5


class Proof:
    """The state of a model before it trains, to be compared with the state after.

    It keeps digests, not numbers. Weights count, in floating point; the state of metrics and random layers does not.

    >>> proof = Proof(model)
    >>> model.fit(...)
    >>> proof.check(steps=100)

    Attributes:
        idle: paths of variables that were to train and did not move, as `check` found them last.
    """

    def __init__(self, model: keras.Model):
        """Takes digests of all weights of a model that is frozen as it is to train, compiled or not.

        Raises:
            VerificationError: the optimizer would move other variables than the model says.
        """
        self._model = model
        self.idle: tuple[str, ...] = ()
        moving = {id(variable): variable for variable in model.trainable_variables}
        free = _free_state(model)
        _check_slots(model)
        others = [(v, _digest(v)) for v in _floats(model) if id(v) not in moving]
        self._still = [(v, digest) for v, digest in others if id(v) not in free]
        self._free = [(v, digest) for v, digest in others if id(v) in free]
        self._moving = [(v, _digest(v)) for v in moving.values()]

    @property
    def digest(self) -> str:
        """First 16 hex digits of a SHA-256 over everything that is to stand still."""
        return hashlib.sha256("".join(digest for _, digest in self._still).encode()).hexdigest()[:16]

    @property
    def still(self) -> set[int]:
        """The `id` of each weight that is to stand still."""
        return {id(variable) for variable, _ in self._still}

    @property
    def idle_variables(self) -> list[keras.Variable]:
        """What was to train and has not moved until now."""
        return [variable for variable, digest in self._moving if _digest(variable) == digest]

    def narrow(self, moved: Collection[int]) -> None:
        """Takes back that all may move: what never woke is to stand still, as it was from the beginning.

        Args:
            moved: the `id` of each variable that did train; state that no gradient moves is to stand still where the
                model is frozen now.
        """
        free = _free_state(self._model)
        asleep = [pair for pair in self._moving if id(pair[0]) not in moved]
        held = [pair for pair in self._free if id(pair[0]) not in free]
        self._moving = [pair for pair in self._moving if id(pair[0]) in moved]
        self._free = [pair for pair in self._free if id(pair[0]) in free]
        self._still += [*asleep, *held]

    def check(self, *, steps: int) -> int:
        """Returns how many variables have moved.

        Args:
            steps: that the optimizer has made since; from 2 on, each layer group that trains must have moved.

        Raises:
            VerificationError: as of `check_frozen` and `check_flags`, or nothing has moved in a group; the message
                names the variables.
        """
        self.check_frozen()
        self.check_flags()
        self.idle = tuple(variable.path for variable in self.idle_variables)
        if self.idle and steps >= _FEWEST_STEPS_TO_MOVE:
            self._check_groups(steps)
        return len(self._moving) - len(self.idle)

    def check_frozen(self) -> None:
        """Compares what was frozen.

        Raises:
            VerificationError: a frozen variable has moved; the message names it.
        """
        broken = [variable.path for variable, digest in self._still if _digest(variable) != digest]
        if broken:
            raise VerificationError(f"{_names(broken)} moved, but {_is(broken)} frozen.")

    def check_weights(self) -> None:
        """Compares everything that gradients could move, frozen or not, where only statistics were to change.

        Raises:
            VerificationError: a weight has moved; the message names it.
        """
        self.check_frozen()
        broken = [variable.path for variable, digest in self._moving if _digest(variable) != digest]
        if broken:
            raise VerificationError(f"{_names(broken)} moved while only statistics of batch norm were to be measured.")

    def check_flags(self) -> None:
        """Compares what trains now with what trained at the beginning.

        Raises:
            VerificationError: a flag has changed; the message names the variables.
        """
        before = {id(variable): variable.path for variable, _ in self._moving}
        now = {id(variable): variable.path for variable in self._model.trainable_variables}
        woken, asleep = ([path for key, path in a.items() if key not in b] for a, b in ((now, before), (before, now)))
        for paths, became in ((woken, "trainable"), (asleep, "frozen")):
            if paths:
                raise VerificationError(
                    f"{_names(paths)} became {became} while the model was training, which Keras does not notice. "
                    "Change it with tfxfer.freeze(model, …), which tells the optimizer and the train function."
                )

    def _check_groups(self, steps: int) -> None:
        idle = set(self.idle)
        for own in _grouped(self._model, [variable for variable, _ in self._moving]):
            paths = [variable.path for variable in own]
            if paths and idle.issuperset(paths):
                raise VerificationError(
                    f"{_names(paths)} did not move in {steps} steps, but {_is(paths)} to train: no gradient reaches "
                    f"{'it' if len(paths) == 1 else 'them'}, or the rate is too small for {own[0].dtype}."
                )


def _grouped(model: keras.Model, variables: list[keras.Variable]) -> list[list[keras.Variable]]:
    """Returns variables by layer group, or all as one where a model has no layer graph."""
    try:
        groups = [{id(variable) for variable in group.variables} for group in graph.layer_groups(model)]
    except BackboneError:
        return [variables]
    return [[variable for variable in variables if id(variable) in group] for group in groups]


def _check_slots(model: keras.Model) -> None:
    """Compares what the optimizer knows with what the model trains.

    Ours has slots for exactly that. One of Keras may have been built on more, which is a known way to thaw later, and
    makes no fault; what it does not know it refuses only when the train function is made again, and else ignores.
    """
    own = optimizers.of(model)
    optimizer = own or getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    known = own.trained_variables if own else getattr(optimizer, "_trainable_variables", None)  # private: no other way
    if not getattr(optimizer, "built", False) or known is None:
        return
    trained = {id(variable): variable.path for variable in known}
    wanted = {id(variable): variable.path for variable in model.trainable_variables}
    apart = [path for key, path in wanted.items() if key not in trained]
    apart += [path for key, path in trained.items() if key not in wanted] if own else []
    if apart:
        raise VerificationError(
            f"the optimizer has slots for {len(trained)} variables and the model trains {len(wanted)}; apart: "
            f"{_names(apart)}. After a change of `trainable`: tfxfer.freeze(model, …), which tells the optimizer."
        )


def _floats(model: keras.Model) -> list[keras.Variable]:
    """Returns all weights, which are no state of metrics and random layers."""
    return [variable for variable in model.weights if "float" in variable.dtype]


def _free_state(model: keras.Model) -> set[int]:
    """Returns the `id` of each variable that training moves now without a gradient, such as a moving mean.

    State of a frozen layer is to stand still, but for that of a recurrent layer that goes on where it stopped.
    """
    layers = graph.flatten(model)
    stored = {id(layer.layer) for layer in layers if isinstance(layer, StoredStatistics)}
    free: list[keras.Variable] = []
    for layer in layers:
        if isinstance(layer, graph.Parted):
            parts = layer.variable_groups() if layer.trainable and layer.batch_norm == "train" else ()
            free += [variable for part in parts for variable in part.statistics]
        elif isinstance(layer, keras.layers.RNN) and layer.stateful:
            free += keras.tree.flatten(layer.states)
        elif layer.trainable and id(layer) not in stored and not isinstance(layer, keras.layers.Normalization):
            free += layer._non_trainable_variables  # private: a layer's own state, without that of layers within
    return {id(variable) for variable in free}


def _digest(variable: keras.Variable) -> str:
    return hashlib.sha256(np.ascontiguousarray(variable.numpy()).reshape(-1).view(np.uint8)).hexdigest()


def _names(paths: list[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def _is(paths: list[str]) -> str:
    return "is" if len(paths) == 1 else "are"
