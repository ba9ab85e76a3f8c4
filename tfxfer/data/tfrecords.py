"""The source `tfrecord:`: records of `tf.train.Example` with an encoded picture and its class, as Model Garden's.

Files are gone through once, when the data is opened: that finds where each picture lies, so that training reads any of
them alone, and compares the checksum of each record. Files packed by GZIP have no place to begin at, so their pictures
are copied.
"""

import dataclasses
import glob
import os
import pathlib
import re

import numpy as np

from tfxfer.data import images, slices, splits, tables, tf_examples, tfrecord_framing
from tfxfer.data.found import Found
from tfxfer.errors import DataError
from tfxfer.tasks import Kind

# Features by which each is known, the first that is there being meant.
IMAGE_FEATURES = ("image/encoded", "image", "image_raw")
LABEL_FEATURES = ("image/class/label", "label")
TEXT_FEATURES = ("image/class/text",)
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(sorted(splits.BY_NAME, key=len, reverse=True))})(?=[-_.]|$)")


@dataclasses.dataclass
class _Gathered:
    """What the records said, grown record by record."""

    which: list[int] = dataclasses.field(default_factory=list)
    numbers: list[int] = dataclasses.field(default_factory=list)
    offsets: list[int] = dataclasses.field(default_factory=list)
    lengths: list[int] = dataclasses.field(default_factory=list)
    # Of each its number, None where only a text tells; and its text, None where only a number does.
    labels: list[tuple[int | None, str | None]] = dataclasses.field(default_factory=list)


def find(pattern: str, kind: Kind = "single_label") -> Found:
    """Returns the pictures in the files that a pattern matches, such as `data/train-*.tfrecord`.

    Where the names of the files say train, validation or test, as in `val-00000-of-00004` or `flowers-test.tfrecord`,
    and do not all say the same, these are the splits.

    Args:
        pattern: of paths.
        kind: of the task; for regression the classes are called by their numbers, which may be fractions.

    Raises:
        DataError: no file, a damaged one, records without a picture and a class, or a task of several labels.
    """
    if kind == "multi_label":
        raise DataError(
            f"task=multi_label, and each record of tfrecord:{pattern} is read as of one class. Write the labels of "
            'each image into a table, image,labels and a.jpg,cat|dog, and --data=csv:… --config.data.label_separator="'
            '|"; or save labels of 0 and 1, [examples, labels], for --data=npz:…'
        )
    paths = files_of(pattern)
    gathered, problems = _Gathered(), tables.Problems("record")
    known: dict[tuple[int | None, str | None], tuple[int | None, str | None]] = {}  # one label for all of a class
    copying = slices.Copying(f"tfrecord:{pattern}") if any(map(tfrecord_framing.is_compressed, paths)) else None
    for which, path in enumerate(paths):
        for number, (begin, record) in enumerate(tfrecord_framing.records(path), start=1):
            try:
                picture, label = _told(record, kind)
            except ValueError as error:
                problems.add(number, str(error), where=f"{path.name}, ")
                continue
            gathered.which.append(which)
            gathered.numbers.append(number)
            gathered.labels.append(known.setdefault(label, label))
            if copying:
                copying.add(picture)
            else:
                gathered.offsets.append(begin + record.find(picture))
                gathered.lengths.append(len(picture))
    problems.refuse(pathlib.Path(pattern))
    if not gathered.which:
        raise DataError(f"tfrecord:{pattern} has no records.")
    labels, class_names, told = _classes(pattern, gathered)
    which = np.array(gathered.which, np.int32)
    notes = [told] if told else []
    if copying:
        notes.append(
            "files packed by GZIP have no random access: their pictures were copied for this run "
            f"({copying.size / 1e6:,.1f} MB of temporary disk)"
        )
    codes = _splits(pattern, paths)
    return Found(
        f"tfrecord:{pattern}",
        _pictures(paths, which, gathered, copying),
        labels,
        class_names,
        None if codes is None else codes[which],
        notes=tuple(notes),
    )


def _pictures(
    paths: list[pathlib.Path], which: np.ndarray, gathered: _Gathered, copying: slices.Copying | None
) -> slices.Slices:
    names = [f"{path.name}, record" for path in paths]
    numbers = np.array(gathered.numbers, np.int64)
    if copying:
        return copying.pictures(names, which, numbers)
    offsets, lengths = np.array(gathered.offsets, np.int64), np.array(gathered.lengths, np.int64)
    return slices.Slices([str(path) for path in paths], names, which, offsets, lengths, numbers)


def files_of(pattern: str) -> list[pathlib.Path]:
    """Returns the files that a pattern stands for.

    Raises:
        DataError: there is none.
    """
    expanded = os.path.expanduser(pattern)
    if os.path.isdir(expanded):
        raise DataError(f"{pattern} is a folder. Write tfrecord:{os.path.join(pattern, '*')} for the files in it.")
    found = [expanded] if os.path.exists(expanded) else sorted(glob.glob(expanded, recursive=True))
    paths = [pathlib.Path(name) for name in found if not os.path.isdir(name)]
    if not paths:
        raise DataError(
            f"tfrecord:{pattern} matches no file. Write a path, or a pattern in quotes: 'tfrecord:data/*.tfrecord'."
        )
    for path in paths:
        tables.check_regular(path)
    return paths


