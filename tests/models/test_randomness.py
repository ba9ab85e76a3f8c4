"""What is frozen gives the same in every epoch: random layers there are off, and on again afterwards."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import activations, graph, heads, models, pipeline
from tfxfer.data.rows import Rows
from tfxfer.plans import StageCache
from tfxfer.training import stage as stages

SIZE, CLASSES = 16, 3
RATE = 0.5


def network(*random, head_dropout=0.0) -> keras.Model:
    """Three convolutions on ever smaller pictures, random layers behind the first two, and a head."""
    layers = keras.layers
    x = pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    for number, width in enumerate((4, 6, 8)):
        kernel = keras.initializers.HeNormal(seed=number)
        x = layers.Conv2D(width, 3, 2, padding="same", kernel_initializer=kernel, name=f"conv{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        if number < len(random):
            x = random[number](x)
    head = heads.MLP(outputs=CLASSES, hidden=(5,), dropout=head_dropout, kernel="glorot_uniform")
    return models.swap_head(keras.Model(pixels, x), head)


def dropout(number) -> keras.layers.Layer:
    return keras.layers.Dropout(RATE, name=f"drop{number}", seed=number)


def rates(model) -> dict[str, float]:
    return {layer.name: layer.rate for layer in model.layers if hasattr(layer, "rate")}


def names(model) -> list[str]:
    return [group.name for group in graph.layer_groups(model)]


def test_rates_below_what_trains_are_0_meanwhile_and_what_they_were_afterwards():
    model = network(dropout(0), dropout(1), head_dropout=0.3)
    before = rates(model)
    last = names(model)[-2]
    with models.steady(model, awake=(last,)) as random:
        assert random == ()
        off = {name for name, rate in rates(model).items() if rate == 0}
    assert off == {"drop0", "drop1"}
    assert rates(model) == before
    with models.steady(model, awake=(names(model)[1],)):
        assert {name for name, rate in rates(model).items() if rate == 0} == {"drop0"}
    with models.steady(model, awake=(last, names(model)[0])):
        assert rates(model) == before


def test_rates_come_back_after_an_error():
    model = network(dropout(0))
    with pytest.raises(KeyboardInterrupt), models.steady(model):  # noqa: PT012
        assert rates(model)["drop0"] == 0
        raise KeyboardInterrupt
    assert rates(model)["drop0"] == RATE


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Dropout", {"rate": RATE}),
        ("Dropout", {"rate": RATE, "noise_shape": (None, 1, 1, 1)}),
        ("SpatialDropout2D", {"rate": RATE}),
        ("GaussianDropout", {"rate": RATE}),
        ("AlphaDropout", {"rate": RATE}),
        ("GaussianNoise", {"stddev": 1}),
    ],
)
def test_random_layers_of_any_kind_give_the_same_twice(kind, settings):
    model = network(getattr(keras.layers, kind)(**settings))
    pictures = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
    below = keras.Model(model.input, model.get_layer("relu1").output)
    with models.steady(model) as random:
        assert random == ()
        np.testing.assert_array_equal(below(pictures, training=True), below(pictures, training=False))
    assert not np.array_equal(below(pictures, training=True), below(pictures, training=False))  # the canary


def test_stochastic_depth_of_convnext_is_off_too():
    from keras.src.applications.convnext import StochasticDepth

    layer = StochasticDepth(RATE)
    model = network(layer)
    with models.steady(model):
        assert layer.drop_path_rate == 0
    assert layer.drop_path_rate == RATE


def test_what_has_no_rate_is_named():
    model = network(keras.layers.RandomFlip(name="flip"), keras.layers.RandomRotation(0.1, name="turn"))
    with models.steady(model) as random:
        assert random == ("flip", "turn")
    with models.steady(model, awake=names(model)[:1]) as random:
        assert random == ()


@pytest.fixture
def trained(plugin, colours):
    """A function that trains one stage of two epochs on random pictures and returns its losses and what was noted."""
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8)
    labels = (np.arange(24) % CLASSES).astype(np.int32)
    rows = [Rows(pictures, labels[part], np.arange(24)[part], CLASSES) for part in (slice(0, 16), slice(16, 24))]
    recipe = tfxfer.Recipe(
        data=f"folder:{colours}",
        backbone="tiny:cnn",
        stages=(tfxfer.Stage(train="head", epochs=2, learning_rate=0.05),),
        batch_size=8,
    )
    what = pipeline.prepare(recipe, with_seconds=False).plan.what

    def train(model, *, cached: bool, **changes):
        last = graph.layer_groups(model)[-2]
        counted = [*last.trainable_variables, *graph.layer_groups(model)[-1].trainable_variables]
        stage = dataclasses.replace(
            what.stages[0],
            trained=(last.name,),
            trained_layers=((),),
            rates=(1.0,),
            steps=4,
            steps_per_epoch=2,
            trainable_weights=sum(int(np.prod(v.shape)) for v in counted),
            trainable_tensors=len(counted),
            **changes,
        )
        cut = graph.layer_groups(model)[-3].name
        cache = StageCache(
            stage=stage.name,
            cut=cut,
            source="pixels",
            precision="float32",
            store="memory",
            row_bytes=8,
            bytes=8,
            seconds_saved=0.0,
        )
        noted = []
        with activations.Kept(what, disk_bytes=0, tell=noted.append) as kept:
            record = stages.run_stage(
                model, 0, stage, what, *rows,
                cache=cache if cached else None, kept=kept, tell=lambda *_: None, note=noted.append,
            )  # fmt: skip
        return [epoch.loss for epoch in record.epochs], noted

    return train


@pytest.mark.slow
def test_cached_and_uncached_training_lose_the_same_on_a_network_with_stochastic_depth(trained, monkeypatch):
    results = [trained(network(dropout(0), dropout(1), head_dropout=0.3), cached=cached)[0] for cached in (True, False)]
    np.testing.assert_allclose(*results, rtol=1e-5)
    # The canary: were they random, uncached training would see other numbers.
    monkeypatch.setattr(models, "steady", lambda *_, **__: contextlib.nullcontext(()))
    random, _ = trained(network(dropout(0), dropout(1), head_dropout=0.3), cached=False)
    assert abs(random[0] / results[0][0] - 1) > 1e-3


def test_a_layer_that_stays_random_turns_the_cache_off_and_is_named(trained):
    losses, noted = trained(network(keras.layers.RandomFlip(name="flip", seed=0)), cached=True)
    assert len(losses) == 2
    assert [line for line in noted if "flip below what trains is random" in line]


def test_an_efficientnet_of_keras_drops_no_paths_below_what_trains():
    backbone = tfxfer.load_backbone("keras:EfficientNetB0", image_size=32, weights="random")
    model = models.swap_head(backbone, heads.Linear(outputs=2))
    groups = names(model)
    drops = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert len(drops) > 8
    with models.steady(model, awake=groups[-4:-1]):
        assert 0 < sum(layer.rate > 0 for layer in drops) < 4
    assert all(layer.rate > 0 for layer in drops)
