"""Writes a bundle, the directory that others use, and opens one again after checking every file."""

import dataclasses
import pathlib
import time
import zipfile

import keras
import numpy as np
import tensorflow as tf

from tfxfer import files, prediction, progress, values
from tfxfer.backbones import model_files, model_scan
from tfxfer.backbones.hub.layer import saved_models_allowed
from tfxfer.data.rows import Rows
from tfxfer.errors import BackboneError, BundleError, VerificationError, WorkdirError
from tfxfer.evaluation import Parity, Report
from tfxfer.export import saved_model
from tfxfer.export.card import write_card
from tfxfer.facts import BackboneFacts
from tfxfer.plans import Plan
from tfxfer.recipes import Recipe

SCHEMA = 1
# Pictures on which an exported file must agree with the model in memory, and how well.
_COMPARED = 64
# Whose registered classes the network of a bundle may name besides Keras's own.
_PACKAGES = ("tfxfer", "keras_hub")
_LIMIT = 1e-5


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
    backbone: BackboneFacts,
    sample: Rows,
    folder: pathlib.Path,
) -> Report:
    """Writes the bundle of a trained model, each file checked against the model in memory, and renames it.

    Args:
        model: from pixels to logits.
        recipe: what the user asked for.
        plan: what was decided.
        report: what was measured; its seconds end here.
        backbone: facts about what it started from.
        sample: pictures to compare on, uint8.
        folder: must not exist.

    Returns:
        The report with the parity of each exported file, and the seconds until they were read back.

    Raises:
        WorkdirError: `folder` exists or cannot be written.
        VerificationError: a file that was read back answers differently.
    """
    start = time.monotonic()
    names = plan.what.class_names
    with files.new_folder(folder) as beside:
        (beside / "labels.txt").write_text("".join(" ".join(n.split()) + "\n" for n in names), encoding="utf-8")
        with progress.bar("writing the bundle", 3, kind="steps") as advance:
            model.save(beside / "model.keras")
            advance(1, "SavedModel")
            saved_model.write(model, names, beside / "labels.txt", beside / "saved_model" / "1")
            advance(1, "reading back")
            parity = check_parity(model, beside, sample)
            advance(1, "")
        seconds = report.seconds + time.monotonic() - start
        report = dataclasses.replace(report, export=parity, seconds=seconds)
        files.write_json(beside / "recipe.json", values.to_json(recipe))
        files.write_json(beside / "plan.json", values.to_json(plan))
        files.write_json(beside / "report.json", values.to_json(report))
        files.write_text(beside / "README.md", write_card(report, plan, backbone))
        contents = sorted(path for path in beside.rglob("*") if path.is_file())
        digests = {str(path.relative_to(beside)): files.sha256(path) for path in contents}
        index = {"schema": SCHEMA, "classes": list(names), "resize": plan.what.resize, "files": digests}
        files.write_json(beside / "bundle.json", index)
    return report


def check_parity(model: keras.Model, folder: pathlib.Path, sample: Rows) -> tuple[Parity, ...]:
    """Reads the exported files back and compares their probabilities with those of the model in memory.

    Raises:
        VerificationError: a probability differs by more than 1e-5.
    """
    pictures = sample.take(np.arange(min(_COMPARED, len(sample))))
    expected = prediction.softmax(prediction.logits_of(model, pictures))
    with saved_models_allowed(allow_unsafe_model_code=True):  # this very process has run them
        reloaded = keras.models.load_model(folder / "model.keras", compile=False, safe_mode=False)
    served = tf.saved_model.load(str(folder / "saved_model" / "1"))
    fractions = tf.constant(pictures, tf.float32) / 255.0
    answers = {
        "model.keras": prediction.softmax(prediction.logits_of(reloaded, pictures)),
        "saved_model/1": served.signatures["serving_default"](images=fractions)["probabilities"].numpy(),
    }
    found = []
    for file, probabilities in answers.items():
        difference = float(np.abs(probabilities - expected).max())
        if not difference <= _LIMIT:
            raise VerificationError(
                f"{file} answers differently from the trained model: probabilities differ by up to {difference:.2g}, "
                f"allowed are {_LIMIT:g}. Nothing was exported."
            )
        found.append(Parity(file=file, examples=len(pictures), largest_difference=difference, limit=_LIMIT))
    return tuple(found)


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