def _told(record: bytes, kind: Kind) -> tuple[bytes, tuple[int | None, str | None]]:
    """Returns the encoded picture of a record, and its label as a number, a text or both.

    Raises:
        ValueError: says what it lacks.
    """
    features = tf_examples.features(record)
    picture = _one(features, IMAGE_FEATURES)
    if not isinstance(picture, bytes):
        raise ValueError(f"no encoded image in {' or '.join(IMAGE_FEATURES)}. {_there(features)}")
    if len(picture) > images.MOST_BYTES:
        raise ValueError(f"an image larger than {images.MOST_BYTES >> 20} MiB")
    label, text = _one(features, LABEL_FEATURES), _one(features, TEXT_FEATURES)
    if isinstance(label, bytes):
        label, text = None, label if text is None else text
    if isinstance(label, float) and kind == "regression":
        label, text = None, repr(label).encode()
    if isinstance(label, float):
        raise ValueError(f"the label is {label:g}, expected a class: a whole number or a text")
    if label is None and not text:
        raise ValueError(f"no class in {' or '.join((*LABEL_FEATURES, *TEXT_FEATURES))}. {_there(features)}")
    return picture, (label, _as_text(text) if text else None)


def _as_text(text: object) -> str:
    try:
        name = text.decode() if isinstance(text, bytes) else ""
    except UnicodeDecodeError:
        raise ValueError(f"the class {text!r:.100} is no UTF-8") from None
    if not name.strip() or not name.isprintable():
        raise ValueError(f"the class {text!r:.100} is no name")
    return name.strip()


def _one(features: dict[str, list], names: tuple[str, ...]) -> object:
    """Returns the one value of the first of these features that has one; None where none has."""
    for name in names:
        value = features.get(name, [])
        if len(value) > 1:
            raise ValueError(f"{name} has {len(value):,} values, expected one")
        if value:
            return value[0]
    return None


def _there(features: dict[str, list]) -> str:
    return f"Its features: {tables.listed(sorted(features))}" if features else "It has no features"


def _classes(pattern: str, gathered: _Gathered) -> tuple[np.ndarray, tuple[str, ...], str]:
    """Returns the label of each record as a position, the classes, and what is to be told of them.

    Texts name the classes where every record has one, in the order of their numbers if these say the same; else the
    numbers themselves do, so that it does not matter whether they begin at 0 or at 1.

    Raises:
        DataError: one number has two texts, or one text two numbers.
    """
    first: dict[tuple[int | None, str | None], int] = {}
    for index, label in enumerate(gathered.labels):
        first.setdefault(label, index)
    numbers = {label[0] for label in first}
    if any(text is None for _, text in first):
        if None in numbers:
            raise DataError(
                f"tfrecord:{pattern}: some records name their class and have no number, others the reverse."
            )
        ordered = sorted(numbers)
        places = {number: place for place, number in enumerate(ordered)}
        labels = np.array([places[number] for number, _ in gathered.labels], np.int32)
        told = f"classes are called by their numbers, {ordered[0]} to {ordered[-1]}; no texts name them"
        return labels, tuple(map(str, ordered)), told
    texts = {text for _, text in first}
    if None not in numbers and not len(texts) == len(numbers) == len(first):
        raise DataError(
            f"tfrecord:{pattern}: {_contradiction(list(first))}. Mend the records: a class has one of each."
        )
    ordered = [text for _, text in sorted(first)] if None not in numbers else sorted(texts)
    places = {text: place for place, text in enumerate(ordered)}
    return np.array([places[text] for _, text in gathered.labels], np.int32), tuple(ordered), ""


def _contradiction(pairs: list[tuple[int, str]]) -> str:
    for place, what in ((0, "the label {0} has the texts {1!r} and {2!r}"), (1, "{0!r} has the labels {1} and {2}")):
        seen: dict[object, object] = {}
        for pair in pairs:
            other = seen.setdefault(pair[place], pair[1 - place])
            if other != pair[1 - place]:
                return what.format(pair[place], other, pair[1 - place])
    raise AssertionError("unreachable")


def _splits(pattern: str, paths: list[pathlib.Path]) -> np.ndarray | None:
    """Returns the split of each file, int8, as their names say; None where they say none, or all the same.

    Raises:
        DataError: some say a split, and others none or two.
    """
    said = [sorted({splits.BY_NAME[name] for name in _SPLIT.findall(path.name.lower())}) for path in paths]
    if len({code for codes in said for code in codes}) < 2:
        return None
    odd = next((path.name for path, codes in zip(paths, said, strict=True) if len(codes) != 1), None)
    if odd:
        raise DataError(
            f"tfrecord:{pattern}: some names of files say a split, and {odd} says none, or two. Name each with one of "
            "train, validation or test, such as train-00000-of-00010."
        )
    return np.array([codes[0] for codes in said], np.int8)
