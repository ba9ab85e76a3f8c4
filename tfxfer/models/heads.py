"""Builds heads on features, one or several, and swaps the head of a network."""

import dataclasses
import typing
import zlib
from collections.abc import Mapping

import keras

from tfxfer import graph
from tfxfer.backbones.source import Backbone
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.heads import MLP, Cosine, Head, Pooling

# What is added to each feature before a cosine: far below any feature that says something, and enough to give zero
# features a length, without which they would have no direction and no finite gradient.
_SHIFT = 1e-7
# Of batch norm in heads, whose statistics begin at nothing: a short stage cannot wait for Keras's 0.99, which is
# still at 1/e of the start after 100 steps. 0.9 is PyTorch's default too (there called 0.1).
_MOMENTUM = 0.9
# A head computes in this whatever the network below it does, or Keras's global policy says: it costs next to nothing,
# and logits of eight bits would be off by up to 0.04.
_FLOAT = "float32"
# Layers that all heads of a model share.
_POOLING = ("head_pool", "head_pool_max", "head_concat")
_KINDS = typing.get_args(Head)


def swap_head(
    network: Backbone | keras.Model, head: Head | Mapping[str, Head], *, at: str | None = None, seed: int = 0
) -> keras.Model:
    """Returns a new model with another head, or several, sharing the layers below.

    >>> model = swap_head(load_backbone("keras:MobileNetV2", image_size=96), heads.Linear(outputs=5))
    >>> model.output_shape
    (None, 5)

    Several heads on one trunk are a dict; the model gives a dict of the same names, and `compile` takes a loss and
    metrics for each: `model.compile(loss={"species": …, "age": …})`.

    >>> model = swap_head(model, {"species": heads.Linear(outputs=5), "age": heads.MLP(outputs=3)})
    >>> {name: logits.shape for name, logits in model.output.items()}
    {'species': (None, 5), 'age': (None, 3)}

    Args:
        network: a backbone; or a whole classifier, functional or sequential, which is cut before its last
            layers that hold no position in the picture any more. Heads of an earlier call go, all of them.
        head: with its number of outputs; the model gives logits, float32 `[batch, outputs]`. Or a dict of them by
            names of ASCII letters, digits and underscores, no digit first.
        at: name of the layer, layer group or stage of a whole model whose output the new head reads instead.
        seed: of the head's initial numbers and its dropout; each of several heads has its own, by its name.

    Raises:
        ConfigError: a head is none or has no number of outputs, a name cannot be one, or there is no layer `at`.
        BackboneError: the model cannot be cut there, or has layers of the head's names below.
    """
    _check(head)
    if isinstance(network, Backbone):
        if network.facts.levels:
            raise BackboneError(
                "the backbone gives several levels, and this head reads one: load it with at=… instead."
            )
        model, features = network.model, network.model.output
    else:
        model = graph.inlined(network)
        features = graph.feature_tensor(model, at)
    trunk = keras.Model(graph.input_of(model), features)
    build = _Builder(features, taken=frozenset(call.operation.name for call in graph.calls_of(trunk)))
    if isinstance(head, Mapping):
        # A seed of its own, whatever other heads there are: heads of one kind would begin alike.
        seeds = {name: (seed + zlib.crc32(name.encode())) % 2**31 for name in head}
        logits = {name: build.logits(one, f"head_{name}", seeds[name]) for name, one in head.items()}
    else:
        logits = build.logits(head, "head", seed)
    return keras.Model(graph.input_of(model), logits, name=f"{model.name}_classifier")


