"""The sweep measures what it says, on any compiled model; that it leaves no trace is the matter of test_keeping.py."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer.errors import ConfigError, DataError, WorkdirError
from tfxfer.lr_finder import find_learning_rate, keeping
from tfxfer.lr_finder.sweep import _Course

pytestmark = pytest.mark.slow

ONES = np.ones((12, 1), np.float32)
TRACED = {"run_eagerly": False}


def mean_output(_, output):
    return keras.ops.mean(output, axis=-1)


def line(optimizer, loss=mean_output, **settings) -> keras.Model:
    """One weight, 2 at the start, that is the output; by `mean_output` its gradient is 1 at every step.

    Eager unless said otherwise, since tracing takes longer than these few steps.
    """
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.layers[0].kernel.assign([[2.0]])
    model.compile(optimizer, loss=loss, **{"run_eagerly": True, **settings})
    return model


def dense(units=3) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(units)])
    model.compile("sgd", loss="mse")
    return model


def scheduled() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.5, 10))


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        (lambda: keras.optimizers.SGD(0.5), TRACED),
        (lambda: keras.optimizers.SGD(0.5), {"run_eagerly": True}),
        (lambda: keras.optimizers.SGD(0.5), {**TRACED, "steps_per_execution": 3}),
        (scheduled, TRACED),
        (lambda: keras.optimizers.SGD(lambda: 0.5), TRACED),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)), TRACED),
        (lambda: keras.optimizers.LossScaleOptimizer(scheduled()), TRACED),
    ],
    ids=["number", "eager", "steps together", "schedule", "function", "loss scale", "loss scale and schedule"],
)
def test_each_step_is_made_at_its_rate(optimizer, settings):
    """The weight begins at 2 and goes down by the rate; a loss is that of the weight before the step."""
    sweep = find_learning_rate(line(optimizer(), **settings), (ONES, ONES), lowest=0.001, highest=0.1, steps=5)
    assert sweep.rates == pytest.approx([1e-3, 10**-2.5, 1e-2, 10**-1.5, 1e-1])
    assert sweep.losses == pytest.approx([2, 1.999, 1.995838, 1.985838, 1.954215], abs=1e-5)
    assert sweep.ended == "all that were asked for"


def test_a_loss_is_that_of_its_batch_not_a_running_mean():
    batches = tf.data.Dataset.from_tensor_slices(np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1))
    sweep = find_learning_rate(
        line("sgd"), batches.map(lambda x: (x, x)), lowest=1e-12, highest=1e-11, steps=5, smoothing=0.0, stop_at=100.0
    )
    assert sweep.losses == pytest.approx([2, 4, 6, 8, 10])
    assert sweep.smoothed == pytest.approx(sweep.losses)


def test_nothing_is_traced_again_between_the_steps():
    traces = []

    class Counting(keras.layers.Layer):
        def call(self, inputs):
            traces.append(1)
            return inputs

    counts = []
    for steps in (5, 40):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), Counting()])
        model.compile("sgd", loss="mse")
        traces.clear()
        find_learning_rate(model, (np.ones((6, 4)), np.ones((6, 3))), highest=1e-3, steps=steps, batch_size=4)
        counts.append(len(traces))
    assert counts[0] == counts[1] <= 2


def test_smoothing_forgets_and_starts_without_a_bias():
    """0.5: (0.5·4)/0.5; then (0.25·4 + 0.5·1)/0.75."""
    course = _Course([1.0] * 3, 0.5, 4.0)
    course.add(4.0)
    course.add(1.0)
    assert course.smoothed == pytest.approx([4.0, 2.0])


@pytest.mark.parametrize(
    ("losses", "kept", "ended"),
    [
        ([2.0, 1.0, 4.0, 4.1, 0.5], 4, "then the smoothed loss was above 4 × its lowest"),
        ([2.0, 1.0, float("nan")], 2, "then the loss was nan"),
        ([2.0, float("inf")], 1, "then the loss was inf"),
        ([-2.0, -1.0, 3.9], 3, ""),
        ([-2.0, -1.0, 4.1], 3, "then the smoothed loss was above 4 × its lowest"),
        ([1.0] * 6, 6, "all that were asked for"),
    ],
)
def test_the_sweep_ends_when_the_loss_explodes_or_the_rates_are_through(losses, kept, ended):
    course = _Course([1.0] * 6, 0.0, 4.0)
    for loss in losses:
        if not course.ended:
            course.add(loss)
    assert (len(course.losses), course.ended) == (kept, ended)


def test_a_model_that_explodes_ends_the_sweep():
    sweep = find_learning_rate(line("sgd", loss="mse"), (ONES, ONES), lowest=0.1, highest=1e6, steps=20, smoothing=0.0)
    assert 3 < len(sweep.rates) < 20
    assert "above 4 ×" in sweep.ended


def test_a_loss_that_is_nan_from_the_start_gives_an_empty_sweep():
    sweep = find_learning_rate(line("sgd"), (ONES * np.nan, ONES), steps=5)
    assert (sweep.rates, sweep.rate, sweep.ended) == ((), None, "then the loss was nan")


def test_it_finds_the_rate_of_a_problem_that_has_one():
    """Least squares with gradients of steepness 2: plain descent diverges above a rate of 1."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(256, 4)).astype(np.float32)
    y = x @ generator.normal(size=(4, 3)).astype(np.float32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1e-3), loss=lambda a, b: keras.ops.sum((a - b) ** 2, axis=-1))
    sweep = find_learning_rate(model, (x, y), lowest=1e-5)
    assert 0.005 < sweep.rate < 0.5
    assert sweep.chosen.rule == "valley"


