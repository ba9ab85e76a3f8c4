"""Puts the tensors of a PyTorch weights file into a network of ours, each once, or says what does not fit."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import keras
import numpy as np

from tfxfer.backbones.tensors import StateDict
from tfxfer.backbones.torch_models.catalogue import ARCHITECTURES
from tfxfer.backbones.torch_models.parts import Part, classifier_entries, parts
from tfxfer.backbones.torch_models.positions import resize_positions
from tfxfer.backbones.torch_models.recognition import canonical_names, recognise
from tfxfer.errors import BackboneError

# PyTorch's names of variables, by Keras's.
_SUFFIXES = {
    "kernel": "weight",
    "gamma": "weight",
    "bias": "bias",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Entries that say nothing that inference or fine-tuning uses: batch counts, and masks that follow from sizes.
_IGNORED = ("num_batches_tracked",)
_MOST_LINES = 8

Assign = Callable[[np.ndarray], None]


@dataclasses.dataclass(frozen=True)
class _Entry:
    """One entry that a network takes: its name and shape in the file (−1 where any extent will do), and where to."""

    name: str
    shape: tuple[int, ...]
    put: Assign

    def takes(self, shape: tuple[int, ...]) -> bool:
        same = len(shape) == len(self.shape)
        return same and all(mine in (-1, its) for mine, its in zip(self.shape, shape, strict=True))


def assign(model: keras.Model, state: Mapping[str, np.ndarray], naming: str) -> None:
    """Puts the tensors of `state` into `model`, a network of `build`.

    Tensors are transposed one by one, so that a `state` that reads them when asked needs memory for one. Nothing is
    assigned if anything does not fit. A classifier in the file is left aside where `model` has none.

    Raises:
        BackboneError: entries that are missing, of another shape, or that no layer takes; the message lists them and
            says which architecture the file looks like.
    """
    canonical = {new: own for own, new in canonical_names(state).items()}
    if len(canonical) < len(state):
        raise BackboneError(f"the weights file has two names for the same entry: {len(state)} names in all.")
    entries = list(_entries(model, naming))
    shapes = _shapes(state)
    _compare(model, entries, {name: shapes[own] for name, own in canonical.items()}, naming)
    for entry in entries:
        entry.put(state[canonical[entry.name]])


def expected_shapes(model: keras.Model, naming: str) -> dict[str, tuple[int, ...]]:
    """Returns the entries that `assign` needs, with shapes in PyTorch's order of axes; −1 for any extent."""
    return {entry.name: entry.shape for entry in _entries(model, naming)}


