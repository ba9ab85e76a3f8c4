"""Replicas that share a batch do together what one device does with all of it."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from one_run import assert_epochs_alike, fitted, stopped_behind

import tfxfer
from tfxfer import heads, models
from tfxfer.data import batches
from tfxfer.recipes import Data, Gradual, Running
from tfxfer.training import trainees

ALL = tfxfer.Stage(train="all", steps=20, learning_rate=0.01, head_to_body=1.0, batch_norm="frozen")
STAGES = {
    "head, cached": tfxfer.Stage(train="head", epochs=5, learning_rate=0.01),
    "all": ALL,
    "statistics move": dataclasses.replace(ALL, batch_norm="train"),
    "gradual": dataclasses.replace(ALL, steps=None, epochs=4, unfreezing=Gradual()),
    "measured rates": dataclasses.replace(ALL, group_rates="auto_rgn", clip_norm=0.5),
}
# Of a tensor's largest number; and what counts as 0 where a bias before batch norm has only rounding for a gradient.
SHARE, NOTHING = 1e-5, 1e-8


def _tier(name):
    """Each takes ten to thirty seconds."""
    return () if name == "all" else pytest.mark.slow


@pytest.fixture
def run(plugin, colours, tmp_path):
    """A function that trains a stage under a strategy and returns weights and history."""

    def run(stage, strategy=None, *, folder="run", note=lambda _: None, **settings):
        recipe = tfxfer.Recipe(
            data=f"folder:{colours}",
            backbone="tiny:cnn",
            stages=(stage,),
            augment=tfxfer.Augment(views=3),
            running=Running(checkpoint_seconds=0),
            # 42 examples: shares of 5 and 4, and of 3 and 3 at the end of an epoch
            **{"batch_size": 9, **settings},
        )
        return fitted(recipe, tmp_path / folder, strategy, note=note)

    return run


def assert_same(one, other):
    for a, b in zip(one.variables, other.variables, strict=True):
        a, b = a.numpy(), b.numpy()
        assert np.abs(a - b).max() <= max(SHARE * np.abs(a).max(), NOTHING)


@pytest.mark.parametrize("stage", [pytest.param(s, id=name, marks=_tier(name)) for name, s in STAGES.items()])
def test_two_replicas_end_in_the_weights_of_one_device(run, mirrored, stage):
    alone, told = run(stage, folder="one")
    together, history = run(stage, mirrored, folder="two")
    assert_same(alone, together)
    assert_epochs_alike(told, history)


def numbers_of(colours, kind):
    """Returns the pictures of the three colours with labels for a task."""
    from PIL import Image

    pictures = np.stack([np.asarray(Image.open(path)) for path in sorted(colours.rglob("*.png"))])
    classes = np.repeat(np.arange(3), 20)
    labels = {
        "multi_label": np.stack([classes == 0, classes > 0, np.arange(60) % 2 == 0], axis=1).astype(np.uint8),
        "regression": np.stack([classes * 10.0, np.arange(60)], axis=1),
        "ordinal": classes,
    }
    return pictures, labels[kind]


@pytest.mark.slow  # ten seconds each
@pytest.mark.parametrize("kind", ["multi_label", "regression", "ordinal"])
def test_two_replicas_learn_every_task_as_one_device_does(plugin, colours, tmp_path, mirrored, kind):
    recipe = tfxfer.Recipe(data=Data(task=kind), backbone="tiny:cnn", stages=(ALL,), batch_size=9)
    given = numbers_of(colours, kind)
    alone, one = fitted(recipe, tmp_path / "one", data=given)
    together, other = fitted(recipe, tmp_path / "two", mirrored, data=given)
    assert_same(alone, together)
    for first, second in zip(one.stages[0].epochs, other.stages[0].epochs, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=1e-4)
        for name in ("train", "validation"):
            assert getattr(first.score, name) == pytest.approx(getattr(second.score, name), rel=1e-4)


def test_replicas_that_weighed_shares_alike_would_be_noticed(run, mirrored, monkeypatch):
    """The canary: Keras's own mean over replicas."""
    alone, _ = run(ALL, folder="one")
    plain = trainees.Trainee._examples
    monkeypatch.setattr(
        trainees.Trainee, "_examples", lambda self, labels, real=None: (None, *plain(self, labels, real)[1:])
    )
    together, _ = run(ALL, mirrored, folder="two")
    with pytest.raises(AssertionError):
        assert_same(alone, together)


