"""The layers that the families share, with the conventions of PyTorch where they differ from Keras's."""

import keras

from tfxfer.backbones import conventions
from tfxfer.backbones.torch_models.catalogue import Variant

layers = keras.layers


def pixel_input(image_size: int, pixels: str) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Returns the input, RGB on 0..255, and what the layer `pixel_convention` makes of it."""
    inputs = keras.Input((image_size, image_size, 3), name="pixels")
    return inputs, conventions.applied(inputs, pixels)


def convolve(
    x: keras.KerasTensor,
    channels: int,
    kernel: int,
    name: str,
    *,
    stride: int = 1,
    padding: str = "symmetric",
    bias: bool = False,
    depthwise: bool = False,
) -> keras.KerasTensor:
    """Returns a convolution whose padding is half the kernel on each side, or TensorFlow's ("same").

    At stride 1 the two agree. At stride 2 Keras's "same" pads what is missing at the bottom and right first, so
    that PyTorch's takes a layer of its own.
    """
    if stride > 1 and kernel > 1 and padding == "symmetric":
        x = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    options = {"strides": stride, "padding": "valid" if padding == "valid" else "same", "use_bias": bias, "name": name}
    if depthwise:
        return layers.DepthwiseConv2D(kernel, **options)(x)
    return layers.Conv2D(channels, kernel, **options)(x)


def patches(x: keras.KerasTensor, channels: int, size: int, name: str) -> keras.KerasTensor:
    """Returns a convolution of patches that do not overlap; what is left over at the bottom and right is dropped."""
    return layers.Conv2D(channels, size, strides=size, padding="valid", name=name)(x)


def batch_norm(x: keras.KerasTensor, name: str, variant: Variant) -> keras.KerasTensor:
    """Returns batch norm with the epsilon and momentum of the zoo."""
    return layers.BatchNormalization(epsilon=variant.epsilon, momentum=variant.momentum, name=name)(x)


def layer_norm(x: keras.KerasTensor, name: str, variant: Variant) -> keras.KerasTensor:
    """Returns layer norm over channels with the epsilon of the zoo."""
    return layers.LayerNormalization(epsilon=variant.epsilon, name=name)(x)


def pool_of_positives(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Returns 3×3 max pooling of stride 2 with a border of 1, of numbers ≥ 0.

    PyTorch pads with −∞ where this pads with 0: the same after ReLU only.
    """
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name=name)(x)


def classify(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Returns logits of a feature map: the mean over positions, then one dense layer."""
    x = layers.GlobalAveragePooling2D(name="classifier_pool")(x)
    return layers.Dense(classes, name="classifier")(x)
