"""One rate, a share of it for each variable, and all that `fit` and callbacks do with an optimizer."""

import contextlib
import inspect
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import INPUTS, STEPS, TARGETS, chain, fit, numbers, same, train

import tfxfer
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.optimizers import DifferentialLearningRate, cohorts, differential, of, wrapped

MIXED = {"a": 0.1, "b": 0.5, "...": 1.0}


def ones(optimizer):
    return DifferentialLearningRate(optimizer, lambda variable: 1.0)


def compiled(optimizer, seed=0, **settings):
    model = chain(seed)
    model.compile(optimizer, loss="mse", **settings)
    return model


def mixed(optimizer, **settings):
    model = chain()
    model.compile(DifferentialLearningRate(optimizer, MIXED, model=model, **settings), loss="mse")
    return model


def two(dtype="float32"):
    return [
        keras.Variable(np.full((2, 2), 1.0, dtype), name="kernel"),
        keras.Variable(np.full(2, 1.0, dtype), name="bias"),
    ]


# In `fit`, against the plain optimizer


PLAIN = {
    "Adam": lambda: keras.optimizers.Adam(0.01),
    "a schedule": lambda: keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 50), weight_decay=0.1),
    "averages in place": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3),
    "averages at the end": lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3, clipnorm=0.1, use_ema=True),
    "global clipping": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.01),
    "clipping by value": lambda: keras.optimizers.SGD(0.1, momentum=0.9, clipvalue=0.01),
    "loss scaling": lambda: keras.optimizers.SGD(0.1, loss_scale_factor=1024.0),
}  # fmt: skip


# Keras computes the schedule of weight decay once a variable, and TensorFlow then folds its constants into the decay,
# which rounds otherwise; without `constant_folding` all bits are the same.
_FOLDED = ("a schedule",)


@pytest.mark.parametrize(
    "kind", [kind if kind == "Adam" else pytest.param(kind, marks=pytest.mark.slow) for kind in PLAIN]
)
def test_with_multipliers_of_1_a_fit_of_52_steps_is_bit_for_bit_that_of_the_plain_one(kind):
    plain, ours = compiled(PLAIN[kind]()), compiled(ones(PLAIN[kind]()))
    for model in (plain, ours):
        fit(model, epochs=13)
    if kind in _FOLDED:
        assert furthest(plain, ours) < 1e-6
    else:
        assert same(numbers(plain.variables), numbers(ours.variables))
    assert int(ours.optimizer.iterations) == int(plain.optimizer.iterations)


@pytest.mark.parametrize("kind", PLAIN)
def test_with_multipliers_of_1_all_settings_do_bit_for_bit_what_they_do_in_the_plain_one(kind):
    plain, ours = compiled(PLAIN[kind]()), compiled(ones(PLAIN[kind]()))
    for model in (plain, ours):
        train(model, steps=8)
        model.optimizer.finalize_variable_values(model.trainable_variables)
    assert same(numbers(plain.variables), numbers(ours.variables))
    assert int(ours.optimizer.iterations) == int(plain.optimizer.iterations)


def test_several_steps_an_execution_are_the_same_steps():
    model, other = mixed(keras.optimizers.Adam(0.01)), chain()
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(0.01), MIXED, model=other)
    other.compile(optimizer, loss="mse", steps_per_execution=STEPS)
    fit(model, epochs=2)
    fit(other, epochs=2)
    for one, another in zip(model.variables, other.variables, strict=True):
        np.testing.assert_allclose(one.numpy(), another.numpy(), rtol=1e-5, atol=1e-7)
    assert int(optimizer.iterations) == 2 * STEPS


def clipping():
    return keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.01)


def furthest(ones, others):
    """Returns the largest difference of two networks' variables."""
    pairs = zip(numbers(ones.variables), numbers(others.variables), strict=True)
    return max(np.abs(one - other).max() for one, other in pairs)


def test_two_devices_clip_the_gradient_of_the_whole_batch_as_one_device_does(mirrored):
    alone = mixed(clipping())
    with mirrored.scope():
        shared = mixed(clipping())
    fit(alone)
    fit(shared)
    assert furthest(alone, shared) < 1e-3 * furthest(alone, chain())