@pytest.mark.slow
@pytest.mark.parametrize("more", [False, True])
def test_a_run_goes_on_with_another_number_of_replicas(run, mirrored, monkeypatch, more):
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)
    alone, _ = run(ALL, folder="one")
    first, second = (None, mirrored) if more else (mirrored, None)
    with stopped_behind(8):
        run(ALL, first, folder="stopped")
    lines = []
    together, _ = run(ALL, second, folder="stopped", note=lines.append)
    assert any("goes on behind step" in line for line in lines)
    assert_same(alone, together)


@pytest.mark.slow
def test_replicas_draw_masks_of_their_own_and_go_on_with_them(run, mirrored, monkeypatch):
    """Equal masks on all would be one mask for several shares of a batch."""
    monkeypatch.setattr(trainees, "_CALL_SECONDS", 0.0)
    dropout = heads.Linear(dropout=0.5)
    whole, _ = run(ALL, mirrored, folder="whole", head=dropout)
    (state,) = [v for v in whole.variables if v.path.endswith("seed_generator_state")]
    first, second = (own.numpy() for own in mirrored.experimental_local_results(state.value))
    assert second.tolist() == (first + np.uint32([1, 0])).tolist()
    with stopped_behind(8):
        run(ALL, mirrored, folder="stopped", head=dropout)
    again, _ = run(ALL, mirrored, folder="stopped", head=dropout)
    for one, other in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("synchronise", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_statistics_are_the_same_on_all_replicas_and_in_what_is_saved(run, mirrored, tmp_path, synchronise):
    stage = STAGES["statistics move"]
    model, _ = run(stage, mirrored, synchronise_batch_norm=synchronise)
    for variable in model.variables:
        one, two = (own.numpy() for own in mirrored.experimental_local_results(variable.value))
        np.testing.assert_array_equal(one, two, variable.path)
    model.save(tmp_path / "saved.keras")
    with tf.distribute.get_strategy().scope():
        read = keras.models.load_model(tmp_path / "saved.keras")
    pictures = np.random.default_rng(0).integers(0, 256, (5, 24, 24, 3)).astype("uint8")
    alone = read.predict_on_batch(pictures)

    @tf.function
    def on_each(batch):
        return mirrored.run(lambda: model(batch, training=False))

    for own in mirrored.experimental_local_results(on_each(tf.constant(pictures))):
        np.testing.assert_allclose(own.numpy(), alone, atol=1e-6)
    np.testing.assert_allclose(models.predict_on_batch(model, pictures), alone, atol=1e-6)


@pytest.mark.slow
def test_statistics_that_are_averaged_are_those_of_shares(run, mirrored, monkeypatch):
    """Each replica normalises by its own share: the mean is near that of the whole batch, the variance below it."""
    stage = dataclasses.replace(STAGES["statistics move"], learning_rate=1e-6, refresh_statistics=False)
    together, _ = run(stage, mirrored, folder="synchronised")
    apart, _ = run(stage, mirrored, folder="averaged", synchronise_batch_norm=False)
    for one, other in zip(together.variables, apart.variables, strict=True):
        if one.path.endswith("moving_mean"):
            np.testing.assert_allclose(one.numpy(), other.numpy(), atol=0.05 * np.abs(one.numpy()).max())
    variances = [
        (one.numpy(), other.numpy())
        for one, other in zip(together.variables, apart.variables, strict=True)
        if one.path.endswith("moving_variance")
    ]
    assert variances
    assert all(other.mean() < one.mean() for one, other in variances)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [ALL, STAGES["statistics move"]])
