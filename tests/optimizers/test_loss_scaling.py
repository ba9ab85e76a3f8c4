"""A step whose gradients are no numbers is not made, on any replica; all others are those without a scale."""

import keras
import numpy as np
import pytest
import small_networks
import tensorflow as tf

from tfxfer.optimizers import DifferentialLearningRate, LossScaling, loss_scaling


def inner(**settings):
    return DifferentialLearningRate(keras.optimizers.Adam(0.05, **settings), lambda variable: 0.5)


def built(optimizer, *shapes):
    variables = [keras.Variable(np.arange(1.0, 1 + np.prod(shape)).reshape(shape), dtype="float32") for shape in shapes]
    optimizer.build(variables)
    return variables


def step(optimizer, variables, gradients, *, scaled: bool) -> None:
    scale = loss_scaling.scale_of(optimizer) if scaled else 1.0
    optimizer.apply([tf.constant(gradient, tf.float32) * scale for gradient in gradients], variables)


@pytest.mark.parametrize(
    "settings",
    [{}, {"global_clipnorm": 0.1}, {"gradient_accumulation_steps": 2}, {"use_ema": True}, {"weight_decay": 0.1}],
    ids=str,
)
def test_steps_are_those_of_the_optimizer_within_and_broken_ones_are_as_if_they_had_not_been(settings):
    plain, scaling = inner(**settings), LossScaling(inner(**settings))
    one, other = built(plain, (2,), (3, 2)), built(scaling, (2,), (3, 2))
    numbers = np.random.default_rng(0)
    for number in range(7):
        gradients = [numbers.normal(size=variable.shape) for variable in one]
        step(plain, one, gradients, scaled=False)
        step(scaling, other, gradients, scaled=True)
        if number in (0, 3, 4):
            before = small_networks.numbers([*other, *scaling.inner_optimizer.variables])
            gradients[1][0, 0] = np.nan if number else np.inf
            step(scaling, other, gradients, scaled=True)
            assert small_networks.same(before, small_networks.numbers([*other, *scaling.inner_optimizer.variables]))
    assert small_networks.same(small_networks.numbers(one), small_networks.numbers(other))  # a scale is a power of 2
    assert loss_scaling.skipped_steps(scaling) == 3
    assert loss_scaling.steps_taken(scaling) == 10
    assert float(loss_scaling.scale_of(scaling)) == 2.0**12


def test_the_scale_doubles_behind_so_many_good_steps():
    scaling = LossScaling(inner(), dynamic_growth_steps=3)
    variables = built(scaling, (2,))
    scales = []
    for broken in (0, 0, 1, 0, 0, 0, 0):
        step(scaling, variables, [[np.inf if broken else 1.0, 1.0]], scaled=True)
        scales.append(float(scaling.dynamic_scale.numpy()) / 2**15)
    assert scales == [1, 1, 0.5, 0.5, 0.5, 1, 1]


def test_gradients_that_no_scale_helps_are_told():
    scaling = LossScaling(inner(), initial_scale=2.0**-9)
    variables = built(scaling, (2,))
    assert not loss_scaling.is_lost(scaling)
    for _ in range(2):
        step(scaling, variables, [[np.nan, 1.0]], scaled=True)
    assert loss_scaling.is_lost(scaling)
    assert not loss_scaling.is_lost(inner())


def on_replicas(strategy, kind):
    """Returns a variable, its optimizer, and what makes a step: the gradient is 1, on the last replica another."""
    with strategy.scope():
        variable = keras.Variable([1.0, 2.0])
        optimizer = kind(inner())
        optimizer.build([variable])

    @tf.function(autograph=False)
    def run(last):
        def replica():
            context = tf.distribute.get_replica_context()
            gradient = tf.where(context.replica_id_in_sync_group == 1, last, 1.0) * tf.ones(2)
            optimizer.apply_gradients([(gradient, variable)])

        strategy.run(replica)

    return variable, optimizer, lambda last: run(tf.constant(last))


def test_replicas_skip_a_step_together(mirrored):
    variable, optimizer, run = on_replicas(mirrored, LossScaling)
    run(1.0)
    before = variable.numpy()
    assert (before != [1.0, 2.0]).all()
    run(float("inf"))
    for copy in mirrored.experimental_local_results(variable.value):
        np.testing.assert_array_equal(copy.numpy(), before)
    assert (loss_scaling.skipped_steps(optimizer), loss_scaling.steps_taken(optimizer)) == (1, 2)
    run(1.0)
    assert np.isfinite(variable.numpy()).all()
    assert (variable.numpy() != before).all()


def test_keras_lets_the_gradients_of_other_replicas_through(mirrored):
    """The canary. Where it fails, Keras has mended it, and `_tf_apply` of ours can go."""
    variable, _, run = on_replicas(mirrored, keras.optimizers.LossScaleOptimizer)
    run(float("inf"))
    assert not np.isfinite(variable.numpy()).any()


def test_it_is_saved_and_loaded_with_the_network(tmp_path):
    model = small_networks.chain()
    optimizer = LossScaling(DifferentialLearningRate(keras.optimizers.Adam(0.05), {"...": 1.0}, model=model))
    model.compile(optimizer, loss="mse")
    small_networks.fit(model)
    optimizer.dynamic_scale.assign(8.0)
    optimizer.skipped.assign(5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    small_networks.fit(model), small_networks.fit(loaded)
    assert small_networks.same(small_networks.numbers(model.variables), small_networks.numbers(loaded.variables))
    assert (float(loaded.optimizer.dynamic_scale.numpy()), loss_scaling.skipped_steps(loaded.optimizer)) == (8.0, 5)
