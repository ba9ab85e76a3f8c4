"""The formats that every bundle has: Keras's own file, and the SavedModels of the network and of its features."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from tfxfer import formats, graph, models, prediction
from tfxfer.answers import meant
from tfxfer.backbones.hub.layer import saved_models_allowed
from tfxfer.export import saved_model
from tfxfer.export.formats import Format, Subject
from tfxfer.export.formats.format import BATCH, Classify, in_batches
from tfxfer.export.saved_model import Offer


def feature_vector_of(model: keras.Model) -> keras.Model:
    """Returns the same layers up to what the head reads, from pixels to features `[batch, width]`."""
    return keras.Model(graph.input_of(model), models.pooled_features(model), name=f"{model.name}_features")


def _write_keras(subject: Subject, path: pathlib.Path) -> None:
    subject.model.save(path)


def _keras_opened(path: pathlib.Path, subject: Subject) -> Classify:
    with saved_models_allowed(allow_unsafe_model_code=True):  # this very process has run them
        model = keras.models.load_model(path, compile=False, safe_mode=False)

    def classify(pictures: np.ndarray) -> np.ndarray:
        # One shape, so that it is traced once.
        padded = np.resize(pictures, (BATCH, *pictures.shape[1:])) if len(pictures) > 1 else pictures
        return meant(prediction.logits_of(model, padded)[: len(pictures)], subject.task)

    return in_batches(classify)


def _write_classifier(subject: Subject, path: pathlib.Path) -> None:
    saved_model.write(subject.model, Offer("logits", subject.class_names, subject.framing, subject.task), path)


def _write_features(subject: Subject, path: pathlib.Path) -> None:
    saved_model.write(feature_vector_of(subject.model), Offer("features", (), subject.framing), path)


def _saved_model_opened(path: pathlib.Path, subject: Subject) -> Classify:
    answer = "features" if path.parent.name == "feature_vector" else subject.answer_name
    loaded = tf.saved_model.load(str(path))

    def classify(pictures: np.ndarray) -> np.ndarray:
        # Fractions, as everybody gives them, and not bytes: that their scale is right is what is checked.
        images = tf.constant(pictures, tf.float32) / 255.0
        return loaded.signatures["serving_default"](images=images)[answer].numpy()

    return in_batches(classify)


_WRITERS = {
    "keras": (_write_keras, _keras_opened),
    "saved_model": (_write_classifier, _saved_model_opened),
    "feature_vector": (_write_features, _saved_model_opened),
}
CORE: dict[str, Format] = {
    name: Format(**vars(facts), write=_WRITERS[name][0], opened=_WRITERS[name][1])
    for name, facts in formats.ALWAYS.items()
}
