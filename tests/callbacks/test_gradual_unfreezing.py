"""What trains changes within one `fit`, and nothing else does."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer.callbacks import GradualUnfreezing
from tfxfer.errors import ConfigError, VerificationError
from tfxfer.optimizers import DifferentialLearningRate

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(32, 6)).astype(np.float32)
Y = GENERATOR.integers(0, 3, 32)
STEPS = 4
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LAYERS = ("first", "second", "third", "last")


def network(seed=1) -> keras.Model:
    """Dense layers, each a layer group but the head."""
    initializer = keras.initializers.GlorotUniform(seed)
    inputs = x = keras.Input((6,))
    for name in LAYERS[:-1]:
        x = keras.layers.Dense(5, activation="tanh", kernel_initializer=initializer, name=name)(x)
    return keras.Model(inputs, keras.layers.Dense(3, kernel_initializer=initializer, name=LAYERS[-1])(x))


def compiled(optimizer=None, *, multipliers=None, seed=1) -> keras.Model:
    model = network(seed)
    rule = multipliers or (lambda variable: 1.0)
    wrapped = DifferentialLearningRate(optimizer or keras.optimizers.Adam(0.01), rule, model=model)
    model.compile(wrapped, loss=LOSS, metrics=["accuracy"])
    tfxfer.freeze(model, train="head")
    return model


def fit(model, *callbacks, epochs=4, **settings):
    history = model.fit(
        X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **settings
    )
    return history.history


def numbers(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def trained(model):
    return sorted({variable.path.split("/")[0] for variable in model.trainable_variables})


class Snapshots(keras.callbacks.Callback):
    """Keeps the weights at the beginning of each epoch, what trains, and the optimizer's variables."""

    def __init__(self):
        super().__init__()
        self.weights, self.trained, self.slots = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.weights.append(numbers(self.model))
        self.trained.append(trained(self.model))
        self.slots.append({id(v): v.numpy() for v in self.model.optimizer.variables})


def quiet(schedule, **settings):
    return GradualUnfreezing(schedule, show=None, **settings)


def test_more_wakes_at_the_given_epochs():
    model, seen = compiled(), Snapshots()
    callback = quiet({0: "head", 1: "third", 3: "all"})
    history = fit(model, callback, seen)
    assert seen.trained == [["last"], ["last", "third"], ["last", "third"], ["first", "last", "second", "third"]]
    assert [change.epoch for change in callback.changes] == [0, 1, 3]
    assert len(history["loss"]) == 4  # one History


def test_what_wakes_moves_and_what_sleeps_does_not():
    model, seen = compiled(), Snapshots()
    fit(model, quiet({1: "third"}), seen, epochs=3)
    before, woken, after = (snapshot for snapshot in seen.weights)
    assert np.array_equal(before["third/kernel"], woken["third/kernel"])
    assert not np.array_equal(woken["third/kernel"], after["third/kernel"])
    assert np.array_equal(before["first/kernel"], numbers(model)["first/kernel"])


