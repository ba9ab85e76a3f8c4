"""Writes a bundle, the directory that others use, and opens one again after checking every file."""

import contextlib
import dataclasses
import pathlib
import shutil
import time
import zipfile
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from tfxfer import archives, files, folders, formats, progress, values
from tfxfer.backbones import model_files, model_scan
from tfxfer.backbones.hub.layer import saved_models_allowed
from tfxfer.data.rows import Rows, evenly
from tfxfer.errors import BackboneError, BundleError, ConfigError, FormatError, VerificationError, WorkdirError
from tfxfer.evaluation import LeftOut, Parity, Report
from tfxfer.export import core, parity
from tfxfer.export.card import write_card
from tfxfer.export.formats import FORMATS, Format, Subject
from tfxfer.export.formats.format import label_lines
from tfxfer.export.known import write_known
from tfxfer.framing import Framing
from tfxfer.plans import Plan
from tfxfer.recipes import Recipe
from tfxfer.tasks import SINGLE_LABEL, Task

# The second is that of single labels; readers of before would take the outputs of other tasks for theirs.
SCHEMA, SCHEMA_OF_TASKS = 2, 3
# Whose registered classes the network of a bundle may name besides Keras's own.
_PACKAGES = ("tfxfer", "keras_hub")
# The one format that must be right, since everything else can be made from it.
_FIRST = "keras"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        folder: where it lies.
        model: from pixels on 0..255 to logits, or what else the outputs of `task` are.
        class_names: in the order of the logits; names of labels or targets.
        framing: how pictures become squares.
        task: what the network tells of a picture; `answers.meant` says what its outputs mean.
    """

    folder: pathlib.Path
    model: keras.Model
    class_names: tuple[str, ...]
    framing: Framing
    task: Task = SINGLE_LABEL


def write(
    model: keras.Model,
    recipe: Recipe,
    plan: Plan,
    report: Report,
    test: Rows,
    representative: np.ndarray,
    folder: pathlib.Path,
    *,
    known: np.ndarray,
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
        known: of `known_contents`, the pictures that were trained on.
        overwrite: whether it may, and is replaced once the new bundle is complete.

    Returns:
        The report with the parity of each exported file, what was left out, and the seconds until all were read back.

    Raises:
        WorkdirError: `folder` or the archive exists or cannot be written.
        VerificationError: Keras's own file, read back, answers differently, so that nothing was exported.
    """
    start = time.monotonic()
    subject = Subject(model, plan.what.class_names, representative, plan.what.framing, plan.what.task)
    if recipe.export.hub_archive:
        check_archive(pathlib.Path(recipe.export.hub_archive), folder, overwrite=overwrite)
    with files.new_folder(folder, overwrite=overwrite) as beside:
        found, left_out = _exported(subject, recipe.export.optional_formats, test, beside)
        is_packed = bool(recipe.export.hub_archive) and any(parity.format == "saved_model" for parity in found)
        if recipe.export.hub_archive and not is_packed:
            left_out += (LeftOut(format="hub_archive", reason="it would hold the SavedModel, which is not there."),)
        seconds = report.seconds + time.monotonic() - start
        report = dataclasses.replace(report, export=found, left_out=left_out, seconds=seconds)
        write_known(beside, known)
        _describe(beside, recipe, plan, report)
    if is_packed:
        archives.pack(folder / "saved_model" / "1", recipe.export.hub_archive)
    return report


def _describe(folder: pathlib.Path, recipe: Recipe, plan: Plan, report: Report) -> None:
    """Writes into a folder of exported files what says what they are; last the index, with a digest of each."""
    names, task = plan.what.class_names, plan.what.task
    files.write_text(folder / "labels.txt", label_lines(names))
    files.write_json(folder / "recipe.json", values.to_json(recipe))
    files.write_json(folder / "plan.json", values.to_json(plan))
    files.write_json(folder / "report.json", values.to_json(report))
    files.write_text(folder / "README.md", write_card(report, plan))
    contents = sorted(path for path in folder.rglob("*") if path.is_file())
    index = {
        "schema": SCHEMA if task == SINGLE_LABEL else SCHEMA_OF_TASKS,
        "classes": list(names),
        **({} if task == SINGLE_LABEL else {"task": values.to_json(task)}),
        "resize": plan.what.resize,
        "background": plan.what.background,
        "formats": {parity.format: parity.file for parity in report.export},
        "files": {str(path.relative_to(folder)): files.sha256(path) for path in contents},
    }
    files.write_json(folder / "bundle.json", index)


def representative(train: Rows) -> np.ndarray:
    """Returns some training pictures, evenly from all, uint8 `[pictures, height, width, 3]`."""
    return train.take(evenly(len(train), formats.REPRESENTATIVE))


