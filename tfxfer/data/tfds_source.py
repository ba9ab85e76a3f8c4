"""The source `tfds:`: data sets of `tensorflow_datasets`, downloaded at first use and read once."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfxfer.data import slices, splits
from tfxfer.data.found import Found
from tfxfer.errors import ConfigError, DataError, suggest

SYNTAX = "tfds:<name>[/<config>][:<version>][?train=<part>&validation=<part>&test=<part>]"
_OWN_NAMES = {
    "train": splits.TRAIN,
    "validation": splits.VALIDATION,
    "valid": splits.VALIDATION,
    "test": splits.TEST,
}
_VERSION = re.compile(r"\d+\.(\d+|\*)\.(\d+|\*)")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the text behind `tfds:` asks for.

    Attributes:
        builder: name, configuration and version, as `tfds.builder` takes them.
        parts: for each of our splits, by number, an instruction of theirs, such as `train[:90%]`; empty for all
            splits as they are.
    """

    builder: str
    parts: dict[int, str]


def parse(text: str) -> Asked:
    """Reads the text behind `tfds:`, in which splits may be made of parts of those of the data set.

    >>> parse("flowers/small:1.0.0?train=train[:90%]&test=train[90%:]")
    Asked(builder='flowers/small:1.0.0', parts={0: 'train[:90%]', 2: 'train[90%:]'})

    What stands behind the colon is a version if it looks like one, else a configuration.

    Raises:
        ConfigError: the message has the syntax.
    """
    name, mark, query = text.partition("?")
    base, colon, behind = name.partition(":")
    if colon and not _VERSION.fullmatch(behind):
        config, colon, version = behind.partition(":")
        name = f"{base}/{config}{colon}{version}"
    if not base or (mark and not query):
        raise ConfigError(f"data='tfds:{text}' cannot be read. Write {SYNTAX}.")
    parts: dict[int, str] = {}
    for piece in query.split("&") if query else ():
        split, equals, part = piece.partition("=")
        if split.lower() not in splits.BY_NAME or not equals or not part:
            raise ConfigError(
                f"data='tfds:{text}': {piece!r} is no split.{suggest(split, splits.NAMES)} Write {SYNTAX}, where a "
                "part is such as train, train[:90%] or train[1000:]+test."
            )
        code = splits.BY_NAME[split.lower()]
        if code in parts:
            raise ConfigError(f"data='tfds:{text}' gives {splits.NAMES[code]} twice. Join parts by +: train+test.")
        parts[code] = part
    return Asked(name, parts)


def check_trains(text: str) -> None:
    """Refuses parts none of which is to be trained on, before anything is downloaded.

    Raises:
        ConfigError: says which to name.
    """
    parts = parse(text).parts
    if parts and splits.TRAIN not in parts:
        named = " and ".join(splits.NAMES[code] for code in sorted(parts))
        raise ConfigError(
            f"data='tfds:{text}' names parts for {named} and none to train on, and a part for {named} is never trained "
            f"on. Name one: tfds:{text}&train=train"
        )


def find(text: str) -> Found:
    """Returns the examples of a data set that has the features `image` and `label`.

    Its own splits train, validation and test are kept, or those that `parse` finds in the text. A data set has no
    random access, so its encoded pictures are copied to a temporary file, in the order in which they are stored.

    Raises:
        ConfigError: no such data set, or no such part of it.
        DataError: it cannot be downloaded, or is not one of labelled images.
    """
    asked = parse(text)
    import tensorflow_datasets as tfds

    builder = _prepared(tfds, asked.builder)
    parts = asked.parts or {code: name for name, code in _OWN_NAMES.items() if name in builder.info.splits}
    if not parts:
        raise DataError(
            f"tfds:{text} has the splits {', '.join(builder.info.splits)}, none of them called train, validation or "
            f"test. Say what is what: {SYNTAX}."
        )
    copying = slices.Copying(f"tfds:{text}")
    labels: list[int] = []
    numbers: list[int] = []
    which: list[int] = []
    for place, part in enumerate(parts.values()):
        for number, (picture, label) in enumerate(_examples(tfds, builder, text, part), start=1):
            copying.add(picture)
            labels.append(label)
            numbers.append(number)
            which.append(place)
    if min(labels, default=0) < 0:
        raise DataError(f"tfds:{text} has examples without a class (label -1). Choose another split: {SYNTAX}.")
    files = np.array(which, np.int32)
    # A part for the test alone is no whole to cut splits from.
    has_splits = len(set(which)) > 1 or (asked.parts and splits.TRAIN not in asked.parts)
    names = [f"{part}, example" for part in parts.values()]
    note = (
        f"a data set of tfds has no random access: its pictures were copied for this run "
        f"({copying.size / 1e6:,.1f} MB of temporary disk)"
    )
    return Found(
        f"tfds:{text}",
        copying.pictures(names, files, np.array(numbers, np.int64)),
        np.array(labels, np.int32),
        tuple(builder.info.features["label"].names),
        np.array(list(parts), np.int8)[files] if has_splits else None,
        notes=(note,),
    )


def _prepared(tfds: Any, name: str) -> Any:
    try:
        builder = tfds.builder(name)
    except (tfds.core.DatasetNotFoundError, AssertionError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"tensorflow_datasets has no data set {name!r} ({reason}). See tfds.list_builders()."
        ) from error
    features = builder.info.features
    if not isinstance(features, dict | tfds.features.FeaturesDict) or not {"image", "label"} <= set(features):
        raise DataError(f"tfds:{name} has no features image and label: it is not a set of labelled images.")
    if not isinstance(features["label"], tfds.features.ClassLabel):
        raise DataError(f"the label of tfds:{name} is no class, but {features['label']}.")
    if not isinstance(features["image"], tfds.features.Image):
        raise DataError(f"the image of tfds:{name} is no picture, but {features['image']}.")
    try:
        builder.download_and_prepare()
    except Exception as error:
        raise DataError(
            f"tfds:{name} could not be downloaded ({error}). Prepare it on a machine with network, and set "
            "TFDS_DATA_DIR to the folder."
        ) from error
    return builder


def _examples(tfds: Any, builder: Any, text: str, part: str) -> Iterator[tuple[bytes, int]]:
    """Yields each example of a part: its encoded picture and its label.

    Raises:
        ConfigError: there is no such part.
    """
    decoders = {"image": tfds.decode.SkipDecoding()}
    try:
        dataset = builder.as_dataset(split=part, shuffle_files=False, decoders=decoders)
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"data='tfds:{text}': {part!r} is no part of it ({str(error).strip().splitlines()[0]}). It has the splits "
            f"{', '.join(builder.info.splits)}; a part is such as train[:90%] or train+test."
        ) from error
    for example in tfds.as_numpy(dataset):
        yield example["image"], int(example["label"])
