"""Loads a backbone: a handle becomes a Keras network from pixels to features, and facts about it."""

import dataclasses
import hashlib
import pathlib
import typing
import warnings
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from tfxfer import graph
from tfxfer.backbones import adapting
from tfxfer.backbones.on_pixels import FLOAT32, in_float32
from tfxfer.backbones.precision import in_precision, is_all_its_own
from tfxfer.backbones.registry import check_size, find_source
from tfxfer.backbones.source import Backbone, Request, Source
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.facts import BackboneCard, BackboneFacts, Outline
from tfxfer.recipes import ComputePrecision

Arguments = Mapping[str, float | int | bool | str]


def load_backbone(
    handle: str,
    *,
    image_size: int | None = None,
    weights: str = "pretrained",
    at: str | None = None,
    levels: Sequence[str] = (),
    channels: int = 3,
    output: str = "",
    arguments: Arguments | None = None,
    allow_unsafe_model_code: bool = False,
    precision: ComputePrecision | None = None,
) -> Backbone:
    """Loads a backbone: a network from pixels to features, with its facts and layer groups.

    >>> backbone = load_backbone("builtin:efficientnet_lite0", image_size=96)
    >>> backbone.model.output_shape
    (None, 3, 3, 1280)

    Args:
        handle: `source:name`, such as `builtin:efficientnet_lite0`, `keras:ResNet50`, `hub:<directory>`.
        image_size: height and width in pixels; by default the native size of the weights.
        weights: "pretrained", "random", or the path of a weights file of this network.
        at: layer group, stage or layer behind which the network is cut: `at="stage3"` keeps what is up to the end
            of that stage; also `layers[7]`, or "re:…" that is found in the name of one layer (see `outlines`).
        levels: groups or stages whose feature maps the model gives, as a list in that order; exclusive with `at`.
        channels: of the pictures, ≥ 1. One, grey, is repeated for red, green and blue, and more than three are
            averaged into each of them at first, by a 1×1 convolution that may train; a network's answer to
            equal channels stays what it was.
        output: which output of a network that has several by name, such as one that gives a dict.
        arguments: hyper-parameters of a network that knows some, such as `{"batch_norm_momentum": 0.99}`.
        allow_unsafe_model_code: whether a model file may bring code that is run. Only for files that you trust as
            you trust a program.
        precision: what it computes in: "float32", "mixed_bfloat16" or "mixed_float16"; features and weights are
            float32 in each. None: as the source gives it, under Keras's global policy.

    Raises:
        ConfigError: no such source, name, group, level or precision, a size below the network's least, or a precision
            for a network that has its own.
        BackboneError: the weights cannot be had; the message says which file, from where, and where to put it.
    """
    _check_asked(image_size, at, levels, channels, precision)
    source, name = find_source(handle)
    source.card(name)
    _check_options(source, handle, output=output, arguments=arguments)
    if weights not in ("pretrained", "random") and not pathlib.Path(weights).is_file():
        raise BackboneError(f"weights={weights!r} is no file. Write 'pretrained', 'random' or the path of one.")
    request = Request(
        name=name,
        image_size=0,
        weights=weights,
        output=output,
        arguments=tuple((arguments or {}).items()),
        allow_unsafe_model_code=allow_unsafe_model_code,
    )
    known = source.inspect(request)
    size = known.native_size if image_size is None else image_size
    check_size(known, size)
    model = _build(source, handle, dataclasses.replace(request, image_size=size))
    model = _adapted(model, at, levels, channels)
    model, own = (model, ()) if precision is None else _in_precision(model, precision, handle)
    model = _with_float32_features(model)
    facts = _facts(model, known, weights, size, tuple(levels))
    return Backbone(model=model, facts=dataclasses.replace(facts, own_precision=own))


def inspect(
    handle: str, *, weights: str = "pretrained", output: str = "", allow_unsafe_model_code: bool = False
) -> BackboneCard:
    """Returns the card of a backbone, completed by what only its file tells; may load TensorFlow.

    Raises:
        ConfigError: no such source or name.
        BackboneError: its file cannot be read.
    """
    source, name = find_source(handle)
    source.card(name)
    _check_options(source, handle, output=output)
    return source.inspect(
        Request(
            name=name,
            image_size=0,
            weights=weights,
            output=output,
            allow_unsafe_model_code=allow_unsafe_model_code,
        )
    )


def _check_asked(
    image_size: int | None,
    at: str | None,
    levels: Sequence[str],
    channels: int,
    precision: ComputePrecision | None,
) -> None:
    """Refuses what is wrong whatever the backbone is; see `load_backbone`."""
    for option, value in (("image_size", image_size), ("channels", channels)):
        if not isinstance(value, int | None) or isinstance(value, bool):
            raise ConfigError(f"{option}={value!r} must be a whole number.")
    if isinstance(levels, str):
        raise ConfigError(f"levels={levels!r} must be several names: levels=({levels!r},).")
    if precision is not None and precision not in typing.get_args(ComputePrecision):
        names = ", ".join(typing.get_args(ComputePrecision))
        raise ConfigError(f"precision={precision!r} is not one of {names}.")
    if at and levels:
        raise ConfigError(f"at={at!r} and levels={tuple(levels)!r} exclude each other.")