def test_slots_of_what_trained_keep_every_bit_and_slots_exist_only_for_what_trains():
    model, seen = compiled(), Snapshots()
    sizes = []

    class Slots(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.ended = {id(v): v.numpy() for v in self.model.optimizer.variables}
            sizes.append(sum(v.numpy().size for v in self.model.optimizer.variables if v.numpy().ndim))

    slots = Slots()

    class Compare(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                now = {id(v): v.numpy() for v in self.model.optimizer.variables}
                self.same = [np.array_equal(now[key], old) for key, old in slots.ended.items()]

    compare = Compare()
    fit(model, slots, quiet({1: "third"}), seen, compare, epochs=2)
    assert all(compare.same)
    assert len(compare.same) > 4
    assert sizes == [2 * 18, 2 * (18 + 30)]  # Adam keeps two numbers for each that trains


def test_what_wakes_late_moves_as_under_a_fresh_optimizer():
    """Adam's correction of its start counts from the waking: with the old count first steps come out too large."""
    model = compiled()
    fit(model, quiet({0: "head", 2: "third"}), epochs=2 + 1)
    reference = compiled()
    fit(reference, epochs=2)
    # The same weights and the same gradients, under an optimizer that has seen nothing yet.
    fresh = keras.optimizers.Adam(0.01)
    woken = reference.get_layer("third").weights
    for start in range(0, 32, 8):
        variables = [*woken, *reference.get_layer("last").weights]
        with tf.GradientTape() as tape:
            loss = LOSS(Y[start : start + 8], reference(X[start : start + 8], training=True))
        gradients = tape.gradient(loss, [v.value for v in variables])
        fresh.apply(gradients[:2], woken)
        reference.optimizer.apply(gradients[2:], variables[2:])
    for variable in woken:
        np.testing.assert_allclose(numbers(model)[variable.path], variable.numpy(), rtol=1e-5, atol=1e-7)


def test_the_rate_of_what_wakes_is_that_of_the_schedule_now():
    """Waking at the first rate instead of the present one is what others shipped."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=STEPS, decay_rate=0.1, staircase=True)
    model = compiled(keras.optimizers.SGD(schedule), multipliers={"last": 1.0, "...": 0.5})
    fit(model, quiet({2: "third"}), epochs=3)
    assert model.optimizer.iterations.numpy() == 3 * STEPS
    rates = model.optimizer.effective_rates()
    assert rates == {"third": pytest.approx(0.5e-4), "last": pytest.approx(1e-4)}


@pytest.mark.parametrize("saved_after", [1, 2, 3])
def test_resumed_before_at_and_past_the_waking_it_ends_in_the_same_weights(tmp_path, saved_after):
    whole = compiled()
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fit(whole, quiet({0: "head", 2: "third"}), saving, epochs=4)
    again = keras.models.load_model(tmp_path / f"{saved_after}.keras")
    fit(again, quiet({0: "head", 2: "third"}), epochs=4, initial_epoch=saved_after)
    for path, value in numbers(whole).items():
        np.testing.assert_array_equal(value, numbers(again)[path], err_msg=path)


def test_by_steps_it_changes_within_an_epoch():
    model = compiled()
    callback = quiet({0: "head", 6: "all"}, by="step")
    fit(model, callback, epochs=2)
    assert [(change.epoch, change.step) for change in callback.changes] == [(0, 0), (1, 6)]
    assert len(trained(model)) == 4


def test_a_stalled_metric_wakes_the_next():
    model = compiled()
    callback = GradualUnfreezing.when_stalled(["head", 1, 2], monitor="loss", patience=2, min_delta=10, show=None)
    fit(model, callback, epochs=6)
    # the first epoch is an improvement on nothing; then two that are none
    assert [(change.epoch, change.train) for change in callback.changes] == [(0, "head"), (3, 1), (5, 2)]


def test_an_improving_metric_wakes_nothing():
    model = compiled(keras.optimizers.SGD(0.1))
    callback = GradualUnfreezing.when_stalled(["head", "all"], monitor="loss", patience=1, show=None)
    fit(model, callback, epochs=5)
    assert callback.found == "head"


class Scores(keras.callbacks.Callback):
    """Puts scores of one's choice into the logs, before the next callback reads them."""

    def __init__(self, *scores):
        super().__init__()
        self.scores = scores

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.scores[epoch]


def searching(*trains, **settings):
    return GradualUnfreezing.searching(list(trains), monitor="score", mode="max", show=None, **settings)


def test_a_search_keeps_what_helps_and_puts_back_what_does_not():
    model, seen = compiled(), Snapshots()
    callback = searching("head", 1, 2, "all")
    history = fit(model, Scores(0.5, 0.7, 0.6, 0.9), callback, seen)
    assert len(history["loss"]) == 3  # it stopped at what did not help
    assert callback.found == 1
    assert [change.train for change in callback.changes] == ["head", 1, 2, 1]
    assert trained(model) == ["last", "third"]
    for path, value in seen.weights[2].items():  # as they were before the trial
        np.testing.assert_array_equal(value, numbers(model)[path], err_msg=path)
    former = seen.slots[2]
    assert all(np.array_equal(v.numpy(), former[id(v)]) for v in model.optimizer.variables)


def test_a_search_that_always_helps_goes_to_the_end():
    model = compiled()
    callback = searching("head", 1, "all")
    history = fit(model, Scores(0.1, 0.2, 0.3, 0.4), callback)
    assert callback.found == "all"
    assert len(history["loss"]) == 4


def test_a_trial_that_the_end_cuts_short_is_judged_by_what_is_known():
    model = compiled()
    callback = searching("head", 1, "all", epochs=2)
    fit(model, Scores(0.1, 0.2, 0.3, 0.4, 0.1), callback, epochs=5)
    assert callback.found == 1


def test_callbacks_that_are_named_begin_anew_and_others_carry_on():
    class Judge(keras.callbacks.EarlyStopping):
        begun = 0

        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)
            self.begun += 1

    named, other = Judge("loss", patience=9), Judge("loss", patience=9)
    fit(compiled(), named, other, quiet({0: "head", 2: "all"}, reset=[named]))
    assert (named.begun, other.begun) == (1 + 2, 1)


def test_early_stopping_that_is_reset_lets_the_woken_show_what_they_can():
    """Two plateaus in a row: without a reset the best value of the first one ends the second."""
    stopping = keras.callbacks.EarlyStopping("score", mode="max", patience=2)
    scores = Scores(0.9, 0.8, 0.5, 0.6, 0.7, 0.8)
    history = fit(compiled(), scores, quiet({0: "head", 2: "all"}, reset=[stopping]), stopping, epochs=6)
    assert len(history["loss"]) == 6
    stopping = keras.callbacks.EarlyStopping("score", mode="max", patience=2)
    history = fit(compiled(), scores, quiet({0: "head", 2: "all"}), stopping, epochs=6)
    assert len(history["loss"]) == 3


def test_restoring_the_best_weights_at_the_end_is_no_fault():
    stopping = keras.callbacks.EarlyStopping("score", mode="max", patience=9, restore_best_weights=True)
    model = compiled()
    fit(model, Scores(0.9, 0.1, 0.1, 0.1), quiet({0: "head", 1: "all"}), stopping)
    assert stopping.best_epoch == 0


def test_a_frozen_variable_that_moves_stops_the_fit():
    class Meddler(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.get_layer("first").kernel.assign_add(np.full((6, 5), 1e-6))

    with pytest.raises(VerificationError, match="first/kernel moved, but is frozen"):
        fit(compiled(), quiet({0: "head", 1: "third"}), Meddler())


class Holder(keras.callbacks.Callback):
    """Puts a layer back where it was after each step."""

    def __init__(self, layer):
        super().__init__()
        self._kept = [(variable, variable.numpy()) for variable in layer.weights]

    def on_train_batch_end(self, batch, logs=None):
        for variable, value in self._kept:
            variable.assign(value)


def test_a_variable_that_cannot_move_is_named():
    model = compiled()
    with pytest.raises(VerificationError, match=r"third/kernel, third/bias did not move in 4 steps"):
        fit(model, quiet({1: "third", 2: "second"}), Holder(model.get_layer("third")))


def test_a_line_tells_of_each_change(capsys):
    fit(compiled(), GradualUnfreezing({0: "head", 2: "all"}))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 1: from epoch 0 on, train='head': 1 group trains (18 weights")
    assert second.startswith("epoch 3: from epoch 2 on, train='all': 4 groups train")


def test_it_wakes_under_mirrored_and_replicas_agree(mirrored):
    with mirrored.scope():
        model = compiled(keras.optimizers.SGD(0.05, momentum=0.9))
    fit(model, quiet({0: "head", 1: "third", 2: "all"}), epochs=3)
    single = compiled(keras.optimizers.SGD(0.05, momentum=0.9))
    fit(single, quiet({0: "head", 1: "third", 2: "all"}), epochs=3)
    for variable, other in zip(model.variables, single.variables, strict=True):
        replicas = [replica.numpy() for replica in mirrored.experimental_local_results(variable.value)]
        assert len(replicas) == 2
        np.testing.assert_array_equal(*replicas)
        np.testing.assert_allclose(replicas[0], other.numpy(), rtol=1e-4, atol=1e-6)


def test_mixed_precision_with_its_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    inner = DifferentialLearningRate(keras.optimizers.Adam(0.01), lambda variable: 1.0)
    model.compile(keras.optimizers.LossScaleOptimizer(inner), loss=LOSS)
    callback = quiet({0: "head", 2: "all"})
    fit(model, callback)
    assert len(inner.trained_variables) == 8


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({}, "must say from when what trains"),
        ({-1: "head"}, "-1 is no epoch"),
        ({0.5: "head"}, "0.5 is no epoch"),
        ({0: "head", 9: "all"}, "epoch 9 never comes: fit has 4 epochs"),
        ({0: "third", 2: "thrid"}, r"Did you mean 'third'\?"),
        ({0: "re:nothing"}, "matches no variable"),
        ({0: 1, 2: "third"}, "means just what the entry before it means"),
    ],
)
def test_schedules_that_mean_nothing_are_refused_before_training(schedule, message):
    model = compiled()
    before = numbers(model)
    with pytest.raises(ConfigError, match=message):
        fit(model, quiet(schedule))
    assert all(np.array_equal(value, before[path]) for path, value in numbers(model).items())


def test_settings_out_of_range_are_refused():
    for settings, message in (
        ({"by": "hour"}, "neither 'epoch' nor 'step'"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
        ({"reset": ["early"]}, "is no callback"),
    ):
        with pytest.raises(ConfigError, match=message):
            quiet({0: "head"}, **settings)
    with pytest.raises(ConfigError, match="patience=0"):
        GradualUnfreezing.when_stalled(["head", 1], patience=0)
    with pytest.raises(ConfigError, match="mode='best'"):
        GradualUnfreezing.when_stalled(["head", 1], mode="best")
    with pytest.raises(ConfigError, match="leaves nothing to search"):
        GradualUnfreezing.searching(["head"])
    with pytest.raises(ConfigError, match="only unlocks more"):
        fit(compiled(), searching("all", "head"))
    with pytest.raises(ConfigError, match="the first trial ends after 6"):
        fit(compiled(), searching("head", 1, epochs=3))


def test_a_metric_that_is_not_measured_is_named():
    with pytest.raises(
        ConfigError, match=r"'val_loss' is not measured. Measured are accuracy, loss; .* validation_data"
    ):
        fit(compiled(), GradualUnfreezing.when_stalled(["head", 1], show=None))


def test_another_optimizer_is_refused_with_what_to_type():
    model = network()
    model.compile(keras.optimizers.Adam(0.01), loss=LOSS)
    with pytest.raises(ConfigError, match=r"DifferentialLearningRate\(keras.optimizers.Adam\(…\), lambda"):
        fit(model, quiet({0: "head"}))


def test_names_may_be_those_of_the_whole_network_while_a_part_of_it_trains():
    """In the part that is left behind a cut, groups have other numbers: there `1` is the last of two below the head."""
    model = network()
    tfxfer.freeze(model, train="all")
    inputs = keras.Input((5,))
    x = inputs
    for name in LAYERS[1:]:
        x = model.get_layer(name)(x)
    part = keras.Model(inputs, x)
    part.compile(DifferentialLearningRate(keras.optimizers.Adam(0.01), lambda variable: 1.0), loss=LOSS)
    features = keras.Model(model.input, model.get_layer("first").output).predict(X, verbose=0)
    before = numbers(model)
    callback = quiet({0: "head", 1: ("third",), 2: ("second", "third")}, named_by=model)
    seen = Snapshots()
    part.fit(features, Y, batch_size=8, epochs=3, verbose=0, callbacks=[callback, seen])
    assert seen.trained == [["last"], ["last", "third"], ["last", "second", "third"]]
    assert [sum(v.size for v in slots.values() if v.ndim) for slots in seen.slots] == [36, 96, 156]
    assert np.array_equal(before["first/kernel"], numbers(model)["first/kernel"])
    assert callback.changes[-1].done.trained == ("second", "third", "last")


def test_a_trial_that_is_kept_is_told():
    lines = []
    callback = GradualUnfreezing.searching(["head", 1], monitor="loss", epochs=1, show=lines.append)
    fit(compiled(), callback, epochs=3)
    assert lines[-1].startswith("epoch 2: kept, loss ")


def test_many_names_are_told_by_the_first_and_the_last():
    callback = quiet({0: "head"})
    fit(compiled(), callback, epochs=1)
    change = dataclasses.replace(callback.changes[0], train=("a", "b", "c", "d"))
    assert "train='a' … 'd' (4 names): " in str(change)
    assert "train=('a', 'b', 'c'): " in str(dataclasses.replace(change, train=("a", "b", "c")))
