"""The source `file:`: the user's own network in a Keras file, cut before its head."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import tempfile
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING

from tfxfer.backbones import conventions, model_files, model_scan
from tfxfer.backbones.on_pixels import in_float32, on_pixels
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError, ConfigError, suggest
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras

# What a network that takes any size was trained on is nowhere written; most were on this.
_SIZE_OF_ANY = 224
_LEAST_SIZE = 32


class KerasFileSource(Source):
    """A network that the user saved with Keras, `.keras` or `.h5`.

    The name is the path, and behind a `#` what the file does not tell: `pixels=`, the convention of the pixels that
    the network was trained on (see the card of each), and `at=`, the layer to cut behind, joined by `&`:
    `file:dogs.h5#pixels=-1..1&at=block_13_expand_relu`. A bare `#name` is that of a layer.
    """

    usage = "file:<path of a .keras or .h5 file>[#pixels=<convention>][&at=<layer>]"

    def names(self) -> tuple[str, ...]:
        """Returns nothing: files are named by their paths."""
        return ()

    def card(self, name: str) -> BackboneCard:
        """Returns what the file tells without Keras."""
        wanted = _parse(name)
        file = model_files.read(wanted.path)
        return _card(name, wanted, file, model_files.input_shape(file))

    def has_weights(self, name: str) -> bool:
        """Whether the file is there."""
        return _parse(name).path.is_file()

    def build(self, request: Request) -> keras.Model:
        """Returns the network from pixels to the last tensor before its head, or to the layer that was named.

        Models nested in it are inlined. Another image size than the file's is possible as long as every layer below
        the cut can work on any.
        """
        import keras

        from tfxfer import graph

        if request.output or request.arguments:
            raise ConfigError(
                f"file:{request.name} knows neither outputs nor arguments. To cut at a layer write #at=<layer>."
            )
        wanted = _parse(request.name)
        own_weights = request.weights in ("pretrained", "random")
        model = _opened(wanted, request)
        done = own_weights or _load_weights(request, model)
        flat = graph.inlined(model)
        trunk = keras.Model(graph.input_of(flat), graph.feature_tensor(flat, wanted.at), name=flat.name)
        built = _on_pixels(wanted, trunk, request.image_size)
        if not (done or _load_weights(request, built)):
            raise BackboneError(
                f"the weights in {request.weights} do not fit file:{request.name}, neither the whole network nor "
                "what is left of it before the cut. They have to be saved from one of the two."
            )
        return built

    def classifier(self, request: Request) -> keras.Model:
        """Returns the whole network: pixels to its own outputs, behind its own last activation, such as a softmax."""
        from tfxfer import graph

        wanted = _parse(request.name)
        model = _opened(wanted, request)
        return _on_pixels(wanted, graph.inlined(model), request.image_size)


SOURCE = KerasFileSource()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Wanted:
    """What the name says: a path, a pixel convention or "", a layer or None."""

    path: pathlib.Path
    pixels: str
    at: str | None


def _parse(name: str) -> _Wanted:
    whole = pathlib.Path(name).expanduser()
    path, sharp, fragment = name.rpartition("#")
    if not sharp or whole.exists():
        return _Wanted(path=whole, pixels="", at=None)
    options = {}
    for part in fragment.split("&"):
        key, equals, value = part.partition("=")
        key, value = (key, value) if equals else ("at", part)
        if key not in ("pixels", "at") or not value or key in options:
            raise ConfigError(
                f"file:{name}: {part!r} behind the # is unknown. Write #pixels=<convention>, #at=<layer>, or both with "
                f"& between.{suggest(key, ('pixels', 'at'))}"
            )
        options[key] = value
    pixels = options.get("pixels", "")
    if pixels and pixels not in conventions.CONVENTIONS:
        raise ConfigError(
            f"file:{name}: pixels={pixels!r} is no convention.{suggest(pixels, conventions.CONVENTIONS)} {_choices()}"
        )
    return _Wanted(path=pathlib.Path(path).expanduser(), pixels=pixels, at=options.get("at"))


def _card(name: str, wanted: _Wanted, file: model_files.ModelFile, shape: tuple[int | None, ...]) -> BackboneCard:
    images = len(shape) == 4
    size = _size(file, shape) if images else 0
    return BackboneCard(
        handle=f"file:{name}",
        native_size=size,
        minimum_size=min(_LEAST_SIZE, size),
        pixels=_pixels_in_words(name, wanted, file, shape[-1]) if images else f"no pixels: it takes {shape}",
        license="unknown",
        origin=f"your file {file.path}" + (", made for any size" if images and shape[1] is None else ""),
        takes="images" if images else "other",
    )


def _size(file: model_files.ModelFile, shape: tuple[int | None, ...]) -> int:
    _, height, width, channels = shape
    if channels not in (1, 3):
        first = " Its first axis looks like the channels; tfxfer's come last." if shape[1] in (1, 3) else ""
        raise BackboneError(f"{file.path} takes {shape}, expected are 3 channels, or 1 for grey.{first}")
    if height != width:
        raise BackboneError(f"{file.path} takes pictures of {width}×{height} pixels, expected are square ones.")
    return _SIZE_OF_ANY if height is None else height


def _pixels_in_words(name: str, wanted: _Wanted, file: model_files.ModelFile, channels: int) -> str:
    own = model_files.own_pixel_convention(file)
    if not own and not wanted.pixels:
        raise ConfigError(
            f"{file.path} does not tell which pixels it was trained on, and a wrong guess would spoil the features "
            f"without a word. {_choices()} Write file:{name}{'&' if '#' in name else '#'}pixels=<one of them>; it is "
            "what the program that trained it did to its pictures."
        )
    if channels == 1:
        if wanted.pixels in ("caffe", "imagenet"):
            raise ConfigError(f"{file.path} takes grey pictures; pixels={wanted.pixels} is for colours. {_choices()}")
        grey = "grey from RGB, "
    else:
        grey = ""
    return grey + (conventions.CONVENTIONS[wanted.pixels].words if wanted.pixels else f"0..255, RGB ({own})")


def _choices() -> str:
    return f"Conventions: {conventions.choices()}."


def _opened(wanted: _Wanted, request: Request) -> keras.Model:
    """Returns the model in the file after it was looked through, all of it trainable."""
    from tfxfer import graph

    file = model_files.read(wanted.path)
    if not request.allow_unsafe_model_code:
        found = model_scan.foreign_code(file.config)
        if found:
            raise BackboneError(
                f"{file.path} is refused: it has what runs as a program or reads files, {'; '.join(found)}. If you "
                "trust the file as you trust a program: --allow_unsafe_model_code, or allow_unsafe_model_code=True."
            )
    with model_scan.checked_weights(file) as numbers:
        model = _loaded(file, numbers, safe_mode=not request.allow_unsafe_model_code)
    if request.weights == "random":
        model = _drawn_anew(model)
    for layer in graph.flatten(model):
        layer.trainable = True  # what was frozen when it was saved is no decision for now
    return model


def _drawn_anew(model: keras.Model) -> keras.Model:
    """Returns the same architecture with weights drawn from the global seed."""
    import keras

    from tfxfer import graph

    fresh = keras.models.clone_model(model)
    for old, new in zip(graph.flatten(model), graph.flatten(fresh), strict=True):
        if isinstance(old, keras.layers.Normalization):  # its mean and variance are about pixels, nothing learned
            new.set_weights(old.get_weights())
            new.finalize_state()
    return fresh


def _loaded(file: model_files.ModelFile, numbers: pathlib.Path, *, safe_mode: bool) -> keras.Model:
    import keras

    from tfxfer.backbones import zeros_first

    operations = model_files.keras_2_operations(file)
    if operations:
        raise BackboneError(_legacy(file, f"Keras 2 recorded TensorFlow operations in it: {', '.join(operations[:5])}"))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # Keras goes by the name, and files of Keras 2 called .keras are HDF5 as well.
        link = pathlib.Path(folder, {"keras": "model.keras", "hdf5": "model.h5"}[file.kind])
        link.symlink_to(file.path.resolve())
        # Of arguments that a current Keras would write otherwise: nothing that the user could change. But where it
        # skips weights and leaves random numbers in place, it only warns as well.
        warnings.simplefilter("ignore", UserWarning)
        warnings.filterwarnings("error", message=".*[Ss]kipping", category=UserWarning)
        try:
            if file.kind == "keras" and not file.has_assets:
                # What load_model does, without a copy of the weights in memory and random numbers to overwrite.
                config = zeros_first.with_zeros({**file.config, "compile_config": None})
                model = keras.saving.deserialize_keras_object(config, safe_mode=safe_mode)
                model.load_weights(numbers)
                zeros_first.restore(model)
                return model
            return keras.models.load_model(link, compile=False, safe_mode=safe_mode)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise BackboneError(f"{file.path} is truncated or damaged ({error}). Get or save it again.") from error
        except Exception as error:  # whatever a config that Keras did not foresee leads to
            raise BackboneError(_legacy(file, _reason(file, str(error) or type(error).__name__))) from error


def _reason(file: model_files.ModelFile, message: str) -> str:
    """Returns in a few words why Keras could not load a file."""
    unknown = re.search(r"Unknown layer: '([^']+)'|Could not locate class '([^']+)'", message)
    if unknown:
        name = unknown[1] or unknown[2]
        if file.kind == "hdf5" and model_scan.is_keras_class(name):
            return f"it has the operation {name}, and operations are kept by the format .keras alone"
        return f"the class {name} is not Keras's; import the module that registers it, before this"
    arguments = re.search(r"class '(\w+)'.*Unrecognized keyword arguments passed to \w+: (\{.*?\})", message, re.DOTALL)
    if arguments:
        return f"a {arguments[1]} has arguments that Keras 3 does not know, {arguments[2]}"
    if "loops or disconnected nodes" in message:
        return "Keras 2 counts the calls of nested models otherwise"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1][:300]


def _legacy(file: model_files.ModelFile, reason: str) -> str:
    wrote = f" It was written by Keras {file.keras_version}." if file.keras_version else ""
    if file.keras_version.startswith("3"):
        return f"Keras cannot load {file.path}: {reason}.{wrote} Save it again as .keras where it was made."
    return (
        f"Keras 3 cannot load {file.path}: {reason}.{wrote} Convert it once with tf_keras, which "
        f"tensorflow_hub brings: tf_keras.models.load_model('{file.path}', compile=False).save('converted'), "
        "and write hub:converted."
    )


def _on_pixels(wanted: _Wanted, trunk: keras.Model, image_size: int) -> keras.Model:
    """Returns the layers of `trunk`, shared, behind the pixel convention, or as they are where it takes no pictures."""
    import keras

    from tfxfer import graph

    name = re.sub(r"\W", "_", wanted.path.stem)
    if len(trunk.input_shape) != 4:
        return keras.Model(graph.input_of(trunk), in_float32(trunk.output), name=name)

    def convention(x, layer_name):
        return conventions.applied(x, wanted.pixels or "0..255", layer=layer_name)

    return on_pixels(trunk, image_size, convention, name=name, origin=str(wanted.path))


def _load_weights(request: Request, model: keras.Model) -> bool:
    """Puts the numbers of a weights file into `model`; returns whether they fit."""
    path = request.weights
    if zipfile.is_zipfile(path):
        model_scan.check_weights(model_files.read(path))
    else:
        model_scan.check_hdf5(pathlib.Path(path), path)
    with warnings.catch_warnings():
        # Keras only warns of layers that a file does not fit, and leaves their numbers in place.
        warnings.simplefilter("error", UserWarning)
        try:
            model.load_weights(path)
        except (ValueError, KeyError, OSError, UserWarning):
            return False
    return True
