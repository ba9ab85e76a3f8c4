"""Every optimizer of Keras moves each variable by its share of the plain update."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from optimizers_of_keras import IN_TIERS, KINDS
from small_networks import numbers, same

from tfxfer.errors import ConfigError
from tfxfer.optimizers import DifferentialLearningRate
from tfxfer.optimizers.wrapped import Wrapped

SHARES = (0.3, 0.05)
REFUSED = {"Ftrl", "MultiOptimizer", "OptimizerMap", "LossScaleOptimizer", "Optimizer"}
# The state holds the variable itself, so it must not be moved under its feet.
REMEMBERS_VARIABLES = ("ScheduleFreeAdamW",)


def variables(dtype="float64", size=1.0):
    random = np.random.default_rng(1)
    return [
        keras.Variable(size * random.normal(size=(4, 3)), dtype=dtype, name="kernel"),
        keras.Variable(size * random.normal(size=3), dtype=dtype, name="bias"),
    ]


def exact(kind):
    """Arguments of `variables` under which a move can be read off to more than seven digits."""
    # Keras's Muon mixes float32 into its products; float32 that start at 0 tell their move exactly.
    return ("float32", 0.0) if kind == "Muon" else ("float64", 1.0)


def gradients(step, dtype="float64"):
    random = np.random.default_rng(100 + step)
    return [random.normal(size=(4, 3)).astype(dtype), random.normal(size=3).astype(dtype)]


def differential(make, own, shares=SHARES, **settings):
    by_id = {id(variable): share for variable, share in zip(own, shares, strict=True)}
    return DifferentialLearningRate(make(), lambda variable: by_id[id(variable)], **settings)


def built(optimizer, own):
    optimizer.build(own)
    return optimizer


def check_shares(plain, ours, step_plain, step_ours, resets):
    """Compares each update of `ours` with the share of that of `plain`, from equal state, at each of six steps."""
    start = numbers(plain)
    for step in range(6):
        for variable, number in zip([*plain, *ours] if resets else (), [*start, *start], strict=False):
            variable.assign(number)
        step_plain(step)
        step_ours(step)
        for one, other, before, share in zip(plain, ours, start, SHARES, strict=True):
            wanted = share * (one.numpy() - before)
            assert np.abs(wanted).min() > 1e-9
            np.testing.assert_allclose(other.numpy() - before, wanted, rtol=1e-6, atol=0)


def test_every_optimizer_of_keras_is_tried_or_refused():
    listed = {name for name, value in vars(keras.optimizers).items() if inspect.isclass(value)}
    tried = {name.partition(",")[0] for name in KINDS}
    assert listed - tried - REFUSED == set(), "new in Keras: is its update proportional to the rate? See wrapped.py."


def test_whoever_decays_in_its_own_way_is_known():
    own = {
        name
        for name, value in vars(keras.optimizers).items()
        if inspect.isclass(value) and "_apply_weight_decay" in vars(value)
    }
    assert own <= {"Muon", "Optimizer"}, "new in Keras: see weight_decay in wrapped.py."


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_is_the_share_of_the_plain_one(kind):
    make, plain, ours = KINDS[kind], variables(*exact(kind)), variables(*exact(kind))
    dtype = ours[0].dtype
    bare, shared = built(make(), plain), built(differential(make, ours), ours)
    check_shares(
        plain, ours,
        lambda step: bare.apply(gradients(step, dtype), plain),
        lambda step: shared.apply(gradients(step, dtype), ours),
        kind not in REMEMBERS_VARIABLES,
    )  # fmt: skip


@pytest.mark.parametrize("kind", IN_TIERS)
def test_an_update_is_the_share_of_the_plain_one_on_two_devices(kind, mirrored):
    make = KINDS[kind]
    with mirrored.scope():
        plain, ours = variables(*exact(kind)), variables(*exact(kind))
        bare, shared = built(make(), plain), built(differential(make, ours), ours)

    dtype = ours[0].dtype

    def stepping(optimizer, own):
        @tf.function
        def step(given):
            def replica():
                part = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group + 1, dtype)
                optimizer.apply([gradient * part for gradient in given], own)

            mirrored.run(replica)

        return lambda number: step([tf.constant(gradient) for gradient in gradients(number, dtype)])

    check_shares(plain, ours, stepping(bare, plain), stepping(shared, ours), kind not in REMEMBERS_VARIABLES)
    for variable in ours:
        first, second = (part.numpy() for part in mirrored.experimental_local_results(variable.value))
        np.testing.assert_array_equal(first, second)


def test_a_share_of_the_rate_would_not_do_for_adafactor(monkeypatch):
    monkeypatch.setattr(Wrapped, "is_linear", True)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_an_update_is_the_share_of_the_plain_one("Adafactor, high rate")


def test_sgd_with_momentum_by_hand():
    [kernel, bias] = ours = variables()
    optimizer = differential(lambda: keras.optimizers.SGD(0.1, momentum=0.9), ours)
    moved, velocity = numbers(ours), [0.0, 0.0]
    for step in range(5):
        optimizer.apply(gradients(step), ours)
        for at, gradient in enumerate(gradients(step)):
            velocity[at] = 0.9 * velocity[at] - np.float32(0.1) * SHARES[at] * gradient
            moved[at] = moved[at] + velocity[at]
    np.testing.assert_allclose(kernel.numpy(), moved[0], rtol=1e-6)
    np.testing.assert_allclose(bias.numpy(), moved[1], rtol=1e-6)


def test_adam_by_hand():
    ours = variables()
    optimizer = differential(lambda: keras.optimizers.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-5), ours)
    moved, first, second = numbers(ours), [0.0, 0.0], [0.0, 0.0]
    for step in range(5):
        optimizer.apply(gradients(step), ours)
        for at, gradient in enumerate(gradients(step)):
            first[at] = 0.8 * first[at] + 0.2 * gradient
            second[at] = 0.9 * second[at] + 0.1 * gradient**2
            # Keras adds epsilon before it corrects the bias of the second moment.
            correction = np.sqrt(1 - 0.9 ** (step + 1)) / (1 - 0.8 ** (step + 1))
            moved[at] = moved[at] - SHARES[at] * 0.01 * correction * first[at] / (np.sqrt(second[at]) + 1e-5)
    for variable, wanted in zip(ours, moved, strict=True):
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=1e-6)


def test_rmsprop_by_hand():
    ours = variables()
    optimizer = differential(lambda: keras.optimizers.RMSprop(0.01, rho=0.8, epsilon=1e-5), ours)
    moved, mean = numbers(ours), [0.0, 0.0]
    for step in range(5):
        optimizer.apply(gradients(step), ours)
        for at, gradient in enumerate(gradients(step)):
            mean[at] = 0.8 * mean[at] + 0.2 * gradient**2
            moved[at] = moved[at] - SHARES[at] * 0.01 * gradient / np.sqrt(mean[at] + 1e-5)
    for variable, wanted in zip(ours, moved, strict=True):
        np.testing.assert_allclose(variable.numpy(), wanted, rtol=1e-6)


def test_nesterov_and_weight_decay_by_hand():
    [kernel, bias] = [keras.Variable(np.ones((2, 2), np.float32)), keras.Variable(np.ones(2, np.float32))]
    optimizer = DifferentialLearningRate(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
        lambda variable: 0.5 if variable is kernel else 1.0,
        decays=lambda variable: variable is kernel,
    )
    optimizer.apply([np.ones((2, 2), np.float32), np.ones(2, np.float32)], [kernel, bias])
    # decay first: 1 − 0.05·0.2; then Nesterov: velocity −0.05, step 0.9·(−0.05) − 0.05
    np.testing.assert_allclose(kernel.numpy(), 1 - 0.01 - 0.095, rtol=1e-6)
    # a bias does not decay
    np.testing.assert_allclose(bias.numpy(), 1 - 0.19, rtol=1e-6)


@pytest.mark.parametrize("kind", IN_TIERS)
def test_with_multipliers_of_1_fifty_steps_are_bit_for_bit_those_of_the_plain_one(kind):
    plain, ours = variables("float32"), variables("float32")
    bare, shared = built(KINDS[kind](), plain), built(differential(KINDS[kind], ours, (1.0, 1.0)), ours)

    @tf.function
    def step(given):
        bare.apply(given, plain)
        shared.apply(given, ours)

    for number in range(50):
        step([tf.constant(gradient) for gradient in gradients(number, "float32")])
    assert same(numbers(plain), numbers(ours))
    slots = [v for v in bare.variables if v.path.rpartition("/")[2] not in ("iteration", "learning_rate")]
    own = [v for v in shared.variables if v.path.rpartition("/")[2] not in ("iteration", "learning_rate")]
    assert same(numbers(slots), numbers(own))


class Wayward(keras.optimizers.Adam):
    """One whose update is the square of its rate."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * learning_rate)