@pytest.mark.slow
def test_keras_by_itself_clips_on_each_device_alone(mirrored):
    alone = compiled(clipping())
    with mirrored.scope():
        shared = compiled(clipping())
    fit(alone)
    fit(shared)
    assert furthest(alone, shared) > 1e-2 * furthest(alone, chain())


@pytest.mark.slow
def test_on_two_devices_with_multipliers_of_1_a_fit_is_bit_for_bit_that_of_the_plain_one(mirrored):
    with mirrored.scope():
        plain = compiled(keras.optimizers.AdamW(0.01, use_ema=True))
        ours = compiled(ones(keras.optimizers.AdamW(0.01, use_ema=True)))
    for model in (plain, ours):
        fit(model, epochs=2)
    assert same(numbers(plain.variables), numbers(ours.variables))


def test_a_second_compile_and_fit_go_on_with_the_same_optimizer():
    model, other = mixed(keras.optimizers.Adam(0.01)), mixed(keras.optimizers.Adam(0.01))
    fit(model, epochs=2)
    fit(other)
    other.compile(other.optimizer, loss="mse")
    fit(other)
    assert same(numbers(model.variables), numbers(other.variables))


# Clipping, decay, by hand


def test_clipping_is_by_the_norm_of_all_gradients_together():
    [kernel, bias] = two()
    optimizer = DifferentialLearningRate(
        keras.optimizers.SGD(1.0, global_clipnorm=1.0), lambda variable: 0.5 if variable is kernel else 1.0
    )
    optimizer.apply([keras.ops.full((2, 2), 3.0), keras.ops.full((2,), 6.0)], [kernel, bias])
    # the norm is √(4·9 + 2·36) = √108, before any multiplier
    np.testing.assert_allclose(kernel.numpy(), 1 - 0.5 * 3 / 108**0.5, rtol=1e-5)
    np.testing.assert_allclose(bias.numpy(), 1 - 6 / 108**0.5, rtol=1e-5)


def test_clipping_one_by_one_and_by_value():
    for settings, wanted in (({"clipnorm": 3.0}, 1.5), ({"clipvalue": 2.0}, 2.0)):
        [kernel, bias] = two()
        optimizer = DifferentialLearningRate(keras.optimizers.SGD(1.0, **settings), lambda variable: 0.5)
        optimizer.apply([keras.ops.full((2, 2), 3.0), keras.ops.full((2,), 1.0)], [kernel, bias])
        np.testing.assert_allclose(kernel.numpy(), 1 - 0.5 * wanted, rtol=1e-6)
        np.testing.assert_allclose(bias.numpy(), 1 - 0.5, rtol=1e-6)


@pytest.mark.parametrize(("follows", "shrunk"), [(True, 0.5 * 0.1 * 0.2), (False, 0.1 * 0.2)])
def test_weight_decay_follows_the_multiplier_or_not(follows, shrunk):
    [kernel, bias] = two()
    optimizer = DifferentialLearningRate(
        keras.optimizers.AdamW(0.1, weight_decay=0.2), lambda variable: 0.5, weight_decay_follows=follows
    )
    optimizer.apply([keras.ops.zeros((2, 2)), keras.ops.zeros(2)], [kernel, bias])
    np.testing.assert_allclose(kernel.numpy(), 1 - shrunk, rtol=1e-6)


@pytest.mark.parametrize("by", ["name", "variable", "function"])
def test_what_is_excluded_from_weight_decay_does_not_decay(by):
    [kernel, bias] = two()
    plain, settings = keras.optimizers.AdamW(0.1, weight_decay=0.2), {}
    if by == "name":
        plain.exclude_from_weight_decay(var_names=["bias"])
    elif by == "variable":
        plain.exclude_from_weight_decay(var_list=[bias])
    else:
        settings = {"decays": lambda variable: len(variable.shape) > 1}
    optimizer = DifferentialLearningRate(plain, lambda variable: 1.0, **settings)
    optimizer.apply([keras.ops.zeros((2, 2)), keras.ops.zeros(2)], [kernel, bias])
    np.testing.assert_allclose(kernel.numpy(), 0.98, rtol=1e-6)
    np.testing.assert_array_equal(bias.numpy(), 1.0)


