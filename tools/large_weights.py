"""Backbones of 100 MB and more, each as a file of one source: how to write it, load it, and build its like at random.

For tools/bench_backbones.py, which measures what loading costs. All weights are random numbers.
"""

import dataclasses
import json
import pathlib
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable

import keras
import numpy as np

from tfxfer import load_backbone
from tfxfer.backbones import keras_applications, torch_models, torch_weights
from tfxfer.backbones.source import Request
from tfxfer.backbones.torch_models import catalogue
from tfxfer.export import saved_model

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

import torch_files

SIZE = 224
# torch/serialization.py
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind of file.

    Attributes:
        handle: of the backbone; `{file}` stands for the path.
        file: its name in the folder.
        write: writes it to a path.
        build: builds the same network with random weights.
        weights: what `load_backbone` is given, `{file}` as above.
    """

    handle: str
    file: str
    write: Callable[[pathlib.Path], None]
    build: Callable[[], keras.Model]
    weights: str = "pretrained"

    def load(self, folder: pathlib.Path):
        path = folder / self.file
        return load_backbone(self.handle.format(file=path), weights=self.weights.format(file=path), image_size=SIZE)

    def files(self, folder: pathlib.Path) -> list[pathlib.Path]:
        """Returns the file, or the files of the folder."""
        path = folder / self.file
        return [path] if path.is_file() else [inner for inner in sorted(path.rglob("*")) if inner.is_file()]


def _built_by_torch(architecture: str) -> Callable[[], keras.Model]:
    return lambda: torch_weights.SOURCE.build(Request(name=architecture, image_size=SIZE, weights="random"))


def _built_by_keras() -> keras.Model:
    return keras_applications.SOURCE.build(Request(name="ResNet101", image_size=SIZE, weights="random"))


def _state(architecture: str) -> dict[str, np.ndarray]:
    """Returns small random numbers under the names of the architecture's first zoo."""
    naming = catalogue.ARCHITECTURES[architecture].variants[0].naming
    model = torch_models.build(architecture, SIZE, naming)
    generator = np.random.default_rng(0)
    state = {}
    for name, shape in torch_models.expected_shapes(model, naming).items():
        # One extent of position embeddings may be any: patches of a picture of this size, and a class token.
        shape = tuple((SIZE // 16) ** 2 + 1 if extent < 0 else extent for extent in shape)
        numbers = 0.02 * generator.standard_normal(shape, np.float32)
        state[name] = np.ones_like(numbers) if name.endswith("running_var") else numbers
    return state


def _table(state: dict[str, np.ndarray]) -> bytes:
    entries = {}
    for key, (name, array) in enumerate(state.items()):
        stride = [1]
        for extent in reversed(array.shape[1:]):
            stride.insert(0, stride[0] * extent)
        place = torch_files.storage(str(key), "f4", array.size)
        entries[name] = torch_files.tensor(place, 0, array.shape, stride)
    return torch_files.table(**entries).file()


def _torch_zip(architecture: str) -> Callable[[pathlib.Path], None]:
    def write(path: pathlib.Path) -> None:
        state = _state(architecture)
        with zipfile.ZipFile(path, "w") as out:
            out.writestr("archive/data.pkl", _table(state))
            out.writestr("archive/byteorder", "little")
            for key, array in enumerate(state.values()):
                out.writestr(f"archive/data/{key}", array.tobytes())

    return write


def _torch_legacy(architecture: str) -> Callable[[pathlib.Path], None]:
    def write(path: pathlib.Path) -> None:
        state = _state(architecture)
        with open(path, "wb") as out:
            for value in (_MAGIC, _PROTOCOL, {"little_endian": True}):
                out.write(pickle.dumps(value, 2))
            out.write(_table(state) + pickle.dumps([str(key) for key in range(len(state))], 2))
            for array in state.values():
                out.write(struct.pack("<q", array.size) + array.tobytes())

    return write


def _safetensors(architecture: str) -> Callable[[pathlib.Path], None]:
    def write(path: pathlib.Path) -> None:
        state, header, end = _state(architecture), {}, 0
        for name, array in state.items():
            first, end = end, end + array.nbytes
            header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [first, end]}
        text = json.dumps(header).encode()
        with open(path, "wb") as out:
            out.write(len(text).to_bytes(8, "little") + text)
            for array in state.values():
                out.write(array.tobytes())

    return write


def _application() -> keras.Model:
    return keras.applications.ResNet101(weights=None, include_top=False, input_shape=(SIZE, SIZE, 3))


def _hub(path: pathlib.Path) -> None:
    saved_model.write(_application(), saved_model.Offer("features"), path)


CASES = {
    "torch: zip": Case(
        "torch:resnet101@{file}", "resnet101.pth", _torch_zip("resnet101"), _built_by_torch("resnet101")
    ),
    "torch: legacy": Case(
        "torch:resnet101@{file}", "legacy.pth", _torch_legacy("resnet101"), _built_by_torch("resnet101")
    ),
    "torch: safetensors": Case(
        "torch:resnet101@{file}", "resnet101.safetensors", _safetensors("resnet101"), _built_by_torch("resnet101")
    ),
    "torch: safetensors, ViT": Case(
        "torch:vit_base_patch16_224@{file}",
        "vit.safetensors",
        _safetensors("vit_base_patch16_224"),
        _built_by_torch("vit_base_patch16_224"),
    ),
    "keras: .weights.h5": Case(
        "keras:ResNet101",
        "resnet101.weights.h5",
        lambda path: _application().save_weights(path),
        _built_by_keras,
        weights="{file}",
    ),
    "file: .keras": Case(
        "file:{file}#pixels=caffe", "resnet101.keras", lambda path: _application().save(path), _built_by_keras
    ),
    "hub: SavedModel": Case("hub:{file}", "saved_model", _hub, _built_by_keras),
}
