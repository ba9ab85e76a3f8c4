"""A stage trains what the plan says and nothing else, and says so when it does not."""

import dataclasses

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import activations, data, models, pipeline
from tfxfer.activations.store import MemoryStore
from tfxfer.data.rows import Rows
from tfxfer.errors import VerificationError
from tfxfer.framing import Framing
from tfxfer.reuse import Cache
from tfxfer.training import stage as stages

BLOCK2 = tfxfer.Stage(train="stage3.block1", epochs=2, learning_rate=0.1)


@pytest.fixture
def prepared(plugin, colours):
    """A function that prepares a recipe with the given stages and returns everything a stage needs."""

    def prepare(*stages_, **changes):
        recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=stages_, batch_size=8, **changes)
        ready = pipeline.prepare(recipe, with_seconds=False)
        model = tfxfer.swap_head(ready.backbone, ready.plan.what.head)
        pixels = ready.examples.pixels(24, Framing())
        train, validation = (ready.examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))
        return model, ready.plan, train, validation

    return prepare


def run(model, plan, train, validation, *, cached=None, number=0):
    stage = plan.what.stages[number]
    cache = None if cached is False else plan.cache_of(stage.name)
    assert cache or not cached
    told = []
    with activations.Kept(plan.what, disk_bytes=10**8, tell=print) as kept:
        record = stages.run_stage(
            model, number, stage, plan.what, train, validation,
            cache=cache, kept=kept, tell=lambda n, r: told.append((n, r)),
        )  # fmt: skip
    assert [number for number, _ in told] == list(range(1, len(record.epochs) + 1))
    return record


