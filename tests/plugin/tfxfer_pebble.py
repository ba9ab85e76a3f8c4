"""The source `pebble:`, one small network."""

from tfxfer.backbones import Request, Source
from tfxfer.backbones.registry import check_name
from tfxfer.facts import BackboneCard


class PebbleSource(Source):
    """A network of three convolutions, whose pretrained weights are random numbers of fixed seeds."""

    def names(self) -> tuple[str, ...]:
        """Returns what can stand behind `pebble:`."""
        return ("small",)

    def card(self, name: str) -> BackboneCard:
        """Returns what is known without Keras; what is not known is left out."""
        check_name(name, self.names(), "pebble")
        return BackboneCard(
            handle=f"pebble:{name}",
            native_size=32,
            minimum_size=16,
            pixels="x / 255, RGB",
            license="Apache-2.0",
            origin="random numbers",
            feature_channels=16,
        )

    def build(self, request: Request):
        """Returns the network, from pixels on 0..255 to its feature map."""
        import keras  # here, so that the names and the card need no Keras

        check_name(request.name, self.names(), "pebble")
        pixels = keras.Input((request.image_size, request.image_size, 3))
        x = keras.layers.Rescaling(1 / 255)(pixels)
        for number, channels in enumerate((8, 8, 16)):
            kernel = keras.initializers.HeNormal(seed=None if request.weights == "random" else number)
            x = keras.layers.Conv2D(channels, 3, 2, "same", use_bias=False, kernel_initializer=kernel)(x)
            x = keras.layers.BatchNormalization()(x)
            x = keras.layers.ReLU()(x)
        model = keras.Model(pixels, x, name="pebble")
        if request.weights not in ("pretrained", "random"):
            model.load_weights(request.weights)
        return model


SOURCE = PebbleSource()
