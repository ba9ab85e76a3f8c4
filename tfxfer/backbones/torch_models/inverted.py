"""MobileNetV2 and EfficientNet-Lite: inverted residual blocks with ReLU6 and no squeeze-and-excitation.

Sandler and others 2018, arXiv:1801.04381; tensorflow/tpu, models/official/efficientnet/lite.
"""

import keras

from tfxfer.backbones.torch_models.catalogue import Architecture, Variant
from tfxfer.backbones.torch_models.layers import batch_norm, classify, convolve

# Kernel and stride of each stage: EfficientNet-B0's with 3×3 and 5×5, MobileNetV2's.
_EFFICIENTNET = ((3, 1), (3, 2), (5, 2), (3, 2), (5, 1), (5, 2), (3, 1))
_MOBILENET = ((3, 1), (3, 2), (3, 2), (3, 2), (3, 1), (3, 2), (3, 1))

layers = keras.layers
top = classify


def features(name: str, x: keras.KerasTensor, architecture: Architecture, variant: Variant) -> keras.KerasTensor:
    """Returns the last feature map. Blocks are named `block0`, `block1` …"""
    stages = _MOBILENET if name.startswith("mobilenet") else _EFFICIENTNET
    x = convolve(x, architecture.widths[0], 3, "stem_conv", stride=2, padding=variant.padding)
    x = batch_norm(x, "stem_conv_bn", variant)
    x = layers.ReLU(6, name="stem_relu")(x)
    index = 0
    for (kernel, stride), depth, width in zip(stages, architecture.depths, architecture.widths[1:], strict=True):
        for repeat in range(depth):
            expansion = 1 if index == 0 else 6
            x = _block(x, f"block{index}", kernel, 1 if repeat else stride, expansion, width, variant)
            index += 1
    x = convolve(x, architecture.feature_channels, 1, "head_conv")
    x = batch_norm(x, "head_conv_bn", variant)
    return layers.ReLU(6, name="head_conv_relu")(x)


def _block(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, channels: int, variant: Variant
) -> keras.KerasTensor:
    start = x
    if expansion > 1:
        x = convolve(x, x.shape[-1] * expansion, 1, f"{name}_expand_conv")
        x = batch_norm(x, f"{name}_expand_conv_bn", variant)
        x = layers.ReLU(6, name=f"{name}_expand_relu")(x)
    depthwise = f"{name}_depthwise_conv"
    x = convolve(x, 0, kernel, depthwise, stride=stride, padding=variant.padding, depthwise=True)
    x = batch_norm(x, f"{depthwise}_bn", variant)
    x = layers.ReLU(6, name=f"{name}_depthwise_relu")(x)
    x = convolve(x, channels, 1, f"{name}_project_conv")
    x = batch_norm(x, f"{name}_project_conv_bn", variant)
    if stride == 1 and start.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([start, x])
    return x
