"""Puts labels and a description of input and output into a LiteRT file, where Android's libraries look for them.

The description is a flatbuffer of its own within the model's; its tables and the places of their fields are those of
`tensorflow_lite_support/metadata/metadata_schema.fbs` in github.com/tensorflow/tflite-support, version 1.1.0. No
installed package has code for them. The labels are a zip archive behind the model, which readers of flatbuffers do
not see and readers of zip archives, who begin at the end, do.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
import numpy as np

from tfxfer.tasks import Kind

_ENTRY, _IDENTIFIER = b"TFLITE_METADATA", b"M001"
_MODEL_IDENTIFIER = b"TFL3"
LABELS = "labels.txt"
# Smallest version of a parser that knows all the fields below: they are those of the first.
_PARSER = "1.0.0"
# Numbers of the schema's enumerations and unions.
_TENSOR_AXIS_LABELS, _RGB = 2, 1
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS = 1
# In bytes; of `Buffer.data` in tensorflow/lite/schema/schema.fbs ("force_align: 16"), which kernels may rely on.
_ALIGNMENT = 16
# The output's name, the lines of the labels, the output, the network and what it does, in words.
_OF_CLASSES = (
    "probabilities",
    "The class of each probability, one a line.",
    "Probability of each class.",
    "Image classifier",
    "Tells which class a picture shows.",
)
_WORDS = {
    "multi_label": (
        "probabilities",
        "The label of each probability, one a line.",
        "Probability of each label by itself.",
        "Image tagger",
        "Tells which labels a picture has.",
    ),
    "regression": (
        "values",
        "The name of each number, one a line.",
        "Numbers in the units they were trained in.",
        "Image regression",
        "Tells numbers of a picture.",
    ),
}


def attach(model: bytes, size: int, labels: str, *, takes_bytes: bool, kind: Kind = "single_label") -> bytes:
    """Returns a LiteRT file with metadata and labels.

    Args:
        model: a file with one input, a batch of pictures, and one output, probabilities.
        size: height and width of a picture.
        labels: one class a line, in the order of the probabilities.
        takes_bytes: whether it takes uint8 on 0..255; else float32 in [0, 1].
        kind: of the task.
    """
    from ai_edge_litert import schema_py_generated as schema

    content = schema.ModelT.InitFromPackedBuf(model)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(_describe(size, takes_bytes=takes_bytes, kind=kind), np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = _ENTRY, len(content.buffers)
    content.buffers = [*content.buffers, buffer]
    content.metadata = [*(content.metadata or []), entry]
    builder = _Aligned(len(model) + 4096)
    builder.Finish(content.Pack(builder), file_identifier=_MODEL_IDENTIFIER)
    return _with_file(bytes(builder.Output()), LABELS, labels.encode("utf-8"))


class _Aligned(flatbuffers.Builder):
    """Builds with the alignment of buffers that the schema asks for, of which Python's generated code knows nothing."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802
        self.Prep(_ALIGNMENT, x.nbytes)
        return super().CreateNumpyVector(x)


def _with_file(model: bytes, name: str, content: bytes) -> bytes:
    stream = io.BytesIO(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        # A date of its own, so that the same network makes the same file.
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return stream.getvalue()


def _describe(size: int, *, takes_bytes: bool, kind: Kind) -> bytes:
    """Returns the metadata. Comments name the fields in the order of the schema, whose places they are."""
    build = _Tables()
    name, line, about, title, does = _WORDS.get(kind, _OF_CLASSES)
    # ImageSize: width, height. ImageProperties: color_space, default_size.
    extent = build.table({0: build.uint(size), 1: build.uint(size)})
    picture = build.table({0: build.byte(_RGB), 1: extent})
    # Content: type of content_properties, content_properties.
    picture_content = build.table({0: build.byte(_IMAGE_PROPERTIES), 1: picture})
    # NormalizationOptions: mean, std. (x - mean) / std brings a picture on 0..255 to what the input takes. Readers
    # leave pictures for a uint8 input as they are, as the schema says, with the same numbers.
    normalization = build.table({0: build.floats([0.0]), 1: build.floats([255.0])})
    # ProcessUnit: type of options, options.
    unit = build.table({0: build.byte(_NORMALIZATION_OPTIONS), 1: normalization})
    # Stats: max, min.
    pixels = build.table({0: build.floats([255.0 if takes_bytes else 1.0]), 1: build.floats([0.0])})
    # TensorMetadata: name, description, dimension_names, content, process_units, stats, associated_files.
    given = f"RGB, {size}×{size}, {'uint8 on 0..255' if takes_bytes else 'float32 in [0, 1]'}"
    image = build.table(
        {
            0: build.text("images"),
            1: build.text(given),
            3: picture_content,
            4: build.tables([unit]),
            5: pixels,
        }
    )
    # AssociatedFile: name, description, type.
    labels = build.table(
        {
            0: build.text(LABELS),
            1: build.text(line),
            2: build.byte(_TENSOR_AXIS_LABELS),
        }
    )
    scores = build.table(
        {
            0: build.text(name),
            1: build.text(about),
            3: build.table({0: build.byte(_FEATURE_PROPERTIES), 1: build.table({})}),
            **({} if kind == "regression" else {5: build.table({0: build.floats([1.0]), 1: build.floats([0.0])})}),
            6: build.tables([labels]),
        }
    )
    # SubGraphMetadata: name, description, input_tensor_metadata, output_tensor_metadata.
    graph = build.table({2: build.tables([image]), 3: build.tables([scores])})
    # ModelMetadata: name, description, version, subgraph_metadata, author, license, associated_files,
    # min_parser_version.
    model = build.table(
        {
            0: build.text(title),
            1: build.text(does),
            3: build.tables([graph]),
            7: build.text(_PARSER),
        }
    )
    return build.finished(model)


class _Tables:
    """Builds a flatbuffer of tables. A value is the function that adds it to the table at a place."""

    def __init__(self) -> None:
        self._builder = flatbuffers.Builder(1024)

    def byte(self, number: int):
        return lambda place: self._builder.PrependInt8Slot(place, number, 0)

    def uint(self, number: int):
        return lambda place: self._builder.PrependUint32Slot(place, number, 0)

    def text(self, text: str):
        return self._offset(self._builder.CreateString(text))

    def floats(self, numbers: Sequence[float]):
        return self._offset(self._builder.CreateNumpyVector(np.array(numbers, np.float32)))

    def tables(self, tables: Sequence):
        self._builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            self._builder.PrependUOffsetTRelative(table.offset)
        return self._offset(self._builder.EndVector())

    def table(self, fields: dict):
        self._builder.StartObject(max(fields, default=-1) + 1)
        for place, add in fields.items():
            add(place)
        return self._offset(self._builder.EndObject())

    def finished(self, root) -> bytes:
        self._builder.Finish(root.offset, file_identifier=_IDENTIFIER)
        return bytes(self._builder.Output())

    def _offset(self, offset: int):
        def add(place: int) -> None:
            self._builder.PrependUOffsetTRelativeSlot(place, offset, 0)

        add.offset = offset
        return add
