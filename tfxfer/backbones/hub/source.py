"""The source `hub:`: SavedModels of TF Hub, of Kaggle or of the user's own, as backbones."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from typing import TYPE_CHECKING

from tfxfer.backbones.conventions import CONVENTIONS, applied
from tfxfer.backbones.hub import contract, places
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

# Where a module takes any size: what most were trained on, and five halvings.
_NATIVE_SIZE = 224
_MINIMUM_SIZE = 32
_PIXELS = {
    "images": f"{CONVENTIONS['0..1'].words}, the convention of TF Hub",
    "video": "RGB in [0, 1], the convention of TF Hub",
    "text": "none",
    "other": "none",
}


class HubSource(Source):
    """SavedModels by folder, archive or address."""

    usage = "hub:<folder>, hub:<file.tar.gz>, hub:https://www.kaggle.com/models/… or hub:https://tfhub.dev/…"

    options = frozenset({"output", "arguments"})

    def names(self) -> tuple[str, ...]:
        """Returns nothing: what there is cannot be listed."""
        return ()

    def card(self, name: str) -> BackboneCard:
        """Returns what the name alone tells, after looking whether the file or folder is there."""
        places.check(name)
        return BackboneCard(
            handle=f"hub:{name}",
            native_size=0,
            minimum_size=0,
            pixels=_PIXELS["images"],
            license="unknown",
            origin=name if places.kind_of(name) == "url" else f"a SavedModel in {pathlib.Path(name).resolve()}",
        )

    def has_weights(self, name: str) -> bool:
        """Whether it can be had without network."""
        return places.is_here(name)

    def inspect(self, request: Request) -> BackboneCard:
        """Returns the card completed from the program of the SavedModel, without loading it."""
        folder = places.find(request.name)
        offer = contract.contract(folder)
        card = dataclasses.replace(
            self.card(request.name),
            takes=offer.takes,
            pixels=_PIXELS[offer.takes],
            parameters=offer.variables,
            trainable=not offer.why_frozen(),
            feature_channels=_width(offer, request.output),
        )
        if offer.takes != "images":
            return card
        size = _fixed_size(offer, folder)
        return dataclasses.replace(card, native_size=size or _NATIVE_SIZE, minimum_size=size or _MINIMUM_SIZE)

    def build(self, request: Request) -> keras.Model:
        """Returns the SavedModel as a Keras model: from pixels 0..255, from strings `[batch]`, or from video.

        Video is float32 `[batch, frames, height, width, 3]` on 0..255.
        """
        import keras

        from tfxfer.backbones.hub.layer import SavedModelLayer

        folder = places.find(request.name)
        offer = contract.contract(folder)
        _check(request, offer, folder)
        inputs, x = _inputs(request, offer, folder)
        layer = SavedModelLayer(
            folder,
            trainable=not offer.why_frozen(),
            output=request.output,
            arguments=dict(request.arguments),
            allow_unsafe_model_code=request.allow_unsafe_model_code,
            name=f"{_model_name(request.name)}_saved_model",
        )
        features = layer(x)
        if features.dtype == "string" or len(features.shape) < 2 or features.shape[-1] is None:
            raise BackboneError(f"the SavedModel in {folder} gives no features: it {offer.described}.")
        model = keras.Model(inputs, features, name=_model_name(request.name))
        if request.weights != "pretrained":
            model.load_weights(request.weights)
        return model


SOURCE = HubSource()


def _check(request: Request, offer: contract.Contract, folder: pathlib.Path) -> None:
    """Refuses what cannot be built, before anything is loaded."""
    if request.weights == "random":
        raise ConfigError(
            f"weights='random': the SavedModel in {folder} says nothing of how its weights begin. Write 'pretrained'."
        )
    if offer.takes == "other":
        raise BackboneError(
            f"the SavedModel in {folder} is no backbone for pictures, text or video: it {offer.described}. Pictures "
            "are float32 [?, height, width, 3], text is string [?], video is float32 [?, frames, height, width, 3]."
        )
    offer.choose_output(request.output)
    offer.check_arguments(dict(request.arguments))
    if offer.takes == "images":
        size = _fixed_size(offer, folder)
        if size and request.image_size not in (0, size):
            raise ConfigError(
                f"image_size={request.image_size}: the SavedModel in {folder} takes {size} pixels only. "
                f"Write image_size={size}."
            )


def _inputs(request: Request, offer: contract.Contract, folder: pathlib.Path):
    """Returns the input of the model and what the SavedModel is given."""
    import keras

    if offer.takes == "text":
        text = keras.Input((), dtype="string", name="text")
        return text, text
    if offer.takes == "video":
        pixels = keras.Input((*offer.inputs[0].shape[1:-1], 3), name="pixels")
    else:
        size = request.image_size or _fixed_size(offer, folder) or _NATIVE_SIZE
        pixels = keras.Input((size, size, 3), name="pixels")
    return pixels, applied(pixels, "0..1")


def _fixed_size(offer: contract.Contract, folder: pathlib.Path) -> int:
    """Returns the height and width that were traced, 0 if any will do."""
    height, width = offer.inputs[0].shape[1:3]
    if height != width and None not in (height, width):
        raise BackboneError(f"the SavedModel in {folder} takes {height}×{width} pixels; only squares are fed here.")
    return height or width or 0


def _width(offer: contract.Contract, output: str) -> int:
    """Returns the last extent of the chosen output, 0 where it is open."""
    try:
        shape = offer.choose_output(output).shape
    except ConfigError:
        return 0
    return (shape[-1] or 0) if shape else 0


def _model_name(name: str) -> str:
    """Returns a name for layers: the last parts of a path or address that say something."""
    parts = [part for part in re.split(r"[/\\?]", name) if part and not part.isdigit()]
    return re.sub(r"\W+", "_", parts[-1].split(".")[0] if parts else "hub").strip("_") or "hub"
