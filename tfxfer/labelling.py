"""Labels images with a bundle: lines for a terminal, or a CSV file."""

import csv
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from tfxfer import export, files, prediction
from tfxfer.data import folder
from tfxfer.display import clean
from tfxfer.errors import DataError, WorkdirError


def label(
    bundle: pathlib.Path,
    paths: Sequence[pathlib.Path],
    *,
    top: int = 3,
    output: pathlib.Path | None = None,
    allow_unsafe_model_code: bool = False,
    show: Callable[[str], None] = print,
) -> int:
    """Labels images and folders of images; returns how many could not be read.

    Args:
        bundle: folder of a bundle.
        paths: images; a folder stands for every image below it.
        top: how many classes for each image.
        output: a CSV file, which must not exist; by default `predictions.csv` where a folder is among `paths`,
            else none.
        allow_unsafe_model_code: whether ops of a SavedModel in its network may run that the scan refuses.
        show: called with each line.

    Raises:
        DataError: a path that does not exist, or a folder without images.
        WorkdirError: `output` exists or cannot be written.
        BundleError: the bundle is damaged.
    """
    images = _images(paths)
    if output is None and any(path.is_dir() for path in paths):
        output = pathlib.Path("predictions.csv")
    if output is not None and output.exists():
        raise WorkdirError(f"{output} exists and is not overwritten. Choose another --output.")
    opened = export.open_bundle(bundle, allow_unsafe_model_code=allow_unsafe_model_code)
    top = min(top, len(opened.class_names))
    results = prediction.predict_files(opened.model, images, resize=opened.resize)
    rows = ((path, *_row(answer, opened.class_names, top)) for path, answer in results)
    if output is None:
        return _print(rows, show)
    with files.replacing(output) as beside:
        unreadable = _write(rows, beside, top)
    show(f"{len(images):,} images labelled in {output}" + (f", {unreadable} of them unreadable" if unreadable else ""))
    return unreadable


def _images(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    images = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist.")
        inside = folder.files_in(path) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"the folder {path} has no images.")
        images += inside
    return images


def _row(answer: np.ndarray | str, names: tuple[str, ...], top: int) -> tuple[list[tuple[str, float]], str]:
    """Returns the most probable classes with their probabilities, and the error where there is one."""
    if isinstance(answer, str):
        return [], answer
    best = np.argsort(-answer, kind="stable")[:top]
    return [(names[index], float(answer[index])) for index in best], ""


def _print(rows, show: Callable[[str], None]) -> int:
    unreadable = 0
    for path, best, error in rows:
        unreadable += bool(error)
        text = error or "  ".join(f"{clean(name)} {100 * probability:.1f} %" for name, probability in best)
        show(f"{clean(str(path))}: {text}")
    return unreadable


def _write(rows, target: pathlib.Path, top: int) -> int:
    unreadable = 0
    with target.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream:
        writer = csv.writer(stream)
        columns = [f"{what}_{place}" for place in range(1, top + 1) for what in ("label", "probability")]
        writer.writerow(["image", *columns, "error"])
        for path, best, error in rows:
            unreadable += bool(error)
            cells = [cell for name, probability in best for cell in (name, f"{probability:.6f}")]
            writer.writerow([str(path), *cells, *[""] * (2 * top - len(cells)), error])
    return unreadable