@pytest.mark.parametrize("decays", ["re:kernel$", ("re:^a/kernel$", "re:[bc]/kernel$")])
def test_what_decays_can_be_told_by_address(decays):
    model = chain()
    settings = {"model": model, "decays": decays}
    optimizer = DifferentialLearningRate(keras.optimizers.AdamW(0.1, weight_decay=0.2), lambda _: 1.0, **settings)
    before = numbers(model.weights)
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in model.weights], model.trainable_variables)
    for variable, old in zip(model.weights, before, strict=True):
        share = 0.98 if variable.name == "kernel" else 1.0
        np.testing.assert_allclose(variable.numpy(), share * old, rtol=1e-6)


def test_an_address_that_means_nothing_or_has_no_model_is_an_error():
    wrapped = keras.optimizers.AdamW(0.1)
    with pytest.raises(ConfigError, match="'re:gamma' matches no variable"):
        DifferentialLearningRate(wrapped, lambda _: 1.0, model=chain(), decays="re:gamma")
    with pytest.raises(ConfigError, match=r"names in a model\. Write model=… beside them"):
        DifferentialLearningRate(wrapped, lambda _: 1.0, decays="re:kernel")


# Averages


def waking(model, *layers):
    """A callback that wakes layers at the beginning of the second epoch."""

    def wake(epoch, logs=None):
        if epoch == 1:
            for layer in layers:
                model.get_layer(layer).trainable = True
            model.optimizer.follow(model.trainable_variables)
            model.make_train_function(force=True)

    return keras.callbacks.LambdaCallback(on_epoch_begin=wake)


def asleep(optimizer, *layers):
    model = mixed(optimizer)
    for layer in layers:
        model.get_layer(layer).trainable = False
    return model


def test_a_fit_with_a_waking_ends_with_each_average_in_its_variable():
    model = asleep(keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), "a")
    fit(model, epochs=2, callbacks=[waking(model, "a")])
    optimizer = model.optimizer
    trained = dict(zip(map(id, optimizer.trained_variables), optimizer._model_variables_moving_average, strict=True))
    assert len(trained) == 6
    assert all(np.array_equal(variable, trained[id(variable)]) for variable in model.trainable_variables)


def test_swapping_averages_in_for_validation_swaps_them_out_again():
    # of multiples of 1/1024 sums are exact, so that swapping by sums is too
    model = asleep(keras.optimizers.SGD(2**-7, use_ema=True, ema_momentum=0.5), "a")
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            seen.append(numbers(model.trainable_variables))

        def on_epoch_end(self, epoch, logs=None):
            averages = dict(
                zip(
                    map(id, model.optimizer.trained_variables),
                    model.optimizer._model_variables_moving_average,
                    strict=True,
                )
            )
            for variable, shown in zip(model.trainable_variables, seen[-1], strict=True):
                np.testing.assert_allclose(shown, averages[id(variable)].numpy(), rtol=1e-5, atol=1e-6)
                assert not np.array_equal(shown, variable.numpy())

    fit(
        model,
        epochs=2,
        validation_data=(INPUTS, TARGETS),
        callbacks=[waking(model, "a"), keras.callbacks.SwapEMAWeights(), Seen()],
    )
    assert len(seen[-1]) == 6


def test_swapping_averages_without_averages_is_refused_as_by_keras():
    model = mixed(keras.optimizers.Adam(0.01))
    with pytest.raises(ValueError, match="use_ema=True"):
        fit(model, validation_data=(INPUTS, TARGETS), callbacks=[keras.callbacks.SwapEMAWeights()])


# Loss scaling


def test_loss_scaling_around_it_changes_no_bit():
    """Scaling by a power of two is exact."""
    model, scaled = mixed(keras.optimizers.Adam(0.01)), chain()
    inner = DifferentialLearningRate(keras.optimizers.Adam(0.01), MIXED, model=scaled)
    scaled.compile(keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0), loss="mse")
    for network in (model, scaled):
        fit(network, epochs=2)
    assert same(numbers(model.variables), numbers(scaled.variables))
    assert of(scaled) is inner
    scaled.optimizer.learning_rate = 0.25
    assert inner.effective_rates()["c"] == pytest.approx(0.25)


def test_waking_within_loss_scaling_in_mixed_precision():
    with precision("mixed_float16"):
        model = asleep(keras.optimizers.Adam(0.01), "a")
        fit(model)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        before = numbers(model.get_layer("a").variables)
        slots = numbers(model.optimizer.variables)
        model.get_layer("a").trainable = True
        of(model).follow(model.trainable_variables)
        assert same(slots, numbers(model.optimizer.variables)[: len(slots)])
        model.make_train_function(force=True)
        fit(model)
        assert not np.array_equal(before[0], model.get_layer("a").kernel)


