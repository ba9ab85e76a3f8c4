"""Builds heads on features, and swaps the head of a network."""

import keras

from tfxfer import graph
from tfxfer.backbones.source import Backbone
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.heads import MLP, Head

# The layer that a cached stage begins behind.
_POOLED = ("head_concat", "head_pool", "head_pool_max")


def swap_head(network: Backbone | keras.Model, head: Head, *, at: str | None = None, seed: int = 0) -> keras.Model:
    """Returns a new model with another head, sharing the layers below it.

    >>> model = swap_head(load_backbone("keras:MobileNetV2", image_size=96), heads.Linear(outputs=5))
    >>> model.output_shape
    (None, 5)

    Args:
        network: a backbone; or a whole classifier, functional or sequential, which is cut before its last
            layers that hold no position in the picture any more.
        head: with its number of outputs; the model gives logits, float32 `[batch, outputs]`.
        at: name of the layer, layer group or stage of a whole model whose output the new head reads instead.
        seed: of the head's initial numbers and its dropout.

    Raises:
        ConfigError: the head has no number of outputs, or there is no layer `at`.
        BackboneError: the model cannot be cut there.
    """
    if head.outputs == "auto":
        raise ConfigError(f"{type(head).__name__}(outputs='auto') works in recipes. Say how many: outputs=10.")
    if isinstance(network, Backbone):
        if network.facts.levels:
            raise BackboneError(
                "the backbone gives several levels, and this head reads one: load it with at=… instead."
            )
        model, features = network.model, network.model.output
    else:
        model = graph.inlined(network)
        features = graph.feature_tensor(model, at)
    logits = build_head(features, head, seed=seed)
    return keras.Model(graph.input_of(model), logits, name=f"{model.name}_classifier")


def build_head(features: keras.KerasTensor, head: Head, *, seed: int) -> keras.KerasTensor:
    """Returns the logits of `head` on a feature map `[batch, height, width, channels]` or `[batch, channels]`.

    Layers are called `head_…`; logits are float32 whatever the precision policy.
    """
    layers = keras.layers
    x = _pool(features, head.pooling) if len(features.shape) == 4 else features
    if len(x.shape) != 2:
        raise BackboneError(f"features have shape {features.shape}, expected [batch, h, w, c] or [batch, c].")
    if isinstance(head, MLP):
        for number, units in enumerate(head.hidden):
            x = _dropout(x, head.dropout, seed, f"head_dropout_{number}")
            kernel = keras.initializers.HeNormal(seed=seed + number)
            x = layers.Dense(units, activation="relu", kernel_initializer=kernel, name=f"head_hidden_{number}")(x)
    x = _dropout(x, head.dropout, seed, "head_dropout")
    kernel = keras.initializers.Zeros() if head.kernel == "zeros" else keras.initializers.GlorotUniform(seed=seed)
    return layers.Dense(head.outputs, kernel_initializer=kernel, dtype="float32", name="head_logits")(x)


def pooled_features(model: keras.Model) -> keras.KerasTensor:
    """Returns the tensor `[batch, width]` that the head of an assembled model pools the features into."""
    calls = graph.calls_of(model)
    for call in reversed(calls):
        if call.operation.name in _POOLED:
            return call.outputs[0]
    for call in calls:
        if call.operation.name.startswith("head_"):
            return call.inputs[0]  # features without positions are not pooled
    raise BackboneError(f"model {model.name!r} has no head of tfxfer's: swap_head gives it one.")


def _pool(features, pooling: str):
    layers = keras.layers
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name="head_pool")(features)
    if pooling == "max":
        return layers.GlobalMaxPooling2D(name="head_pool_max")(features)
    both = [_pool(features, "avg"), _pool(features, "max")]
    return layers.Concatenate(name="head_concat")(both)


def _dropout(x, rate: float, seed: int, name: str):
    return keras.layers.Dropout(rate, seed=seed, name=name)(x) if rate else x
