"""Writes a Keras model as a callable SavedModel in the TF Hub format."""

import pathlib

import keras
import tensorflow as tf

from tfxfer.backbones.hub.layer import SavedModelLayer
from tfxfer.errors import VerificationError

# Shown to whoever opens the SavedModel.
INPUT = "float32 [batch, {size}, {size}, 3], RGB in [0, 1]"


class _Reusable(tf.train.Checkpoint):
    """The interface that TF Hub describes: callable, `training`, `variables`, `trainable_variables`."""


def write(model: keras.Model, class_names: tuple[str, ...], labels: pathlib.Path, folder: pathlib.Path) -> None:
    """Writes `model` to `folder`, which must not exist.

    The result is callable: float32 `[batch, size, size, 3]`, RGB in [0, 1] → logits `[batch, classes]`, with
    an argument `training` (False by default). Its signature `serving_default` gives `logits` and
    `probabilities`. The labels are an asset and the text variable `class_names`.

    Args:
        model: from pixels on 0..255 to logits.
        class_names: in the order of the logits.
        labels: a text file with one class name a line.
        folder: where to write.
    """
    size = model.input_shape[1]
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")

    @tf.function(autograph=False)
    def call(images, training=False):
        return model(images * 255.0, training=training)

    # Inference first: the first trace is what readers without a choice get.
    inference = call.get_concrete_function(spec, training=False)
    call.get_concrete_function(spec, training=True)
    _check_deterministic(inference)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(images):
        logits = call(images, training=False)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    reusable = _Reusable()
    reusable.__call__ = call
    reusable.resources = _resources(model)
    within = [resource for resource in reusable.resources if isinstance(resource, tf.Variable)]
    reusable.variables = [*(variable.value for variable in model.variables), *within]
    reusable.trainable_variables = [variable.value for variable in model.trainable_variables]
    reusable.regularization_losses = []
    reusable.labels = tf.saved_model.Asset(str(labels))
    reusable.class_names = tf.Variable(class_names, trainable=False, name="class_names")
    tf.saved_model.save(reusable, str(folder), signatures={"serving_default": serve})


def _resources(model: keras.Model) -> list:
    """Returns the lookup tables of all layers, and what SavedModels within keep from Keras.

    TensorFlow refuses to save a function that reads something which the saved object does not own.
    """
    found = []
    for part in tf.train.TrackableView(model).descendants():
        if isinstance(part, SavedModelLayer):
            found += part.kept_within
        elif isinstance(part, tf.saved_model.experimental.TrackableResource):
            found.append(part)
    return found


def _check_deterministic(function) -> None:
    """Refuses a graph that draws random numbers at inference.

    Raises:
        VerificationError: augmentation or dropout is alive in the graph.
    """
    kinds = {node.op for node in function.graph.as_graph_def().node}
    kinds |= {node.op for inner in function.graph.as_graph_def().library.function for node in inner.node_def}
    random = sorted(kind for kind in kinds if "Random" in kind)
    if random:
        raise VerificationError(f"the exported graph would answer at random: it has {', '.join(random)}.")
