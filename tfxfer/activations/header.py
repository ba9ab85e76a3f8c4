"""The header of a store on disk: what its rows are, in words."""

import dataclasses
import json
import os
import pathlib
from typing import Literal

from tfxfer import files, values
from tfxfer.activations.encoding import Encoding
from tfxfer.activations.keys import Key
from tfxfer.activations.regular_files import open_regular
from tfxfer.errors import CacheError, ConfigError

NAME = "header.json"
# A range of 65,536 channels fits; what is longer is none of ours.
_MOST_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class Header:
    """What a store says of itself.

    Attributes:
        made_by: by which our folders are known; the number changes with the format of the files.
        key: what decides the rows.
        encoding: how numbers are kept.
    """

    made_by: Literal["tfxfer activations 1"]
    key: Key
    encoding: Encoding


def write(folder: pathlib.Path, key: Key, encoding: Encoding) -> None:
    """Writes the header of a store; a reader sees it whole or not at all."""
    text = json.dumps(values.to_json(Header("tfxfer activations 1", key, encoding)), indent=2, allow_nan=False)
    with files.replacing(folder / NAME) as beside, open(beside, "w", encoding="utf-8") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())  # what a power failure leaves empty would stand in the way of every later run


def read(folder: pathlib.Path) -> Header | None:
    """Returns the header of a store, None if it has none yet.

    Raises:
        CacheError: it is none that was written here.
    """
    try:
        handle = open_regular(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CacheError(f"{folder / NAME} cannot be read ({error.strerror}). Remove the folder.") from error
    with open(handle, "rb") as stream:
        data = stream.read(_MOST_BYTES)  # what is cut off there is no JSON
    try:
        found = values.from_json(Header, json.loads(data))
    except (ValueError, RecursionError, ConfigError, TypeError) as error:
        raise CacheError(f"{folder / NAME} is damaged ({error}). Remove the folder.") from error
    channels = found.key.row_shape[-1] if found.key.row_shape else 0
    if found.key.digest != folder.name or not found.encoding.is_valid(found.key.precision, channels):
        raise CacheError(f"{folder / NAME} is damaged: it does not belong there. Remove the folder.")
    return found
