"""The warning comes when stored statistics lag behind, and at no other time; measuring leaves no trace."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer.callbacks import batch_norm_drift
from tfxfer.callbacks.batch_norm_drift import BatchNormDrift, BatchNormDriftWarning, Drift
from tfxfer.errors import ConfigError
from tfxfer.models import batch_norm, statistics

pytestmark = pytest.mark.slow


def network(momentum=0.99, **dense):
    """Two blocks with batch norm and dropout, from fixed random numbers."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    x = pixels = keras.Input((12, 12, 1))
    for number, channels in enumerate((8, 16)):
        x = layers.Conv2D(channels, 3, 2, "same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=momentum, name=f"bn{number}")(x)
        x = layers.ReLU()(x)
    x = layers.Dropout(0.3, seed=1, name="dropout")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, layers.Dense(3, name="logits", **dense)(x))
    return compiled(model)


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss=loss, metrics=["accuracy"])
    return model


def examples(count, seed):
    """Three wave patterns in noise, far from mean 0 and variance 1."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    place = np.linspace(0, 2 * np.pi, 12)
    waves = np.stack([np.add.outer(np.sin(place * f), np.cos(place * f)) for f in (1, 2, 3)])
    pixels = 3 + 2 * (waves[labels] + 1.5 * generator.normal(size=(count, 12, 12)))
    return pixels[..., None].astype(np.float32), labels.astype(np.int32)


TRAIN, HELD = examples(320, 0), examples(128, 1)


def held_batches():
    return tf.data.Dataset.from_tensor_slices(HELD).batch(32)


def fitted(model, *callbacks, epochs=4):
    return model.fit(*TRAIN, batch_size=32, epochs=epochs, verbose=0, callbacks=list(callbacks))


def everything(model):
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [variable.numpy() for variable in variables]


def test_a_momentum_too_large_for_a_short_run_is_told_once_and_the_advice_works():
    drift, model = BatchNormDrift(held_batches()), network(momentum=0.999)
    with pytest.warns(BatchNormDriftWarning) as caught:
        fitted(model, drift)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("after epoch 2 the loss is ")
    for advice in ("tfxfer.refresh_statistics(", "tfxfer.set_batch_norm_momentum(", 'batch_norm="frozen"'):
        assert advice in message
    assert [measured.epoch for measured in drift.measured] == [0, 1, 2, 3]
    before = model.evaluate(*HELD, verbose=0)[0]
    statistics.refresh_statistics(model, tf.data.Dataset.from_tensor_slices(TRAIN).batch(32))
    assert model.evaluate(*HELD, verbose=0)[0] < before / 2


def test_a_run_with_the_momentum_of_the_rule_is_not_told_of():
    model, drift = network(momentum=0.999), BatchNormDrift(held_batches())
    with batch_norm.set_batch_norm_momentum(model, batch_norm.batch_norm_momentum(10)):
        fitted(model, drift)
    assert len(drift.measured) == 4
    assert all(measured.gap < 0.05 or measured.ratio < 0.1 for measured in drift.measured[1:])


@pytest.mark.parametrize("mode", ["frozen", "affine"])
def test_batch_norm_that_moves_no_statistics_is_never_told_of(mode):
    """Even when what it stores is as wrong as can be."""
    model = network()
    model.get_layer("bn0").moving_mean.assign([50.0] * 8)
    if mode == "affine":
        model = compiled(tfxfer.with_stored_statistics(model))
    tfxfer.freeze(model, train="all", batch_norm=mode)
    drift = BatchNormDrift(held_batches())
    fitted(model, drift)
    assert drift.measured == []


@pytest.fixture(scope="module")
def undisturbed():
    """Everything that training leaves behind when nobody looks, and its history."""
    model = network()
    history = fitted(model, epochs=2)
    return everything(model), history.history


def test_training_with_it_ends_in_the_same_bits(undisturbed):
    """Dropout draws, statistics, metrics and the optimizer go on as if nobody had looked."""
    model = network()
    history = fitted(model, BatchNormDrift(held_batches(), ratio=1e9), epochs=2)
    assert all(np.array_equal(*pair) for pair in zip(everything(model), undisturbed[0], strict=True))
    assert history.history == undisturbed[1]


def test_a_look_in_training_mode_would_leave_its_marks(undisturbed, monkeypatch):
    """The canary of the test above: what one would write first moves statistics and draws dropout."""

    def naive(model, moving, batch):
        losses = [model.compute_loss(y=batch[1], y_pred=model(batch[0], training=mode)) for mode in (True, False)]
        return [*losses, tf.zeros(())]

    monkeypatch.setattr(batch_norm_drift, "_losses", naive)
    model = network()
    fitted(model, BatchNormDrift(held_batches(), ratio=1e9), epochs=2)
    pairs = zip(model.variables, undisturbed[0], strict=False)
    marked = {variable.path for variable, old in pairs if not np.array_equal(variable.numpy(), old)}
    assert {"bn0/moving_mean", "bn1/moving_variance", "conv0/kernel"} <= marked


def test_both_losses_are_those_of_evaluation_but_for_the_statistics():
    """The eval-mode loss is what `evaluate` says, also with weights, regularisers and a smaller last batch."""
    model = network(kernel_regularizer=keras.regularizers.L2(0.1))
    weights = np.linspace(0.5, 2.0, 128).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((*HELD, weights)).batch(50)
    drift = BatchNormDrift(data, ratio=1e9)
    fitted(model, drift, epochs=1)
    (measured,) = drift.measured
    # `evaluate` weighs examples by their weights, a batch loss divides by its size: so batch by batch.
    totals = [0.0, 0.0]
    for pixels, labels, weight in data:
        for number, norm_trains in enumerate((False, True)):
            x = pixels
            for layer in model.layers[1:]:
                is_norm = isinstance(layer, keras.layers.BatchNormalization)
                x = normalised_by_batch(layer, x) if is_norm and norm_trains else layer(x, training=False)
            loss = model.loss(labels, x, sample_weight=weight)
            totals[number] += float(loss) * len(labels)
    penalty = 0.1 * float(np.sum(model.get_layer("logits").kernel.numpy() ** 2))
    assert measured.penalty == pytest.approx(penalty, rel=1e-5)
    assert measured.eval_loss == pytest.approx(totals[0] / 128 + penalty, rel=1e-5)
    assert measured.train_loss == pytest.approx(totals[1] / 128 + penalty, rel=1e-4)


def normalised_by_batch(layer, x):
    x = x.numpy().astype(np.float64)
    normal = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + layer.epsilon)
    return (normal * layer.gamma.numpy() + layer.beta.numpy()).astype(np.float32)


def test_weight_regularisers_do_not_hide_a_gap():
    assert Drift(epoch=0, train_loss=5.3, eval_loss=5.6, penalty=5.0).ratio == pytest.approx(1.0)


def test_several_outputs_and_losses_of_layers_count_and_leave_no_trace():
    base = network()
    feature = base.get_layer("dropout").output
    scaled = keras.layers.ActivityRegularization(l2=0.01)(feature)
    outputs = {"a": keras.layers.Dense(3, name="a")(scaled), "b": keras.layers.Dense(1, name="b")(scaled)}
    model = keras.Model(base.input, outputs)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss={"a": crossentropy, "b": "mse"})
    labels = {"a": TRAIN[1], "b": TRAIN[1].astype(np.float32)[:, None]}
    drift = BatchNormDrift((TRAIN[0], labels), ratio=1e9)
    model.fit(TRAIN[0], labels, verbose=0, callbacks=[drift])
    before = everything(model)
    losses = list(model.losses)
    drift.on_epoch_end(1)
    assert all(np.array_equal(*pair) for pair in zip(before, everything(model), strict=True))
    assert len(losses) == len(model.losses)
    expected = model.evaluate(TRAIN[0], labels, batch_size=320, verbose=0, return_dict=True)["loss"]
    assert drift.measured[-1].eval_loss == pytest.approx(expected, rel=1e-4)


def test_what_moves_may_change_within_a_fit():
    """After a freeze in the middle nothing is measured, and what was measured before no longer counts."""
    drift = BatchNormDrift(held_batches())

    class Freeze(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                for layer in batch_norm.all_batch_norms(self.model):
                    layer.trainable = False
                self.model.make_train_function(force=True)

    fitted(network(momentum=0.999), Freeze(), drift)
    assert drift.measured == []


@pytest.mark.parametrize(
    ("losses", "told"), [((2, 1, 2, 1), 0), ((1, 2), 1), ((2, 2, 1), 1), ((2, 2, 2), 1), ((1, 1.04), 0), ((9, 9.1), 0)]
)
def test_two_measurements_in_a_row_are_told_of_or_the_last_one(losses, told, monkeypatch):
    messages = []
    drift = BatchNormDrift(held_batches(), tell=messages.append, every=2)
    drift.set_model(network())
    # Eval-mode losses against 1, but for the last case, in which the gap is large and its share is not.
    train_loss = 9 if losses[0] == 9 else 1
    measured = iter(Drift(epoch=0, train_loss=train_loss, eval_loss=loss, penalty=0.0) for loss in losses)
    monkeypatch.setattr(drift, "_measure", lambda epoch, moving: next(measured))
    drift.on_train_begin()
    for epoch in range(2 * len(losses)):
        drift.on_epoch_end(epoch)
    drift.on_train_end()
    assert (len(drift.measured), len(messages)) == (len(losses), told)


def test_stored_statistics_that_are_nan_warn_and_weights_that_are_do_not():
    nan, told = float("nan"), []
    for train_loss, count in ((1.0, 1), (nan, 0)):
        told.clear()
        drift = BatchNormDrift(held_batches(), tell=told.append)
        drift.measured = [Drift(epoch=0, train_loss=train_loss, eval_loss=nan, penalty=0.0)]
        drift.on_train_end()
        assert len(told) == count


def test_no_more_batches_are_read_than_are_kept():
    read = []

    def batches():
        for start in range(0, 128, 32):
            read.append(start)
            yield tuple(part[start : start + 32] for part in HELD)

    BatchNormDrift(batches(), batches=2)
    assert read == [0, 32]


@pytest.mark.parametrize("within", [False, True], ids=["fit outside its scope", "fit in its scope"])
def test_it_measures_under_a_strategy(mirrored, within):
    with mirrored.scope():
        model = network(momentum=0.999)
    told = []
    drift = BatchNormDrift(held_batches(), tell=told.append)
    with mirrored.scope() if within else contextlib.nullcontext():
        fitted(model, drift, epochs=2)
    assert len(told) == 1
    assert len(drift.measured) == 2
    # In the scope Keras divides losses by the number of replicas, each of which has statistics of its own.
    assert drift.measured[-1].eval_loss == pytest.approx(model.evaluate(*HELD, verbose=0)[0], rel=1e-2)


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ([HELD[0]], {}, r"batches without labels.* BatchNormDrift\(\(inputs, labels\)\)"),
        ([], {}, "data has no batches"),
        ([HELD], {"ratio": 0}, "ratio=0 is not a number above 0"),
        ([HELD], {"gap": -1.0}, "gap=-1.0 is not a number from 0 on"),
        ([HELD], {"every": 0, "batches": 1.5}, "batches=1.5 is not a whole .*; every=0 is not a whole"),
    ],
)
def test_bad_input_is_answered(data, settings, message):
    with pytest.raises(ConfigError, match=message):
        BatchNormDrift(data, **settings)
