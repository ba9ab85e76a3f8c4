"""DenseNet as torchvision and timm define it: batch norm and ReLU before each convolution.

Huang and others 2016, arXiv:1608.06993. `keras.applications.DenseNet121` differs in its epsilon only, and in the
names of its layers.
"""

import keras

from tfxfer.backbones.torch_models.catalogue import Architecture, Variant
from tfxfer.backbones.torch_models.layers import batch_norm, classify, convolve, pool_of_positives

_GROWTH = 32
_BOTTLENECK = 4 * _GROWTH

layers = keras.layers
top = classify


def features(name: str, x: keras.KerasTensor, architecture: Architecture, variant: Variant) -> keras.KerasTensor:
    """Returns the last feature map, after its batch norm and ReLU. Blocks are named `stage1_block1` …"""
    x = convolve(x, architecture.widths[0], 7, "stem_conv", stride=2)
    x = batch_norm(x, "stem_conv_bn", variant)
    x = layers.ReLU(name="stem_relu")(x)
    x = pool_of_positives(x, "stem_pool")
    for stage, depth in enumerate(architecture.depths, 1):
        for block in range(1, depth + 1):
            x = _block(x, f"stage{stage}_block{block}", variant)
        if stage < len(architecture.depths):
            x = _halve(x, f"stage{stage}_transition", variant)
    x = batch_norm(x, "final_bn", variant)
    return layers.ReLU(name="final_relu")(x)


def _block(x: keras.KerasTensor, name: str, variant: Variant) -> keras.KerasTensor:
    start = x
    for n, (channels, kernel) in enumerate(((_BOTTLENECK, 1), (_GROWTH, 3)), 1):
        x = batch_norm(x, f"{name}_bn{n}", variant)
        x = layers.ReLU(name=f"{name}_relu{n}")(x)
        x = convolve(x, channels, kernel, f"{name}_conv{n}")
    return layers.Concatenate(name=f"{name}_concat")([start, x])


def _halve(x: keras.KerasTensor, name: str, variant: Variant) -> keras.KerasTensor:
    x = batch_norm(x, f"{name}_bn", variant)
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = convolve(x, x.shape[-1] // 2, 1, f"{name}_conv")
    return layers.AveragePooling2D(2, name=f"{name}_pool")(x)
