"""VGG with and without batch norm, as torchvision and timm define it.

Simonyan and Zisserman 2014, arXiv:1409.1556.
"""

import keras

from tfxfer.backbones.torch_models.catalogue import Architecture, Variant
from tfxfer.backbones.torch_models.layers import batch_norm, convolve
from tfxfer.errors import ConfigError

layers = keras.layers


def features(name: str, x: keras.KerasTensor, architecture: Architecture, variant: Variant) -> keras.KerasTensor:
    """Returns the feature map after the last pooling. Blocks are named `block1` … `block5`."""
    for block, (depth, width) in enumerate(zip(architecture.depths, architecture.widths, strict=True), 1):
        for n in range(1, depth + 1):
            x = convolve(x, width, 3, f"block{block}_conv{n}", bias=True)
            if architecture.batch_norm:
                x = batch_norm(x, f"block{block}_conv{n}_bn", variant)
            x = layers.ReLU(name=f"block{block}_relu{n}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    return x


def top(x: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """Returns the logits of a 7×7 feature map; PyTorch's adaptive pooling to 7×7 from other sizes is not offered."""
    if tuple(x.shape[1:3]) != (7, 7):
        raise ConfigError(
            f"the pretrained head of VGG takes a 7×7 feature map, this one is {x.shape[1]}×{x.shape[2]}. Build it "
            "for image_size=224, or without its head."
        )
    # The first dense layer reads the whole map, which is a convolution as large as the map.
    for n, size in enumerate((7, 1), 1):
        x = layers.Conv2D(4096, size, name=f"classifier_hidden{n}")(x)
        x = layers.ReLU(name=f"classifier_relu{n}")(x)
        x = layers.Dropout(0.5, name=f"classifier_dropout{n}")(x)
    x = layers.Flatten(name="classifier_flatten")(x)
    return layers.Dense(classes, name="classifier")(x)
