"""The contract of a source of backbones, as a check that plug-in authors run on their own."""

from tfxfer.backbones.source import Request, Source


def check_source(source: Source, name: str, *, image_size: int | None = None) -> None:
    """Checks one backbone of a source with random weights.

    Args:
        source: to check.
        name: one of its names.
        image_size: pixels; by default the card's minimum.

    Raises:
        AssertionError: a broken rule, in words.
    """
    import keras
    import numpy as np

    from tfxfer import graph
    from tfxfer.errors import ConfigError

    assert name in source.names(), f"{name!r} is not among names() {source.names()}"
    card = source.card(name)
    size = image_size or card.minimum_size
    assert card.handle.endswith(f":{name}"), f"the card's handle {card.handle!r} does not end in the name {name!r}"
    assert card.minimum_size <= card.native_size, "the card's minimum size is above its native size"
    try:
        source.card(name + "_no_such_thing")
    except ConfigError:
        pass
    else:
        raise AssertionError("card() accepts a name that does not exist; it must raise ConfigError")

    model = source.build(Request(name=name, image_size=size, weights="random"))
    assert isinstance(model, keras.Model), f"build() gives a {type(model).__name__}, expected a keras.Model"
    assert model.input_shape == (None, size, size, 3), f"its input is {model.input_shape}"
    assert len(model.output_shape) == 4, (
        f"its output is {model.output_shape}, expected [batch, height, width, channels]"
    )
    names = [variable.path for variable in model.variables]
    groups = graph.layer_groups(model)
    covered = [id(variable) for group in groups for variable in group.variables]
    assert len(covered) == len(set(covered)), "a variable is in two layer groups"
    assert set(covered) == {id(v) for v in model.variables}, f"layer groups do not cover {names}"
    assert len(groups) >= 2, "the whole network is one layer group, so nothing of it can be frozen"
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    once, again = (np.asarray(model(pixels.astype(np.float32), training=False)) for _ in range(2))
    assert np.isfinite(once).all(), "features of pixels on 0..255 are not finite"
    assert np.array_equal(once, again), "the same pixels give different features"
    fractions = np.asarray(model(pixels.astype(np.float32) / 255, training=False))
    assert not np.array_equal(once, fractions), "features do not depend on the scale of the pixels"
