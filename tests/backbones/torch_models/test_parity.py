"""Drawn weights give the features that the original PyTorch networks give: parity.json says which, and which versions.

Made by tools/make_torch_parity.py. Only NumPy and Keras run here.
"""

import json
import pathlib

import keras
import numpy as np
import pytest
from backbones.torch_models import drawn

from tfxfer.backbones import torch_models
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES

HERE = pathlib.Path(__file__).parent
EXPECTED = json.loads((HERE / "parity.json").read_text())
NUMBERS = np.load(HERE / "parity.npz")
TOLERANCE = 1e-4  # of the largest feature
# One of each family, and each zoo's own definition where they differ; the others are the same code, deeper.
DEFAULT = {
    "efficientnet_lite0/package",
    "efficientnet_lite0/timm",
    "tf_efficientnet_lite0/timm",
    "mobilenetv2_100/torchvision",
    "resnet18/torchvision",
    "resnet50/timm",
    "vgg11/torchvision",
    "vgg11_bn/timm",
    "densenet121/torchvision",
    "convnext_tiny/timm",
    "convnext_tiny/torchvision",
    "vit_small_patch16_224/timm",
}
# Of those, an odd size too where padding is what others get wrong.
ODD_SIZE = ("efficientnet_lite0", "mobilenetv2_100", "resnet18")


def _in_default_tier(key: str) -> bool:
    architecture, naming, size = key.split("/")
    return f"{architecture}/{naming}" in DEFAULT and (size == "64" or (size == "75" and architecture in ODD_SIZE))


def drawn_weights(model: keras.Model, naming: str) -> dict[str, np.ndarray]:
    """Draws what `model` takes, position embeddings for the size that the original was given."""
    shapes = torch_models.expected_shapes(model, naming)
    tokens = drawn.GRID**2 + 1
    return {name: drawn.draw(name, tuple(tokens if e < 0 else e for e in s)) for name, s in shapes.items()}


def with_head(model: keras.Model) -> keras.Model:
    """Gives features and logits of a network built with its head."""
    first = next(layer for layer in model.layers if layer.name.startswith("classifier"))
    return keras.Model(model.input, [first.input, model.output])


def error(key: str, model: keras.Model) -> float:
    """The largest difference from the original in a share of its largest feature; `key` as in parity.json."""
    _, naming, size = key.split("/")
    fact = EXPECTED["networks"][key]
    logits = NUMBERS[f"{key}/logits"]
    torch_models.assign(model, drawn_weights(model, naming), naming)
    found = (with_head(model) if logits.size else model)(drawn.pictures(int(size)).astype(np.float32), training=False)
    found, own_logits = found if logits.size else (found, logits)
    assert list(found.shape) == fact["shape"]
    errors = [np.abs(drawn.sample(found) - NUMBERS[f"{key}/features"]).max() / fact["most"]]
    if logits.size:
        errors.append(np.abs(np.asarray(own_logits) - logits).max() / np.abs(logits).max())
    return max(errors)


def build(key: str) -> keras.Model:
    name, naming, size = key.split("/")
    head = drawn.CLASSES if NUMBERS[f"{key}/logits"].size else 0
    return torch_models.build(name, int(size), naming, head=head)


@pytest.mark.parametrize(
    "key",
    [pytest.param(key, marks=() if _in_default_tier(key) else pytest.mark.slow) for key in EXPECTED["networks"]],
)
def test_features_are_those_of_the_original(key):
    model = build(key)
    assert error(key, model) <= TOLERANCE
    facts = EXPECTED["networks"][key]
    _, naming, _ = key.split("/")
    shapes = {
        name: tuple(drawn.GRID**2 + 1 if e < 0 else e for e in shape)
        for name, shape in torch_models.expected_shapes(model, naming).items()
    }
    if NUMBERS[f"{key}/logits"].size:  # the file's own head is in the list too
        assert drawn.digest(shapes) == facts["entries"]
    norms = [layer for layer in model.layers if "Normalization" in type(layer).__name__]
    assert sorted({layer.epsilon for layer in norms}) == facts["epsilons"]
    batch_norms = [layer for layer in norms if isinstance(layer, keras.layers.BatchNormalization)]
    # PyTorch's momentum is the share of the new statistics, Keras's that of the old ones.
    assert sorted({round(1 - layer.momentum, 9) for layer in batch_norms}) == pytest.approx(facts["momenta"])


