"""Refreshed statistics are the moments of all examples, and nothing else changes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer.errors import BackboneError, ConfigError, DataError
from tfxfer.models import statistics

pytestmark = pytest.mark.slow

EXAMPLES = np.random.default_rng(0).normal(3.0, 2.0, (10, 4, 4, 3)).astype(np.float32)


def network(**norm):
    """A batch norm on the input, dropout, and a second batch norm on a layer of weights."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    pixels = keras.Input((4, 4, 3))
    x = layers.BatchNormalization(name="first", **norm)(pixels)
    x = layers.Dropout(0.5, seed=1, name="dropout")(x)
    x = layers.Conv2D(5, 1, name="conv")(x)
    x = layers.BatchNormalization(name="second", **norm)(x)
    return keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def batches_of(size, examples=EXAMPLES):
    return tf.data.Dataset.from_tensor_slices(examples).batch(size)


def numbers(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def changed(model, before):
    return {path for path, value in numbers(model).items() if not np.array_equal(value, before[path])}


def test_statistics_are_the_moments_of_all_examples_also_with_a_smaller_last_batch():
    """By hand: batches of 4, 4 and 2 examples, each weighing as much as it holds."""
    model = network()
    done = statistics.refresh_statistics(model, batches_of(4))
    assert (done.layers, done.left_alone, done.examples, done.batches) == (("first", "second"), (), 10, 3)
    first = model.get_layer("first")
    np.testing.assert_allclose(first.moving_mean, EXAMPLES.mean((0, 1, 2), np.float64), rtol=1e-6)
    np.testing.assert_allclose(first.moving_variance, EXAMPLES.var((0, 1, 2), dtype=np.float64), rtol=1e-6)
    # Behind it each batch is normalised by its own moments, and dropout is off.
    conv = model.get_layer("conv")
    kernel, bias = (w.numpy().astype(np.float64) for w in conv.weights)
    seen = []
    for batch in (EXAMPLES[:4], EXAMPLES[4:8], EXAMPLES[8:]):
        batch = batch.astype(np.float64)
        normal = (batch - batch.mean((0, 1, 2))) / np.sqrt(batch.var((0, 1, 2)) + 1e-3)
        seen.append(normal @ kernel[0, 0] + bias)
    seen = np.concatenate(seen)
    second = model.get_layer("second")
    np.testing.assert_allclose(second.moving_mean, seen.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(second.moving_variance, seen.var((0, 1, 2)), rtol=1e-5)


def test_the_mean_of_batch_variances_would_be_another_number():
    """The canary of the test above: what it tells apart is larger than what it forgives."""
    drifting = EXAMPLES + np.arange(10, dtype=np.float32)[:, None, None, None]
    model = network()
    statistics.refresh_statistics(model, batches_of(4, drifting))
    naive = np.mean([drifting[start : start + 4].var((0, 1, 2)) for start in (0, 4, 8)], axis=0)
    pooled = drifting.var((0, 1, 2), dtype=np.float64)
    assert (pooled / naive > 1.3).all()
    np.testing.assert_allclose(model.get_layer("first").moving_variance, pooled, rtol=1e-6)
    unweighted = np.mean([drifting[start : start + 4].mean((0, 1, 2)) for start in (0, 4, 8)], axis=0)
    assert (np.abs(unweighted - model.get_layer("first").moving_mean.numpy()) > 0.1).all()


def test_moments_far_from_zero_are_exact():
    """A mean of a thousand standard deviations, which a difference of float32 squares would lose."""
    far = (EXAMPLES / 2 + 2000).astype(np.float32)
    model = network()
    statistics.refresh_statistics(model, batches_of(3, far))
    np.testing.assert_allclose(
        model.get_layer("first").moving_variance, far.var((0, 1, 2), dtype=np.float64), rtol=1e-3
    )


def test_nothing_but_the_statistics_changes():
    model = network()
    model.compile("adam", loss="mse", metrics=["mae"])
    model.fit(EXAMPLES, np.zeros((10, 2)), batch_size=5, verbose=0)
    before = numbers(model)
    others = [*model.optimizer.variables, *model.metrics_variables]
    others_before = [v.numpy() for v in others]
    settings = [layer.get_config() for layer in model.layers]
    statistics.refresh_statistics(model, batches_of(5))
    assert changed(model, before) == {
        f"{name}/moving_{moment}" for name in ("first", "second") for moment in ("mean", "variance")
    }
    assert all(np.array_equal(v.numpy(), old) for v, old in zip(others, others_before, strict=True))
    assert settings == [layer.get_config() for layer in model.layers]
    assert all("call" not in vars(layer) for layer in model.layers)


def test_frozen_batch_norm_stays_bit_equal_unless_all_are_asked_for():
    model = network()
    model.get_layer("first").trainable = False
    before = numbers(model)
    done = statistics.refresh_statistics(model, batches_of(5))
    assert (done.layers, done.left_alone) == (("second",), ("first",))
    assert changed(model, before) == {"second/moving_mean", "second/moving_variance"}
    done = statistics.refresh_statistics(model, batches_of(5), which="all")
    assert done.layers == ("first", "second")
    np.testing.assert_allclose(model.get_layer("first").moving_mean, EXAMPLES.mean((0, 1, 2)), rtol=1e-5)
    assert not model.get_layer("first").trainable
    assert not model.get_layer("first").gamma.trainable


def test_flags_of_single_variables_survive():
    model = network()
    model.get_layer("first").gamma.trainable = False
    statistics.refresh_statistics(model, batches_of(5))
    assert [v.trainable for v in model.get_layer("first").weights] == [False, True, False, False]


def test_a_model_in_which_nothing_moves_is_not_run():
    model = network()
    model.trainable = False
    done = statistics.refresh_statistics(model, iter(()))
    assert (done.layers, done.examples) == ((), 0)


def test_stored_statistics_are_held_and_measured_only_on_demand():
    model = network()
    stored = tfxfer.with_stored_statistics(model)
    assert statistics.refresh_statistics(stored, batches_of(5)).layers == ()
    done = statistics.refresh_statistics(stored, batches_of(5), which="all")
    assert set(done.layers) == {"first", "second"}
    np.testing.assert_allclose(model.get_layer("first").moving_mean, EXAMPLES.mean((0, 1, 2)), rtol=1e-5)


def test_nested_and_subclassed_models_are_measured():
    inner = network()
    nested = keras.Sequential([keras.Input((4, 4, 3)), inner, keras.layers.Dense(1)])
    statistics.refresh_statistics(nested, batches_of(4))
    expected = [v.numpy() for v in inner.get_layer("second").weights]
    alone = network()
    statistics.refresh_statistics(alone, batches_of(4))
    for given, wanted in zip(expected, alone.get_layer("second").weights, strict=True):
        np.testing.assert_array_equal(given, wanted.numpy())

    class Free(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm = keras.layers.BatchNormalization(name="norm")

        def call(self, x, training=None):
            return self.norm(x, training=training)

    free = Free()
    free(EXAMPLES)
    assert statistics.refresh_statistics(free, batches_of(4)).layers == ("norm",)
    np.testing.assert_allclose(free.norm.moving_variance, EXAMPLES.var((0, 1, 2)), rtol=1e-5)


def test_a_network_inside_a_layer_is_left_alone():
    class Sealed(keras.layers.Layer):
        batch_norm = "train"

        def variable_groups(self):
            return ()

        def call(self, inputs, training=None):
            assert not training
            return inputs

    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.BatchNormalization(name="norm")(Sealed(name="sealed")(pixels)))
    done = statistics.refresh_statistics(model, batches_of(5), which="all")
    assert (done.layers, done.left_alone) == (("norm",), ("sealed",))


def test_batch_renormalisation_goes_on_from_the_new_statistics():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.BatchNormalization(name="norm", renorm=True)])
    norm = model.get_layer("norm")
    kept = norm.renorm_mean.numpy()
    statistics.refresh_statistics(model, batches_of(5))
    variance = EXAMPLES.var((0, 1, 2))
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4)
    np.testing.assert_allclose(norm.moving_stddev, np.sqrt(variance + 1e-3), rtol=1e-4)
    np.testing.assert_array_equal(norm.renorm_mean, kept)


