"""Decides in one place which variables of a model train."""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Literal

import keras

from tfxfer import graph
from tfxfer.addressing import Places
from tfxfer.errors import BackboneError, ConfigError, VerificationError
from tfxfer.models import batch_norm as batch_norms
from tfxfer.models import following, selection
from tfxfer.recipes import BatchNorm

_WIDEST_NAME = 40


@dataclasses.dataclass(frozen=True, kw_only=True)
class FrozenGroup:
    """What `freeze` did to one layer group.

    Attributes:
        name: of the group.
        trains: whether gradients move it; "partly" where some of its layers are frozen that could train, other than
            batch norm by its mode.
        layers: of it that have weights, or the one of which it is a part; in `trained_layers` of them something of
            the group trains.
        weights: numbers in all its variables; `trained_weights` of them an optimizer would move.
    """

    name: str
    trains: Literal["yes", "partly", "no"]
    layers: int
    trained_layers: int
    weights: int
    trained_weights: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frozen:
    """What `freeze` did.

    Attributes:
        groups: all of them, input first, the head last.
        batch_norm: mode of batch norm in the trained groups.
    """

    groups: tuple[FrozenGroup, ...]
    batch_norm: BatchNorm

    @property
    def trained(self) -> tuple[str, ...]:
        """Names of the groups in which something trains, the head among them."""
        return tuple(group.name for group in self.groups if group.trained_weights)

    @property
    def frozen(self) -> tuple[str, ...]:
        """Names of the groups in which nothing trains."""
        return tuple(group.name for group in self.groups if not group.trained_weights)

    @property
    def trainable_weights(self) -> int:
        """Numbers that an optimizer would move."""
        return sum(group.trained_weights for group in self.groups)

    @property
    def frozen_weights(self) -> int:
        """Numbers that it would not, moving statistics among them."""
        return sum(group.weights for group in self.groups) - self.trainable_weights

    @property
    def table(self) -> str:
        """A line for each group, and one for all: whether it trains, and its layers and weights that do, of all."""
        rows = [("group", "trains", "layers", "weights")]
        for group in self.groups:
            layers, weights = _of(group.trained_layers, group.layers), _of(group.trained_weights, group.weights)
            rows.append((_short(group.name), group.trains, layers, weights))
        layers = _of(sum(group.trained_layers for group in self.groups), sum(group.layers for group in self.groups))
        weights = _of(self.trainable_weights, self.trainable_weights + self.frozen_weights)
        rows.append(("all", "", layers, weights))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}" for a, b, c, d in rows]
        return "\n".join([*lines, f"batch norm in what trains: {self.batch_norm}"])

    def __str__(self) -> str:
        names = list(self.trained)
        if len(names) > 4:
            names = [names[0], "…", *names[-2:]]
        count = f"{len(names)} group trains" if len(self.trained) == 1 else f"{len(self.trained)} groups train"
        return (
            f"{count} ({self.trainable_weights:,} weights: {', '.join(names)}), "
            f"{len(self.frozen)} are frozen ({self.frozen_weights:,} weights); batch norm {self.batch_norm}"
        )


