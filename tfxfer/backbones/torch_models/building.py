"""Builds an architecture as a functional Keras network from pixels to features, with random weights."""

import importlib

import keras

from tfxfer.backbones.conventions import CONVENTIONS, choices
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.backbones.torch_models.layers import pixel_input
from tfxfer.errors import ConfigError, suggest


def build(
    name: str, image_size: int, naming: str | None = None, *, pixels: str | None = None, head: int = 0
) -> keras.Model:
    """Returns the network that the zoo behind `naming` publishes.

    >>> build("resnet18", 64).output_shape
    (None, 2, 2, 512)

    It takes float32 `[batch, image_size, image_size, 3]`, RGB on 0..255; its layer `pixel_convention` maps that to
    what the network was trained with.

    Args:
        name: key of `ARCHITECTURES`.
        image_size: height and width in pixels.
        naming: which zoo's definition: "torchvision", "timm", "package"; by default the first that there is.
        pixels: name of a convention (see `conventions`), for weights trained with another than the zoo's own.
        head: outputs of the pretrained classifier; 0 for features: `[batch, height, width, channels]`, of vision
            transformers the class token `[batch, channels]`.

    Raises:
        ConfigError: no such architecture, naming or pixel convention, or a size that the network cannot take.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"there is no architecture {name!r}.{suggest(name, ARCHITECTURES)} There are: {', '.join(ARCHITECTURES)}."
        )
    architecture = ARCHITECTURES[name]
    namings = [variant.naming for variant in architecture.variants]
    if naming is not None and naming not in namings:
        raise ConfigError(f"{name} has no naming {naming!r}.{suggest(naming, namings)} It has: {', '.join(namings)}.")
    if pixels is not None and pixels not in CONVENTIONS:
        raise ConfigError(
            f"there is no pixel convention {pixels!r}.{suggest(pixels, CONVENTIONS)} There are {choices()}."
        )
    _check_size(name, image_size)
    variant = architecture.variant(naming)
    family = importlib.import_module(f"tfxfer.backbones.torch_models.{architecture.family}")
    inputs, x = pixel_input(image_size, pixels or variant.pixels)
    x = family.features(name, x, architecture, variant)
    return keras.Model(inputs, family.top(x, head) if head else x, name=name)


def _check_size(name: str, image_size: int) -> None:
    architecture = ARCHITECTURES[name]
    least, multiple = architecture.minimum_size, architecture.multiple
    if image_size < least:
        raise ConfigError(f"image_size={image_size} is below the {least} pixels that {name} needs at least.")
    if image_size % multiple:
        below = image_size // multiple * multiple
        raise ConfigError(
            f"image_size={image_size} is no multiple of {multiple}, the patches of {name}. Write {below} or "
            f"{below + multiple}."
        )