def numbers(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def test_the_head_stage_moves_the_head_alone(prepared):
    model, *rest = prepared(tfxfer.Stage(train="head", epochs=2))
    before = numbers(model)
    record = run(model, *rest)
    moved = {path for path, value in numbers(model).items() if not np.array_equal(value, before[path])}
    assert moved == {"head_logits/kernel", "head_logits/bias"}
    assert record.moved == 2
    assert len(record.epochs) == 2


@pytest.mark.parametrize("batch_norm", ["frozen", "affine", "train"])
def test_each_batch_norm_mode_moves_what_it_says(prepared, batch_norm):
    model, *rest = prepared(dataclasses.replace(BLOCK2, batch_norm=batch_norm))
    before = numbers(model)
    run(model, *rest)
    moved = {path for path, value in numbers(model).items() if not np.array_equal(value, before[path])}
    expected = {"block2_conv/kernel", "block2_conv/bias", "head_logits/kernel", "head_logits/bias"}
    expected |= {"block2_bn/gamma", "block2_bn/beta"} if batch_norm != "frozen" else set()
    expected |= {"block2_bn/moving_mean", "block2_bn/moving_variance"} if batch_norm == "train" else set()
    assert moved == expected


@pytest.mark.parametrize("batch_norm", ["frozen", "affine"])
def test_cached_and_uncached_training_end_in_the_same_weights(prepared, batch_norm):
    stage = dataclasses.replace(BLOCK2, batch_norm=batch_norm)
    results = []
    for cached in (True, False):
        model, *rest = prepared(stage, cache=Cache(precision="float32"))
        run(model, *rest, cached=cached)
        results.append(numbers(model))
    for path, value in results[0].items():
        np.testing.assert_allclose(value, results[1][path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_steps_that_do_not_fill_an_epoch_are_an_epoch_of_their_own(prepared):
    model, plan, *rest = prepared(tfxfer.Stage(train="head", steps=8))
    assert plan.what.stages[0].steps_per_epoch == 6
    assert len(run(model, plan, *rest).epochs) == 2


def test_the_rate_of_a_group_is_its_share(prepared):
    """One step from a head that passes gradients on: with a ratio of 100 the body moves 1/100 as far."""
    distances = []
    for ratio in (1.0, 100.0):
        stage = tfxfer.Stage(
            train="stage3.block1", steps=1, learning_rate=0.01, head_to_body=ratio, warmup=0.0, clip_norm=None
        )
        model, *rest = prepared(stage)
        model.get_layer("head_logits").kernel.assign(np.ones((8, 3)) * [[1.0, 0.5, -1.0]])
        before = numbers(model)["block2_conv/kernel"]
        run(model, *rest)
        distances.append(np.abs(numbers(model)["block2_conv/kernel"] - before).max())
    assert distances[0] == pytest.approx(100 * distances[1], rel=0.02)


def test_biases_move_as_much_more_as_they_are_to(prepared):
    """One step of plain descent: in the body, and in the head, whose share is 1 already."""
    distances = []
    for bias_rate in (1.0, 3.0):
        stage = tfxfer.Stage(
            train="stage3.block1", steps=1, learning_rate=0.01, warmup=0.0, clip_norm=None, bias_rate=bias_rate,
            optimizer=tfxfer.recipes.SGD(momentum=0, nesterov=False), batch_norm="affine",
        )  # fmt: skip
        model, *rest = prepared(stage)
        model.get_layer("head_logits").kernel.assign(np.ones((8, 3)) * [[1.0, 0.5, -1.0]])
        before = numbers(model)
        run(model, *rest)
        distances.append({path: np.abs(value - before[path]).max() for path, value in numbers(model).items()})
    more = {path: distances[1][path] / distance for path, distance in distances[0].items() if distance > 0}
    assert more == pytest.approx({path: 3.0 if path.endswith(("bias", "beta")) else 1.0 for path in more}, rel=0.02)
    assert {"head_logits/bias", "head_logits/kernel", "block2_bn/beta", "block2_bn/gamma"} <= more.keys()


def test_a_frozen_variable_that_moves_stops_the_run(prepared, monkeypatch):
    """The canary of the digest: a callback that touches a frozen kernel is caught."""
    model, *rest = prepared(BLOCK2)
    fit = stages.fit_stage

    def touching(*arguments):
        record = fit(*arguments)
        model.get_layer("stem_conv").kernel.assign_add(np.full((3, 3, 3, 4), 1e-7))
        return record

    monkeypatch.setattr(stages, "fit_stage", touching)
    with pytest.raises(VerificationError, match="stem_conv/kernel moved, but is frozen"):
        run(model, *rest)


@pytest.mark.parametrize(
    ("layer", "awake", "message"),
    [
        ("block2_bn", True, r"would train 6 variables, the plan says 4; not planned: .*gamma"),
        ("block2_conv", False, "would train 2 variables, the plan says 4"),
    ],
)
def test_a_variable_too_many_or_too_few_stops_the_run(prepared, monkeypatch, layer, awake, message):
    """The canaries of the checks before training: a layer that wakes, or sleeps, by itself is caught."""
    model, *rest = prepared(BLOCK2)
    freeze = models.freeze

    def careless(trainee, **settings):
        freeze(trainee, **settings)
        trainee.get_layer(layer).trainable = awake

    monkeypatch.setattr(models, "freeze", careless)
    with pytest.raises(VerificationError, match=message):
        run(model, *rest)


def test_the_check_of_trainable_variables_names_what_was_not_planned(prepared):
    """Its own canary: in a run the optimizer would refuse such a variable before."""
    model, plan, *_ = prepared(BLOCK2)
    stage = plan.what.stages[0]
    models.freeze(model, train="stage3.block1", batch_norm="frozen")
    shares = stages.planned_shares(model, stage)
    stages.verify_trainable(model, stage, shares)
    model.get_layer("block2_bn").trainable = True
    with pytest.raises(VerificationError, match=r"would train 6 variables, the plan says 4; not planned: .*gamma"):
        stages.verify_trainable(model, stage, shares)


def test_dropout_is_a_function_of_the_seed(prepared):
    results = []
    for _ in range(2):
        stage = tfxfer.Stage(train="head", epochs=2, learning_rate=0.1)
        model, *rest = prepared(stage, head=tfxfer.heads.MLP(hidden=(8,), dropout=0.5))
        keras.random.uniform((3,))  # what others draw in between changes nothing
        run(model, *rest)
        results.append(numbers(model)["head_hidden_0/kernel"])
    np.testing.assert_array_equal(*results)


def test_activations_are_what_the_prefix_computes(prepared):
    model, _, train, _ = prepared(BLOCK2)
    prefix = activations.part(model, activations.cut_at(model, "stage2.block1"))
    with MemoryStore("float32", prefix.output_shape[1:]) as store:
        kept = activations.cached(store, prefix, train, batch_size=8, text="")
        assert kept.all_rows.shape == (len(train), 6, 6, 8)
        expected = prefix.predict_on_batch(train.all_rows[train.places[:8]])
        np.testing.assert_array_equal(kept.take(np.arange(8)), expected)
        np.testing.assert_array_equal(kept.labels, train.labels)


def test_activations_of_two_tensors_go_through_the_cut_and_give_the_same_logits():
    layers = keras.layers
    pixels = keras.Input((8, 8, 3), name="pixels")
    before = layers.Conv2D(4, 3, padding="same", activation="relu", name="before")(pixels)
    after = layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="after")(before)
    pooled = [layers.GlobalAveragePooling2D()(before), layers.GlobalAveragePooling2D()(after)]
    model = keras.Model(pixels, layers.Dense(3, name="logits")(layers.Concatenate()(pooled)))
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    rows = Rows(images, np.zeros(5, np.int32), np.arange(5), 3)
    prefix = activations.part(model, (before, after))
    with MemoryStore("float32", prefix.output_shape[1:]) as store:
        kept = activations.cached(store, prefix, rows, batch_size=2, text="").take(np.arange(5))
    assert kept.shape == (5, 8 * 8 * 4 + 4 * 4 * 6)
    behind = activations.suffix(model, (before, after))
    np.testing.assert_allclose(behind.predict_on_batch(kept), model.predict_on_batch(images), rtol=1e-5, atol=1e-3)
    assert {id(v) for v in behind.trainable_variables} == {id(v) for v in model.get_layer("logits").weights}
