"""EfficientNet-Lite0 with its real weights names what real photographs show."""

import numpy as np
import PIL.Image
import pytest

from tfxfer import load_backbone, load_classifier
from tfxfer.data import images

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def classifier():
    return load_classifier("builtin:efficientnet_lite0")


def centre(pixels: np.ndarray) -> np.ndarray:
    """The centre that holds 0.875 of the shorter side, at 224 pixels, bicubic: how the weights were evaluated."""
    image = PIL.Image.fromarray(pixels)
    scale = 256 / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    return np.asarray(image.resize(size, PIL.Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224)))


def test_the_24_labelled_pictures(assets, classifier):
    """At least 22 at first guess and 23 within five; a port with wrong padding, epsilon or scale loses several."""
    try:
        pictures = assets.imagenet_pictures()
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    assert len(pictures) == 24
    batch = np.stack([centre(images.decode(path.read_bytes())) for path, _ in pictures])
    order = np.argsort(-classifier.predict_on_batch(batch), axis=1)
    labels = np.array([label for _, label in pictures])
    assert (order[:, 0] == labels).sum() >= 22
    assert (order[:, :5] == labels[:, None]).any(axis=1).sum() >= 23


def test_the_wrong_scale_spoils_it(assets, classifier):
    """The canary of the test above: pixels in [0, 1] are not what the network takes."""
    try:
        pictures = assets.imagenet_pictures()
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    batch = np.stack([centre(images.decode(path.read_bytes())) for path, _ in pictures]).astype(np.float32) / 255
    right = classifier.predict_on_batch(batch).argmax(axis=1) == [label for _, label in pictures]
    assert right.sum() <= 2


def test_two_photographs_of_scikit_learn(classifier):
    from sklearn.datasets import load_sample_images

    found = [int(classifier.predict_on_batch(centre(p)[None]).argmax()) for p in load_sample_images().images]
    assert found == [698, 985]  # palace, daisy


def test_the_backbone_and_the_classifier_share_their_weights(classifier):
    backbone = load_backbone("builtin:efficientnet_lite0", image_size=64)
    for layer in backbone.model.layers:
        for mine, other in zip(layer.weights, classifier.get_layer(layer.name).weights, strict=True):
            np.testing.assert_array_equal(mine.numpy(), other.numpy())
    assert backbone.facts.feature_channels == 1280
