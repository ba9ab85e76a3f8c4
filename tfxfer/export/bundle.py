"""Writes a bundle, the directory that others use, and opens one again after checking every file."""

import contextlib
import dataclasses
import pathlib
import shutil
import time
import zipfile

import keras
import numpy as np

from tfxfer import archives, files, progress, values
from tfxfer.backbones import model_files, model_scan
from tfxfer.backbones.hub.layer import saved_models_allowed
from tfxfer.data.rows import Rows
from tfxfer.errors import BackboneError, BundleError, FormatError, VerificationError, WorkdirError
from tfxfer.evaluation import LeftOut, Parity, Report
from tfxfer.export import core, parity
from tfxfer.export.card import write_card
from tfxfer.export.formats import FORMATS, Subject
from tfxfer.export.formats.format import label_lines
from tfxfer.plans import Plan
from tfxfer.recipes import Recipe

SCHEMA = 2
# Whose registered classes the network of a bundle may name besides Keras's own.
_PACKAGES = ("tfxfer", "keras_hub")
# Training pictures on which ranges of numbers are measured: LiteRT's guide asks for 100 to 500.
_REPRESENTATIVE = 300
# The one format that must be right, since everything else can be made from it.
_FIRST = "keras"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        folder: where it lies.
        model: from pixels on 0..255 to logits.
        class_names: in the order of the logits.
        resize: how pictures are brought to size: "squash" or "crop".
    """

    folder: pathlib.Path
    model: keras.Model
    class_names: tuple[str, ...]
    resize: str


def write(
    model: keras.Model,
    recipe: Recipe,
    plan: Plan,
    report: Report,
    test: Rows,
    representative: np.ndarray,
    folder: pathlib.Path,
    *,
    overwrite: bool = False,
) -> Report:
    """Writes the bundle of a trained model, each file checked against the model in memory, and renames it.

    A format beyond its limit, or that cannot be written, is left out and told in the report; the others are there.

    Args:
        model: from pixels to logits.
        recipe: what the user asked for, the formats among it.
        plan: what was decided.
        report: what was measured; its seconds end here.
        test: pictures to compare on, uint8, with their labels.
        representative: pictures of the training split, uint8 `[pictures, height, width, 3]`, on which ranges of
            numbers are measured where a format needs them.
        folder: must not exist.
        overwrite: whether it may, and is replaced once the new bundle is complete.

    Returns:
        The report with the parity of each exported file, what was left out, and the seconds until all were read back.

    Raises:
        WorkdirError: `folder` or the archive exists or cannot be written.
        VerificationError: Keras's own file, read back, answers differently, so that nothing was exported.
    """
    start = time.monotonic()
    names = plan.what.class_names
    subject = Subject(model, names, representative, plan.what.resize)
    if recipe.export.hub_archive and not overwrite:
        check_absent(pathlib.Path(recipe.export.hub_archive))
    with files.new_folder(folder, overwrite=overwrite) as beside:
        found, left_out = _exported(subject, recipe.export.optional_formats, test, beside)
        seconds = report.seconds + time.monotonic() - start
        report = dataclasses.replace(report, export=found, left_out=left_out, seconds=seconds)
        files.write_text(beside / "labels.txt", label_lines(names))
        files.write_json(beside / "recipe.json", values.to_json(recipe))
        files.write_json(beside / "plan.json", values.to_json(plan))
        files.write_json(beside / "report.json", values.to_json(report))
        files.write_text(beside / "README.md", write_card(report, plan))
        contents = sorted(path for path in beside.rglob("*") if path.is_file())
        digests = {str(path.relative_to(beside)): files.sha256(path) for path in contents}
        formats = {parity.format: parity.file for parity in found}
        index = {
            "schema": SCHEMA, "classes": list(names), "resize": plan.what.resize, "formats": formats, "files": digests
        }  # fmt: skip
        files.write_json(beside / "bundle.json", index)
        if recipe.export.hub_archive:
            _pack(beside, found, pathlib.Path(recipe.export.hub_archive))
    return report


def representative(train: Rows) -> np.ndarray:
    """Returns some training pictures, evenly from all, uint8 `[pictures, height, width, 3]`."""
    chosen = np.unique(np.linspace(0, len(train) - 1, min(_REPRESENTATIVE, len(train))).round().astype(int))
    return train.take(chosen)


def check_absent(path: pathlib.Path) -> None:
    """Refuses a file to write that is there already.

    Raises:
        WorkdirError: it is.
    """
    if path.exists():
        raise WorkdirError(f"{path} exists and is not overwritten. Remove it, or choose another name.")


def _exported(
    subject: Subject, optional: tuple[str, ...], test: Rows, folder: pathlib.Path
) -> tuple[tuple[Parity, ...], tuple[LeftOut, ...]]:
    """Writes and checks one format after the other."""
    kinds = [*core.CORE.values(), *(FORMATS[name] for name in optional)]
    expected = parity.reference(subject.model, test)
    found, left_out = [], []
    with progress.bar("exporting", len(kinds), kind="formats") as advance:
        for kind in kinds:
            path = folder / kind.file
            path.parent.mkdir(exist_ok=True)
            try:
                kind.write(subject, path)
                found.append(parity.compare(kind, path, subject, expected))
            except (FormatError, VerificationError) as error:
                if kind.name == _FIRST:
                    raise VerificationError(f"{error} Nothing was exported.") from error
                left_out.append(LeftOut(format=kind.name, reason=str(error)))
                _remove(path)
            advance(1, kind.name)
    return tuple(found), tuple(left_out)


def _remove(path: pathlib.Path) -> None:
    """Removes what is left of a format, and its folder where nothing else is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _pack(folder: pathlib.Path, found: list[Parity], archive: pathlib.Path) -> None:
    if any(parity.format == "saved_model" for parity in found):
        archives.pack(folder / "saved_model" / "1", archive)


