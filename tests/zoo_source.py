"""The source `zoo:`: networks without training of which it is known what each sees in stripes, and some that fail."""

import pathlib

from tfxfer.backbones.registry import check_name
from tfxfer.backbones.source import Request, Source
from tfxfer.errors import BackboneError
from tfxfer.facts import BackboneCard

# Of the name: published top-1.
NAMES = {
    "seeing": 70.0,
    "seeing_large": 80.0,
    "blind": 90.0,
    "absent": 0.0,
    "crashing": 0.0,
    "text": 0.0,
    "silent": 0.0,
}
SIZE = 24


class ZooSource(Source):
    """`seeing` tells how steep pictures are along rows and along columns, `blind` how bright their colours are.

    `seeing_large` gives what `seeing` does, with more weights; `silent` NaN; `absent` cannot be loaded, `crashing` has
    a bug, `text` takes no pictures.
    """

    def names(self) -> tuple[str, ...]:
        """Returns the names."""
        return tuple(NAMES)

    def card(self, name: str) -> BackboneCard:
        """Returns what is known about a network."""
        check_name(name, self.names(), "zoo")
        return BackboneCard(
            handle=f"zoo:{name}",
            native_size=SIZE,
            minimum_size=SIZE,
            pixels="x / 255, RGB",
            license="Apache-2.0",
            origin="made up",
            takes="text" if name == "text" else "images",
            top1=NAMES[name],
            top1_source="made up" if NAMES[name] else "",
        )

    def has_weights(self, name: str) -> bool:
        """Whether it can be loaded."""
        return name != "absent"

    def build(self, request: Request):
        """Returns the network."""
        import keras

        if request.name == "absent":
            raise BackboneError("the weights of zoo:absent are not installed. Type: pip install zoo.")
        if request.name == "crashing":
            raise RuntimeError("index 3 is out of range")
        pixels = keras.Input((request.image_size, request.image_size, 3), name="pixels")
        return keras.Model(pixels, _features(pixels, request.name), name=f"zoo_{request.name}")

    def classifier(self, request: Request):
        """Returns `seeing` with a head: four classes by which way is steeper."""
        import keras

        if not request.name.startswith("seeing"):
            return super().classifier(request)
        pixels = keras.Input((request.image_size, request.image_size, 3), name="pixels")
        pooled = keras.layers.GlobalAveragePooling2D()(_features(pixels, request.name))
        head = keras.layers.Dense(4, name="logits")
        model = keras.Model(pixels, head(pooled))
        head.set_weights([HEAD, HEAD[0] * 0])
        return model


def _features(pixels, name: str):
    import keras
    import numpy as np

    layers = keras.layers
    steep = np.zeros((3, 3, 3, 4), np.float32)
    for direction in range(2):
        for sign in range(2):
            across = np.zeros((3, 3), np.float32)
            across[1, :] = (-1, 0, 1)
            steep[..., 2 * direction + sign] = ((1 - 2 * sign) * (across.T if direction else across))[..., None] / 3
    colours = np.zeros((3, 3, 3, 4), np.float32)
    colours[1, 1] = np.eye(3, 4) + 0.1
    kernel = colours if name == "blind" else steep
    x = layers.Rescaling(1 / 255, name="pixel_convention")(pixels)
    x = layers.Conv2D(4, 3, padding="valid", name="stem_conv", kernel_initializer=_Given(kernel))(x)
    x = layers.ReLU(name="stem_relu")(x)
    if name == "silent":
        return layers.Rescaling(float("nan"), name="broken")(x)
    if name != "seeing_large":
        return x
    x = layers.Conv2D(64, 1, use_bias=False, name="wide_conv", kernel_initializer=_Given(np.eye(4, 64)[None, None]))(x)
    return layers.ReLU(name="wide_relu")(x)


class _Given:
    """An initializer that gives these numbers."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __call__(self, shape, dtype=None, **_):
        import keras

        assert tuple(shape) == self.numbers.shape
        return keras.ops.convert_to_tensor(self.numbers, dtype or "float32")


def _head():
    import numpy as np

    return np.array([[9, 0, 3, 1], [9, 0, 1, 3], [0, 9, 3, 1], [0, 9, 1, 3]], np.float32)


HEAD = _head()
SOURCE = ZooSource()


def write_plugin(folder: pathlib.Path) -> pathlib.Path:
    """Makes `zoo:` a source for every program that has `folder` and this module on its import path."""
    info = folder / "zoo-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[tfxfer.backbones]\nzoo = zoo_source:SOURCE\n", encoding="utf-8")
    return folder


def stripes(examples: int = 120, noise: float = 40.0, seed: int = 0):
    """Returns pictures uint8 `[examples, 24, 24, 3]` of stripes along rows (0) or columns (1), and these labels.

    Where the stripes begin is random, so no single pixel tells the class.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    labels = np.arange(examples) % 2
    at = np.arange(SIZE)
    waves = 128 + 60 * np.sin(at[None] * 2 * np.pi / 6 + generator.uniform(0, 2 * np.pi, examples)[:, None])
    plain = np.broadcast_to(waves[:, :, None], (examples, SIZE, SIZE))
    pictures = np.where(labels[:, None, None] == 0, plain, plain.transpose(0, 2, 1))[..., None]
    pictures = pictures + generator.normal(0, noise, (examples, SIZE, SIZE, 3))
    return np.clip(pictures, 0, 255).astype(np.uint8), labels