def pooled_features(model: keras.Model) -> keras.KerasTensor:
    """Returns the one tensor that all heads of an assembled model depend on, as high up as there is one.

    That is what they pool the features into, `[batch, width]`; or the features themselves, where those have no
    positions, or where several heads pool them in different ways.

    Raises:
        BackboneError: the model has no head of `swap_head`.
    """
    calls = graph.head_calls(model)
    if not calls:
        raise BackboneError(f"model {model.name!r} has no head of tfxfer's: swap_head gives it one.")
    above = [call for call in calls if call.operation.name not in _POOLING]
    written = {id(tensor) for call in above for tensor in call.outputs}
    read = {id(tensor): tensor for call in above for tensor in call.inputs if id(tensor) not in written}
    return next(iter(read.values())) if len(read) == 1 else calls[0].inputs[0]


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Builds heads on a feature map `[batch, height, width, channels]` or on features `[batch, channels]`.

    Attributes:
        features: what the heads read.
        taken: names of layers that are there already.
        pooled: the features pooled in each way that a head has asked for.
    """

    features: keras.KerasTensor
    taken: frozenset[str]
    pooled: dict[str, keras.KerasTensor] = dataclasses.field(default_factory=dict)

    def logits(self, head: Head, prefix: str, seed: int) -> keras.KerasTensor:
        """Returns the logits of `head`, whose layers are called `prefix_…`."""
        x = self._pool(head.pooling)
        if isinstance(head, MLP):
            x = self._hidden(x, head, prefix, seed)
        x = self._dropout(x, head.dropout, seed, f"{prefix}_dropout")
        if isinstance(head, Cosine):
            return self._cosine(x, head, prefix, seed)
        kernel = _kernel(head.kernel, seed)
        name = self._new(f"{prefix}_logits")
        return keras.layers.Dense(head.outputs, kernel_initializer=kernel, dtype=_FLOAT, name=name)(x)

    def _hidden(self, x: keras.KerasTensor, head: MLP, prefix: str, seed: int) -> keras.KerasTensor:
        layers = keras.layers
        for number, units in enumerate(head.hidden):
            kernel = keras.initializers.HeNormal(seed=seed + number)
            name = self._new(f"{prefix}_hidden_{number}")
            if head.batch_norm:
                x = layers.Dense(units, use_bias=False, kernel_initializer=kernel, dtype=_FLOAT, name=name)(x)
                name = self._new(f"{prefix}_norm_{number}")
                x = layers.BatchNormalization(momentum=_MOMENTUM, dtype=_FLOAT, name=name)(x)
                x = layers.ReLU(dtype=_FLOAT, name=self._new(f"{prefix}_relu_{number}"))(x)
            else:
                x = self._dropout(x, head.dropout, seed, f"{prefix}_dropout_{number}")
                x = layers.Dense(units, activation="relu", kernel_initializer=kernel, dtype=_FLOAT, name=name)(x)
        return x

    def _cosine(self, x: keras.KerasTensor, head: Cosine, prefix: str, seed: int) -> keras.KerasTensor:
        # Of Keras's own layers alone, so that a saved model opens where tfxfer is not installed.
        layers, constraint = keras.layers, keras.constraints.UnitNorm(axis=0)
        x = layers.Rescaling(1.0, offset=_SHIFT, dtype=_FLOAT, name=self._new(f"{prefix}_features"))(x)
        x = layers.UnitNormalization(dtype=_FLOAT, name=self._new(f"{prefix}_unit"))(x)
        cosine = layers.Dense(
            head.outputs,
            use_bias=False,
            kernel_initializer=_kernel(head.kernel, seed),
            kernel_constraint=constraint,
            dtype=_FLOAT,
            name=self._new(f"{prefix}_cosine"),
        )
        x = cosine(x)
        # The constraint acts behind each step; before the first one, no initializer gives length 1 to any number of
        # classes.
        cosine.kernel.assign(constraint(cosine.kernel))
        name = self._new(f"{prefix}_logits")
        if not head.learn_scale:
            return layers.Rescaling(head.scale, dtype=_FLOAT, name=name)(x)
        x = layers.Reshape((head.outputs, 1), dtype=_FLOAT, name=self._new(f"{prefix}_column"))(x)
        start = keras.initializers.Constant(head.scale)
        scale = layers.Dense(
            1, use_bias=False, kernel_initializer=start, dtype=_FLOAT, name=self._new(f"{prefix}_scale")
        )
        return layers.Reshape((head.outputs,), dtype=_FLOAT, name=name)(scale(x))

    def _pool(self, pooling: Pooling) -> keras.KerasTensor:
        rank = len(self.features.shape)
        if rank not in (2, 4):
            raise BackboneError(f"features have shape {self.features.shape}, expected [batch, h, w, c] or [batch, c].")
        if rank == 2:
            if pooling == "both":
                raise ConfigError(
                    f"pooling='both' needs a feature map, but the features {self.features.shape} have no height and "
                    "width. Write pooling='avg', which leaves them as they are."
                )
            return self.features
        layers = keras.layers
        if pooling not in self.pooled:
            if pooling == "avg":
                x = layers.GlobalAveragePooling2D(dtype=_FLOAT, name=self._new("head_pool"))(self.features)
            elif pooling == "max":
                x = layers.GlobalMaxPooling2D(dtype=_FLOAT, name=self._new("head_pool_max"))(self.features)
            else:
                x = layers.Concatenate(dtype=_FLOAT, name=self._new("head_concat"))(
                    [self._pool("avg"), self._pool("max")]
                )
            self.pooled[pooling] = x
        return self.pooled[pooling]

    def _dropout(self, x: keras.KerasTensor, rate: float, seed: int, name: str) -> keras.KerasTensor:
        return keras.layers.Dropout(rate, seed=seed, dtype=_FLOAT, name=self._new(name))(x) if rate else x

    def _new(self, name: str) -> str:
        if name in self.taken:
            raise BackboneError(
                f"the model has a layer {name!r} below its head already, as the new head will. Give that layer "
                "another name where the model is made, or cut below it: at=…"
            )
        return name


def _kernel(name: str, seed: int) -> keras.initializers.Initializer:
    if name == "zeros":
        return keras.initializers.Zeros()
    if name == "orthogonal":
        return keras.initializers.Orthogonal(seed=seed)
    return keras.initializers.GlorotUniform(seed=seed)


def _check(head: Head | Mapping[str, Head]) -> None:
    problems = []
    if isinstance(head, Mapping):
        if not head:
            problems.append("the dict has no head in it. Write {'species': heads.Linear(outputs=5), …}")
        for name, one in head.items():
            if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
                problems.append(f"{name!r} cannot name a head. Write letters, digits and underscores: 'species'")
            problems += [f"head {name!r}: {problem}" for problem in _problems(one)]
    else:
        problems += _problems(head)
    if problems:
        raise ConfigError(f"{'; '.join(problems)}.")


def _problems(head) -> list[str]:
    """Returns what is wrong with one head, in words."""
    if not isinstance(head, _KINDS):
        kinds = ", ".join(f"heads.{kind.__name__}(outputs=…)" for kind in _KINDS)
        return [f"{head!r} is no head, expected one of {kinds}, or a dict of them"]
    if head.outputs == "auto":
        return [f"{type(head).__name__}(outputs='auto') works in recipes. Say how many: outputs=10"]
    return []
