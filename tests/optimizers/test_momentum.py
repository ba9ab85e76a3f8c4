"""Momentum that changes from step to step, and weight decay that it carries: against numbers worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import STEPS, chain, fit, numbers, same, train

from tfxfer.errors import ConfigError
from tfxfer.optimizers import DifferentialLearningRate, of
from tfxfer.optimizers.schedules import MomentumCycle
from tfxfer.optimizers.torch_adam import TorchAdam

CYCLE = MomentumCycle(0.95, 0.5, steps=20, warmup_steps=6)
OPTIMIZERS = {
    "Adam": lambda: keras.optimizers.Adam(0.1),
    "AdamW": lambda: keras.optimizers.AdamW(0.1, weight_decay=0.0),
    "TorchAdam": lambda: TorchAdam(0.1),
}


def momentum_at(step):
    share = step / 6 if step < 6 else (step - 6) / 14
    ends = (0.95, 0.5) if step < 6 else (0.5, 0.95)
    return ends[0] + (ends[1] - ends[0]) * (1 - np.cos(np.pi * share)) / 2


def by_hand(gradients, first=0):
    """Where a variable of zeros is after steps that begin at number `first` of the cycle."""
    place = mean = square = np.zeros_like(gradients[0])
    for own, gradient in enumerate(gradients, start=1):
        momentum = momentum_at(first + own - 1)
        mean, square = momentum * mean + (1 - momentum) * gradient, 0.999 * square + 0.001 * gradient**2
        place = place - 0.1 * mean / (1 - momentum**own) / (np.sqrt(square / (1 - 0.999**own)) + 1e-7)
    return place


def given(steps=20):
    random = np.random.default_rng(5)
    return [random.normal(size=(3, 2)) for _ in range(steps)]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_twenty_steps_in_one_traced_loop_are_those_by_hand(kind):
    """Many steps run in one call of a graph, as an epoch in `fit`: nothing of Python looks on between them."""
    variable = keras.Variable(np.zeros((3, 2)), dtype="float64")
    optimizer = DifferentialLearningRate(OPTIMIZERS[kind](), lambda variable: 1.0, beta_1=CYCLE)
    optimizer.build([variable])

    @tf.function
    def run(gradients):
        for at in tf.range(len(gradients)):
            optimizer.apply([gradients[at]], [variable])

    run(tf.constant(np.stack(given())))
    np.testing.assert_allclose(variable.numpy(), by_hand(given()), rtol=3e-5)  # rate and momentum are float32


def test_a_fixed_momentum_would_be_noticed():
    variable = keras.Variable(np.zeros((3, 2)), dtype="float64")
    optimizer = keras.optimizers.Adam(0.1, beta_1=0.95)
    for gradient in given():
        optimizer.apply([tf.constant(gradient)], [variable])
    assert np.abs(variable.numpy() / by_hand(given()) - 1).max() > 0.01


def test_what_wakes_late_is_in_the_same_phase_and_counts_its_own_steps():
    awake, late = (keras.Variable(np.zeros((3, 2)), dtype="float64") for _ in range(2))
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(0.1), lambda variable: 1.0, beta_1=CYCLE)
    optimizer.build([awake])
    for step, gradient in enumerate(given()):
        if step == 8:
            optimizer.follow([awake, late])
        own = [awake, late] if step >= 8 else [awake]
        optimizer.apply([tf.constant(gradient)] * len(own), own)
    np.testing.assert_allclose(awake.numpy(), by_hand(given()), rtol=3e-5)
    np.testing.assert_allclose(late.numpy(), by_hand(given()[8:], first=8), rtol=3e-5)


@pytest.mark.slow
def test_two_devices_do_what_one_does(mirrored):
    def compiled():
        model = chain()
        model.compile(DifferentialLearningRate(keras.optimizers.Adam(0.1), lambda v: 0.5, beta_1=CYCLE), loss="mse")
        return model

    alone = compiled()
    with mirrored.scope():
        shared = compiled()
    for model in (alone, shared):
        fit(model, epochs=2)
    for one, other in zip(numbers(alone.variables), numbers(shared.variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_a_keras_file_goes_on_in_the_middle_of_a_cycle(tmp_path):
    model = chain()
    optimizer = DifferentialLearningRate(
        keras.optimizers.Adam(0.01, weight_decay=0.1),
        {"re:bias$": 2.0, "re:kernel$": 0.5},
        model=model, beta_1=CYCLE, decay_in_gradient=True, highest=2.0,
    )  # fmt: skip
    model.compile(optimizer, loss="mse")
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before = numbers(model.variables)
    for one in (model, loaded):
        train(one)
    assert int(of(loaded).iterations) == 2 * STEPS
    assert same(numbers(model.variables), numbers(loaded.variables))
    assert not same(before, numbers(loaded.variables))
    of(loaded).set_multipliers({"...": 2.0}, model=loaded)  # the highest is known, too


def test_a_file_of_before_there_were_these_settings_is_read():
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(0.1), lambda variable: 1.0)
    optimizer.build([keras.Variable(np.zeros(3))])
    config = optimizer.get_config()
    for name in ("beta_1", "decay_in_gradient", "highest"):
        del config[name]
    assert DifferentialLearningRate.from_config(config).get_config()["highest"] == 1.0


def test_settings_of_the_wrapped_optimizer_are_behind_a_step_what_they_were():
    variable = keras.Variable(np.zeros((3, 2)))
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(0.1, beta_1=0.9), lambda v: 1.0, beta_1=CYCLE)
    optimizer.apply([tf.ones((3, 2))], [variable])
    assert optimizer.get_config()["optimizer"]["config"]["beta_1"] == 0.9
    assert [cohort.optimizer.beta_1 for cohort in optimizer._cohorts] == [0.9]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decay_in_the_gradient_by_hand(momentum):
    """Caffe: v ← μ·v − rate·share·(gradient + decay·w), w ← w + v."""
    kernel = keras.Variable(np.ones((3, 2)), dtype="float64")
    optimizer = DifferentialLearningRate(
        keras.optimizers.SGD(0.1, momentum=momentum, weight_decay=0.5), lambda variable: 0.3, decay_in_gradient=True
    )
    place, velocity = np.ones((3, 2)), 0.0
    for gradient in given(5):
        optimizer.apply([tf.constant(gradient)], [kernel])
        velocity = momentum * velocity - 0.1 * 0.3 * (gradient + 0.5 * place)
        place = place + velocity
    np.testing.assert_allclose(kernel.numpy(), place, rtol=1e-6)


def test_decay_apart_from_the_gradient_is_another_thing():
    ends = []
    for decay_in_gradient in (False, True):
        kernel = keras.Variable(np.ones((3, 2)), dtype="float64")
        optimizer = DifferentialLearningRate(
            keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5),
            lambda variable: 1.0,
            decay_in_gradient=decay_in_gradient,
        )
        for _ in range(5):
            optimizer.apply([tf.zeros((3, 2), "float64")], [kernel])
        ends.append(kernel.numpy()[0, 0])
    assert ends[0] == pytest.approx(0.95**5)
    assert ends[1] < 0.6 * ends[0]


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("RMSprop", {"beta_1": CYCLE}, "RMSprop has no beta_1 that could change .* only Adam, AdamW, TorchAdam have"),
        ("Nadam", {"beta_1": CYCLE}, "Nadam has no beta_1"),
        ("SGD", {"beta_1": CYCLE}, r"Leave beta_1 out, or wrap keras.optimizers.Adam\(1e-3\)"),
        ("SGD", {"decay_in_gradient": True, "weight_decay_follows": False}, "Leave weight_decay_follows=False out"),
        ("SGD", {"highest": 0.5}, "highest=0.5 must be a finite number of at least 1"),
        ("SGD", {"highest": float("nan")}, "highest=nan must be"),
        ("SGD", {"highest": float("inf")}, "highest=inf must be"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        DifferentialLearningRate(getattr(keras.optimizers, kind)(0.1), lambda variable: 1.0, **settings)


def test_a_multiplier_above_1_moves_as_much_more_where_it_is_allowed():
    ours, plain = (keras.Variable(np.zeros(3), dtype="float64") for _ in range(2))
    optimizer = DifferentialLearningRate(keras.optimizers.SGD(0.1), lambda variable: 2.0, highest=2.0)
    optimizer.apply([tf.ones(3, "float64")], [ours])
    keras.optimizers.SGD(0.2).apply([tf.ones(3, "float64")], [plain])
    np.testing.assert_allclose(ours.numpy(), plain.numpy(), rtol=1e-6)
    assert optimizer.effective_rates() == pytest.approx({ours.path: 0.2})


def test_a_multiplier_above_the_highest_is_refused():
    optimizer = DifferentialLearningRate(keras.optimizers.SGD(0.1), lambda variable: 2.5, highest=2.0)
    with pytest.raises(ConfigError, match=r"=2.5 must be a finite number above 0 and at most 2"):
        optimizer.build([keras.Variable(np.zeros(3))])
    with pytest.raises(ConfigError, match=r"multipliers\['...'\]=2.5 must be .* at most 2"):
        DifferentialLearningRate(keras.optimizers.SGD(0.1), {"...": 2.5}, model=chain(), highest=2.0)