@contextlib.contextmanager
def precision(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy("float32")


# The rate and those who watch or set it


def test_the_rate_can_be_read_and_set():
    model = mixed(keras.optimizers.Adam(0.5))
    assert float(model.optimizer.learning_rate) == 0.5
    assert model.optimizer.effective_rates() == {"a": 0.05, "b": 0.25, "c": 0.5}
    model.optimizer.learning_rate = 0.25
    train(model, steps=1)
    assert model.optimizer.effective_rates() == {"a": 0.025, "b": 0.125, "c": 0.25}


def test_callbacks_set_and_log_the_rate_and_shares_stay(tmp_path):
    model = mixed(keras.optimizers.SGD(0.5))
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=1e9)
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch else 0.25)
    board = keras.callbacks.TensorBoard(tmp_path)
    history = fit(model, epochs=4, callbacks=[scheduler, plateau, board])
    assert history.history["learning_rate"] == [0.25, 0.25, 0.125, 0.0625]
    assert model.optimizer.effective_rates()["b"] == pytest.approx(0.5 * 0.03125)
    assert any(value == pytest.approx(0.25) for value in logged(tmp_path / "train", "epoch_learning_rate"))


def logged(folder, tag):
    for file in folder.glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag == tag:
                    yield float(tf.make_ndarray(value.tensor))


def test_effective_rates_follow_a_schedule_and_leave_out_what_is_frozen():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([2], [1.0, 0.25])
    model = mixed(keras.optimizers.SGD(schedule))
    model.get_layer("a").trainable = False
    train(model, steps=1)
    assert model.optimizer.effective_rates() == {"b": 0.5, "c": 1.0}
    train(model, steps=2)
    assert model.optimizer.effective_rates() == {"b": 0.125, "c": 0.25}


def test_a_rate_that_is_a_function_is_asked():
    given = [0.5]

    def rate_now():
        return given[0]

    [kernel, bias] = two()
    optimizer = DifferentialLearningRate(keras.optimizers.SGD(rate_now), lambda variable: 0.5)
    for rate in (0.5, 0.25):
        given[0], before = rate, kernel.numpy()
        optimizer.apply([keras.ops.ones((2, 2)), keras.ops.ones(2)], [kernel, bias])
        np.testing.assert_allclose(before - kernel.numpy(), 0.5 * rate, rtol=1e-5)


def test_multipliers_can_be_set_anew_with_slots_kept():
    model = mixed(keras.optimizers.Adam(0.5))
    train(model)
    slots = numbers(model.optimizer.variables)
    model.optimizer.set_multipliers({"c": 0.25, "...": 0.5}, model=model)
    assert same(slots, numbers(model.optimizer.variables))
    assert model.optimizer.effective_rates() == {"c": 0.125, "a": 0.25, "b": 0.25}
    assert model.optimizer.multiplier(model.get_layer("a").kernel) == 0.5
    other = chain()
    with pytest.raises(ConfigError, match="a/kernel has no multiplier"):
        model.optimizer.set_multipliers({"c": 1.0, "...": 0.1}, model=other)
    assert model.optimizer.effective_rates()["c"] == 0.125


# Loops of your own


def loss_of(model):
    return keras.ops.mean(keras.ops.square(model(INPUTS) - TARGETS))


def test_a_traced_loop_of_your_own_may_build_it_in_its_first_call():
    model, reference = (
        mixed(keras.optimizers.Adam(0.01, use_ema=True)),
        mixed(keras.optimizers.Adam(0.01, use_ema=True)),
    )
    reference.optimizer.build(reference.trainable_variables)

    def stepping(network):
        @tf.function
        def step():
            with tf.GradientTape() as tape:
                loss = loss_of(network)
            moved = network.trainable_variables
            network.optimizer.apply_gradients(zip(tape.gradient(loss, moved), moved, strict=True))

        return step

    for network in (model, reference):
        step = stepping(network)
        for _ in range(3):
            step()
    assert int(model.optimizer.iterations) == 3
    assert same(numbers(model.variables), numbers(reference.variables))
    assert same(numbers(model.optimizer.variables), numbers(reference.optimizer.variables))


