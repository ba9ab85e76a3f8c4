"""Reads saved_model.pb, and only that: bounded in size, nothing of it is run."""

from __future__ import annotations

import functools
import pathlib
from typing import TYPE_CHECKING

from tfxfer.errors import BackboneError

if TYPE_CHECKING:
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

# Graphs take a few megabytes; those of TF1 with frozen weights inside a few hundred. Weights lie in other files.
MOST_BYTES = 512 << 20
PROGRAM = "saved_model.pb"
_TF1_ASSETS = "saved_model_assets"
_OTHER_PROGRAMS = ("saved_model.pbtxt", "saved_model.cpb")


def read(folder: pathlib.Path) -> saved_model_pb2.SavedModel:
    """Returns the parsed program of a SavedModel; the same object for the same file, until `forget`.

    Raises:
        BackboneError: there is none, it is too large or damaged, or one of its asset files lies elsewhere.
    """
    path = check(folder)
    state = path.stat()
    saved_model = _parse(path.resolve(), state.st_mtime_ns, state.st_size)
    _check_assets(saved_model, pathlib.Path(folder))
    return saved_model


def assets(graph: meta_graph_pb2.MetaGraphDef) -> tuple[meta_graph_pb2.AssetFileDef, ...]:
    """Returns the files that come with a graph, found where TensorFlow looks: TF1 keeps them in a collection.

    Raises:
        BackboneError: the collection is damaged.
    """
    from google.protobuf import message
    from tensorflow.core.protobuf import meta_graph_pb2

    if graph.asset_file_def or _TF1_ASSETS not in graph.collection_def:
        return tuple(graph.asset_file_def)
    found = []
    for packed in graph.collection_def[_TF1_ASSETS].any_list.value:
        found.append(meta_graph_pb2.AssetFileDef())
        try:
            packed.Unpack(found[-1])
        except message.DecodeError as error:
            raise BackboneError(f"{PROGRAM} is damaged: its list of assets cannot be read ({error}).") from error
    return tuple(found)


def forget() -> None:
    """Frees the program that was parsed last, which takes many times the memory of its file."""
    _parse.cache_clear()


def check(folder: pathlib.Path) -> pathlib.Path:
    """Returns the file of the program of a SavedModel, unread.

    Raises:
        BackboneError: there is none, there are two, or it is too large.
    """
    path = pathlib.Path(folder) / PROGRAM
    if not path.is_file():
        raise BackboneError(f"{folder} holds no {PROGRAM}: it is no SavedModel.")
    others = [name for name in _OTHER_PROGRAMS if (path.parent / name).exists()]
    if others:
        raise BackboneError(f"{folder} is refused: {', '.join(others)} beside {PROGRAM} says a second time what it is.")
    state = path.stat()
    if state.st_size > MOST_BYTES:
        raise BackboneError(f"{path} has {state.st_size:,} bytes; more than {MOST_BYTES:,} are refused.")
    return path


@functools.lru_cache(maxsize=1)
def _parse(path: pathlib.Path, modified: int, size: int) -> saved_model_pb2.SavedModel:
    from google.protobuf import message
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel()
    try:
        saved_model.ParseFromString(path.read_bytes())
    except message.DecodeError as error:
        raise BackboneError(f"{path} is truncated or no SavedModel ({error}). Get it again.") from error
    if not saved_model.meta_graphs:
        raise BackboneError(f"{path} holds no graph: it is truncated or no SavedModel. Get it again.")
    return saved_model


def _check_assets(saved_model: saved_model_pb2.SavedModel, folder: pathlib.Path) -> None:
    """Refuses files outside `folder`, which TensorFlow would open and a later export would copy."""
    home, whole = (folder / "assets").resolve(), folder.resolve()
    for path in folder.rglob("*"):
        if not path.resolve().is_relative_to(whole) or not (path.is_file() or path.is_dir()):
            raise BackboneError(
                f"{folder} is refused: {path.relative_to(folder)} is a link out of it, or no plain file."
            )
    for graph in saved_model.meta_graphs:
        for asset in assets(graph):
            name = pathlib.PurePosixPath(asset.filename)
            if name.is_absolute() or ".." in name.parts or "\\" in asset.filename or "\0" in asset.filename:
                raise BackboneError(f"{folder} is refused: its asset {asset.filename!r} leads out of the SavedModel.")
            if not (home / name).resolve().is_relative_to(home):
                raise BackboneError(f"{folder} is refused: its asset {asset.filename!r} is a link out of assets/.")