def test_a_layer_called_twice_has_the_moments_of_both_calls():
    norm = keras.layers.BatchNormalization(name="shared")
    pixels = keras.Input((4, 4, 3))
    model = keras.Model(pixels, keras.layers.Add()([norm(pixels), norm(pixels * 2.0)]))
    statistics.refresh_statistics(model, batches_of(10))
    both = np.concatenate([EXAMPLES, EXAMPLES * 2])
    np.testing.assert_allclose(norm.moving_mean, both.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, both.var((0, 1, 2)), rtol=1e-5)


def test_masked_steps_do_not_count():
    series = EXAMPLES.reshape(10, 16, 3).copy()
    series[:, 10:] = 0.0
    steps = keras.Input((16, 3))
    norm = keras.layers.BatchNormalization(name="norm")
    model = keras.Model(steps, norm(keras.layers.Masking()(steps)))
    statistics.refresh_statistics(model, batches_of(4, series))
    np.testing.assert_allclose(norm.moving_mean, series[:, :10].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, series[:, :10].var((0, 1)), rtol=1e-4)


def test_mixed_precision_measures_in_float32():
    model = network(dtype="mixed_float16")
    statistics.refresh_statistics(model, batches_of(4))
    halves = EXAMPLES.astype(np.float16).astype(np.float64)
    np.testing.assert_allclose(model.get_layer("first").moving_mean, halves.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(model.get_layer("first").moving_variance, halves.var((0, 1, 2)), rtol=1e-5)


def test_pictures_of_several_sizes_weigh_by_their_pixels():
    pixels = keras.Input((None, None, 3))
    norm = keras.layers.BatchNormalization()
    model = keras.Model(pixels, norm(pixels))
    batches = [EXAMPLES[:4], EXAMPLES[4:, :2, :3]]
    spec = tf.TensorSpec([None, None, None, 3])
    statistics.refresh_statistics(model, tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec))
    flat = np.concatenate([batch.reshape(-1, 3) for batch in batches])
    np.testing.assert_allclose(norm.moving_mean, flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, flat.var(0), rtol=1e-5)