def test_a_loop_of_your_own_on_two_devices(mirrored):
    with mirrored.scope():
        model = mixed(keras.optimizers.Adam(0.01))
        model.optimizer.build(model.trainable_variables)  # no optimizer of Keras can be built in a replica

    @tf.function
    def step():
        def replica():
            with tf.GradientTape() as tape:
                loss = loss_of(model)
            moved = [variable.value for variable in model.trainable_variables]
            model.optimizer.apply(tape.gradient(loss, moved), model.trainable_variables)

        mirrored.run(replica)

    step()
    step()
    assert keras.ops.convert_to_numpy(model.optimizer.iterations) == 2
    for variable in model.variables:
        np.testing.assert_array_equal(*(part.numpy() for part in mirrored.experimental_local_results(variable.value)))


def test_a_variable_without_a_gradient_stays_with_a_warning():
    [kernel, bias] = two()
    optimizer = ones(keras.optimizers.SGD(0.1, momentum=0.9))
    with pytest.warns(UserWarning, match="Gradients do not exist for variables"):
        optimizer.apply([None, keras.ops.ones(2)], [kernel, bias])
    np.testing.assert_array_equal(kernel.numpy(), 1.0)
    np.testing.assert_allclose(bias.numpy(), 0.9)
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.apply([None, None], [kernel, bias])


def test_no_gradients_at_all_make_no_step():
    optimizer = ones(keras.optimizers.SGD(0.1))
    optimizer.build(two())
    optimizer.apply([])
    assert int(optimizer.iterations) == 0
    assert all(int(cohort.optimizer.iterations) == 0 for cohort in optimizer._cohorts)


def test_gradients_of_some_rows_move_these_rows():
    """Of an embedding TensorFlow gives the rows that were looked up."""
    table = keras.Variable(np.ones((4, 2), np.float32), name="table")
    optimizer = DifferentialLearningRate(keras.optimizers.SGD(1.0), lambda variable: 0.25)
    rows = tf.IndexedSlices(values=tf.ones((1, 2)), indices=tf.constant([2]), dense_shape=tf.constant([4, 2]))
    optimizer.apply([rows], [table])
    np.testing.assert_array_equal(table.numpy(), [[1, 1], [1, 1], [0.75, 0.75], [1, 1]])


def test_constraints_hold_after_the_update():
    kernel = keras.Variable(np.full((2, 2), 0.1, np.float32), name="kernel")
    kernel.constraint = keras.constraints.NonNeg()
    ones(keras.optimizers.SGD(1.0)).apply([keras.ops.ones((2, 2))], [kernel])
    np.testing.assert_array_equal(kernel.numpy(), 0.0)


# Frozen by tfxfer, and bad input


def test_freezing_a_compiled_network_keeps_slots_and_moves_only_what_trains():
    model = mixed(keras.optimizers.Adam(0.01))
    fit(model)

    def slots(layer):
        return {
            v.name: v.numpy()
            for v in model.optimizer.variables
            if v.name.startswith(f"chain_{layer}_") or v.name.startswith(f"{layer}_")
        }

    before, frozen = slots("b"), numbers(model.get_layer("a").variables)
    tfxfer.freeze(model, train="b")
    assert len(before) == 4
    assert all(np.array_equal(before[name], value) for name, value in slots("b").items())
    assert not slots("a")
    fit(model)
    assert same(frozen, numbers(model.get_layer("a").variables))
    assert int(model.optimizer.iterations) == 2 * STEPS


def test_a_variable_without_a_rule_is_refused_and_nothing_is_built():
    model, other = chain(), chain()
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(), MIXED, model=other)
    with pytest.raises(ConfigError, match=r"a/kernel has no multiplier.*set_multipliers"):
        optimizer.build(model.trainable_variables)
    assert not optimizer.built
    optimizer.build(other.trainable_variables)
    assert len(optimizer.trained_variables) == 6


@pytest.mark.parametrize(
    ("multipliers", "message"),
    [
        (0.5, "multipliers=0.5 is neither a function of a variable nor a mapping"),
        ([0.5], "neither a function of a variable nor a mapping"),
        (None, "neither a function"),
        ({"...": 0.5}, r"need the model.*DifferentialLearningRate\(optimizer, multipliers, model=model\)"),
    ],
)
def test_multipliers_that_mean_nothing_are_refused(multipliers, message):
    with pytest.raises(ConfigError, match=message):
        DifferentialLearningRate(keras.optimizers.Adam(), multipliers)