def _check_options(source: Source, handle: str, **options) -> None:
    unknown = [name for name, value in options.items() if value and name not in source.options]
    if unknown:
        raise ConfigError(f"{handle} has no {unknown[0]} to choose: leave {unknown[0]}={options[unknown[0]]!r} out.")


def _facts(
    model: keras.Model, card: BackboneCard, weights: str, image_size: int, levels: tuple[str, ...]
) -> BackboneFacts:
    outlined = graph.outline_of(model)
    return BackboneFacts(
        card=card,
        weights=weights,
        weights_digest=weights_digest(model.weights),
        image_size=image_size,
        channels=model.inputs[0].shape[-1] or 0 if card.takes != "text" else 0,
        feature_channels=model.outputs[-1].shape[-1],
        levels=levels,
        groups=tuple(group.facts for group in outlined.groups),
        outline=_outline(outlined.outline, card.handle),
        feature_map=len(model.outputs[-1].shape) == 4,
        not_compilable=tuple(layer.name for layer in graph.flatten(model) if not layer.supports_jit),
    )


def _adapted(model: keras.Model, at: str | None, levels: Sequence[str], channels: int) -> keras.Model:
    """Returns a model of the same layers that takes and gives what is asked; see `load_backbone`."""
    if channels != 3:
        model = adapting.with_channels(model, channels)
    if at:
        model = keras.Model(
            graph.input_of(model), adapting.without_tokens(graph.feature_tensor(model, at)), name=model.name
        )
    return adapting.with_levels(model, levels) if levels else model


def _in_precision(model: keras.Model, precision: ComputePrecision, handle: str) -> tuple[keras.Model, tuple[str, ...]]:
    """Returns a model that computes in `precision`, and what of it keeps its own.

    Raises:
        ConfigError: all of it does.
    """
    model, own = in_precision(model, precision)
    if precision != "float32" and is_all_its_own(model, own):
        raise ConfigError(
            f"precision={precision}, and {handle} computes in a precision of its own, which it was saved with: "
            f"{', '.join(own)}. Write --precision=float32, which leaves it as it is."
        )
    return model, own


def _with_float32_features(model: keras.Model) -> keras.Model:
    """Returns a model that gives float32 also where Keras's global policy, or a file's own, has it compute in less."""
    if not any("float" in tensor.dtype and tensor.dtype != "float32" for tensor in model.outputs):
        return model
    names = [FLOAT32] if len(model.outputs) == 1 else [f"{FLOAT32}_{at}" for at in range(len(model.outputs))]
    features = [in_float32(tensor, name) for tensor, name in zip(model.outputs, names, strict=True)]
    return keras.Model(graph.input_of(model), features[0] if len(features) == 1 else features, name=model.name)


def _outline(outline: Outline, handle: str) -> Outline:
    """Returns an outline under the name that the user knows; the model with a head on it will have another one."""
    lengths = tuple((name, count) for name, count in outline.lengths if name != outline.name)
    return dataclasses.replace(outline, name=handle, lengths=lengths)


def _build(source: Source, handle: str, request: Request) -> keras.Model:
    if request.weights in ("pretrained", "random"):
        return source.build(request)
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that a file does not fit, and leaves their random numbers in place.
            warnings.filterwarnings("error", category=UserWarning)
            return source.build(request)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        if isinstance(error, BackboneError):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackboneError(f"the weights in {request.weights} do not fit {handle}: {reason}") from error


def load_classifier(
    handle: str, *, image_size: int | None = None, allow_unsafe_model_code: bool = False
) -> keras.Model:
    """Loads a pretrained network with the head it was trained with: pixels to the logits of its own classes.

    Args:
        handle: `source:name`.
        image_size: height and width in pixels; by default the native size of the weights.
        allow_unsafe_model_code: as in `load_backbone`.

    Raises:
        ConfigError: no such source or name.
        BackboneError: the source has no pretrained head for it, or the weights cannot be had.
    """
    source, name = find_source(handle)
    source.card(name)
    request = Request(name=name, image_size=0, allow_unsafe_model_code=allow_unsafe_model_code)
    known = source.inspect(request)
    size = known.native_size if image_size is None else image_size
    check_size(known, size)
    return source.classifier(dataclasses.replace(request, image_size=size))


def weights_digest(variables: list[keras.Variable]) -> str:
    """Returns the first 16 hex digits of the SHA-256 over shape, dtype and numbers of `variables`, in order."""
    state = hashlib.sha256()
    for variable in variables:
        array = np.ascontiguousarray(variable.numpy())
        state.update(f"{array.shape}{array.dtype}".encode())
        state.update(array.reshape(-1).view(np.uint8))
    return state.hexdigest()[:16]
