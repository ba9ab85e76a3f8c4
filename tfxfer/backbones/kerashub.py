"""The source `kerashub:`: presets of KerasHub, by name or folder; it shows what a source of another package takes.

One file and one entry point. KerasHub is imported when a network is built, and it is an extra: `tfxfer[kerashub]`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

from tfxfer.backbones import model_files, model_scan
from tfxfer.backbones.on_pixels import in_float32, on_pixels
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError, ConfigError, suggest
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

_PACKAGES = ("keras_hub", "tfxfer")


class KerasHubSource(Source):
    """Image backbones of KerasHub: a preset, its folder, or where its files lie (`kaggle://…`, `hf://…`).

    The scale and offset of the preset's image converter become part of the graph. Backbones that give tokens, such as
    vision transformers, give their mean over the tokens.
    """

    usage = "kerashub:<preset, such as resnet_18_imagenet, or preset folder>"

    def names(self) -> tuple[str, ...]:
        """Returns nothing: listing the presets takes the import of KerasHub, which takes seconds."""
        return ()

    def card(self, name: str) -> BackboneCard:
        """Returns what is known without KerasHub: all for a folder, little for a name."""
        _check_installed()
        folder = _folder(name)
        if folder is None:
            if "://" not in name and not re.fullmatch(r"[\w.+-]+", name):
                raise ConfigError(
                    f"kerashub:{name} is neither the name of a preset nor a folder. Write {SOURCE.usage}."
                )
            return _card(name, 0, "that of its image converter", "unknown")
        converter = _json(folder, "image_converter.json").get("config", {})
        return _card(name, _size(converter.get("image_size")), _in_words(converter), f"your folder {folder}")

    def inspect(self, request: Request) -> BackboneCard:
        """Returns the card with the preset's size and pixels; downloads its configs, and loads KerasHub."""
        card = self.card(request.name)
        if _folder(request.name) is not None:
            return card
        keras_hub = _keras_hub(request.name)
        converter = _from_preset(keras_hub.layers.ImageConverter, request.name).get_config()
        return _card(request.name, _size(converter["image_size"]), _in_words(converter), "KerasHub preset")

    def has_weights(self, name: str) -> bool:
        """Whether the weights are in the folder, or were downloaded before."""
        folder = _folder(name)
        if folder is not None:
            return any(folder.glob("model*.weights.h5"))
        return any(_cache().glob(f"models/*/*/*/{name}/*/model*.weights.h5")) if re.fullmatch(r"\w+", name) else False

    def build(self, request: Request) -> keras.Model:
        """Returns the backbone from pixels to its feature map, or to the mean of its tokens."""
        import keras

        from tfxfer import graph

        if request.output or request.arguments:
            raise ConfigError(f"kerashub:{request.name} knows neither outputs nor arguments.")
        _check_installed()
        _check_folder(_folder(request.name), request)
        keras_hub = _keras_hub(request.name)
        load = request.weights == "pretrained"
        backbone = _from_preset(keras_hub.models.Backbone, request.name, load_weights=load)
        if len(backbone.inputs) != 1 or len(backbone.inputs[0].shape) != 4 or len(backbone.outputs) != 1:
            takes = ", ".join(f"{tensor.name} {tensor.shape}" for tensor in backbone.inputs)
            raise BackboneError(
                f"kerashub:{request.name} ({type(backbone).__name__}) takes {takes} and gives {len(backbone.outputs)} "
                "outputs; expected is one of pictures, and one feature map. Choose the preset of an image classifier."
            )

        converter = _from_preset(keras_hub.layers.ImageConverter, request.name)

        def convention(x, layer_name):
            scale, offset = converter.scale, converter.offset
            if scale is None and offset is None:
                return x
            scale, offset = 1.0 if scale is None else scale, 0.0 if offset is None else offset
            return keras.layers.Rescaling(scale, offset=offset, name=layer_name)(x)

        name = re.sub(r"\W", "_", pathlib.PurePath(request.name).name)
        flat = graph.inlined(backbone)
        model = on_pixels(flat, request.image_size, convention, name=name, origin=f"kerashub:{request.name}")
        if len(model.output.shape) == 3:
            mean = keras.layers.GlobalAveragePooling1D(name="mean_of_tokens")(model.output)
            model = keras.Model(model.input, in_float32(mean), name=name)
        if request.weights not in ("pretrained", "random"):
            model_scan.check_hdf5(pathlib.Path(request.weights), request.weights)
            model.load_weights(request.weights)
        return model


