"""A tiny backbone as a plug-in would offer it, and its installation into a folder on the import path."""

import pathlib

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.facts import BackboneCard


class TinySource(Source):
    """Two backbones of a few hundred weights: `cnn` with batch norm in two blocks, `plain` without."""

    def names(self) -> tuple[str, ...]:
        """Returns the names."""
        return ("cnn", "plain")

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about a backbone."""
        check_name(name, self.names(), "tiny")
        return BackboneCard(
            handle=f"tiny:{name}",
            native_size=24,
            minimum_size=16,
            pixels="x / 127.5 − 1, RGB",
            license="Apache-2.0",
            origin="random numbers of a fixed seed",
        )

    def build(self, request: Request):
        """Returns the network; "pretrained" are random weights of a fixed seed."""
        import keras

        name, image_size, weights = request.name, request.image_size, request.weights
        check_name(name, self.names(), "tiny")
        layers = keras.layers

        def kernel(number: int):
            return keras.initializers.HeNormal(seed=number if weights == "pretrained" else None)

        pixels = keras.Input((image_size, image_size, 3), name="pixels")
        x = layers.Rescaling(1 / 127.5, offset=-1.0, name="pixel_convention")(pixels)
        x = layers.Conv2D(4, 3, 2, "same", kernel_initializer=kernel(1), name="stem_conv")(x)
        for number, channels in enumerate((8, 8), start=1):
            x = layers.Conv2D(
                channels, 3, 2, "same", kernel_initializer=kernel(number + 1), name=f"block{number}_conv"
            )(x)
            if name == "cnn":
                x = layers.BatchNormalization(name=f"block{number}_bn")(x)
            x = layers.ReLU(name=f"block{number}_relu")(x)
        return keras.Model(pixels, x, name=f"tiny_{name}")


SOURCE = TinySource()


def write_plugin(folder: pathlib.Path) -> pathlib.Path:
    """Makes `tiny:` a source for every program that has `folder` on its import path; returns `folder`.

    It writes what an installer leaves behind, so the plug-in is found the way an outsider's is.
    """
    info = folder / "tfxfer_tiny-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tfxfer-tiny\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[tfxfer.backbones]\ntiny = tfxfer.testing.tiny:SOURCE\n", encoding="utf-8")
    return folder
