"""The contract of a source of backbones, as a check that plug-in authors run on their own."""

from __future__ import annotations

import pathlib
import tempfile
from typing import TYPE_CHECKING, Literal

from tfxfer.backbones.source import Request, Source
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    import keras
    import numpy as np

    from tfxfer import graph


def check_source(
    source: Source,
    name: str,
    *,
    image_size: int | None = None,
    weights: str = "random",
    contract: Literal["static", "full"] = "full",
    allow_unsafe_model_code: bool = False,
) -> None:
    """Checks one backbone of a source: what it says of itself, and that all of tfxfer works on it.

    Args:
        source: to check.
        name: what stands behind the colon of a handle.
        image_size: pixels; by default the card's minimum.
        weights: "random", "pretrained", or the path of a file.
        contract: "static": card, pixels, layer groups and cuts. "full": also that it can be frozen, trained for
            a step, saved and loaded, and that building it twice gives the same network.
        allow_unsafe_model_code: as in `load_backbone`.

    Raises:
        AssertionError: a broken rule, in words.
    """
    card = _check_names(source, name)
    request = Request(name=name, image_size=0, weights=weights, allow_unsafe_model_code=allow_unsafe_model_code)
    card = source.inspect(request)
    assert card.takes == "images", f"it takes {card.takes}, and this contract is about pictures"
    assert 0 < card.minimum_size <= card.native_size, "the card's minimum size is above its native size"
    request = Request(
        name=name,
        image_size=image_size or card.minimum_size,
        weights=weights,
        allow_unsafe_model_code=allow_unsafe_model_code,
    )
    model = _check_model(source, request)
    pixels = _pixels(request.image_size)
    _check_pixels(model, pixels)
    _check_groups(model, card, pixels)
    if contract == "full":
        _check_training(model, pixels)
        _check_saving(model, pixels, allow_unsafe_model_code)
        _check_again(source, request, model, pixels)


def _check_names(source: Source, name: str) -> BackboneCard:
    from tfxfer.errors import TfxferError

    assert isinstance(source, Source), f"{type(source).__name__} is no subclass of tfxfer.backbones.Source"
    assert source.names() or source.usage, "names() is empty and usage does not say how names are written"
    if not source.usage:
        assert name in source.names(), f"{name!r} is not among names() {source.names()}"
    card = source.card(name)
    assert card.handle.endswith(f":{name}"), f"the card's handle {card.handle!r} does not end in the name {name!r}"
    assert isinstance(source.has_weights(name), bool), "has_weights() gives neither True nor False"
    try:
        source.card("no_such_thing/" + name)
    except TfxferError:
        return card
    raise AssertionError("card() accepts a name that does not exist; it must raise ConfigError or BackboneError")


def _check_model(source: Source, request: Request) -> keras.Model:
    import keras

    size = request.image_size
    model = source.build(request)
    assert isinstance(model, keras.Model), f"build() gives a {type(model).__name__}, expected a keras.Model"
    assert model.input_shape == (None, size, size, 3), f"its input is {model.input_shape}"
    assert len(model.output_shape) in (2, 4), (
        f"its output is {model.output_shape}, expected [batch, height, width, channels] or [batch, channels]"
    )
    return model


def _pixels(size: int) -> np.ndarray:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)


def _answer(model: keras.Model, given):
    """Returns what `model` answers, computed eagerly: tracing a large network takes far longer than running it once."""
    import keras

    return keras.tree.map_structure(keras.ops.convert_to_numpy, model(given, training=False))


def _check_pixels(model: keras.Model, pixels: np.ndarray) -> None:
    import numpy as np

    floats = pixels.astype(np.float32)
    once, again = (_answer(model, floats) for _ in range(2))
    assert np.isfinite(once).all(), "features of pixels on 0..255 are not finite"
    assert np.array_equal(once, again), "the same pixels give different features"
    fractions = _answer(model, floats / 255)
    assert not np.array_equal(once, fractions), "features do not depend on the scale of the pixels"
    assert np.array_equal(_answer(model, pixels), _answer(model, floats)), (
        "uint8 pixels and the same pixels as float32 give different features"
    )