def freeze(
    model: keras.Model,
    *,
    train: selection.Train | None = None,
    frozen: selection.Frozen | None = None,
    batch_norm: BatchNorm = "frozen",
    warmup_steps: int = 0,
) -> Frozen:
    """Freezes `model` in place but for what `train` names, or just what `frozen` names. The head always trains.

    >>> print(freeze(model, train="stage5.block2"))
    6 groups train (...
    >>> print(freeze(model, frozen="layers[:8]").table)
    group ...

    Flags that were set before, of layers or of single variables, count for nothing, but what LoRA holds stays held. A
    compiled model obeys from the next step on, also in the middle of `fit`; Keras alone would go on as before. Under a
    `DifferentialLearningRate` the optimizer goes on with all it knows; under another one that has trained, a fresh one
    of its kind takes its place. All else that was compiled stays. After an error nothing has changed.

    Args:
        model: functional or sequential, with a head of `swap_head`, or with its last layer group as the head.
        train: one of "head", which it is if neither is given; "all"; a whole number: the last so many layer groups
            below the head; a number between 0 and 1: that share of them; a share of the weights, such as "30%", as
            nearly as whole layers make it; a name (see `outlines`): what it means and all that runs after it; an
            expression, "re:…", or positions, "layers[-8:]": just that; or several of these names in a tuple: exactly
            what they mean.
        frozen: the same from the input up: a number or share of groups, of weights ("90%"), a name: what it means
            and all that runs before it; "re:…" or "layers[:8]": that; several names: exactly what they mean.
        batch_norm: what batch norm in the trained groups does. "frozen": stored statistics, gamma and beta
            fixed; "affine": stored statistics, gamma and beta train (for a model of
            `with_stored_statistics`); "train": statistics move too (for any other one). In frozen
            groups it is always frozen.
        warmup_steps: ≥ 0, of what wakes under a `DifferentialLearningRate`, in which its rate rises to its place.

    Returns:
        What was done: counts of layers and weights by group.

    Raises:
        ConfigError: both are given, a name means nothing, a pattern matches nothing, or the optimizer cannot follow.
        BackboneError: nothing would be left to train, "affine" for a model whose batch norm would move its
            statistics, or "train" for one that holds them.
    """
    if batch_norm not in ("frozen", "affine", "train"):
        raise ConfigError(f"batch_norm={batch_norm!r} is not one of 'frozen', 'affine', 'train'.")
    if isinstance(warmup_steps, bool) or not isinstance(warmup_steps, int) or warmup_steps < 0:
        raise ConfigError(f"warmup_steps={warmup_steps!r} is not a whole number of optimizer steps from 0 on.")
    places = Places(model)
    if train not in (None, "head"):
        _check_can_train(places)
    trained = selection.selected(places, train, frozen)
    _check_mode_fits(places, trained, batch_norm)
    optimizer = following.successor(model) if model.compiled else None
    before = _Flags(model)
    try:
        _set_flags(places, trained, batch_norm)
        _verify(places, trained, batch_norm)
        if model.compiled:
            following.follow(model, optimizer, warmup_steps=warmup_steps)
    except Exception:
        before.restore()
        raise
    held = held_batch_norm(places, batch_norm)
    return Frozen(groups=tuple(_done(group, places, trained, held) for group in places.groups), batch_norm=batch_norm)


@contextlib.contextmanager
def everything_trains(model: keras.Model) -> Iterator[None]:
    """Within it all of `model` trains that can, batch norm too; behind it flags are as they were.

    What cannot: a SavedModel that was published without training, and what `enable_lora` froze. Nothing is compiled
    anew.
    """
    before = _Flags(model)
    try:
        for layer in graph.flatten(model):  # outer ones first, whose flags overwrite those within
            with contextlib.suppress(BackboneError):
                layer.trainable = True
                if isinstance(layer, graph.Parted):
                    layer.batch_norm = "train"
        for variable in graph.movable_and_state(model)[0]:
            variable.trainable = True
        for variable in graph.held_by_lora(model):
            variable.trainable = False
        yield
    finally:
        before.restore()


class _Flags:
    """What trained before, to be put back if something goes wrong."""

    def __init__(self, model: keras.Model):
        layers = graph.flatten(model)
        self._layers = [(layer, layer.trainable) for layer in layers]
        self._modes = [(layer, layer.batch_norm) for layer in layers if isinstance(layer, graph.Parted)]
        self._variables = [(variable, variable.trainable) for variable in model.weights]

    def restore(self) -> None:
        for layer, value in self._layers:  # outer ones first, whose flags overwrite those within
            layer.trainable = value
        for layer, mode in self._modes:
            layer.batch_norm = mode
        for variable, value in self._variables:
            variable.trainable = value


def _check_can_train(places: Places) -> None:
    if any(place.group != places.groups[-1].name for place in places.places):
        return
    for group in places.groups:
        for layer in group.layers:
            if isinstance(layer, graph.Parted):
                layer.trainable = True  # which says why it cannot
    raise BackboneError(f"{places.model.name!r} has nothing below its head that could train. Write train='head'.")


def _check_mode_fits(places: Places, trained: set[int], batch_norm: str) -> None:
    """Refuses a mode of batch norm that this graph cannot have; another one of the same variables can."""
    if batch_norm == "train":
        _check_statistics_move(places, trained)
    if batch_norm == "affine" and batch_norms.has_free_statistics(places.model):
        raise BackboneError(
            "batch_norm='affine' needs another graph. Type: model = tfxfer.with_stored_statistics(model), then "
            "freeze that one; it shares all variables."
        )


def _check_statistics_move(places: Places, trained: set[int]) -> None:
    """Refuses "train" where a batch norm in what trains is held at its stored statistics, which no one would notice."""
    alive = [group for group in places.groups if any(id(variable) in trained for variable in group.variables)]
    layers = [inner for group in alive for layer in group.layers for inner in graph.flatten(layer)]
    held = [layer.name for layer in layers if isinstance(layer, batch_norms.StoredStatistics)]
    if held:
        more = f" and {len(held) - 1} more" if len(held) > 1 else ""
        raise BackboneError(
            f"batch_norm='train' would move no statistics: this model holds those of {held[0]}{more}. Type: model = "
            "tfxfer.with_moving_statistics(model), then freeze that one, which shares all variables; or write "
            "batch_norm='affine' to keep the statistics."
        )