def test_statistics_that_are_nan_heal_and_batches_that_are_do_not_harm():
    model = network()
    norm = model.get_layer("first")
    norm.moving_mean.assign([np.nan] * 3)
    before = numbers(model)
    with pytest.raises(DataError, match=r"batch norm 'first' is given NaN .* No statistics were changed"):
        statistics.refresh_statistics(model, [EXAMPLES[:4], np.full((2, 4, 4, 3), np.nan, np.float32)])
    assert all(np.array_equal(value, before[path], equal_nan=True) for path, value in numbers(model).items())
    statistics.refresh_statistics(model, batches_of(5))
    np.testing.assert_allclose(norm.moving_mean, EXAMPLES.mean((0, 1, 2)), rtol=1e-5)


def test_labels_are_left_out_and_an_endless_dataset_is_read_so_far():
    model = network()
    drawn = []

    def batches():
        while True:
            drawn.append(1)
            yield EXAMPLES[:5], np.zeros(5)

    done = statistics.refresh_statistics(model, batches(), batches=2)
    assert (done.examples, done.batches, len(drawn)) == (10, 2, 2)
    assert "2 batch norms measured on 10 examples in 2 batches" in str(done)


def test_the_network_is_traced_once(monkeypatch):
    model = network()
    calls = []
    call = keras.layers.Conv2D.call
    monkeypatch.setattr(keras.layers.Conv2D, "call", lambda self, x: calls.append(1) or call(self, x))
    statistics.refresh_statistics(model, batches_of(3))
    assert len(calls) == 1


def test_it_tells_how_far_the_means_were_off():
    model = network()
    assert statistics.refresh_statistics(model, batches_of(10)).shift == pytest.approx(
        np.sqrt(np.mean(EXAMPLES.mean((0, 1, 2)) ** 2 / (1 + 1e-3))), rel=1e-5
    )
    assert statistics.refresh_statistics(model, batches_of(10)).shift < 1e-6


def test_moments_are_those_that_keras_itself_would_assign():
    """Fails when Keras's training call of batch norm changes: it takes the moments from an update at momentum 0."""
    layer = keras.layers.BatchNormalization(momentum=0.0)
    layer(EXAMPLES, training=True)
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.BatchNormalization(name="norm")])
    statistics.refresh_statistics(model, [EXAMPLES])
    for ours, theirs in zip(model.get_layer("norm").non_trainable_weights, layer.non_trainable_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_replicas_share_the_new_statistics(mirrored):
    with mirrored.scope():
        model = network()
        model.compile("sgd", loss="mse")
    model.fit(EXAMPLES[:8], np.zeros((8, 2)), batch_size=4, verbose=0)
    statistics.refresh_statistics(model, batches_of(4))
    per_replica = mirrored.experimental_local_results(model.get_layer("first").moving_mean.value)
    assert len(per_replica) == 2
    for mean in per_replica:
        np.testing.assert_allclose(mean, EXAMPLES.mean((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("dataset", "settings", "error", "message"),
    [
        (EXAMPLES, {}, ConfigError, r"holds arrays, not batches\. Type tf\.data\.Dataset"),
        ((EXAMPLES, EXAMPLES), {}, ConfigError, "holds arrays"),
        ([EXAMPLES], {"batches": 0}, ConfigError, "batches=0 is not a whole number from 1 on"),
        ([EXAMPLES], {"which": "frozen"}, ConfigError, "is not one of 'moving', 'all'"),
        (lambda: batches_of(2).repeat(), {}, ConfigError, r"never ends\. Say how many"),
        ([], {}, DataError, "has no batches"),
    ],
)
def test_bad_input_is_answered(dataset, settings, error, message):
    with pytest.raises(error, match=message):
        statistics.refresh_statistics(network(), dataset() if callable(dataset) else dataset, **settings)


def test_a_model_that_is_not_built_is_answered():
    with pytest.raises(BackboneError, match=r"is not built\. Call it once"):
        statistics.refresh_statistics(keras.Sequential([keras.layers.BatchNormalization()]), [EXAMPLES])