def _check_groups(model: keras.Model, card: BackboneCard, pixels: np.ndarray) -> None:
    import numpy as np

    from tfxfer import graph

    groups = graph.layer_groups(model)
    covered = [id(variable) for group in groups for variable in group.variables]
    assert len(covered) == len(set(covered)), "a variable is in two layer groups"
    missing = [variable.path for variable in model.weights if id(variable) not in set(covered)]
    assert not missing, f"layer groups do not cover {missing}"
    assert len(groups) >= 2, "the whole network is one layer group, so nothing of it can be frozen"
    names = [group.name for group in groups]
    assert len(set(names)) == len(names), f"two layer groups have the same name: {names}"
    measures = {
        "feature_channels": model.output_shape[-1],
        "parameters": sum(int(np.prod(variable.shape)) for variable in model.weights),
        "groups": len(groups),
    }
    for field, measured in measures.items():
        said = getattr(card, field)
        assert said in (0, measured), f"the card says {field}={said:,}, it has {measured:,}"
    _check_cuts(model, groups, pixels)


def _check_cuts(model: keras.Model, groups: tuple[graph.LayerGroup, ...], pixels: np.ndarray) -> None:
    """Cuts the network behind its first, a middle and its last but one group, and puts it together again."""
    import keras
    import numpy as np

    legal = [group for group in groups[:-1] if group.outputs]
    whole = [group for group in groups if group.part is None]
    assert len(legal) >= len(whole) - 1, (
        f"no cut is possible behind {[group.name for group in whole[:-1] if not group.outputs]}"
    )
    expected = _answer(model, pixels)
    for group in {id(g): g for g in (legal[:1] + legal[len(legal) // 2 :][:1] + legal[-1:])}.values():
        tensors = list(group.outputs) if len(group.outputs) > 1 else group.outputs[0]
        prefix, suffix = keras.Model(model.input, tensors), keras.Model(tensors, model.output)
        joined = _answer(suffix, _answer(prefix, pixels))
        scale = np.abs(expected).max()
        assert np.allclose(joined, expected, atol=1e-5 * scale), f"cut behind {group.name}, its halves differ from it"


def _check_training(model: keras.Model, pixels: np.ndarray) -> None:
    """One step with a frozen backbone, and one in which its last group trains: only what should moves."""
    import keras
    import numpy as np

    from tfxfer import models
    from tfxfer.backbones.loading import weights_digest
    from tfxfer.heads import Linear

    whole = models.swap_head(model, Linear(outputs=2, kernel="glorot_uniform"), at=model.layers[-1].name)
    for train in ("head", 1):
        models.freeze(whole, train=train)
        moving = {id(variable) for variable in whole.trainable_variables}
        checked = [variable for variable in whole.variables if "seed" not in variable.path]
        before = [weights_digest([variable]) for variable in checked]
        # The gradient of this loss never vanishes; logits of random networks can be so large that a softmax's does.
        whole.compile(keras.optimizers.SGD(1e-3), loss=keras.losses.MeanAbsoluteError(), run_eagerly=True)
        whole.train_on_batch(pixels.astype(np.float32), np.full((len(pixels), 2), 1000.0, np.float32))
        moved = [v for v, old in zip(checked, before, strict=True) if weights_digest([v]) != old]
        strayed = [variable.path for variable in moved if id(variable) not in moving]
        assert not strayed, f"frozen variables have moved (train={train!r}): {strayed}"
        assert moved, f"nothing has moved in a step of training (train={train!r})"


def _check_saving(model: keras.Model, pixels: np.ndarray, allow_unsafe_model_code: bool) -> None:
    import keras
    import numpy as np

    from tfxfer.backbones.hub.layer import saved_models_allowed

    expected = _answer(model, pixels)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "backbone.keras")
        model.save(path)
        with saved_models_allowed(allow_unsafe_model_code=allow_unsafe_model_code):  # as bundles are opened
            again = keras.models.load_model(path, compile=False)
    assert np.array_equal(_answer(again, pixels), expected), "saved to .keras and loaded, it answers otherwise"


def _check_again(source: Source, request: Request, model: keras.Model, pixels: np.ndarray) -> None:
    import keras
    import numpy as np

    keras.utils.set_random_seed(7)
    one = _answer(source.build(request), pixels)
    keras.utils.set_random_seed(7)
    other = _answer(source.build(request), pixels)
    assert np.array_equal(one, other), "built twice from the same seed, it gives different features"
