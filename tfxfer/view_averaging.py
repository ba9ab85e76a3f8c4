"""Test-time augmentation: a network whose answer is the mean over several views of a picture."""

import dataclasses
import pathlib

import keras
import numpy as np
import tensorflow as tf

from tfxfer import answers, augmentation, files, graph, values
from tfxfer.augmentation import Augment
from tfxfer.data import geometry
from tfxfer.data.views import Views
from tfxfer.errors import ConfigError
from tfxfer.tasks import SINGLE_LABEL, Task

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


def averaged(model: keras.Model, augment: Augment, count: int, task: Task = SINGLE_LABEL) -> keras.Model:
    """Returns a network whose outputs mean the mean of what those of so many views of each picture mean.

    Probabilities are averaged, not logits, so that no view outweighs the others; of regression the numbers.

    The views are the picture itself, its mirror images where training had them, and others as training moved them, the
    same for all pictures. Further outputs, such as features, are those of the picture itself.

    Args:
        model: from pixels on 0..255 to outputs of `task`, or with further outputs behind them.
        augment: of `augment_of`.
        count: of views, ≥ 2.
        task: of the network.

    Raises:
        ConfigError: training did not move pictures, or there are fewer views than that.
    """
    _check(augment, count)
    given = graph.input_of(model)
    numbers = np.arange(count)
    transforms = Views(augment, given.shape[1]).parameters(np.full(count, _KEY, np.uint64), numbers)
    pixels = keras.Input(given.shape[1:], dtype=given.dtype)
    return keras.Model(pixels, _Averaged(model, transforms, task)(pixels))


def told(augment: Augment, count: int, task: Task = SINGLE_LABEL) -> str:
    """Returns in a sentence what the answers are a mean of."""
    what = "numbers" if task.kind == "regression" else "probabilities"
    return f"mean {what} of {count} views of each picture: itself, and with {augmentation.described(augment)}"


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

    def __init__(self, model: keras.Model, transforms: np.ndarray, task: Task):
        super().__init__(dtype="float32", autocast=False)
        self._model, self._transforms, self._task = model, transforms, task

    def call(self, pixels):
        meant, others = [], []
        for transform in self._transforms:
            transforms = tf.tile(tf.constant(transform)[None], [tf.shape(pixels)[0], 1])
            seen = tf.ensure_shape(geometry.warped(pixels, transforms), pixels.shape)
            logits, *rest = tf.nest.flatten(self._model(tf.cast(seen, pixels.dtype), training=False))
            # Of regression the outputs as they are: what they mean is linear in them.
            meant.append(logits if self._task.kind == "regression" else answers.meant_in_graph(logits, self._task))
            others = others or rest
        outputs = _outputs_for(tf.add_n(meant) / len(meant), self._task)
        return [outputs, *others] if others else outputs


def _outputs_for(mean: tf.Tensor, task: Task) -> tf.Tensor:
    """Returns outputs that mean these probabilities; numbers of regression are what they are."""
    if task.kind == "regression":
        return mean
    if task.kind == "multi_label":
        return _log(mean) - _log(1.0 - mean)
    if task.kind == "ordinal":  # output k is the logit of "above k, if not below it"
        above = tf.cumsum(mean, axis=-1, exclusive=True, reverse=True)
        return _log(above[:, :-1]) - _log(mean[:, :-1])
    return _log(mean)


def _log(probabilities: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(probabilities, 1e-37))  # what is smaller than 1.2e-38 may count as 0
