"""What a network costs: some seconds for each of its groups, measured without a trace, or no answer at all."""

import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer import graph, heads, models
from tfxfer.activations import costs

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def tiny():
    return models.swap_head(tfxfer.load_backbone("tiny:cnn"), heads.MLP(outputs=3, hidden=(4,)))


def tower(*widths: int, blocks: int = 1) -> keras.Model:
    """Convolutions of 3×3 on 32×32 pixels, so many of each width between two that halve the size."""
    x = pixels = keras.Input((32, 32, 3), name="pixels")
    for stage, width in enumerate(widths):
        x = keras.layers.Conv2D(width, 3, 2, padding="same", name=f"down{stage}")(x)
        for block in range(blocks):
            y = keras.layers.Conv2D(width, 3, padding="same", name=f"conv{stage}_{block}")(x)
            x = keras.layers.Add(name=f"add{stage}_{block}")([x, y])
    return models.swap_head(keras.Model(pixels, x), heads.Linear(outputs=3))


def test_each_group_and_the_head_has_its_seconds_and_layers(tiny):
    found = costs.measure(tiny, batch_size=4)
    groups = graph.layer_groups(tiny)
    assert len(found.forward) == len(found.backward) == len(groups)
    assert found.layers == tuple(len(group.layers) for group in groups)
    assert min(found.forward) > 0
    assert min(found.backward) >= 0
    assert min(found.step, found.update, found.trace, found.gather) > 0


def test_what_does_a_hundred_times_as_much_takes_longer():
    # The least of some: what else the machine does makes a measurement longer, and never shorter.
    found = [costs.measure(tower(4, 256, blocks=2), batch_size=16) for _ in range(3)]
    cheap, dear = (min(each) for each in zip(*((one.forward[0], max(one.forward)) for one in found), strict=True))
    assert dear > 2 * cheap


def test_batch_norm_is_measured_by_batches_too_and_what_has_none_is_not(monkeypatch):
    """Nothing moves meanwhile: neither the statistics nor the seeds of dropout."""
    x = pixels = keras.Input((32, 32, 3))
    for width in (8, 16):
        x = keras.layers.Conv2D(width, 3, padding="same")(x)
        x = keras.layers.Dropout(0.1)(keras.layers.BatchNormalization()(x))
    model = models.swap_head(keras.Model(pixels, x), heads.Linear(outputs=3))
    before = [variable.numpy() for variable in model.variables]
    modes, call = [], keras.layers.BatchNormalization.call

    def told(self, inputs, training=None, mask=None):
        modes.append(training)
        return call(self, inputs, training=training, mask=mask)

    monkeypatch.setattr(keras.layers.BatchNormalization, "call", told)
    found = [costs.measure(model, batch_size=32).batch_statistics for _ in range(3)]
    assert True in modes
    assert all(1 <= one < 50 for one in found)
    assert all(np.array_equal(was, variable.numpy()) for was, variable in zip(before, model.variables, strict=True))
    assert costs.measure(tower(4), batch_size=4).batch_statistics == 1

    training = costs._training

    def fails(part, inputs, *, is_first, by_batches=False):
        found = training(part, inputs, is_first=is_first, by_batches=by_batches)
        if by_batches:
            raise tf.errors.ResourceExhaustedError(None, None, "no memory")
        return found

    monkeypatch.setattr(costs, "_training", fails)
    assert costs.measure(model, batch_size=32).batch_statistics == 1
    assert all(np.array_equal(was, variable.numpy()) for was, variable in zip(before, model.variables, strict=True))


def test_groups_of_one_kind_are_measured_once():
    """Else a network of a hundred equal blocks would take as long as one of a hundred different ones."""
    model = tower(8, blocks=5)
    parts = costs._parts(model)
    repeated = [part.kind for part in parts]
    assert len(repeated) > len(set(repeated))
    found = costs.measure(model, batch_size=4)
    by_kind = dict(zip(repeated, found.forward, strict=True))
    assert all(by_kind[kind] == seconds for kind, seconds in zip(repeated, found.forward, strict=True))


def test_the_sum_of_the_groups_is_about_a_forward_pass():
    model = tower(32, 64, 128, blocks=2)
    found = costs.measure(model, batch_size=32)
    run = tf.function(lambda pictures: model(pictures, training=False))
    pictures = tf.zeros([32, 32, 32, 3])
    run(pictures)
    whole = costs._usual(lambda: run(pictures)) / 32
    assert whole / 4 < sum(found.forward) < whole * 4  # other processes measure too


