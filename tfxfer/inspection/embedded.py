"""Reads the features that `tfxfer predict --embeddings=features.npy` kept, for the pictures of a source."""

import csv
import os
import pathlib
import re

import numpy as np

from tfxfer.data import Found
from tfxfer.errors import DataError

# A row of a manifest is part of a picture's name there.
_ROW = re.compile(r", row \d+$")


def read_features(path: pathlib.Path, found: Found) -> np.ndarray:
    """Returns the features of a source's pictures, float32 `[pictures, width]`, NaN where none were kept.

    Rows are found by the names of images in the table beside them, of which the end counts: `photos/cat/1.png` is
    `cat/1.png` of `folder:photos`.

    Args:
        path: of the .npy; the table is the .csv of the same name.
        found: the pictures.

    Raises:
        DataError: one of the two is not there, is none, does not fit the other, or is of other pictures.
    """
    kept, names = _array(path), _names(path.with_suffix(".csv"))
    if len(kept) != len(names):
        raise DataError(
            f"{path} has {len(kept):,} rows and {path.with_suffix('.csv')} {len(names):,}: they are not of one run of "
            "predict. Make both anew."
        )
    places = {_ROW.sub("", found.pictures.name(index)): index for index in range(len(found.pictures))}
    features = np.full((len(found.pictures), kept.shape[1]), np.nan, np.float32)
    known = 0
    for row, name in enumerate(names):
        if (place := _place(name, places)) is not None:
            features[place] = kept[row]
            known += 1
    if not known:
        raise DataError(
            f"none of the images of {path.with_suffix('.csv')} is one of {found.source}; its first is {names[0]!r}. "
            f"Make features of these: tfxfer predict --bundle=… <folder> --embeddings={path}"
            if names
            else f"{path} has no rows."
        )
    return features


def _array(path: pathlib.Path) -> np.ndarray:
    try:
        kept = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as an array ({error}). predict --embeddings={path} makes one."
        ) from error
    if not isinstance(kept, np.ndarray) or kept.ndim != 2 or kept.dtype.kind != "f" or not kept.shape[1]:
        raise DataError(f"{path} is no array of fractions [images, features]. predict --embeddings={path} makes one.")
    return kept


def _names(path: pathlib.Path) -> list[str]:
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as stream:
            table = csv.DictReader(stream)
            if "image" not in (table.fieldnames or ()):
                raise DataError(f"{path} has no column image. predict writes it beside the features.")
            return [row["image"] or "" for row in table]
    except (OSError, csv.Error) as error:
        raise DataError(
            f"{path}, which tells whose features these are, cannot be read ({error}). predict writes it beside them."
        ) from error


def _place(name: str, places: dict[str, int]) -> int | None:
    """Returns the picture whose name is the longest end of a path; None: there is none."""
    parts = os.path.normpath(name).split(os.sep)
    ends = (os.sep.join(parts[begin:]) for begin in range(len(parts)))
    return next((places[end] for end in ends if end in places), None)
