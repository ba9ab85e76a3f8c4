"""ResNet as torchvision and timm define it: a bottleneck strides in its 3×3 convolution ("v1.5").

He and others 2015, arXiv:1512.03385. `keras.applications.ResNet50` strides in the first 1×1, has biases and another
epsilon, so nothing of it is used here.
"""

import keras

from tfxfer.backbones.torch_models.catalogue import Architecture, Variant
from tfxfer.backbones.torch_models.layers import batch_norm, classify, convolve, pool_of_positives

layers = keras.layers
top = classify


def features(name: str, x: keras.KerasTensor, architecture: Architecture, variant: Variant) -> keras.KerasTensor:
    """Returns the last feature map. Blocks are named `stage1_block1` …"""
    x = convolve(x, 64, 7, "stem_conv", stride=2)
    x = batch_norm(x, "stem_conv_bn", variant)
    x = layers.ReLU(name="stem_relu")(x)
    x = pool_of_positives(x, "stem_pool")
    for stage, (depth, width) in enumerate(zip(architecture.depths, architecture.widths, strict=True), 1):
        for block in range(1, depth + 1):
            stride = 2 if block == 1 and stage > 1 else 1
            plan = [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
            if not architecture.bottleneck:
                plan = [(width, 3, stride), (width, 3, 1)]
            x = _block(x, f"stage{stage}_block{block}", plan, stride, variant)
    return x


def _block(
    x: keras.KerasTensor, name: str, plan: list[tuple[int, int, int]], stride: int, variant: Variant
) -> keras.KerasTensor:
    """`plan`: channels, kernel and stride of each convolution."""
    shortcut = x
    for n, (channels, kernel, conv_stride) in enumerate(plan, 1):
        x = convolve(x, channels, kernel, f"{name}_conv{n}", stride=conv_stride)
        x = batch_norm(x, f"{name}_conv{n}_bn", variant)
        if n < len(plan):
            x = layers.ReLU(name=f"{name}_relu{n}")(x)
    if stride > 1 or shortcut.shape[-1] != x.shape[-1]:
        shortcut = convolve(shortcut, x.shape[-1], 1, f"{name}_shortcut_conv", stride=stride)
        shortcut = batch_norm(shortcut, f"{name}_shortcut_conv_bn", variant)
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)
