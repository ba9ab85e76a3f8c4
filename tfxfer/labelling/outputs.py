"""Decides where labels and features go, and refuses what is there already, before anything is loaded."""

import dataclasses
import os
import pathlib

from tfxfer import files
from tfxfer.errors import ConfigError, WorkdirError, suggest

CSV, JSON_LINES, LINES = "csv", "jsonl", "lines"
FORMATS = (CSV, JSON_LINES)
_DEFAULT = "predictions.csv"


@dataclasses.dataclass(frozen=True)
class Outputs:
    """Where answers go.

    Attributes:
        kind: "csv", "jsonl" (JSON lines), or "lines" for people to read.
        table: the file of the answers; None: standard output.
        embeddings: a `.npy` of features, a row for each answer in their order; None: none.
    """

    kind: str = LINES
    table: pathlib.Path | None = None
    embeddings: pathlib.Path | None = None


def choose_outputs(
    output: str | None, text_format: str | None, embeddings: str | None, *, is_gathered: bool
) -> Outputs:
    """Returns where answers go.

    Without `output` and `text_format`, features have their table beside them (`x.npy`, `x.csv`), pictures of folders,
    globs and manifests are in `predictions.csv`, and others are lines on standard output.

    Args:
        output: a file whose suffix says what is written, .csv or .jsonl.
        text_format: "csv" or "jsonl" for standard output.
        embeddings: a .npy file.
        is_gathered: whether a folder, a glob or a manifest stands for some of the pictures.

    Raises:
        ConfigError: another suffix or format, or both an output and a format.
        WorkdirError: a file that exists, or a folder that does not, or that cannot be written.
    """
    if output is not None and text_format is not None:
        raise ConfigError(
            f"--format={text_format} is for standard output, and the suffix of --output={output} says what is written "
            "there. Leave one of them out."
        )
    if text_format is not None and text_format not in FORMATS:
        raise ConfigError(
            f"--format={text_format} is no format.{suggest(text_format, FORMATS)} Formats: {', '.join(FORMATS)}."
        )
    features = None
    if embeddings is not None:
        features = pathlib.Path(embeddings)
        if features.suffix.lower() != ".npy":
            raise ConfigError(
                f"--embeddings={embeddings} has another suffix than .npy. Write --embeddings=features.npy."
            )
        _check_place(features, "embeddings")
    if text_format is not None:
        return Outputs(text_format, None, features)
    if output is not None:
        table = pathlib.Path(output)
        kind = table.suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise ConfigError(f"--output={output} has another suffix than .csv and .jsonl. Write --output=labels.csv.")
    elif features is not None or is_gathered:
        kind, table = CSV, pathlib.Path(_DEFAULT) if features is None else features.with_suffix(".csv")
    else:
        return Outputs()
    _check_place(table, "output")
    return Outputs(kind, table, features)


def _check_place(path: pathlib.Path, flag: str) -> None:
    if path.exists() or path.is_symlink():
        raise WorkdirError(f"{path} exists and is not overwritten. Choose another --{flag}.")
    if not path.parent.is_dir():
        raise WorkdirError(
            f"{path} cannot be written: there is no folder {path.parent}. Make it, or choose another --{flag}."
        )
    if not os.access(path.parent, os.W_OK):
        raise WorkdirError(
            f"{path} cannot be written: the folder {path.parent} is not yours to write. Choose another --{flag}."
        )
    files.check_writable(path.parent)
