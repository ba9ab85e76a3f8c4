"""LiteRT (TFLite) files: float32, float16, weights in 8 bits, everything in 8 bits.

All have one signature, `serving_default`, from `images` to `probabilities`, or to `values` of regression; one picture
by default, and any number after the input was resized. Scaling of pixels and the softmax are inside.

| format | `images` | `probabilities` |
|---|---|---|
| float32, float16, dynamic | float32 `[batch, size, size, 3]`, RGB in [0, 1] | float32 `[batch, classes]` |
| int8 | uint8 `[batch, size, size, 3]`, RGB, 0..255 | uint8 `[batch, classes]`; a probability is the number / 256 |

So who has a camera's bytes gives them to int8 as they are, and no float is computed there at all, as accelerators want
it. Numbers of regression, and probabilities of classes in order, have a scale of their own there, which the file tells.
Metadata and labels are in the file: see `litert_metadata`.
"""

import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfxfer import formats
from tfxfer.data.rows import evenly
from tfxfer.errors import FormatError
from tfxfer.export.formats import frozen, litert_metadata
from tfxfer.export.formats.format import Classify, Subject, in_batches, label_lines
from tfxfer.export.formats.quiet import quiet

_SIGNATURE = "serving_default"
# How the converter tells of an op that it cannot translate: its place, of which the innermost name comes first, then
# the op as MLIR calls it.
_PLACE = re.compile(r'fused\["[^"]*", "([^"@]+)')
_OP = re.compile(r"'tf\.(\w+)' op is neither")

_Settings = Callable[[tf.lite.TFLiteConverter], None]


def write_float32(subject: Subject, path: pathlib.Path) -> None:
    """Writes the network as it is."""
    _write(subject, path, "litert", lambda converter: None)


def write_float16(subject: Subject, path: pathlib.Path) -> None:
    """Writes it with weights rounded to float16."""

    def settings(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]

    _write(subject, path, "litert_float16", settings)


def write_dynamic(subject: Subject, path: pathlib.Path) -> None:
    """Writes it with weights in 8 bits; activations are brought to 8 bits as they come, or weights to float32."""

    def settings(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]

    _write(subject, path, "litert_dynamic", settings)


def write_int8(subject: Subject, path: pathlib.Path) -> None:
    """Writes it with all numbers in 8 bits, whose ranges are those on the representative pictures.

    Raises:
        FormatError: there are none of these.
    """
    pictures = subject.representative
    if not len(pictures):
        raise FormatError(
            "litert_int8 measures the range of each tensor on pictures of the training split, and none were given. "
            "Say where they are, with --data=…, or leave litert_int8 out of the formats."
        )

    def representative() -> Iterator[dict[str, np.ndarray]]:
        for index in evenly(len(pictures), formats.REPRESENTATIVE):
            yield {frozen.INPUT: _fractions(pictures[index : index + 1])}

    def settings(converter):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.uint8

    _write(subject, path, "litert_int8", settings)


def opened(path: pathlib.Path, subject: Subject) -> Classify:
    """Returns the file as a function of pictures, run by the LiteRT interpreter on all processors."""
    from ai_edge_litert.interpreter import Interpreter

    # Not the path: the file may be replaced or removed while it is mapped.
    content = path.read_bytes()
    with quiet():  # at its first answer it announces what it computes with
        interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
        runner = interpreter.get_signature_runner(_SIGNATURE)
        (asked,), (answer,) = runner.get_input_details().values(), runner.get_output_details().values()
        runner(**{frozen.INPUT: np.zeros(asked["shape"], asked["dtype"])})
    if answer["shape"][-1] != len(subject.class_names):
        raise FormatError(f"{path} has {answer['shape'][-1]} classes, expected are {len(subject.class_names)}.")
    takes_bytes = asked["dtype"] == np.uint8

    def classify(pictures: np.ndarray) -> np.ndarray:
        given = np.ascontiguousarray(pictures) if takes_bytes else _fractions(pictures)
        probabilities = runner(**{frozen.INPUT: given})[subject.answer_name]
        if probabilities.dtype == np.float32:
            return probabilities
        scale, zero = answer["quantization"]
        return (probabilities.astype(np.float32) - zero) * np.float32(scale)

    return in_batches(classify)


def _fractions(pictures: np.ndarray) -> np.ndarray:
    return pictures.astype(np.float32) / np.float32(255)


def _write(subject: Subject, path: pathlib.Path, name: str, settings: _Settings) -> None:
    network = frozen.freeze(subject, name)
    with tempfile.TemporaryDirectory() as folder, quiet():
        _save(network, subject, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        # Nothing that needs TensorFlow's own kernels on the phone.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        settings(converter)
        try:
            content = converter.convert()
        except Exception as error:  # of its own kinds, and others of the calibration
            ops = _untranslated(str(error))
            reason = "has no counterpart among the ops of LiteRT" if ops else f"is refused by the converter ({error})"
            raise FormatError(frozen.cannot_hold(name, subject.model, ops, reason)) from error
        content = litert_metadata.attach(
            content,
            subject.size,
            label_lines(subject.class_names),
            takes_bytes=name == "litert_int8",
            kind=subject.task.kind,
        )
    path.write_bytes(content)


def _save(network: frozen.Frozen, subject: Subject, folder: str) -> None:
    """Writes the frozen network as a SavedModel, which is the way to a named signature in a LiteRT file."""
    spec = tf.TensorSpec([None, subject.size, subject.size, 3], tf.float32, name=frozen.INPUT)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(images):
        return {subject.answer_name: network.function(images)[0]}

    module = tf.Module()
    module.serve = serve
    # Without gradients, which nobody takes of it, and which for a custom one, such as that of swish, cannot be traced
    # in a graph of constants.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, signatures={_SIGNATURE: serve}, options=options)


def _untranslated(message: str) -> list[tuple[str, str]]:
    """Returns types and names of the ops that the converter's message complains of."""
    found = {}
    for line in message.splitlines():
        op, place = _OP.search(line), _PLACE.search(line)
        if op and place:
            found[op.group(1), place.group(1)] = None
    return list(found)