def _shapes(state: Mapping[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    # A file's tensors may be widened when they are read, which their shapes do not need.
    return state.shapes if isinstance(state, StateDict) else {name: np.shape(state[name]) for name in state}


def _compare(model: keras.Model, entries: list[_Entry], found: Mapping[str, tuple[int, ...]], naming: str) -> None:
    expected = {entry.name: entry for entry in entries}
    missing = [name for name in expected if name not in found]
    reshaped = [name for name, entry in expected.items() if name in found and not entry.takes(found[name])]
    aside = tuple(f"{entry}." for entry in classifier_entries(ARCHITECTURES[model.name].family, naming).values())
    unexpected = [
        name for name in found if name not in expected and not name.endswith(_IGNORED) and not name.startswith(aside)
    ]
    lines = [
        *_listed("is missing", [f"  − {name} {_words(expected[name].shape)}" for name in missing]),
        *_listed("is not expected", [f"  + {name} {_words(found[name])}" for name in unexpected]),
        *_listed(
            "has another shape",
            [f"  ≠ {n} {_words(found[n])}, expected {_words(expected[n].shape)}" for n in reshaped],
        ),
    ]
    if not lines:
        return
    likely = recognise(found)
    hint = ""
    if likely is not None and likely.architecture != model.name:
        hint = f" It looks like {likely.architecture} as {likely.naming} names it: write that."
    elif likely is not None and likely.naming != naming:
        hint = f" It looks like {likely.architecture} as {likely.naming} names it, not {naming}."
    raise BackboneError(f"the weights do not fit {model.name}.{hint}\n" + "\n".join(lines))


def _listed(what: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    rest = len(lines) - _MOST_LINES
    more = [f"  … and {rest} more"] if rest > 0 else []
    noun = "1 entry" if len(lines) == 1 else f"{len(lines)} entries"
    return [f"{noun}, each of which {what}:" if len(lines) > 1 else f"{noun} {what}:", *lines[:_MOST_LINES], *more]


def _words(shape: tuple[int, ...]) -> str:
    return "×".join("any" if extent < 0 else str(extent) for extent in shape) or "scalar"


def _entries(model: keras.Model, naming: str) -> Iterator[_Entry]:
    architecture = ARCHITECTURES[model.name]
    for part in parts(architecture, naming):
        yield from _entries_of(model.get_layer(part.layer), part, naming)
    with_head = {layer.name for layer in model.layers}
    for name, entry in classifier_entries(architecture.family, naming).items():
        if name in with_head:
            yield from _entries_of(model.get_layer(name), Part(name, entry, 0), naming)


def _entries_of(layer: keras.layers.Layer, part: Part, naming: str) -> Iterator[_Entry]:
    if isinstance(layer, keras.layers.MultiHeadAttention):
        yield from _attention(layer, part.entry, naming)
    elif isinstance(layer, keras.layers.Embedding):
        yield from _positions(layer, part.entry, naming)
    elif part.layer.endswith("_layer_scale"):
        channels = layer.kernel.shape[2]
        shape = (channels,) if naming == "timm" else (channels, 1, 1)
        yield _Entry(part.entry, shape, lambda array: layer.kernel.assign(array.reshape(1, 1, -1, 1)))
    else:
        for variable in layer.weights:
            yield _plain(layer, variable, f"{part.entry}.{_SUFFIXES[variable.name]}", naming)


def _plain(layer: keras.layers.Layer, variable: keras.Variable, name: str, naming: str) -> _Entry:
    """A variable that holds one entry with its axes in another order."""
    if len(variable.shape) == 4:
        # Ours: height, width, input, output; of depthwise ones height, width, channel, 1.
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        order = (2, 3, 0, 1) if depthwise else (3, 2, 0, 1)
        shape = tuple(variable.shape[axis] for axis in order)
        back = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        if layer.name.startswith("classifier_hidden") and naming == "torchvision":
            # A dense layer there, whose inputs are a flat channel × height × width.
            flat = (shape[0], math.prod(shape[1:]))
            return _Entry(name, flat, lambda array: variable.assign(array.reshape(shape).transpose(back)))
        return _Entry(name, shape, lambda array: variable.assign(array.transpose(back)))
    if len(variable.shape) == 2:
        return _Entry(name, tuple(reversed(variable.shape)), lambda array: variable.assign(array.T))
    return _Entry(name, tuple(variable.shape), variable.assign)


def _attention(layer: keras.layers.MultiHeadAttention, name: str, naming: str) -> Iterator[_Entry]:
    """Query, key and value in one entry; ours are `[width, heads, head width]` each."""
    dense = (layer.query_dense, layer.key_dense, layer.value_dense)
    width, heads, head_width = dense[0].kernel.shape
    timm = naming == "timm"

    def put_kernels(array: np.ndarray) -> None:
        for one, rows in zip(dense, np.split(array, 3), strict=True):
            one.kernel.assign(rows.T.reshape(width, heads, head_width))

    def put_biases(array: np.ndarray) -> None:
        for one, rows in zip(dense, np.split(array, 3), strict=True):
            one.bias.assign(rows.reshape(heads, head_width))

    def put_output(array: np.ndarray) -> None:
        layer.output_dense.kernel.assign(array.T.reshape(heads, head_width, width))

    yield _Entry(f"{name}.qkv.weight" if timm else f"{name}.in_proj_weight", (3 * width, width), put_kernels)
    yield _Entry(f"{name}.qkv.bias" if timm else f"{name}.in_proj_bias", (3 * width,), put_biases)
    output = f"{name}.proj" if timm else f"{name}.out_proj"
    yield _Entry(f"{output}.weight", (width, width), put_output)
    yield _Entry(f"{output}.bias", (width,), layer.output_dense.bias.assign)


def _positions(layer: keras.layers.Embedding, name: str, naming: str) -> Iterator[_Entry]:
    """Position embeddings, resized to our grid, then the class token added to the first."""
    count, width = layer.embeddings.shape

    def put(array: np.ndarray) -> None:
        layer.embeddings.assign(resize_positions(array[0], count))

    def add(array: np.ndarray) -> None:
        table = layer.embeddings.numpy()
        table[0] += array[0, 0]
        layer.embeddings.assign(table)

    yield _Entry(name, (1, -1, width), put)
    yield _Entry("cls_token" if naming == "timm" else "class_token", (1, 1, width), add)