SOURCE = KerasHubSource()


def _card(name: str, size: int, pixels: str, origin: str) -> BackboneCard:
    return BackboneCard(
        handle=f"kerashub:{name}",
        native_size=size,
        minimum_size=min(32, size),
        pixels=pixels,
        license="unknown",
        origin=origin,
    )


def _check_installed() -> None:
    if importlib.util.find_spec("keras_hub") is None:
        raise BackboneError("kerashub: needs the package keras-hub. Type: pip install 'tfxfer[kerashub]'")


def _keras_hub(name: str):
    """Returns the package, after a look at the name."""
    import keras_hub

    presets = keras_hub.models.Backbone.presets
    if name not in presets and "://" not in name and _folder(name) is None:
        raise ConfigError(
            f"KerasHub has no preset {name!r}, and there is no such folder.{suggest(name, presets)} It has "
            f"{len(presets)}: python -c \"import keras_hub; print(*keras_hub.models.Backbone.presets, sep='\\n')\""
        )
    return keras_hub


def _folder(name: str) -> pathlib.Path | None:
    """Returns the folder that `name` is; None where it is no folder."""
    path = pathlib.Path(name).expanduser()
    return path if path.is_dir() else None


def _json(folder: pathlib.Path, file: str) -> dict[str, Any]:
    path = folder / file
    try:
        with open(path, "rb") as stream:
            return model_files.json_object(path, stream.read(model_files.MOST_CONFIG_BYTES + 1))
    except FileNotFoundError as error:
        missing = "which pixels it takes" if file.startswith("image") else "which network it is"
        raise BackboneError(
            f"{folder} has no {file}, so nothing tells {missing}. A preset is written by save_to_preset of a KerasHub "
            "backbone, and of its image converter, into the same folder."
        ) from error


def _check_folder(folder: pathlib.Path | None, request: Request) -> None:
    """Refuses a folder whose configs name code, or whose weights lie elsewhere."""
    if folder is None:
        return
    for file in ("config.json", "image_converter.json"):
        found = model_scan.foreign_code(_json(folder, file), packages=_PACKAGES)
        if found and not request.allow_unsafe_model_code:
            raise BackboneError(
                f"{folder / file} is refused: it has {'; '.join(found)}. If you trust it as you trust a program: "
                "--allow_unsafe_model_code, or allow_unsafe_model_code=True."
            )
    for path in sorted(folder.glob("*.h5")):
        model_scan.check_hdf5(path, path)


def _from_preset(kind: type, name: str, **arguments: Any) -> Any:
    try:
        return kind.from_preset(str(_folder(name) or name), **arguments)
    except Exception as error:  # of KerasHub, Kaggle, Hugging Face, requests, Keras, the file system
        lines = str(error).splitlines() or [""]
        where = (
            "" if _folder(name) else f" Downloaded presets lie in {_cache()}; a folder of one works without network."
        )
        raise BackboneError(
            f"kerashub:{name} cannot be loaded ({type(error).__name__}: {lines[0][:300]}).{where}"
        ) from error


def _size(size: Any) -> int:
    return min(size) if isinstance(size, (list, tuple)) and all(type(extent) is int for extent in size) else 0


def _in_words(converter: dict[str, Any]) -> str:
    words = {key: "none" if converter.get(key) is None else json.dumps(converter[key]) for key in ("scale", "offset")}
    return f"x × {words['scale']} + {words['offset']}, RGB"


def _cache() -> pathlib.Path:
    return pathlib.Path(os.environ.get("KAGGLEHUB_CACHE", "~/.cache/kagglehub")).expanduser()