def held_batch_norm(places: Places, batch_norm: str) -> set[int]:
    """Returns the `id` of each gamma and beta that stays as it is whatever is named; the head's are new and train."""
    if batch_norm != "frozen":
        return set()
    return {id(variable) for group in places.groups[:-1] for variable in group.batch_norm_variables}


def _set_flags(places: Places, trained: set[int], batch_norm: str) -> None:
    # A container's flag overwrites its layers' flags, so containers come first and leaves last. Setting it also asks
    # layers to train that cannot (a signature of a SavedModel), so it is left alone where it is set already.
    for container in graph.flatten(places.model):
        if isinstance(container, keras.Model) and not container.trainable:
            container.trainable = True
    movable = {id(place.variable) for place in places.places}
    for group in places.groups:
        alive = any(id(variable) in trained for variable in group.trainable_variables)
        for layer in group.layers if group.part is None else ():
            for inner in graph.flatten(layer):
                own = [id(variable) for variable in inner.weights if id(variable) in movable]
                inner.trainable = any(key in trained for key in own) if own else alive
        # In the head, batch norm is new: it has no statistics to keep.
        if batch_norm == "frozen" and group.name != places.groups[-1].name:
            for layer in group.batch_norms:
                layer.trainable = False
    _set_parts([group for group in places.groups if group.part], trained, batch_norm)
    held = held_batch_norm(places, batch_norm)
    for place in places.places:
        # Keras drops `layer.trainable = True` where it is True already, and with it flags of single variables.
        if not isinstance(place.layer, graph.Parted):
            place.variable.trainable = id(place.variable) in trained - held
    for variable in graph.held_by_lora(places.model):  # which the flag of its layer has woken
        variable.trainable = False


def _set_parts(groups: list[graph.LayerGroup], trained: set[int], batch_norm: str) -> None:
    """Sets the flags of single variables in layers that are a network inside."""
    for layer in {id(group.layers[0]): group.layers[0] for group in groups}.values():
        own = [group for group in groups if group.layers[0] is layer]
        trains = [any(id(variable) in trained for variable in group.trainable_variables) for group in own]
        layer.trainable = any(trains)
        layer.batch_norm = "train" if batch_norm == "train" and all(trains) else "frozen"
        for group, moves in zip(own, trains, strict=True):
            held = {id(v) for v in group.batch_norm_variables} if batch_norm == "frozen" else ()
            for variable in group.trainable_variables if any(trains) else ():
                variable.trainable = moves and id(variable) not in held


def _verify(places: Places, trained: set[int], batch_norm: str) -> None:
    """Checks that what Keras will train is what was asked."""
    wanted = trained - held_batch_norm(places, batch_norm)
    actual = {id(variable): variable.path for variable in places.model.trainable_variables}
    paths = actual | {id(place.variable): place.variable.path for place in places.places}
    apart = [paths[key] for key in wanted ^ set(actual)]
    if apart:
        raise VerificationError(
            f"{len(wanted)} variables are to train, and Keras would train {len(actual)}; apart: "
            f"{', '.join(sorted(apart)[:5])}. A layer of {places.model.name!r} keeps flags of its own."
        )


def _done(group: graph.LayerGroup, places: Places, trained: set[int], held: set[int]) -> FrozenGroup:
    moved = trained - held
    layers = [layer for layer in group.layers if layer.weights]
    variables = {id(variable) for variable in group.variables}
    own = [id(place.variable) for place in places.places if place.group == group.name]
    trains = "yes" if trained.issuperset(own) else "partly"
    return FrozenGroup(
        name=group.name,
        trains=trains if moved.intersection(own) else "no",
        layers=len(layers),
        trained_layers=sum(any(id(variable) in moved & variables for variable in layer.weights) for layer in layers),
        weights=_count(group.variables),
        trained_weights=_count([variable for variable in group.variables if id(variable) in moved]),
    )


def _of(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" if part else f"- of {whole:,}"


def _short(name: str) -> str:
    half = _WIDEST_NAME // 2
    return name if len(name) <= _WIDEST_NAME else f"{name[: half - 1]}…{name[-half:]}"


def _count(variables: list[keras.Variable]) -> int:
    return sum(int(variable.value.shape.num_elements()) for variable in variables)
