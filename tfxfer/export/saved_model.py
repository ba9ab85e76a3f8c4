"""Writes a Keras model as a SavedModel that is served as it is, and is a backbone for whoever trains further."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

from tfxfer import answers, models
from tfxfer.backbones.hub.layer import SavedModelLayer
from tfxfer.errors import FormatError, VerificationError
from tfxfer.export import encoded
from tfxfer.export.formats.format import label_lines
from tfxfer.framing import Framing
from tfxfer.tasks import SINGLE_LABEL, Task

Outputs = Literal["logits", "probabilities", "features"]
# How many of the most probable classes a signature names.
MOST_NAMED = 5
# On 0..255; two roundings of float32 are at most 6e-5 there.
_ROUNDING = 1e-3
# Parts of names of ops that draw random numbers (tensorflow/core/ops: random_ops, stateless_random_ops, stateful_…).
_RANDOM = (
    *("Random", "Rng", "Multinomial", "TruncatedNormal", "StatefulUniform", "StatefulStandardNormal"),
    *("SampleDistorted", "FractionalMaxPool", "FractionalAvgPool"),
)


class _Reusable(tf.train.Checkpoint):
    """The interface that TF Hub describes: callable, `training`, `variables`, `trainable_variables`."""


@dataclasses.dataclass(frozen=True)
class Offer:
    """What a SavedModel gives.

    Attributes:
        outputs: what the model's one output is, float32 `[batch, classes or width]`.
        class_names: in its order; () where there are none to tell.
        framing: how its signature for files makes them squares.
        task: what logits are of.
    """

    outputs: Outputs
    class_names: tuple[str, ...] = ()
    framing: Framing = dataclasses.field(default_factory=Framing)
    task: Task = SINGLE_LABEL


def write(model: keras.Model, offer: Offer, folder: pathlib.Path) -> None:
    """Writes `model` to `folder`, which must not exist.

    The result is callable in TF Hub's format (tensorflow/docs, site/en/hub/reusable_saved_models.md): float32
    `[batch, size, size, 3]`, RGB in [0, 1] → the model's output, with an argument `training` (False by default). All
    that can train is listed in `trainable_variables`, whatever was frozen while it was trained here, and batch norm
    moves its statistics with `training=True`. Signatures:

    - `serving_default`: `images`, as above;
    - `serve_uint8`: `images`, uint8 `[batch, size, size, 3]`;
    - `serve_bytes`: `image_bytes`, text `[batch]`, the contents of JPEG or PNG files.

    Each gives `logits` and `probabilities`, float32 `[batch, classes]`, and of the at most five most probable classes
    `class_ids`, int32, and `labels`, text, both `[batch, 5]`, the most probable one first; or `features`. Of labels the
    probabilities are of each by itself; of classes in order there is the `expected_rank` too, float32 `[batch]`, the
    lowest class being 0, and one logit less; of regression there are `values`, float32 `[batch, targets]`, in the
    user's units, their names being `labels`, text `[targets]`, and no probabilities.

    Args:
        model: from pixels on 0..255, float32 `[batch, size, size, 3]`, to one output.
        offer: what that is.
        folder: where to write.

    Raises:
        VerificationError: augmentation or dropout is alive in the graph for inference.
        FormatError: TensorFlow cannot save it.
    """
    reusable, signatures = _traced(model, offer)
    with contextlib.ExitStack() as stack:
        if offer.class_names:
            labels = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) / "labels.txt"
            labels.write_text(label_lines(offer.class_names), encoding="utf-8")
            reusable.labels = tf.saved_model.Asset(str(labels))
            reusable.class_names = tf.Variable(offer.class_names, trainable=False, name="class_names")
        try:
            tf.saved_model.save(reusable, str(folder), signatures=signatures)
        except (AssertionError, TypeError, ValueError, tf.errors.OpError) as error:  # such as of a table nobody owns
            raise FormatError(f"TensorFlow cannot save the network: {error}") from error


def _traced(model: keras.Model, offer: Offer) -> tuple[_Reusable, dict[str, Callable]]:
    """Returns what is callable in TF Hub's format, and the signatures, by name; all of them traced and checked."""
    size = model.input_shape[1]
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")

    # One trace of the network for all that asks for inference.
    @tf.function(input_signature=[tf.TensorSpec(spec.shape, tf.float32)], autograph=False)
    def inferred(pixels):
        return model(pixels, training=False)

    @tf.function(autograph=False)
    def call(images, training=False):
        pixels = _on_bytes(images)
        return model(pixels, training=True) if training else inferred(pixels)

    @tf.function(input_signature=[spec], autograph=False)
    def serving_default(images):
        return _answer(call(images, training=False), offer)

    @tf.function(input_signature=[tf.TensorSpec(spec.shape, tf.uint8, name="images")], autograph=False)
    def serve_uint8(images):
        return _answer(inferred(tf.cast(images, tf.float32)), offer)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)
    def serve_bytes(image_bytes):
        pixels = encoded.decoded_batch(image_bytes, size, offer.framing)
        return _answer(inferred(tf.cast(pixels, tf.float32)), offer)

    with models.everything_trains(model):
        # Inference first: the first trace is what readers without a choice get.
        inference = call.get_concrete_function(spec, training=False)
        call.get_concrete_function(spec, training=True)
        reusable = _Reusable()
        reusable.__call__ = call
        reusable.resources = _resources(model)
        within = [resource for resource in reusable.resources if isinstance(resource, tf.Variable)]
        reusable.variables = [*(variable.value for variable in model.variables), *within]
        reusable.trainable_variables = [variable.value for variable in model.trainable_variables]
        reusable.regularization_losses = [_loss_of(v) for v in model.trainable_variables if v.regularizer is not None]
    signatures = {f.__name__: f.get_concrete_function() for f in (serving_default, serve_uint8, serve_bytes)}
    for function in (inference, *signatures.values()):
        _check_deterministic(function)
    return reusable, signatures


