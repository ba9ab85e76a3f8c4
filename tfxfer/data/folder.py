"""The source `folder:`: one sub-folder for each class, or `train/ validation/ test/` above those."""

import os
import pathlib

import numpy as np

from tfxfer.data import images, splits
from tfxfer.data.found import Found
from tfxfer.data.pictures import Files
from tfxfer.errors import DataError

# What lies beside pictures without being one: notes, tables, and the indexes that file managers leave.
_NOTES = frozenset((".csv", ".db", ".htm", ".html", ".ini", ".json", ".jsonl", ".md", ".pdf", ".tsv", ".txt", ".xml"))


def find(folder: str) -> Found:
    """Returns the pictures below `folder`, labelled by their sub-folders' names.

    A folder whose every sub-folder with pictures is called train, validation or test holds ready splits. Hidden
    files are passed over, and so are notes and indexes (`_NOTES`); every other file is meant to be a picture.

    Raises:
        DataError: no such folder, no sub-folders, or no pictures.
    """
    root = check_there(folder)
    classes = _folders(root)
    ready = [name for name in classes if name.lower() in splits.BY_NAME]
    beside = [name for name in classes if name not in ready and files_in(root / name)] if ready else []
    if ready and not beside:
        return _with_splits(root, ready)
    _check_no_splits_among(root, ready, beside)
    paths, labels = _labelled(root, {name: label for label, name in enumerate(classes)})
    if not paths:
        raise DataError(_nothing_in(root, classes))
    return Found(f"folder:{folder}", Files(root, tuple(paths)), np.array(labels, np.int32), tuple(classes))


def check_there(folder: str) -> pathlib.Path:
    """Returns the path of a folder.

    Raises:
        DataError: there is none.
    """
    root = pathlib.Path(folder).expanduser()
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        others = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".npz": "npz", ".tfrecord": "tfrecord"}
        other = others.get(root.suffix.lower())
        advice = f" Did you mean {other}:{folder}?" if other else ""
        raise DataError(f"the folder {folder} {kind}. Give a folder that has one sub-folder for each class.{advice}")
    return root


def _check_no_splits_among(root: pathlib.Path, ready: list[str], beside: list[str]) -> None:
    """Refuses splits beside a folder of something else, with which they would be classes.

    One class may well be called test; but not several of these names, with folders in them.

    Raises:
        DataError: names the folders.
    """
    meant = [name for name in ready if _folders(root / name)]
    if len({splits.BY_NAME[name.lower()] for name in meant}) > 1:
        raise DataError(
            f"{root} has the splits {', '.join(meant)}, and images in {splits.some(beside)} beside them. Move these "
            "out of the way, or into a split; if all are classes, rename the former."
        )


def files_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files below `folder` that are meant to be pictures, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):  # does not follow links to folders, so no loops
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [pathlib.Path(parent, name) for name in sorted(names) if is_meant(name)]
    return found


def is_meant(name: str) -> bool:
    """Whether a file of this name in a folder is meant to be a picture: neither hidden nor a note or an index."""
    return not name.startswith(".") and pathlib.Path(name).suffix.lower() not in _NOTES


def _with_splits(root: pathlib.Path, ready: list[str]) -> Found:
    names = sorted({name for split in ready for name in _folders(root / split)})
    if not names:
        raise DataError(
            f"{root} has the splits {', '.join(ready)}, but no folders of classes in them. Put the images of each "
            "class into a folder of its name, such as train/cat/."
        )
    order = {name: label for label, name in enumerate(names)}
    all_paths, all_labels, all_splits = [], [], []
    for split in ready:
        paths, labels = _labelled(root / split, order)
        all_paths += paths
        all_labels += labels
        all_splits += [splits.BY_NAME[split.lower()]] * len(paths)
    if not all_paths:
        raise DataError(_nothing_in(root, ready))
    labels, codes = np.array(all_labels, np.int32), np.array(all_splits, np.int8)
    return Found(f"folder:{root}", Files(root, tuple(all_paths)), labels, tuple(names), codes)


def _labelled(root: pathlib.Path, order: dict[str, int]) -> tuple[list[pathlib.Path], list[int]]:
    paths, labels = [], []
    for name, label in order.items():
        inside = files_in(root / name) if (root / name).is_dir() else []
        paths += inside
        labels += [label] * len(inside)
    return paths, labels


def _folders(root: pathlib.Path) -> list[str]:
    try:
        return sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"the folder {root} cannot be read ({error.strerror}).") from error


def _nothing_in(root: pathlib.Path, folders: list[str]) -> str:
    suffixes = " ".join(sorted(images.SUFFIXES))
    if not folders and files_in(root):
        return f"{root} has images but no sub-folders. Put the images of each class into a folder of its name."
    return f"{root} has no images ({suffixes}). Make one sub-folder for each class, with images in it."
