"""Decides in one place which variables of a model train."""

import dataclasses

import keras

from tfxfer import graph, plans
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.models import batch_norm as batch_norms
from tfxfer.recipes import BatchNorm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frozen:
    """What `freeze` did.

    Attributes:
        trained: names of the groups that train, the head among them; `frozen` of those that do not.
        trainable_weights: numbers that an optimizer would move; `frozen_weights` those it would not.
        batch_norm: mode of batch norm in the trained groups.
    """

    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    trainable_weights: int
    frozen_weights: int
    batch_norm: BatchNorm

    def __str__(self) -> str:
        return (
            f"{len(self.trained)} groups train ({self.trainable_weights:,} weights: {', '.join(self.trained)}), "
            f"{len(self.frozen)} are frozen ({self.frozen_weights:,} weights); batch norm {self.batch_norm}"
        )


def freeze(model: keras.Model, *, train: int | float | str = "head", batch_norm: BatchNorm = "frozen") -> Frozen:
    """Freezes `model` in place but for what `train` names; the head always trains.

    >>> print(freeze(model, train="stage5.block2"))
    6 groups train (...

    A compiled model is compiled again with the same settings, since Keras would go on as before without a
    word; its optimizer starts anew.

    Args:
        model: functional or sequential, with a head of `swap_head`, or with its last layer group as the head.
        train: "head"; "all"; a whole number: the last so many groups below the head; a number between 0 and
            1: that share of them; or a group's name: this group and all above it.
        batch_norm: what batch norm in the trained groups does. "frozen": stored statistics, gamma and beta
            fixed; "affine": stored statistics, gamma and beta train (for a model of
            `with_stored_statistics`); "train": statistics move too. In frozen groups it is always frozen.

    Raises:
        ConfigError: no such group.
        BackboneError: "affine" for a model whose batch norm would move its statistics.
    """
    groups = graph.layer_groups(model)
    body = groups[:-1]
    if len(groups) < 2:
        raise BackboneError(f"{model.name!r} has one layer group only: there is nothing to freeze below its head.")
    trained = {*plans.trained_groups(train, tuple(group.facts for group in body)), groups[-1].name}
    if batch_norm == "affine" and batch_norms.has_free_statistics(model):
        raise BackboneError(
            "batch_norm='affine' needs another graph. Type: model = tfxfer.with_stored_statistics(model), then "
            "freeze that one; it shares all variables."
        )
    if batch_norm not in ("frozen", "affine", "train"):
        raise ConfigError(f"batch_norm={batch_norm!r} is not one of 'frozen', 'affine', 'train'.")
    _set_flags(model, groups, trained, batch_norm)
    if model.compiled:
        model.compile_from_config(model.get_compile_config())
    moved = sum(int(v.value.shape.num_elements()) for v in model.trainable_variables)
    total = sum(int(v.value.shape.num_elements()) for v in model.weights)  # which leaves dropout's seeds out
    return Frozen(
        trained=tuple(group.name for group in groups if group.name in trained),
        frozen=tuple(group.name for group in groups if group.name not in trained),
        trainable_weights=moved,
        frozen_weights=total - moved,
        batch_norm=batch_norm,
    )


def _set_flags(model: keras.Model, groups: tuple[graph.LayerGroup, ...], trained: set[str], batch_norm: str) -> None:
    # A container's flag overwrites its layers' flags, so containers come first and leaves last. Setting it also asks
    # layers to train that cannot (a signature of a SavedModel), so it is left alone where it is set already.
    for container in graph.flatten(model):
        if isinstance(container, keras.Model) and not container.trainable:
            container.trainable = True
    for group in groups:
        for layer in group.layers if group.part is None else ():
            for inner in graph.flatten(layer):
                inner.trainable = group.name in trained
        # In the head, batch norm is new: it has no statistics to keep.
        if batch_norm == "frozen" and group.name != groups[-1].name:
            for layer in group.batch_norms:
                layer.trainable = False
    _set_parts([group for group in groups if group.part], trained, batch_norm)


def _set_parts(groups: list[graph.LayerGroup], trained: set[str], batch_norm: str) -> None:
    """Sets the flags of single variables in layers that are a network inside."""
    for layer in {id(group.layers[0]): group.layers[0] for group in groups}.values():
        own = [group for group in groups if group.layers[0] is layer]
        trains = [group.name in trained for group in own]
        layer.trainable = any(trains)
        layer.batch_norm = "train" if batch_norm == "train" and all(trains) else "frozen"
        for group, moves in zip(own, trains, strict=True):
            held = {id(v) for v in group.batch_norm_variables} if batch_norm == "frozen" else ()
            for variable in group.trainable_variables if any(trains) else ():
                variable.trainable = moves and id(variable) not in held
