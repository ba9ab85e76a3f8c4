"""Vision transformers with a class token, as timm and torchvision define them: norm first, exact GELU.

Dosovitskiy and others 2020, arXiv:2010.11929. Every layer is Keras's own, so that the saved network loads without
tfxfer. The class token is the same for all pictures and meets its position embedding at once, so that the two are
kept as their sum: the first row of `position_embedding`.
"""

import keras

from tfxfer.backbones.torch_models.catalogue import Architecture, Variant
from tfxfer.backbones.torch_models.layers import layer_norm, patches

_PATCH = 16
_HEAD_WIDTH = 64

layers = keras.layers
ops = keras.ops


def features(name: str, x: keras.KerasTensor, architecture: Architecture, variant: Variant) -> keras.KerasTensor:
    """Returns the class token after the last norm, `[batch, channels]`. Blocks are named `block0` …"""
    (width,), (depth,) = architecture.widths, architecture.depths
    x = patches(x, width, _PATCH, "patch_embedding")
    count = x.shape[1] * x.shape[2]
    x = layers.Reshape((count, width), name="patch_tokens")(x)
    x = layers.ZeroPadding1D((1, 0), name="class_token_place")(x)
    x = layers.Add(name="position_add")([x, _positions(x, count + 1, width)])
    for block in range(depth):
        x = _block(x, f"block{block}", width, variant)
    x = layer_norm(x, "final_norm", variant)
    x = layers.Cropping1D((0, count), name="class_token")(x)
    return layers.Reshape((width,), name="class_features")(x)


def top(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Returns logits of the class token."""
    return layers.Dense(classes, name="classifier")(x)


def _positions(x: keras.KerasTensor, count: int, width: int) -> keras.KerasTensor:
    """Returns the position embeddings `[1, count, width]`.

    They are looked up by 0, 1, 2 …, counted along one picture's tokens because a functional graph has no constants.
    """
    ones = ops.ones_like(x[:1, :, 0], dtype="int32")
    order = ops.cumsum(ones, axis=1) - ones
    normal = keras.initializers.RandomNormal(stddev=0.02)
    return layers.Embedding(count, width, embeddings_initializer=normal, name="position_embedding")(order)


def _block(x: keras.KerasTensor, name: str, width: int, variant: Variant) -> keras.KerasTensor:
    start = x
    x = layer_norm(x, f"{name}_norm1", variant)
    attend = layers.MultiHeadAttention(width // _HEAD_WIDTH, _HEAD_WIDTH, name=f"{name}_attention")
    x = start = layers.Add(name=f"{name}_attention_add")([start, attend(x, x)])
    x = layer_norm(x, f"{name}_norm2", variant)
    x = layers.Dense(4 * width, name=f"{name}_expand")(x)
    x = layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = layers.Dense(width, name=f"{name}_project")(x)
    return layers.Add(name=f"{name}_add")([start, x])