def check_archive(path: pathlib.Path, folder: pathlib.Path, *, overwrite: bool = False) -> None:
    """Finds out, before anything else is done, whether an archive can be written.

    Args:
        path: of the archive.
        folder: of the SavedModel or bundle, outside of which it belongs.
        overwrite: whether one that is there may be replaced.

    Raises:
        WorkdirError: it is there already, lies within `folder`, or cannot be written.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        raise WorkdirError(f"{path} exists and is not overwritten. Remove it, or choose another name.")
    if path.resolve().is_relative_to(folder.resolve()):
        raise WorkdirError(f"{path} would lie in {folder}, which is written as a whole. Choose another place for it.")
    files.check_writable(path.parent)


def _exported(
    subject: Subject, optional: tuple[str, ...], test: Rows, folder: pathlib.Path
) -> tuple[tuple[Parity, ...], tuple[LeftOut, ...]]:
    """Writes and checks one format after the other."""
    kinds = [*core.CORE.values(), *(FORMATS[name] for name in optional)]
    with _exact_floats():
        return _exported_each(subject, kinds, test, folder)


@contextlib.contextmanager
def _exact_floats() -> Iterator[None]:
    """Multiplies float32 by all its bits on a GPU, too, which else takes 11 of them (TensorFloat-32)."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _exported_each(
    subject: Subject, kinds: list[Format], test: Rows, folder: pathlib.Path
) -> tuple[tuple[Parity, ...], tuple[LeftOut, ...]]:
    expected = parity.reference(subject.model, test)
    found, left_out = [], []
    with progress.bar("exporting", len(kinds), kind="formats") as advance:
        for kind in kinds:
            path = folder / kind.file
            path.parent.mkdir(exist_ok=True)
            try:
                kind.write(subject, path)
                found.append(parity.compare(kind, path, subject, expected))
            except OSError:  # a full disk is no fault of the format
                raise
            except Exception as error:  # converters raise whatever they like, and the other formats are wanted
                known = isinstance(error, (FormatError, VerificationError))
                reason = str(error) if known else f"it cannot be written or read ({type(error).__name__}: {error})"
                if kind.name == _FIRST:
                    raise VerificationError(f"{reason} Nothing was exported.") from error
                left_out.append(LeftOut(format=kind.name, reason=reason))
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


def open_bundle(folder: pathlib.Path, *, allow_unsafe_model_code: bool = False) -> Bundle:
    """Opens a bundle after checking that no file of it is missing or altered.

    Its network is looked through like that of a `file:` backbone, and a SavedModel in it like that of `hub:`.

    Args:
        folder: of the bundle.
        allow_unsafe_model_code: whether code that the network brings may run.

    Raises:
        BundleError: no bundle, of another version, with a missing or altered file, or with code in it.
    """
    folders.check_bundle(folder)
    try:
        index = files.read_json(folder / "bundle.json")
    except WorkdirError as error:
        raise BundleError(
            f"{folder} is no bundle: {error} A bundle is the folder `bundle` that tfxfer train writes."
        ) from error
    _check_index(index, folder)
    listed = index["files"]
    missing = [name for name in listed if not (folder / name).is_file()]
    altered = [name for name in listed if name not in missing and files.sha256(folder / name) != listed[name]]
    if missing or altered or not {"model.keras", "labels.txt"} <= listed.keys():
        raise BundleError(
            f"the bundle {folder} is damaged: missing {missing or 'nothing'}, altered {altered or 'nothing'}. "
            "Copy it again."
        )
    if (folder / "labels.txt").read_text(encoding="utf-8") != label_lines(tuple(index["classes"])):
        raise BundleError(
            f"the bundle {folder} is damaged: bundle.json and labels.txt name other classes. Copy it again."
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
    task = _task_of(index, folder)
    if task.outputs(len(index["classes"])) != model.output_shape[-1]:
        raise BundleError(
            f"the bundle {folder} is damaged: it names {task.answers(len(index['classes']))}, and its network has "
            f"{model.output_shape[-1]} outputs. Copy it again."
        )
    return Bundle(folder, model, tuple(index["classes"]), _framing(index), task)


def _task_of(index, folder: pathlib.Path) -> Task:
    """Returns the task that an index tells; those of before there were tasks tell none.

    Raises:
        BundleError: it tells none that can be.
    """
    try:
        task = values.from_json(Task, index.get("task", {}))
    except ConfigError as error:
        raise BundleError(f"the bundle {folder} is damaged: bundle.json: {error} Copy it again.") from error
    if task.kind == "regression" and len(task.means) != len(index["classes"]):
        raise BundleError(
            f"the bundle {folder} is damaged: it names {task.answers(len(index['classes']))} and has the means of "
            f"{len(task.means)}. Copy it again."
        )
    return task


def _check_index(index, folder: pathlib.Path) -> None:
    """Refuses an index that says something impossible: nothing else says whether it is as it was written."""
    if not isinstance(index, dict) or "schema" not in index:
        raise BundleError(f"{folder} is no bundle: its bundle.json has no schema.")
    if index["schema"] not in (SCHEMA, SCHEMA_OF_TASKS):
        raise BundleError(
            f"{folder} has schema {index['schema']!r}, this tfxfer reads {SCHEMA} and {SCHEMA_OF_TASKS}. Open it "
            "with the version of tfxfer that wrote it (its card says which), or train again."
        )
    classes, listed = index.get("classes"), index.get("files")
    if (
        not isinstance(classes, list)
        or not all(isinstance(name, str) for name in classes)
        or not isinstance(listed, dict)
        or _framing(index) is None
    ):
        raise BundleError(
            f"the bundle {folder} is damaged: bundle.json lacks classes, files or a framing that can be. Copy it again."
        )


def _framing(index: dict) -> Framing | None:
    """Returns what an index says of it, which before there were other backgrounds was less; None: nothing possible."""
    try:
        return Framing(resize=index.get("resize"), background=index.get("background", Framing.background))
    except ConfigError:
        return None


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
