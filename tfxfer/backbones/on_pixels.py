"""Puts a network that takes pictures in its own convention and size onto RGB pixels on 0..255 of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tfxfer.backbones import conventions
from tfxfer.errors import BackboneError

if TYPE_CHECKING:
    import keras


FLOAT32 = "features_float32"
"""How the name of a layer begins that gives features in float32."""


def on_pixels(
    trunk: keras.Model,
    image_size: int,
    convention: Callable[[keras.KerasTensor, str], keras.KerasTensor],
    *,
    name: str,
    origin: str,
) -> keras.Model:
    """Returns a model of the layers of `trunk`, shared, from float32 `[batch, image_size, image_size, 3]` to float32.

    Args:
        trunk: functional, without nested models, from `[batch, height, width, 3 or 1]`.
        image_size: height and width in pixels.
        convention: maps RGB, or grey where the trunk takes that, on 0..255 to what the trunk takes; its second argument
            is the name for its layer.
        name: of the model.
        origin: what the trunk comes from, for messages.

    Raises:
        BackboneError: a layer of the trunk works on its own size only; the message names it.
    """
    import keras

    _, height, _, channels = trunk.input_shape
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.ops.image.rgb_to_grayscale(pixels) if channels == 1 else pixels
    taken = {layer.name for layer in trunk.layers}
    x = convention(x, conventions.LAYER + "_of_file" * (conventions.LAYER in taken))

    def call(layer, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(lambda value: x if value is pixels else value, (args, kwargs))
        try:
            return layer(*args, **kwargs)
        except (ValueError, TypeError) as error:
            if height in (None, image_size):
                # Nothing but the size has changed, and every size is right: this one is too small.
                raise BackboneError(
                    f"{origin} cannot work on {image_size}×{image_size} pixels: nothing is left for its layer "
                    f"{layer.name!r} ({type(layer).__name__}). Give a larger image_size."
                ) from error
            raise BackboneError(
                f"{origin} was made for {height}×{height} pixels and cannot work on {image_size}×{image_size}: its "
                f"layer {layer.name!r} ({type(layer).__name__}) does not fit. Write image_size={height}, or cut below "
                "that layer."
            ) from error

    built = keras.models.clone_model(trunk, input_tensors=pixels, clone_function=lambda op: op, call_function=call)
    model = keras.Model(pixels, in_float32(built.output), name=name)
    if height not in (None, image_size):
        _check_runs(model, image_size, f"{origin} was made for {height}×{height} pixels and cannot work on")
    return model


def _check_runs(model: keras.Model, image_size: int, complaint: str) -> None:
    """Runs the model once: some layers, such as position embeddings, tell shapes that they cannot keep."""
    import numpy as np

    try:
        model(np.zeros((1, image_size, image_size, 3), np.float32), training=False)
    except Exception as error:  # of TensorFlow or of a layer, whatever it raises
        raise BackboneError(
            f"{complaint} {image_size}×{image_size} ({str(error).strip().partition(chr(10))[0][:300]})."
        ) from error


def in_float32(tensor: keras.KerasTensor, name: str = FLOAT32) -> keras.KerasTensor:
    """Returns features in float32, whatever precision the network computes in; `name` is that of the layer for it."""
    import keras

    if isinstance(tensor, keras.KerasTensor) and tensor.dtype != "float32":
        return keras.layers.Activation("linear", dtype="float32", name=name)(tensor)
    return tensor
