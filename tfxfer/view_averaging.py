"""Test-time augmentation: a network that answers with the mean probabilities over several views of a picture."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from tfxfer import augmentation, files, graph, values
from tfxfer.augmentation import Augment
from tfxfer.data import geometry
from tfxfer.data.views import Views
from tfxfer.errors import ConfigError
from tfxfer.tasks import Kind

# Views are the same for every picture; with which number they are drawn does not matter.
_KEY = 0


def augment_of(bundle: pathlib.Path) -> Augment:
    """Returns what training did to pictures, of the plan in a bundle's folder, settled, as far as it moves pixels."""
    planned = values.from_json(Augment, files.read_json(bundle / "plan.json")["what"]["augment"])
    nothing = augmentation.PRESETS["none"]
    settled = augmentation.settled(planned, "none")  # an older plan knows fewer fields
    if settled.views == 1 and not settled.live:  # whatever views might have differed in, training saw none
        return augmentation.settled(Augment(views=1), "none")
    still = {name: nothing[name] for name in augmentation.VIEW_FIELDS if name in nothing}
    moved = {name: getattr(settled, name) for name in augmentation.GEOMETRY_FIELDS}
    return dataclasses.replace(settled, **{**still, **moved})


def averaged(model: keras.Model, augment: Augment, count: int) -> keras.Model:
    """Returns a network with logits whose softmax is the mean of the probabilities of so many views of each picture.

    The views are the picture itself, its mirror images where training had them, and others as training moved them, the
    same for all pictures. Further outputs, such as features, are those of the picture itself.

    Args:
        model: from pixels on 0..255 to logits, or with further outputs behind them.
        augment: of `augment_of`.
        count: of views, ≥ 2.

    Raises:
        ConfigError: training did not move pictures, or there are fewer views than that.
    """
    _check(augment, count)
    given = graph.input_of(model)
    numbers = np.arange(count)
    transforms = Views(augment, given.shape[1]).parameters(np.full(count, _KEY, np.uint64), numbers)
    pixels = keras.Input(given.shape[1:], dtype=given.dtype)
    return keras.Model(pixels, _Averaged(model, transforms)(pixels))


def check_task(kind: Kind) -> None:
    """Refuses a task whose answers are not the softmax of logits.

    Raises:
        ConfigError: it is none of single labels.
    """
    if kind != "single_label":
        raise ConfigError(
            f"--tta averages probabilities of single labels, and the network's task is {kind}. Leave it out."
        )


def told(augment: Augment, count: int) -> str:
    """Returns in a sentence what the answers are a mean of."""
    return f"mean probabilities of {count} views of each picture: itself, and with {augmentation.described(augment)}"


def _check(augment: Augment, count: int) -> None:
    said = augmentation.described(augment)
    if said == "nothing":
        raise ConfigError(
            "the network was trained on pictures that were neither moved nor mirrored, so that there are no views to "
            "average over. Leave --tta out."
        )
    mirrors = augmentation.described(augment, ("flip",))
    most = {"none": 1, "horizontal": 2, "vertical": 2, "both": 4}[augment.flip]
    if said == mirrors and count > most:
        raise ConfigError(f"the network was trained with {said} alone, which gives {most} views. Write --tta={most}.")


class _Averaged(keras.layers.Layer):
    """Holds no variables of its own, and is never saved."""

    def __init__(self, model: keras.Model, transforms: np.ndarray):
        super().__init__(dtype="float32", autocast=False)
        self._model, self._transforms = model, transforms

    def call(self, pixels):
        probabilities, others = [], []
        for transform in self._transforms:
            transforms = tf.tile(tf.constant(transform)[None], [tf.shape(pixels)[0], 1])
            seen = tf.ensure_shape(geometry.warped(pixels, transforms), pixels.shape)
            logits, *rest = tf.nest.flatten(self._model(tf.cast(seen, pixels.dtype), training=False))
            probabilities.append(tf.nn.softmax(logits))
            others = others or rest
        mean = tf.add_n(probabilities) / len(probabilities)
        logits = tf.math.log(tf.maximum(mean, 1e-38))
        return [logits, *others] if others else logits
