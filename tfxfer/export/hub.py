"""Writes anyone's Keras model as a SavedModel in the TF Hub format, checked after it was written."""

import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxfer import archives, files
from tfxfer.backbones import conventions
from tfxfer.errors import ConfigError, VerificationError
from tfxfer.export import saved_model
from tfxfer.export.bundle import check_archive
from tfxfer.export.saved_model import Offer, Outputs
from tfxfer.framing import Framing, Resize

# Pictures that are answered before and behind, and by how much the answers may differ, over the largest.
_PICTURES, _LIMIT = 4, 1e-5


def export_hub(
    model: keras.Model,
    folder: str | os.PathLike,
    *,
    outputs: Outputs = "logits",
    class_names: Sequence[str] = (),
    pixels: str = "0..255",
    image_size: int | None = None,
    resize: Resize = Framing.resize,
    background: str = Framing.background,
    archive: str | os.PathLike | None = None,
) -> None:
    """Writes a Keras 3 model of pictures as a reusable SavedModel: callable, served as it is, and to be fine-tuned.

    >>> export_hub(model, "hub/flowers/1", class_names=["daisy", "rose", "tulip"])
    >>> tf.saved_model.load("hub/flowers/1")(tf.zeros([1, 96, 96, 3])).shape
    TensorShape([1, 3])

    Whatever the model takes, the SavedModel takes float32 `[batch, size, size, 3]`, RGB in [0, 1], as TF Hub asks; its
    signatures are those of `tfxfer.export.saved_model.write`: `serving_default`, `serve_uint8` and `serve_bytes`.
    What is random while training, dropout and augmentation, is not in the graph for inference. The model keeps its
    flags of what trains.

    Args:
        model: from RGB pictures `[batch, height, width, 3]` to one output, float32 `[batch, numbers]`.
        folder: which must not exist.
        outputs: what that is: "logits"; "probabilities", where the model ends in a softmax; "features".
        class_names: in the order of the output, for logits and probabilities.
        pixels: how the model takes pixels: "0..255", "0..1", "-1..1", "imagenet", "caffe" or "lite".
        image_size: height and width in pixels; needed where the model's input does not say.
        resize: how `serve_bytes` brings pictures to that size: "squash", "crop" the centre, or "pad" to a square.
        background: what it lays transparent pixels on, and pads with: "white", "black" or "#rrggbb".
        archive: also write it as a .tar.gz, as TF Hub hosts it; must not exist.

    Raises:
        ConfigError: an argument that cannot be, several inputs or outputs, or as many names as there are not classes.
        WorkdirError: `folder` or `archive` exists or cannot be written.
        VerificationError: what was read back answers differently, or at random; nothing is left.
    """
    framing = Framing(resize=resize, background=background)
    problem = _problem(outputs, class_names, pixels, archive)
    if problem:
        raise ConfigError(problem)
    if archive is not None:
        check_archive(pathlib.Path(archive), pathlib.Path(folder))
    wrapped = _on_pixels(model, pixels, _size_of(model, image_size))
    width = wrapped.output_shape[-1]
    if class_names and len(class_names) != width:
        raise ConfigError(f"class_names has {len(class_names)} names, and the model has {width} outputs.")
    with files.new_folder(folder) as beside:
        saved_model.write(wrapped, Offer(outputs, tuple(class_names), framing), beside)
        _check(wrapped, beside)
    if archive is not None:
        archives.pack(folder, archive)


def _problem(outputs, class_names, pixels, archive) -> str:
    if outputs not in ("logits", "probabilities", "features"):
        return f"outputs={outputs!r} is none of 'logits', 'probabilities', 'features'."
    if pixels not in conventions.CONVENTIONS:
        return f"pixels={pixels!r} is no convention. There are: {conventions.choices()}."
    if isinstance(class_names, str) or not all(isinstance(name, str) for name in class_names):
        return "class_names is no sequence of texts. Write class_names=['cat', 'dog']."
    if class_names and outputs == "features":
        return "features have no class names. Leave class_names out, or write outputs='logits'."
    if archive is not None and not str(archive).endswith((".tar.gz", ".tgz")):
        return f"archive={str(archive)!r} must end with .tar.gz."
    return ""


def _size_of(model: keras.Model, image_size: int | None) -> int:
    shape = getattr(model, "input_shape", None)
    if shape is not None and (len(shape) != 4 or isinstance(shape, dict | list) or shape[3] != 3):
        raise ConfigError(f"the model takes {shape}, expected one picture: [batch, height, width, 3].")
    height, width = (None, None) if shape is None else shape[1:3]
    if image_size is None and (height is None or height != width):
        raise ConfigError(
            f"the model takes pictures of {height}×{width}; give image_size=224, or what it was made for."
        )
    if image_size is not None and image_size < 1:
        raise ConfigError(f"image_size={image_size} is no number of pixels. Write image_size=224.")
    if image_size is not None and height not in (None, image_size):
        raise ConfigError(f"image_size={image_size}, but the model takes pictures of {height}×{width}.")
    return image_size or height


def _on_pixels(model: keras.Model, convention: str, size: int) -> keras.Model:
    """Returns the model behind the layer that gives it its pixels, for pixels on 0..255."""
    inputs = keras.Input((size, size, 3))
    output = model(conventions.applied(inputs, convention))
    if not isinstance(output, keras.KerasTensor) or len(output.shape) != 2 or output.shape[1] is None:
        given = getattr(output, "shape", type(output).__name__)
        raise ConfigError(f"the model gives {given}, expected one output [batch, numbers].")
    return keras.Model(inputs, output)


def _check(model: keras.Model, folder: pathlib.Path) -> None:
    """Compares what was written, read back, with the model."""
    size = model.input_shape[1]
    pictures = np.random.default_rng(0).integers(0, 256, (_PICTURES, size, size, 3)).astype(np.float32)
    expected = np.asarray(model(pictures, training=False))
    loaded = tf.saved_model.load(str(folder))
    answers = [loaded(tf.constant(pictures) / 255.0).numpy() for _ in range(2)]
    difference = max(float(np.abs(answer - expected).max()) for answer in answers)
    if not difference <= _LIMIT * max(1.0, float(np.abs(expected).max())):
        raise VerificationError(
            f"the SavedModel, read back, differs from the model by up to {difference:.2g}; nothing was written."
        )
