"""Reads what a Keras model file says about itself, without Keras: what it is, its input, its pixels.

What in it must not be opened unasked is left to `model_scan`, building the network to `keras_file`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from tfxfer import archives
from tfxfer.errors import BackboneError

if TYPE_CHECKING:
    import h5py

# Of the largest networks of keras.applications, config takes a third of a MiB.
MOST_CONFIG_BYTES = 16 << 20
_MOST_MEMBERS = 10_000
WEIGHTS = "model.weights.h5"
# How Keras 2 kept TensorFlow's operations; Keras 3 has no such layers.
KERAS_2_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod",
                       "InstanceProperty")  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A Keras model file that was opened.

    Attributes:
        path: of the file.
        kind: "keras", a zip of Keras 3; or "hdf5", the older format, by content and not by name.
        config: of the model, JSON types.
        keras_version: that wrote it; "" where it does not say.
        has_assets: whether layers keep files of their own in it.
    """

    path: pathlib.Path
    kind: Literal["keras", "hdf5"]
    config: dict[str, Any]
    keras_version: str
    has_assets: bool = False


def read(path: str | os.PathLike) -> ModelFile:
    """Returns what a `.keras` or `.h5` file says about itself; weights are left unread.

    Raises:
        BackboneError: the file is missing, damaged or no Keras model; the message says what it is instead.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise BackboneError(_folder(path))
    try:
        with open(path, "rb") as stream:
            start = stream.read(16)
    except FileNotFoundError as error:
        raise BackboneError(f"there is no file {path}. Write file:<path of a .keras or .h5 file>.") from error
    except OSError as error:
        raise BackboneError(f"{path} cannot be read ({error.strerror}).") from error
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _read_zip(path)
    if start[:8] == b"\x89HDF\r\n\x1a\n":
        return _read_hdf5(path)
    raise BackboneError(f"{path} is no Keras model file: {_other_format(path, start)}")


def input_shape(file: ModelFile) -> tuple[int | None, ...]:
    """Returns the shape that the model takes, batch included; None where it is open.

    Raises:
        BackboneError: the model takes several inputs, or its config tells no shape.
    """
    try:
        shape = _input_shape(file.config)
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError):
        shape = None
    if not isinstance(shape, list) or not all(
        extent is None or (type(extent) is int and extent > 0) for extent in shape
    ):
        raise BackboneError(
            f"{file.path} does not tell the shape of its input. The model is subclassed or was never called: make it "
            "with keras.Sequential or keras.Model(inputs, outputs), call it once, and save it again."
        )
    return tuple(shape)


def own_pixel_convention(file: ModelFile) -> str:
    """Returns what the model's first layers do to pixels on 0..255, in words; "" if they do nothing of the kind."""
    for layer in _layers(file.config):
        kind, config = layer.get("class_name"), layer.get("config")
        if kind == "Rescaling":
            scale, offset = _numbers(config.get("scale")), _numbers(config.get("offset", 0))
            # Pixels on 0..255 become numbers about 1. A network that scales up takes pixels on 0..1.
            if scale and offset and 255 * max(map(abs, scale)) + max(map(abs, offset)) <= 10:
                return f"its own Rescaling, x × {scale[0]:.6g} + {offset[0]:.6g}"
        elif kind == "Normalization":
            means = _numbers(config.get("mean"))
            if means and min(means) > 2:
                return f"its own Normalization, (x − {means[0]:.6g}) / …"
        elif kind in ("InputLayer", "Resizing", "CenterCrop", "ZeroPadding2D") or str(kind).startswith("Random"):
            continue
        return ""
    return ""


def keras_2_operations(file: ModelFile) -> tuple[str, ...]:
    """Returns the TensorFlow operations that Keras 2 recorded in the config and Keras 3 cannot read."""
    return tuple(
        str(layer.get("config", {}).get("function", layer["class_name"]))
        for layer in _layers(file.config)
        if layer.get("class_name") in KERAS_2_OPERATIONS
    )


def json_object(path: pathlib.Path, text: str | bytes) -> dict[str, Any]:
    """Returns the object in a JSON text that came with a model.

    Raises:
        BackboneError: it is too large, or no JSON object.
    """
    if len(text) > MOST_CONFIG_BYTES:
        raise BackboneError(_config_too_large(path))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"{path} has a config that cannot be read ({error}). Get or save it again.") from error
    if not isinstance(value, dict):
        raise BackboneError(f"{path} has a config of type {type(value).__name__}, expected a JSON object.")
    return value


@contextlib.contextmanager
def opened_hdf5(path: pathlib.Path, opened: str | os.PathLike | BinaryIO) -> Iterator[h5py.File]:
    """Gives an HDF5 file; what its library raises about damage becomes one error."""
    import h5py

    try:
        with h5py.File(opened, "r") as file:
            yield file
    except BackboneError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BackboneError(f"{path} is truncated or damaged ({reason}). Get or save it again.") from error