def test_your_own_optimizer_is_scaled_after_its_update_even_if_its_base_class_is_known():
    make, plain, ours = (lambda: Wayward(0.1)), variables(), variables()
    bare, shared = built(make(), plain), differential(make, ours)
    check_shares(
        plain, ours,
        lambda step: bare.apply(gradients(step), plain),
        lambda step: shared.apply(gradients(step), ours),
        resets=True,
    )  # fmt: skip


def test_settings_that_a_config_leaves_out_are_left_out():
    class Terse(keras.optimizers.Optimizer):
        def __init__(self, learning_rate=0.1):
            super().__init__(learning_rate)

        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, learning_rate * gradient)

        def get_config(self):
            return {"learning_rate": float(self._learning_rate.numpy())}

    variable = keras.Variable(np.ones(2, np.float32))
    DifferentialLearningRate(Terse(0.5), lambda variable: 0.5).apply([np.ones(2, np.float32)], [variable])
    np.testing.assert_allclose(variable.numpy(), 0.75)


def test_muon_decays_what_it_leaves_to_adamw_by_another_number():
    optimizer = keras.optimizers.Muon(0.1, weight_decay=0.25, adam_weight_decay=0.5)
    kernel, bias = variables("float32")
    wrapped = Wrapped(optimizer)
    assert (wrapped.weight_decay(kernel), wrapped.weight_decay(bias)) == (0.25, 0.5)