def open_bundle(folder: pathlib.Path, *, allow_unsafe_model_code: bool = False) -> Bundle:
    """Opens a bundle after checking that no file of it is missing or altered.

    Its network is looked through like that of a `file:` backbone, and a SavedModel in it like that of `hub:`.

    Args:
        folder: of the bundle.
        allow_unsafe_model_code: whether code that the network brings may run.

    Raises:
        BundleError: no bundle, of another version, with a missing or altered file, or with code in it.
    """
    try:
        index = files.read_json(folder / "bundle.json")
    except WorkdirError as error:
        raise BundleError(
            f"{folder} is no bundle: {error} A bundle is the folder `bundle` that tfxfer train writes."
        ) from error
    if index.get("schema") != SCHEMA:
        raise BundleError(f"{folder} has schema {index.get('schema')!r}, this tfxfer reads {SCHEMA}. Update tfxfer.")
    listed = index["files"]
    missing = [name for name in listed if not (folder / name).is_file()]
    altered = [name for name in listed if name not in missing and files.sha256(folder / name) != listed[name]]
    if missing or altered or "model.keras" not in listed:
        raise BundleError(
            f"the bundle {folder} is damaged: missing {missing or 'nothing'}, altered {altered or 'nothing'}. "
            "Copy it again."
        )
    if not allow_unsafe_model_code:
        _check_code(folder / "model.keras")
    try:
        with saved_models_allowed(allow_unsafe_model_code=allow_unsafe_model_code):
            model = keras.models.load_model(
                folder / "model.keras", compile=False, safe_mode=not allow_unsafe_model_code
            )
    except (ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"{folder}/model.keras cannot be loaded ({error}).") from error
    return Bundle(folder, model, tuple(index["classes"]), index["resize"])


def _check_code(path: pathlib.Path) -> None:
    try:
        file = model_files.read(path)
        found = model_scan.foreign_code(file.config, packages=_PACKAGES, saved_models=True)
        model_scan.check_weights(file)
    except BackboneError as error:
        raise BundleError(str(error)) from error
    if found:
        raise BundleError(
            f"{path} is refused: it has what runs as a program or reads files, {'; '.join(found)}. If you trust the "
            "bundle as you trust a program: --allow_unsafe_model_code."
        )
