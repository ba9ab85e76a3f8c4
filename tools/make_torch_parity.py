"""Writes the features that the original PyTorch networks give for drawn weights, for the tests to compare with.

    python -m venv torch && torch/bin/pip install torch torchvision timm
    torch/bin/pip install --no-deps efficientnet-lite-pytorch
    torch/bin/python tools/make_torch_parity.py

Weights and pictures are drawn by tests/backbones/torch_models/drawn.py; the file written lies beside it. Needs
neither Keras nor the tests' environment; the tests need none of the packages above.
"""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import pathlib
import sys
import types
from collections.abc import Iterator

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parents[1]
PLACE = ROOT / "tests" / "backbones" / "torch_models"
# Our names where torchvision has others.
TORCHVISION = {"mobilenetv2_100": "mobilenet_v2", "vit_base_patch16_224": "vit_b_16"}


def load(name: str, path: pathlib.Path) -> types.ModuleType:
    """Returns a module of this checkout that imports nothing which is missing here."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


drawn = load("drawn", PLACE / "drawn.py")
catalogue = load("catalogue", ROOT / "tfxfer" / "backbones" / "torch_models" / "catalogue.py")


@contextlib.contextmanager
def _without_compiled_operations() -> Iterator[None]:
    """Lets torchvision be imported where its compiled part fits another build of torch: its networks need none."""
    own = torch.library.register_fake
    torch.library.register_fake = lambda name, *a, **k: (
        (lambda function: function) if str(name).startswith("torchvision::") else own(name, *a, **k)
    )
    try:
        yield
    finally:
        torch.library.register_fake = own


with _without_compiled_operations():
    import timm
    import torchvision.models
    from timm.layers import resample_abs_pos_embed


def timm_network(name: str, size: int):
    """Gives the network, its features, and mean and standard deviation of pixels on 0..1, as timm has them."""
    options = {"img_size": size} if name.startswith("vit") else {}
    model = timm.create_model(name, num_classes=drawn.CLASSES, **options)
    config = model.default_cfg

    def features(x):
        out = model.forward_features(x)
        return out[:, 0] if out.ndim == 3 else out

    return model, features, config["mean"], config["std"]


def torchvision_network(name: str, size: int):
    own = TORCHVISION.get(name, name)
    options = {"image_size": size} if name.startswith("vit") else {}
    model = getattr(torchvision.models, own)(num_classes=drawn.CLASSES, **options)
    preset = torchvision.models.get_model_weights(own)["IMAGENET1K_V1"].transforms()

    def features(x):
        if name.startswith("resnet"):
            x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
            return model.layer4(model.layer3(model.layer2(model.layer1(x))))
        if name.startswith("vit"):
            tokens = model._process_input(x)
            return model.encoder(torch.cat([model.class_token.expand(len(x), -1, -1), tokens], dim=1))[:, 0]
        x = model.features(x)
        return torch.relu(x) if name.startswith("densenet") else x

    return model, features, preset.mean, preset.std


def package_network(name: str, size: int):
    from efficientnet_lite_pytorch import EfficientNet

    # Its padding is computed from the picture's size when it is made.
    model = EfficientNet.from_name(name.replace("_lite", "-lite"), num_classes=drawn.CLASSES, image_size=size)
    return model, model.extract_features, (127 / 255,) * 3, (128 / 255,) * 3


NETWORKS = {"timm": timm_network, "torchvision": torchvision_network, "package": package_network}


def put_drawn_weights(model: torch.nn.Module, size: int) -> dict[str, tuple[int, ...]]:
    """Fills the network and returns the shapes that a file of it would have."""
    state, shapes = {}, {}
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        shape = tuple(tensor.shape)
        if name in ("pos_embed", "encoder.pos_embedding"):
            shape = (1, drawn.GRID**2 + 1, shape[-1])
        shapes[name] = shape
        state[name] = torch.from_numpy(drawn.draw(name, shape))
        if state[name].shape != tensor.shape:
            state[name] = resample_abs_pos_embed(state[name], [size // 16] * 2)
    model.load_state_dict(state, strict=False)
    return shapes


def measure(naming: str, name: str, size: int) -> tuple[dict, dict[str, np.ndarray]]:
    model, features, mean, deviation = NETWORKS[naming](name, size)
    shapes = put_drawn_weights(model.eval(), size)
    x = drawn.pictures(size).astype(np.float64) / 255
    x = torch.from_numpy(((x - mean) / deviation).astype(np.float32).transpose(0, 3, 1, 2))
    with torch.no_grad():
        out = features(x).numpy()
        logits = np.zeros(0, np.float32)
        if not name.startswith("vgg") or size >= 224:
            if naming == "package":
                logits = model._fc(torch.from_numpy(out.mean((2, 3)))).numpy()
            else:
                logits = model(x).numpy()
    out = out.transpose(0, 2, 3, 1) if out.ndim == 4 else out
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d | torch.nn.LayerNorm)]
    facts = {
        "shape": out.shape,
        "most": float(np.abs(out).max()),
        "deviation": float(out.std()),
        "entries": drawn.digest(shapes),
        "epsilons": sorted({m.eps for m in norms}),
        "momenta": sorted({m.momentum for m in norms if isinstance(m, torch.nn.BatchNorm2d)}),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return facts, {"features": drawn.sample(out), "logits": logits}


def cases() -> Iterator[tuple[str, str, int]]:
    for name, architecture in catalogue.ARCHITECTURES.items():
        for variant in architecture.variants:
            if variant.naming in NETWORKS:
                for size in drawn.sizes(architecture.family):
                    yield name, variant.naming, size
    for naming in ("timm", "torchvision"):
        yield "vgg11", naming, 224


def resized() -> dict[str, np.ndarray]:
    """Position embeddings resized by timm: to fewer and to more patches."""
    result = {}
    for given, wanted in ((5, 3), (4, 7), (2, 5)):
        table = torch.from_numpy(drawn.draw(f"resize{given}", (1, given**2 + 1, 3)))
        result[f"resized/{given}/{wanted}"] = resample_abs_pos_embed(table, [wanted, wanted])[0].numpy()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="architecture", help="by default all; then nothing is written")
    names = parser.parse_args().names
    facts, arrays = {}, resized()
    for name, naming, size in cases():
        if names and name not in names:
            continue
        key = f"{name}/{naming}/{size}"
        facts[key], numbers = measure(naming, name, size)
        arrays |= {f"{key}/{what}": array for what, array in numbers.items()}
        print(key, facts[key]["shape"], f"max {facts[key]['most']:.3g}, std {facts[key]['deviation']:.3g}", flush=True)
    if names:
        return 0
    packages = ("torch", "torchvision", "timm", "efficientnet-lite-pytorch")
    made = {package: importlib.metadata.version(package) for package in packages}
    np.savez_compressed(PLACE / "parity.npz", **arrays)
    lines = json.dumps({"made_with": made, "networks": facts}, indent=1)
    (PLACE / "parity.json").write_text(lines + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