def test_an_unbuilt_network_is_refused():
    model = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(BackboneError, match="built"):
        DifferentialLearningRate(keras.optimizers.Adam(), {"...": 0.5}, model=model)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, r"the multiplier of kernel=0 would train without moving\. Freeze it instead"),
        (-0.5, "kernel=-0.5 must be a finite number above 0 and at most 1"),
        (1.5, "kernel=1.5 must be"),
        (float("nan"), "kernel=nan must be"),
        (None, "kernel=None must be"),
        (True, "kernel=True must be"),
    ],
)
def test_a_function_must_return_a_multiplier(value, message):
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(), lambda variable: value)
    with pytest.raises(ConfigError, match=message):
        optimizer.build(two())


def test_the_optimizer_of_a_network_is_found():
    model = mixed(keras.optimizers.Adam(0.01))
    assert of(model) is model.optimizer
    assert of(compiled(keras.optimizers.Adam(0.01))) is None
    assert of(chain()) is None


# Private names of Keras


PRIVATE = {
    "_learning_rate": "_get_current_learning_rate",
    "_iterations": "apply",
    "_var_key": "_get_variable_index",
    "_trainable_variables": "_backend_apply_gradients",
    "_trainable_variables_indices": "_get_variable_index",
    "_check_variables_are_known": "apply",
    "_clip_gradients": "_backend_apply_gradients",
    "_apply_weight_decay": "_backend_apply_gradients",
    "_use_weight_decay": "_apply_weight_decay",
    "_backend_update_step": "_backend_apply_gradients",
    "_all_reduce_sum_gradients": "_backend_update_step",
    "_accumulated_gradients": "_backend_apply_gradients",
    "_model_variables_moving_average": "_update_model_variables_moving_average",
    "_backend_apply_gradients": "apply",
    "_update_model_variables_moving_average": "_backend_apply_gradients",
    "_backend_increment_gradient_accumulators": "_backend_apply_gradients",
    "_backend_reset_gradient_accumulators": "_backend_apply_gradients",
    "_get_variable_index": "_backend_apply_gradients",
}


@pytest.mark.parametrize(("name", "user"), PRIVATE.items())
def test_private_names_of_keras_mean_what_they_meant(name, user):
    texts = [inspect.getsource(vars(kind)[user]) for kind in keras.optimizers.Optimizer.__mro__ if user in vars(kind)]
    assert any(f"self.{name}" in text for text in texts), f"Keras's Optimizer.{user} no longer uses {name}."


def test_every_private_name_of_keras_that_is_used_is_listed():
    state = keras.optimizers.Muon(0.1, use_ema=True, gradient_accumulation_steps=2)
    keras.optimizers.Optimizer.build(state, two())
    private = {name for name in dir(state) if re.fullmatch(r"_[a-z]\w+", name)}
    text = "".join(inspect.getsource(module) for module in (differential, cohorts, wrapped))
    used = {name for name in private if re.search(rf"(\.|def ){name}\b|\b{name}=", text)}
    elsewhere = {"_variables", "_should_use_adamw", "_distribution_strategy"}  # by what they do, in the other tests
    assert used - elsewhere == set(PRIVATE)


@pytest.mark.parametrize("settings", [{}, {"global_clipnorm": 0.1}, {"use_ema": True}], ids=str)
def test_accumulation_on_replicas_is_that_of_one_device(mirrored, settings):
    """Stock Keras stops there with "merge_call called while defining a new graph"."""

    def train(strategy):
        keras.utils.set_random_seed(0)
        with strategy.scope() if strategy else contextlib.nullcontext():
            model = keras.Sequential(
                [keras.Input((3,)), keras.layers.Dense(4, name="low"), keras.layers.Dense(1, name="high")]
            )
            plain = keras.optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=3, **settings)
            optimizer = DifferentialLearningRate(plain, lambda variable: 0.5 if "low" in variable.path else 1.0)
            model.compile(optimizer, "mse", jit_compile=False)
        inputs = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
        model.fit(inputs, inputs.sum(1, keepdims=True), batch_size=8, epochs=3, shuffle=False, verbose=0)
        return [variable.numpy() for variable in model.trainable_variables]

    for one, two in zip(train(None), train(mirrored), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