def _read_zip(path: pathlib.Path) -> ModelFile:
    members = {info.filename: info for info in archives.check_zip(path, most_members=_MOST_MEMBERS)}
    if "config.json" not in members or "metadata.json" not in members:
        raise BackboneError(f"{path} is no Keras model file: {_other_zip(path, tuple(members))}")
    if WEIGHTS not in members:
        raise BackboneError(f"{path} has no {WEIGHTS}. Save it again with model.save(…) of a current Keras.")
    texts = []
    try:
        with zipfile.ZipFile(path) as opened:
            for name in ("config.json", "metadata.json"):
                if members[name].file_size > MOST_CONFIG_BYTES:
                    raise BackboneError(_config_too_large(path))
                texts.append(opened.read(name))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise BackboneError(f"{path} is damaged ({error}). Get it again.") from error
    config, metadata = (json_object(path, text) for text in texts)
    return ModelFile(
        path=path,
        kind="keras",
        config=config,
        keras_version=str(metadata.get("keras_version", "")),
        has_assets=any(name.startswith("assets/") for name in members),
    )


def _read_hdf5(path: pathlib.Path) -> ModelFile:
    with opened_hdf5(path, path) as file:
        config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "")
        if config is None:
            raise BackboneError(
                f"{path} holds weights and no architecture, so nothing can be built from it. Give the network that it "
                f"was saved from and these weights: backbone=file:<its .keras file>, or backbone=keras:<name>, with "
                f"weights={path}. Or save the whole model: model.save('model.keras')."
            )
        config, version = (text.decode() if isinstance(text, bytes) else text for text in (config, version))
    if not isinstance(config, str):
        raise BackboneError(f"{path} has a model_config that is no text. Save the model again.")
    return ModelFile(path=path, kind="hdf5", config=json_object(path, config), keras_version=str(version))


def _input_shape(model: dict[str, Any]) -> Any:
    config = model["config"]
    if isinstance(config, dict) and "input_layers" in config:
        inputs = config["input_layers"]
        names = [inputs[0]] if isinstance(inputs[0], str) else [entry[0] for entry in inputs]
        if len(names) > 1:
            raise BackboneError(f"the model takes {len(names)} inputs: {', '.join(map(str, names))}. Expected is one.")
        first = next(layer for layer in config["layers"] if layer.get("name", layer["config"]["name"]) == names[0])
    else:  # Sequential, which was a bare list at first
        first = (config if isinstance(config, list) else config["layers"])[0]
    inner = first["config"]
    if isinstance(inner, dict):
        shape = inner.get("batch_shape") or inner.get("batch_input_shape")
        if shape:
            return shape
    if isinstance(inner, list) or "layers" in inner:
        return _input_shape(first)
    return config.get("build_input_shape") if isinstance(config, dict) else None


def _layers(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Gives the layers of a config in the order in which it lists them, those of nested models in their place."""
    pending = [model]
    while pending:
        layer = pending.pop()
        if not isinstance(layer, dict):
            continue
        config = layer.get("config")
        inner = config if isinstance(config, list) else config.get("layers") if isinstance(config, dict) else None
        if isinstance(inner, list):
            pending += reversed(inner)
        elif isinstance(config, dict):
            yield layer


def _numbers(value: Any) -> list[float]:
    """Returns the numbers in a JSON value, however nested; none where something else is among them."""
    if isinstance(value, list):
        inner = [_numbers(item) for item in value]
        return [number for numbers in inner for number in numbers] if all(inner) else []
    return [float(value)] if type(value) in (int, float) else []


def _folder(path: pathlib.Path) -> str:
    if (path / "saved_model.pb").exists():
        return f"{path} is a SavedModel, not a Keras model file. Write hub:{path}."
    if (path / "config.json").exists() and (path / WEIGHTS).exists():
        return f"{path} is an unpacked Keras model. Save it as one file: model.save('model.keras')."
    return f"{path} is a folder. Write file:<path of a .keras or .h5 file>."


def _other_format(path: pathlib.Path, start: bytes) -> str:
    if path.suffix == ".safetensors" or start[:1] == b"\x80":
        return f"it looks like PyTorch weights. Write torch:<architecture>@{path}."
    if start[4:8] == b"TFL3":
        return "it is a TensorFlow Lite model, which cannot be trained. Give the model that it was converted from."
    if not start:
        return "it is empty. Get or save it again."
    return f"it begins with {start[:8]!r}. A .keras file is a zip, a .h5 file begins with b'\\x89HDF'."


def _other_zip(path: pathlib.Path, members: tuple[str, ...]) -> str:
    if any(name.split("/")[-1] == "data.pkl" for name in members):
        return f"it looks like PyTorch weights. Write torch:<architecture>@{path}."
    if any(name.split("/")[-1] == "saved_model.pb" for name in members):
        return "it is a packed SavedModel. Unpack it and write hub:<folder>."
    return f"it is a zip without config.json and metadata.json; it has {', '.join(members[:5]) or 'nothing'}."


def _config_too_large(path: pathlib.Path) -> str:
    return f"{path} is refused: its config takes more than {MOST_CONFIG_BYTES >> 20} MiB, which no network needs."