def test_every_architecture_of_every_zoo_was_compared():
    compared = {key.rpartition("/")[0] for key in EXPECTED["networks"]}
    # The flat names are compared with torchvision's in test_assignment.py.
    assert compared == {
        f"{name}/{variant.naming}"
        for name, architecture in ARCHITECTURES.items()
        for variant in architecture.variants
        if variant.naming != "torchvision_flat"
    }
    assert compared >= DEFAULT
    assert {key.split("/")[0] for key in DEFAULT} >= {"resnet50", "densenet121"}
    families = {ARCHITECTURES[key.split("/")[0]].family for key in DEFAULT}
    assert families == {architecture.family for architecture in ARCHITECTURES.values()}


def rebuilt(model: keras.Model, change) -> keras.Model:
    """A copy of `model`, each layer's configuration passed through `change`."""

    def clone(layer):
        config = layer.get_config()
        change(layer.name, config)
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=clone)


def padding_of_tensorflow_around_pooling(name, config):
    if name == "stem_pool_pad":
        config["padding"] = ((0, 2), (0, 2))


def epsilon_of_keras(name, config):
    if name.endswith("_bn"):
        config["epsilon"] = 1e-3


def stride_in_the_first_convolution(name, config):
    """As keras.applications has it: no padding is left for the 3×3, which keeps its size."""
    if name.endswith("_block1_conv1") and not name.startswith("stage1"):
        config["strides"] = (2, 2)
    if name.endswith("_block1_conv2_pad"):
        config["padding"] = ((1, 1), (1, 1))
    if name.endswith("_block1_conv2") and not name.startswith("stage1"):
        config["strides"] = (1, 1)


def mean_of_imagenet(name, config):
    if name == "pixel_convention":
        config.update(torch_models.build("resnet18", 32).get_layer(name).get_config())


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("mobilenetv2_100/torchvision/64", lambda n, c: c.update(padding=((0, 1), (0, 1))) if "_pad" in n else None),
        ("resnet18/torchvision/75", padding_of_tensorflow_around_pooling),
        ("resnet18/torchvision/64", epsilon_of_keras),
        ("resnet50/timm/64", stride_in_the_first_convolution),
        ("tf_efficientnet_lite0/timm/64", mean_of_imagenet),
    ],
)
def test_a_planted_fault_is_found(key, change):
    """Canaries: each changes one thing that ports get wrong, and no shape."""
    model = build(key)
    assert error(key, model) <= TOLERANCE
    assert error(key, rebuilt(model, change)) > 10 * TOLERANCE


def test_an_approximate_gelu_is_found():
    key = "vit_small_patch16_224/timm/64"
    model = build(key)
    for layer in model.layers:
        if layer.name.endswith("_gelu"):
            layer.activation = lambda x: keras.activations.gelu(x, approximate=True)
    assert error(key, model) > 2 * TOLERANCE


@pytest.mark.parametrize("key", ["efficientnet_lite0", "convnext_tiny", "vit_small_patch16_224"])
def test_weights_drawn_for_one_zoo_under_wrong_pixels_are_found(key):
    """The zoos disagree on pixels; the convention is part of the network."""
    key = next(k for k in EXPECTED["networks"] if k.startswith(f"{key}/timm/"))
    name, naming, size = key.split("/")
    model = torch_models.build(name, int(size), naming, pixels="lite", head=drawn.CLASSES)
    assert error(key, model) > 10 * TOLERANCE
