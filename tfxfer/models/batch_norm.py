"""What batch norm does while its network is fine-tuned: one meaning for every backbone and Keras version.

Keras 3 up to 3.15 lets `fit` override `training=False` given when the graph was built, so neither mode
relies on it: `frozen` sets `trainable=False` on each layer, which means inference mode in every Keras since
2.1, and `affine` calls each layer from within another one, which nothing overrides.
"""

import dataclasses

import keras

from tfxfer import graph
from tfxfer.errors import ConfigError


@keras.saving.register_keras_serializable("tfxfer")
class StoredStatistics(keras.layers.Layer):
    """A batch normalisation that always uses its stored mean and variance; gamma and beta may train."""

    def __init__(self, layer: keras.layers.BatchNormalization, **kwargs):
        super().__init__(**{"name": layer.name, "dtype": layer.dtype_policy, **kwargs})
        self.layer = layer

    def build(self, input_shape):
        """Builds the layer within, where it is not built yet."""
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, inputs):
        """Returns the inputs normalised by the stored statistics."""
        return self.layer(inputs, training=False)

    def compute_output_shape(self, input_shape):
        """Returns the shape of the inputs."""
        return input_shape

    def get_config(self):
        """Returns what `from_config` needs."""
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        """Returns the layer that `get_config` described."""
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("layer")), **config)