def test_what_is_frozen_now_stays_although_it_trained_before(monkeypatch):
    """Keras goes on with the function traced before; nothing is put back here, to see what the sweep moved."""
    monkeypatch.setattr(keeping, "kept", lambda model: contextlib.nullcontext())
    model = dense()
    x, y = np.ones((6, 4), np.float32), np.zeros((6, 3), np.float32)
    model.fit(x, y, verbose=0)
    model.layers[0].trainable = False
    before = [v.numpy() for v in model.variables]
    find_learning_rate(model, (x, y), lowest=1e-3, highest=1e-2, steps=5)
    moved = [not np.array_equal(old, new.numpy()) for old, new in zip(before, model.variables, strict=True)]
    assert moved == [False, False, True, True]


def test_layers_unfrozen_behind_the_back_of_the_optimizer_are_named():
    model = dense()
    model.layers[0].trainable = False
    model.optimizer.build(model.trainable_variables)
    model.layers[0].trainable = True
    with pytest.raises(ConfigError, match=r"unfrozen after it was compiled. Compile it again with a new optimizer"):
        find_learning_rate(model, (np.ones((6, 4)), np.ones((6, 3))), steps=5)


def test_arrays_come_in_an_order_of_the_seed():
    x = np.arange(1, 41, dtype=np.float32)[:, None]
    found = [
        find_learning_rate(
            line("sgd"), (x, x), lowest=1e-12, highest=1e-11, steps=5, batch_size=8, seed=seed, stop_at=1e9
        ).losses
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]
    assert sum(found[0]) / 5 == pytest.approx(41)  # each example once in 5 batches of 8


def test_few_examples_come_again_and_weights_count():
    weights = np.zeros(3, np.float32)
    weights[0] = 3.0
    x = np.array([[1.0], [5.0], [9.0]], np.float32)
    sweep = find_learning_rate(line("sgd"), (x, x, weights), lowest=1e-12, highest=1e-11, steps=7)
    assert sweep.losses == pytest.approx([2.0] * 7)


def test_inputs_by_name_and_several_outputs():
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    joined = keras.layers.Concatenate()([one, two])
    outputs = {"a": keras.layers.Dense(1, name="a")(joined), "b": keras.layers.Dense(2, name="b")(joined)}
    model = keras.Model({"one": one, "two": two}, outputs)
    model.compile("adam", loss={"a": "mse", "b": "mae"}, metrics={"a": ["mae"]})
    x = {"one": np.ones((9, 2)), "two": np.ones((9, 3))}
    sweep = find_learning_rate(model, (x, {"a": np.ones((9, 1)), "b": np.ones((9, 2))}), steps=6, highest=1e-3)
    assert len(sweep.losses) == 6