def test_a_batch_with_fewer_examples_than_replicas(run, mirrored, stage):
    """A share of nothing fails in convolutions of oneDNN, and has no statistics."""
    stage = dataclasses.replace(stage, steps=4)
    alone, told = run(stage, folder="one", batch_size=41)  # of 42 examples
    together, history = run(stage, mirrored, folder="two", batch_size=41)
    assert_same(alone, together)
    assert_epochs_alike(told, history)
    apart, _ = run(stage, mirrored, folder="apart", batch_size=41, synchronise_batch_norm=False)
    assert all(np.isfinite(variable.numpy()).all() for variable in apart.variables)


@pytest.mark.slow
def test_statistics_that_nobody_averages_differ(run, mirrored, monkeypatch):
    """The canary: what Keras does."""
    monkeypatch.setattr(trainees.Trainee, "_average_statistics", lambda self: None)
    model, _ = run(
        dataclasses.replace(STAGES["statistics move"], refresh_statistics=False),
        mirrored,
        synchronise_batch_norm=False,
    )
    pairs = [[own.numpy() for own in mirrored.experimental_local_results(v.value)] for v in model.variables]
    assert not all((one == two).all() for one, two in pairs)


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_every_example_counts_in_one_share(mirrored, count):
    pictures, labels = tf.range(count), tf.range(count) * 10
    dataset = batches.shared(tf.data.Dataset.from_tensors((pictures, labels)).repeat(2), mirrored)
    seen = []
    for step in dataset:
        shares = [[own.numpy() for own in mirrored.experimental_local_results(part)] for part in step]
        assert all(len(share) for share in shares[0])
        assert sorted(weights.sum() for weights in shares[2]) == [count // 2, count - count // 2]
        real = np.concatenate(shares[2]) > 0
        seen.append([np.concatenate(part)[real].tolist() for part in shares[:2]])
    assert seen == [[pictures.numpy().tolist(), labels.numpy().tolist()]] * 2


def stock_model(mirrored, **settings):
    with mirrored.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False, **settings)
    return model


def test_keras_still_fails_where_the_first_batch_does_not_divide(mirrored):
    """Why `Trainee` leaves `_maybe_symbolic_build` out; once this passes in Keras, it need not."""
    data = tf.data.Dataset.from_tensor_slices((np.ones((3, 2)), np.ones((3, 1)))).batch(3)
    with pytest.raises(Exception, match=r"AddN|[Ss]hape"):
        stock_model(mirrored).fit(data, shuffle=False, verbose=0)


def test_keras_still_fails_with_several_steps_in_a_call_on_replicas(mirrored):
    """Why `Trainee` has a loop of its own."""
    data = tf.data.Dataset.from_tensor_slices((np.ones((8, 2)), np.ones((8, 1)))).batch(2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"[Pp]laceholder"):
        stock_model(mirrored, steps_per_execution=2).fit(data.repeat(), steps_per_epoch=2, shuffle=False, verbose=0)


def test_keras_still_weighs_unequal_shares_alike(mirrored):
    """Why `Trainee` weighs examples."""
    model = stock_model(mirrored)
    model.layers[0].set_weights([np.zeros((2, 1)), np.zeros(1)])
    # The second batch: two examples with target 3 on one replica, one with target 0 on the other.
    parts = [(np.zeros((n, 2)), np.full((n, 1), y)) for n, y in ((2, 0.0), (3, 0.0))]
    targets = np.array([[3.0], [3.0], [0.0]])
    data = tf.data.Dataset.from_generator(
        lambda: iter([parts[0], (parts[1][0], targets)]),
        output_signature=(tf.TensorSpec([None, 2], tf.float64), tf.TensorSpec([None, 1], tf.float64)),
    )
    model.fit(data.repeat(), steps_per_epoch=2, shuffle=False, verbose=0)
    bias = float(model.layers[0].bias.numpy()[0])
    assert bias == pytest.approx(0.01 * 2 * 1.5)  # (3 + 0) / 2, where the mean of all is 2