def with_stored_statistics(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and variables in which batch norm uses its stored statistics.

    This is the graph of the mode `affine`. Random layers (dropout) are not touched, and neither is batch norm in a
    head of `swap_head`, which is new and has no statistics to keep. Nested models are inlined.
    """
    flat = graph.inlined(model)
    new = _of_head(flat)
    wrapped: dict[int, StoredStatistics] = {}

    def call(layer, *args, **kwargs):
        if not isinstance(layer, keras.layers.BatchNormalization) or id(layer) in new:
            return layer(*args, **kwargs)
        wrapper = wrapped.setdefault(id(layer), StoredStatistics(layer))
        return wrapper(args[0])

    return _rewired(flat, call)


def with_moving_statistics(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and variables in which batch norm obeys `fit`: the graph of the mode `train`.

    It undoes `with_stored_statistics`, and a `training=False` that a batch norm, or a model nested in this one, was
    called with: from Keras 3.16 on, statistics behind it never move. Random layers in such a model wake with it.
    """

    def call(layer, *args, **kwargs):
        if isinstance(layer, StoredStatistics):
            return layer.layer(args[0])
        if isinstance(layer, keras.layers.BatchNormalization):
            kwargs.pop("training", None)
        return layer(*args, **kwargs)

    return _rewired(graph.inlined(model), call)


def has_free_statistics(model: keras.Model) -> bool:
    """Whether a batch norm of `model` below its head would move its statistics in training if it were trainable."""
    head = _of_head(graph.inlined(model))
    return any(id(layer) not in head for layer in free_batch_norms(model))


def has_held_statistics(model: keras.Model) -> bool:
    """Whether `model` holds the statistics of a batch norm, so that it cannot train in the mode `train`."""
    return any(isinstance(layer, StoredStatistics) for layer in graph.flatten(model))


def free_batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the batch norms of `model`, nested ones included, that no `StoredStatistics` holds."""
    layers = {id(layer): layer for layer in graph.flatten(model)}
    holders = [layer for layer in layers.values() if isinstance(layer, StoredStatistics)]
    held = {id(inner) for holder in holders for inner in graph.flatten(holder)}
    return [layer for layer in _batch_norms(layers.values()) if id(layer) not in held]


def moving_batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the batch norms of `model` whose statistics move in `fit` as it is frozen now."""
    return [layer for layer in free_batch_norms(model) if layer.trainable]


def all_batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns every batch norm of `model` once, nested, frozen and held ones included."""
    return _batch_norms({id(layer): layer for layer in graph.flatten(model)}.values())


def networks_inside(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers of `model` that are a whole network inside, whose batch norms nobody can reach."""
    layers = {id(layer): layer for layer in graph.flatten(model)}
    return [layer for layer in layers.values() if isinstance(layer, graph.Parted)]


def batch_norm_momentum(steps_per_epoch: int) -> float:
    """Returns the momentum with which statistics keep up in a run of so many steps an epoch: max(1 − 10/s, 0.9).

    Keras's 0.99 forgets the old statistics over some hundred steps, more than many fine-tunings have. This rule
    averages over about the last tenth of an epoch, but over no fewer than ten steps, as shorter averages are noise.
    Source: Kornblith et al. 2019, "Do Better ImageNet Models Transfer Better?"; also SimCLR and BYOL.

    Args:
        steps_per_epoch: optimizer steps, ≥ 1.
    """
    if isinstance(steps_per_epoch, bool) or not isinstance(steps_per_epoch, int) or steps_per_epoch < 1:
        raise ConfigError(f"steps_per_epoch={steps_per_epoch!r} is not a whole number of steps from 1 on.")
    return max(1 - 10 / steps_per_epoch, 0.9)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MomentumChange:
    """What `set_batch_norm_momentum` did; `restore()`, or leaving it as a `with` block, puts the old momenta back.

    Attributes:
        model: whose batch norms were set.
        momentum: asked for.
        changed: layers whose momentum is now that, each with the momentum it had.
        kept: names of layers whose momentum was that or smaller already; they keep it.
        out_of_reach: sentences about layers that are a network inside and would move statistics with a momentum of
            their own.
    """

    model: keras.Model = dataclasses.field(repr=False)
    momentum: float
    changed: tuple[tuple[keras.layers.BatchNormalization, float], ...]
    kept: tuple[str, ...]
    out_of_reach: tuple[str, ...]

    def __str__(self) -> str:
        before = sorted({old for _, old in self.changed}, reverse=True)
        was = f" (was {', '.join(f'{old:g}' for old in before)})" if before else ""
        text = (
            f"momentum {self.momentum:g} in {len(self.changed)} batch norms{was}, {len(self.kept)} keep a smaller one"
        )
        return "; ".join([text, *self.out_of_reach])

    def restore(self) -> None:
        """Gives each layer the momentum that it had; statistics stay where they are."""
        for layer, before in self.changed:
            layer.momentum = before
        _trace_again(self.model)

    def __enter__(self) -> "MomentumChange":
        return self

    def __exit__(self, *exception) -> None:
        self.restore()


def set_batch_norm_momentum(model: keras.Model, momentum: float) -> MomentumChange:
    """Lowers the momentum of the batch norms whose statistics move, in place, also when `model` is compiled.

    >>> with set_batch_norm_momentum(model, batch_norm_momentum(steps_per_epoch)):
    ...     model.fit(…)

    A layer with a smaller momentum keeps it: a larger one would only let its statistics lag further behind. Momentum
    is part of a layer's config, so a `.keras` file saved before `restore()` holds the new one; predictions are the
    same either way.

    Args:
        model: the one whose `fit` runs, since its compiled function holds the momenta and is traced again; another
            compiled model that shares the layers is not.
        momentum: in [0, 1): the share of the old statistics that one step keeps.

    Raises:
        ConfigError: no such momentum.
    """
    if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum < 1:
        raise ConfigError(
            f"momentum={momentum!r} is not a number in [0, 1). Type momentum=batch_norm_momentum(steps_per_epoch)."
        )
    moving = moving_batch_norms(model)
    changed = tuple((layer, layer.momentum) for layer in moving if layer.momentum > momentum)
    for layer, _ in changed:
        layer.momentum = float(momentum)
    if changed:
        _trace_again(model)
    return MomentumChange(
        model=model,
        momentum=float(momentum),
        changed=changed,
        kept=tuple(layer.name for layer in moving if all(layer is not other for other, _ in changed)),
        out_of_reach=tuple(_why_out_of_reach(layer, momentum) for layer in networks_inside(model) if _moves(layer)),
    )


def _batch_norms(layers) -> list[keras.layers.BatchNormalization]:
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _of_head(flat: keras.Model) -> set[int]:
    layers = [call.operation for call in graph.head_calls(flat) if isinstance(call.operation, keras.layers.Layer)]
    return {id(inner) for layer in layers for inner in graph.flatten(layer)}


def _rewired(flat: keras.Model, call) -> keras.Model:
    # `clone_model` neither looks into nested models nor takes a call function for sequential ones, so both are
    # inlined before.
    return keras.models.clone_model(flat, clone_function=lambda layer: layer, call_function=call)


def _trace_again(model: keras.Model) -> None:
    """Lets the compiled train function see new momenta: the graph holds them as constants."""
    if getattr(model, "train_function", None) is not None:
        model.make_train_function(force=True)


def _moves(layer: graph.Parted) -> bool:
    return layer.trainable and layer.batch_norm == "train"


def _why_out_of_reach(layer: keras.layers.Layer, momentum: float) -> str:
    parameters = getattr(getattr(layer, "offer", None), "parameters", ())
    for name in (parameter.name for parameter in parameters if "momentum" in parameter.name):
        given = layer.get_config()["arguments"].get(name, "of its publisher")
        return (
            f"{layer.name!r} has a momentum inside, {given}, set when the layer is made: "
            f"arguments={{{name!r}: {momentum:g}}}"
        )
    return f"{layer.name!r} is a network inside that moves its statistics with a momentum of its own"