@pytest.mark.parametrize("count", ["known", "unknown", "without end"])
def test_a_short_dataset_is_repeated_and_a_long_one_is_not_exhausted(count):
    batches = tf.data.Dataset.from_tensors((ONES, ONES))
    if count == "unknown":
        batches = batches.filter(lambda x, y: True)
    batches = batches.repeat() if count == "without end" else batches
    assert len(find_learning_rate(line("sgd"), batches, steps=9, highest=1e-3).losses) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lowest": 0.0}, "lowest=0 must be above 0; write lowest=1e-7"),
        ({"lowest": 1.0, "highest": 1.0}, "lowest=1 must be below highest=1"),
        ({"lowest": float("nan")}, "lowest=nan is no finite number"),
        ({"highest": float("inf")}, "highest=inf is no finite number"),
        ({"highest": "10"}, "highest='10' is no finite number"),
        ({"steps": 4}, "steps=4 must be a whole number of at least 5"),
        ({"steps": 9.5}, "steps=9.5 must be a whole number"),
        ({"smoothing": 1.0}, "smoothing=1 must be at least 0 and below 1"),
        ({"stop_at": 1.0}, "stop_at=1 must be above 1"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
    ],
)
def test_numbers_out_of_range_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        find_learning_rate(line("sgd"), (ONES, ONES), **changes)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda: tf.data.Dataset.from_tensor_slices(ONES[:0]).batch(2), "dataset is empty"),
        (lambda: tf.data.Dataset.from_tensor_slices(ONES).filter(lambda x: False).batch(2), "dataset is empty"),
        (lambda: (ONES[:0], ONES[:0]), "at least one"),
        (lambda: (ONES, ONES[:5]), "arrays of 5, 12 examples"),
        (lambda: (1.0, 2.0), "arrays of 0 examples"),
        (lambda: ONES, "dataset is a ndarray. Give a tf.data.Dataset of batches, or arrays"),
        (lambda: (ONES,), "dataset is a tuple"),
    ],
)
def test_data_that_is_none_is_named(data, message):
    with pytest.raises(DataError, match=message):
        find_learning_rate(line("sgd"), data(), steps=5)


def uncompiled():
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


def frozen():
    model = line("sgd")
    model.trainable = False
    return model


def unbuilt():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    return model


def with_two_optimizers():
    model = line("sgd")
    model.critic_optimizer = keras.optimizers.Adam()
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (uncompiled, r"is not compiled, so it has no loss and no optimizer. Type model.compile\(optimizer, loss\)"),
        (unbuilt, "is not built. Call it once on a batch"),
        (frozen, "nothing in .* trains"),
        (with_two_optimizers, "several optimizers, so there is no one rate"),
        (lambda: "model.keras", "model is a str. Give a compiled keras.Model"),
    ],
)
def test_models_that_cannot_be_swept_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        find_learning_rate(make(), (ONES, ONES))


def test_a_train_step_that_tells_no_loss_is_refused():
    class Silent(keras.Sequential):
        def train_step(self, data):
            return {"score": super().train_step(data)["loss"]}

    model = Silent([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    with pytest.raises(ConfigError, match=r"returns no 'loss', only score"):
        find_learning_rate(model, (ONES, ONES))


def test_a_train_step_of_ones_own_is_used():
    class Doubling(keras.Sequential):
        def train_step(self, data):
            return {"loss": 2 * super().train_step(data)["loss"]}

    model = Doubling([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile("sgd", loss=mean_output)
    assert find_learning_rate(model, (ONES, ONES), steps=5).losses[0] == 2.0


def test_the_curve_is_drawn_once_and_never_over_another(tmp_path):
    path = tmp_path / "new" / "rates.png"
    find_learning_rate(line("sgd", loss="mse"), (ONES, ONES), lowest=1e-3, steps=30, plot=path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(WorkdirError, match=r"rates.png exists and is not overwritten"):
        find_learning_rate(line("sgd"), (ONES, ONES), plot=path)


def test_a_sweep_without_a_step_can_be_drawn(tmp_path):
    find_learning_rate(line("sgd"), (ONES * np.nan, ONES), steps=5, plot=tmp_path / "rates.png")
    assert (tmp_path / "rates.png").exists()
