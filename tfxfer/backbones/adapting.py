"""Makes a loaded network take other channels than red, green and blue, or give feature maps of several levels."""

from collections.abc import Sequence

import keras

from tfxfer import graph
from tfxfer.errors import BackboneError, ConfigError


def with_channels(model: keras.Model, channels: int) -> keras.Model:
    """Returns a model of the same layers that takes `[batch, height, width, channels]`.

    A 1×1 convolution without bias in front, `to_rgb`, makes red, green and blue of them, each the mean of all channels
    at first. Since the pixel convention and the first kernel are linear, that is what a first kernel would do whose
    colours were averaged and scaled by 3 / channels (as timm scales it), and for one channel, one whose colours were
    summed; but the means that the convention takes off stay right, and it works on every source.

    Raises:
        ConfigError: `channels` is below 1.
        BackboneError: the model does not take pictures of three channels.
    """
    if channels < 1:
        raise ConfigError(f"channels={channels} must be at least 1.")
    shape = model.inputs[0].shape
    if len(model.inputs) != 1 or len(shape) != 4 or shape[-1] != 3:
        raise BackboneError(
            f"{model.name!r} takes {shape}, not pictures of three channels, so channels= cannot be set."
        )
    inputs = keras.Input((*shape[1:3], channels), name="pixels")
    mean = keras.initializers.Constant(1 / channels)
    to_rgb = keras.layers.Conv2D(3, 1, use_bias=False, kernel_initializer=mean, name="to_rgb")
    return keras.Model(inputs, graph.called_on(model, to_rgb(inputs)), name=model.name)


def with_levels(model: keras.Model, levels: Sequence[str]) -> keras.Model:
    """Returns a model of the same layers that gives a list: the feature map at the end of each group or stage.

    Raises:
        ConfigError: there is no such group or stage.
        BackboneError: several tensors leave the end of one.
    """
    outputs = [without_tokens(graph.feature_tensor(model, level)) for level in levels]
    return keras.Model(graph.input_of(model), outputs, name=model.name)


def without_tokens(features: keras.KerasTensor) -> keras.KerasTensor:
    """Returns features as backbones give them: of tokens `[batch, tokens, channels]` their mean `[batch, channels]`."""
    if len(features.shape) != 3:
        return features
    return keras.layers.GlobalAveragePooling1D(name=f"{features.name}_mean")(features)