def decaying_in_its_own_way():
    class Own(keras.optimizers.SGD):
        def _apply_weight_decay(self, variables):
            """Decays by the moon."""

    return Own(0.1)


def built_already():
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables())
    return optimizer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: "adam", "'adam' is no Keras optimizer. Write keras.optimizers.Adam"),
        (lambda: keras.optimizers.Ftrl(0.1), "not proportional to its learning rate.*such as keras.optimizers.Adam"),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()), "goes around, not within"),
        (lambda: DifferentialLearningRate(keras.optimizers.Adam(), lambda variable: 1.0), "moves nothing by itself"),
        (lambda: keras.optimizers.Optimizer(0.1), "moves nothing by itself"),
        (decaying_in_its_own_way, "applies weight decay in a way of its own"),
        (built_already, "built on variables already. Give a fresh one: Adam.from_config"),
    ],
)
def test_what_cannot_be_wrapped_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        DifferentialLearningRate(make(), lambda variable: 1.0)


@pytest.mark.skipif(not hasattr(keras.optimizers, "MultiOptimizer"), reason="came with Keras 3.15")
def test_several_optimizers_in_one_are_refused():
    several = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.Adam()))
    with pytest.raises(ConfigError, match=r"MultiOptimizer moves nothing by itself\. Give a single optimizer"):
        DifferentialLearningRate(several, lambda variable: 1.0)


def test_the_optimizer_that_was_given_stays_as_it_was():
    optimizer = keras.optimizers.Adam(0.01)
    before = optimizer.get_config()
    ours = variables("float32")
    DifferentialLearningRate(optimizer, lambda variable: 0.5).apply(gradients(0, "float32"), ours)
    assert not optimizer.built
    assert optimizer.get_config() == before
