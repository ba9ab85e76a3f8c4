"""`tf.train.Example`, read without TensorFlow: the message is described here, and protobuf does the rest.

The description is that of tensorflow/core/example/feature.proto and example.proto.
"""

import functools
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

_PACKAGE = "tfxfer.tf_examples"


def features(serialized: bytes) -> dict[str, list]:
    """Returns the features of a serialized `tf.train.Example`: bytes, floats or whole numbers, by name.

    Raises:
        ValueError: the bytes are none.
    """
    example = _kind()()
    try:
        example.ParseFromString(serialized)
    except message.DecodeError as error:
        raise ValueError("it holds no tf.train.Example") from error
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


@functools.cache
def _kind() -> Any:
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tfxfer/tf_examples.proto", package=_PACKAGE, syntax="proto3")
    for name, kind in (
        ("BytesList", field.TYPE_BYTES),
        ("FloatList", field.TYPE_FLOAT),
        ("Int64List", field.TYPE_INT64),
    ):
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=field.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), start=1):
        lower = name.replace("List", "_list").lower()
        feature.field.add(
            name=lower,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=f".{_PACKAGE}.{name}",
            label=field.LABEL_OPTIONAL,
            oneof_index=0,
        )
    all_features = file.message_type.add(name="Features")
    entry = all_features.nested_type.add(name="FeatureEntry", options={"map_entry": True})
    entry.field.add(name="key", number=1, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.Feature",
        label=field.LABEL_OPTIONAL,
    )
    all_features.field.add(
        name="feature",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.Features.FeatureEntry",
        label=field.LABEL_REPEATED,
    )
    file.message_type.add(name="Example").field.add(
        name="features",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.Features",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()  # of our own: names of the common one are TensorFlow's
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Example"))