def _on_bytes(images: tf.Tensor) -> tf.Tensor:
    """Returns pixels on 0..255 of fractions; those of bytes are whole again, however they were divided.

    Multiplied by 1/255 and by 255 half of them would be off in the last bit, which a deep network makes visible.
    Gradients pass as through the multiplication.
    """
    pixels = images * 255.0
    rest = tf.stop_gradient(tf.round(pixels) - pixels)
    return pixels + tf.where(tf.abs(rest) < _ROUNDING, rest, 0.0)


def _answer(output: tf.Tensor, offer: Offer) -> dict[str, tf.Tensor]:
    """Returns what a signature gives, by name."""
    if offer.outputs == "features":
        return {"features": output}
    if offer.task.kind == "regression":
        names = {"labels": tf.constant(offer.class_names)} if offer.class_names else {}
        return {"values": answers.meant_in_graph(output, offer.task), **names}
    if offer.outputs == "logits":
        answer = {"logits": output, "probabilities": answers.meant_in_graph(output, offer.task)}
    else:
        answer = {"probabilities": output}
    if offer.task.kind == "ordinal":
        ranks = tf.range(answer["probabilities"].shape[-1], dtype=tf.float32)
        answer["expected_rank"] = tf.reduce_sum(answer["probabilities"] * ranks, axis=-1)
    _, best = tf.math.top_k(answer["probabilities"], k=min(MOST_NAMED, answer["probabilities"].shape[-1]))
    answer["class_ids"] = best
    if offer.class_names:
        answer["labels"] = tf.gather(tf.constant(offer.class_names), best)
    return answer


def _loss_of(variable: keras.Variable):
    """Returns a function without arguments: what a regulariser adds to the loss."""

    @tf.function(input_signature=[], autograph=False)
    def loss():
        return tf.cast(variable.regularizer(variable), tf.float32)

    return loss


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
    definition = function.graph.as_graph_def()
    kinds = {
        node.op for nodes in (definition.node, *(f.node_def for f in definition.library.function)) for node in nodes
    }
    random = sorted(kind for kind in kinds if any(part in kind for part in _RANDOM))
    if random:
        raise VerificationError(f"the exported graph would answer at random: it has {', '.join(random)}.")