def test_measuring_leaves_no_trace_in_weights_flags_names_and_random_numbers(tiny):
    models.freeze(tiny, train="head")

    def state():
        flags = [layer.trainable for layer in tiny.layers]
        return [weight.numpy() for weight in tiny.variables], flags, [layer.name for layer in tiny.layers]

    def drawn():
        keras.utils.set_random_seed(3)
        costs_of = costs.measure(tiny, batch_size=4) if measured else None
        name = keras.layers.Dense(2).name
        numbers = [keras.random.uniform((2,)).numpy(), tf.random.uniform((2,)).numpy(), np.random.rand(2)]
        return costs_of, int(name.removeprefix("dense").removeprefix("_") or 0), numbers

    before = state()
    measured = False
    _, first, plain = drawn()
    measured = True
    _, second, after = drawn()
    assert second == first + 1
    for one, other in zip(plain, after, strict=True):
        np.testing.assert_array_equal(one, other)
    weights, *rest = state()
    assert rest == list(before[1:])
    for one, other in zip(before[0], weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_tiny_network_takes_a_moment(tiny):
    costs.measure(tiny, batch_size=8)  # TensorFlow's own beginning
    start = time.process_time()
    costs.measure(tiny, batch_size=8)
    assert time.process_time() - start < 1.5  # 0.2 s of one core where nothing else runs


def two_inputs():
    inputs = [keras.Input((4,), name=name) for name in "ab"]
    model = keras.Model(inputs, keras.layers.Concatenate(name="both")(inputs))
    return models.swap_head(model, heads.Linear(outputs=2), at="both")


def any_size():
    pixels = keras.Input((None, None, 3))
    return models.swap_head(keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels)), heads.Linear(outputs=2))


def of_someone_else():
    class Odd(keras.layers.Layer):
        def call(self, inputs):
            raise NotImplementedError("only with training=True")

        def compute_output_shape(self, shape):
            return shape

        def compute_output_spec(self, inputs):
            return keras.KerasTensor(inputs.shape, inputs.dtype)

    pixels = keras.Input((8, 8, 3))
    return models.swap_head(keras.Model(pixels, Odd()(pixels)), heads.Linear(outputs=2))


def that_remembers():
    words = keras.Input(batch_shape=(2, 4, 3))
    return keras.Model(words, keras.layers.Dense(2, name="head_logits")(keras.layers.LSTM(4, stateful=True)(words)))


@pytest.mark.parametrize("make", [two_inputs, any_size, of_someone_else, that_remembers])
def test_what_cannot_be_measured_has_no_seconds(make):
    assert costs.measure(make(), batch_size=4) is None


def test_a_network_that_takes_too_long_has_no_seconds(tiny, monkeypatch):
    monkeypatch.setattr(costs, "_MOST_SECONDS", 0.0)
    assert costs.measure(tiny, batch_size=4) is None


def test_gradients_that_there_is_no_time_for_have_the_ratio_of_the_others(tiny, monkeypatch):
    measured = []
    training = costs._training
    monkeypatch.setattr(costs, "_PASSES", 0)
    monkeypatch.setattr(costs, "_training", lambda part, *a, **k: measured.append(part) or training(part, *a, **k))
    found = costs.measure(tiny, batch_size=4)
    assert len(measured) == 1
    ratios = {round(b / f, 6) for b, f in zip(found.backward, found.forward, strict=True)}
    assert len(ratios) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 20])
def test_groups_are_measured_from_coarse_to_fine_and_each_once(count):
    order = costs._coarse_to_fine(count)
    assert sorted(order) == list(range(count))
    assert order[0] == count - 1
    if count == 8:
        assert order == [7, 3, 5, 1, 6, 4, 2, 0]


def test_the_middle_one_of_a_few_runs_counts(monkeypatch):
    """The first one behind making a graph is slower; a run that waited for another process may be any of them."""
    seconds = iter([0.9, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0])
    monkeypatch.setattr(costs, "_timed", lambda run: (next(seconds), None))
    assert costs._usual(lambda: None) == 0.2  # three runs, however long they take
    seconds = iter([0.001] * 7)
    assert costs._usual(lambda: None) == 0.001
    assert next(seconds, None) is None  # seven short ones
