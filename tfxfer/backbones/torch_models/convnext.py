"""ConvNeXt as torchvision and timm define it, with exact GELU and without stochastic depth.

Liu and others 2022, arXiv:2201.03545. The features are the last feature map as it is; the layer norm that belongs to
the pretrained head follows its pooling, as in the original.
"""

import keras

from tfxfer.backbones.torch_models.catalogue import Architecture, Variant
from tfxfer.backbones.torch_models.layers import convolve, layer_norm, patches

layers = keras.layers


def features(name: str, x: keras.KerasTensor, architecture: Architecture, variant: Variant) -> keras.KerasTensor:
    """Returns the last feature map. Blocks are named `stage1_block1` …"""
    x = patches(x, architecture.widths[0], 4, "stem_conv")
    x = layer_norm(x, "stem_norm", variant)
    for stage, (depth, width) in enumerate(zip(architecture.depths, architecture.widths, strict=True), 1):
        if stage > 1:
            x = layer_norm(x, f"stage{stage}_downsample_norm", variant)
            x = patches(x, width, 2, f"stage{stage}_downsample_conv")
        for block in range(1, depth + 1):
            x = _block(x, f"stage{stage}_block{block}", width, variant)
    return x


def top(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Returns logits: the mean over positions, layer norm, one dense layer."""
    x = layers.GlobalAveragePooling2D(name="classifier_pool")(x)
    x = layers.LayerNormalization(epsilon=1e-6, name="classifier_norm")(x)
    return layers.Dense(classes, name="classifier")(x)


def _block(x: keras.KerasTensor, name: str, width: int, variant: Variant) -> keras.KerasTensor:
    start = x
    x = convolve(x, width, 7, f"{name}_depthwise_conv", depthwise=True, bias=True)
    x = layer_norm(x, f"{name}_norm", variant)
    x = layers.Dense(4 * width, name=f"{name}_expand")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Dense(width, name=f"{name}_project")(x)
    # One number a channel: a layer of Keras's own, so that the saved network loads without tfxfer.
    small = keras.initializers.Constant(1e-6)
    scale = layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer=small, name=f"{name}_layer_scale")
    return layers.Add(name=f"{name}_add")([start, scale(x)])
