"""ONNX files: `images`, float32 `[batch, size, size, 3]`, RGB in [0, 1] → `probabilities`, float32 `[batch, classes]`.

Of regression the output is `values`, float32 `[batch, targets]`, in the user's units.

Any number of pictures; scaling of pixels and the softmax are inside. Labels are in the file's metadata, as JSON under
`class_names`.
"""

import json
import pathlib

import numpy as np

from tfxfer.errors import FormatError
from tfxfer.export.formats import frozen
from tfxfer.export.formats.format import Classify, Subject, in_batches
from tfxfer.export.formats.quiet import quiet

# Of the ONNX operators; read by ONNX Runtime from 1.14 (2023) on.
_OPSET = 18


def write(subject: Subject, path: pathlib.Path) -> None:
    """Writes the network.

    Raises:
        FormatError: an op that ONNX has not; names the layer.
    """
    network = frozen.freeze(subject, "onnx")
    with quiet():
        content = _convert(network, subject.answer_name)
        import onnx

        unknown = [
            (node.op_type, node.name)
            for node in content.graph.node
            if not onnx.defs.has(node.op_type, _OPSET, node.domain)
        ]
        if unknown:
            raise FormatError(
                frozen.cannot_hold("onnx", subject.model, unknown, "has no counterpart among the ops of ONNX")
            )
        onnx.helper.set_model_props(content, {"class_names": json.dumps(subject.class_names)})
        content.graph.name = subject.model.name
        onnx.checker.check_model(content)
    path.write_bytes(content.SerializeToString())


def opened(path: pathlib.Path, subject: Subject) -> Classify:
    """Returns the file as a function of pictures, run by ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    (answer,) = session.get_outputs()
    if answer.shape[-1] != len(subject.class_names):
        raise FormatError(f"{path} has {answer.shape[-1]} classes, expected are {len(subject.class_names)}.")

    def classify(pictures: np.ndarray) -> np.ndarray:
        fractions = pictures.astype(np.float32) / np.float32(255)
        return session.run([subject.answer_name], {frozen.INPUT: fractions})[0]

    return in_batches(classify)


def _convert(network: frozen.Frozen, output: str):
    """Returns what tf2onnx makes of it; ops that it does not know are in it under their own names."""
    import tf2onnx

    given, answer = network.function.inputs[0].name, network.function.outputs[0].name
    content, _ = tf2onnx.convert.from_graph_def(
        network.graph,
        input_names=[given],
        output_names=[answer],
        opset=_OPSET,
        tensors_to_rename={given: frozen.INPUT, answer: output},
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    return content


def _erfc(ctx, node, name, args) -> None:
    """Puts 1 - erf(x) in place of the complementary error function, in which Keras writes its exact GELU.

    tf2onnx calls it with these names of arguments.
    """
    one = ctx.make_const(f"{name}_one", np.array(1.0, np.float32)).output[0]
    erf = ctx.make_node("Erf", [node.input[0]], name=f"{name}_erf").output[0]
    shape, dtype = ctx.get_shape(node.output[0]), ctx.get_dtype(node.output[0])
    outputs = node.output
    ctx.remove_node(node.name)
    ctx.make_node("Sub", [one, erf], name=name, outputs=outputs, shapes=[shape], dtypes=[dtype])
