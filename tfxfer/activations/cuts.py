"""Cuts of a network: what is below one, computed once; what is behind it, trained; and what lies between two."""

import hashlib
import json
import math
from collections.abc import Sequence

import keras
import numpy as np

from tfxfer import graph, models
from tfxfer.errors import BackboneError

# The cut right below the head, behind its pooling.
FEATURES = "features"


def cut_at(model: keras.Model, name: str) -> tuple[keras.KerasTensor, ...]:
    """Returns the tensors that cross a cut.

    Args:
        model: with a head of `swap_head`.
        name: of the layer group that the cut lies behind, or "features".

    Raises:
        ConfigError: there is no such group.
        BackboneError: the network cannot be cut there.
    """
    if name == FEATURES:
        return (models.pooled_features(model),)
    groups = graph.layer_groups(model)
    tensors = groups[graph.find_group(groups, name)[-1]].outputs
    if not tensors:
        raise BackboneError(f"{model.name!r} cannot be cut behind {name!r}: more than two tensors cross there.")
    return tensors


def part(
    model: keras.Model, cut: Sequence[keras.KerasTensor], *, behind: Sequence[keras.KerasTensor] = ()
) -> keras.Model:
    """Returns what is below a cut as a model, from the model's inputs, or from another cut, to rows.

    One tensor gives rows of its shape, several give flat rows with one behind the other.

    Args:
        model: that both cuts belong to.
        cut: tensors that everything behind them depends on alone.
        behind: a cut nearer to the input, whose rows the part takes.
    """
    if not behind:
        return keras.Model(graph.input_of(model), _packed(cut))
    return _on_rows(keras.Model(_one_or_list(behind), _packed(cut)), behind)


def suffix(model: keras.Model, cut: Sequence[keras.KerasTensor]) -> keras.Model:
    """Returns what is behind `cut` as a model of its own, of the same layers: from rows of `part` to logits."""
    return _on_rows(keras.Model(_one_or_list(cut), model.output, name=f"{model.name}_suffix"), cut)


def digest(prefix: keras.Model) -> str:
    """Returns 16 hex digits that name what a prefix computes: its layers, how they are wired, and their weights.

    Names of layers do not count: they are numbered anew in each process. Where a layer tells no settings that can be
    written down, none of its kind are alike, and the digest is another one each time.
    """
    found = hashlib.sha256()
    names = {layer.name: f"#{number}" for number, layer in enumerate(prefix.layers)}
    names[prefix.name] = "#"
    try:
        settings = json.dumps(prefix.get_config(), sort_keys=True, default=lambda value: value.tolist())
        found.update(json.dumps(_renamed(json.loads(settings), names), sort_keys=True).encode())
    except (NotImplementedError, TypeError, ValueError, AttributeError):
        found.update(np.random.default_rng().bytes(16))
    for variable in prefix.weights:
        value = np.ascontiguousarray(variable.numpy())
        found.update(f"{value.dtype} {value.shape}".encode())
        found.update(value)
    return found.hexdigest()[:16]


def _on_rows(model: keras.Model, cut: Sequence[keras.KerasTensor]) -> keras.Model:
    """Returns a model of several tensors as one of flat rows."""
    if len(cut) == 1:
        return model
    packed = keras.Input(_packed(cut).shape[1:], name="activations")
    parts, start = [], 0
    for tensor in cut:
        stop = start + math.prod(tensor.shape[1:])
        parts.append(keras.layers.Reshape(tensor.shape[1:])(packed[:, start:stop]))
        start = stop
    return keras.Model(packed, model(parts), name=model.name)


def _one_or_list(cut: Sequence[keras.KerasTensor]):
    return list(cut) if len(cut) > 1 else cut[0]


def _packed(cut: Sequence[keras.KerasTensor]) -> keras.KerasTensor:
    if len(cut) == 1:
        return cut[0]
    flat = [keras.layers.Reshape((math.prod(tensor.shape[1:]),))(tensor) for tensor in cut]
    return keras.layers.Concatenate()(flat)


def _renamed(value, names: dict[str, str]):
    """Returns JSON with each text that is the name of a layer replaced by its number."""
    if isinstance(value, dict):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
