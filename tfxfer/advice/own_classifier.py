"""What a network's own classifier, which it was pretrained with, says of pictures."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import scipy.special

from tfxfer import backbones, graph, models, recipes
from tfxfer.errors import BackboneError

Classifier = Callable[[], keras.Model]
"""Loads a network with the head it was pretrained with; raises BackboneError where it has none."""


def of(recipe: recipes.Recipe, image_size: int) -> Classifier | None:
    """Returns what loads the recipe's backbone with its own head, for that height and width in pixels.

    None where the backbone has other weights than those that head belongs to.
    """
    if recipe.weights != "pretrained":
        return None
    return functools.partial(
        backbones.load_classifier,
        recipe.backbone.handle,
        image_size=image_size,
        allow_unsafe_model_code=recipe.backbone.allow_unsafe_model_code,
    )


def probabilities(classifier: Classifier, images: np.ndarray, *, batch_size: int = 32) -> np.ndarray:
    """Returns what a network holds pictures for, float64 `[pictures, its own classes]`, rows that add up to 1.

    Logits go through a softmax; what adds up to 1 already has been through one.

    Args:
        classifier: loads the network.
        images: uint8 `[pictures, height, width, 3]` of its size.
        batch_size: pictures at a time, ≥ 1.

    Raises:
        BackboneError: there is no classifier, or it does not tell one class of several.
    """
    model = classifier()
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2 or (model.outputs[0].shape[-1] or 0) < 2:
        shapes = ", ".join(str(tuple(output.shape)) for output in model.outputs)
        raise BackboneError(f"its own head gives {shapes}, expected [pictures, classes], two classes at least")
    given = _answers(model, images, batch_size).astype(np.float64)
    is_probability = (given >= 0).all() and np.allclose(given.sum(axis=1), 1, atol=1e-3)
    return given if is_probability else scipy.special.softmax(given, axis=1)


def read(classifier: Classifier, images: np.ndarray, *, batch_size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Returns what the last layer of a classifier reads of pictures, and its rows, one for each class.

    Args:
        classifier: loads the network.
        images: uint8 `[pictures, height, width, 3]` of its size.
        batch_size: pictures at a time, ≥ 1.

    Returns:
        float32 `[pictures, width]`, the mean over positions where it is asked at each, and float32 `[classes, width]`.

    Raises:
        BackboneError: there is no classifier, or its last layer is neither dense nor a convolution of single positions.
    """
    flat = graph.inlined(classifier())
    weighed = [call for call in graph.calls_of(flat) if getattr(call.operation, "weights", ())]
    last = weighed[-1].operation if weighed else None
    is_dense = isinstance(last, keras.layers.Dense)
    if not (is_dense or (isinstance(last, keras.layers.Conv2D) and last.kernel_size == (1, 1))):
        raise BackboneError(f"its last layer with weights is {last!r}, and no classifier of features")
    features = weighed[-1].inputs[0]
    rows = last.kernel.numpy().reshape(-1, last.kernel.shape[-1]).T
    maps = _answers(keras.Model(graph.input_of(flat), features), images, batch_size)
    return maps.reshape(len(maps), -1, maps.shape[-1]).mean(axis=1), rows


def _answers(model: keras.Model, images: np.ndarray, batch_size: int) -> np.ndarray:
    rows = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        said = models.predict_on_batch(model, batch[np.arange(batch_size) % len(batch)])
        rows.append(np.asarray(said)[: len(batch)])
    return np.concatenate(rows)
