"""Each thing that a proof promises to notice, planted; and each that is no fault, let pass."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer.errors import VerificationError
from tfxfer.models import Proof
from tfxfer.optimizers import DifferentialLearningRate

layers = keras.layers
NOISE = np.random.default_rng(0)
X, Y = NOISE.normal(size=(16, 6)).astype("float32"), NOISE.normal(size=(16, 2)).astype("float32")


def chain(*between) -> keras.Model:
    """Functional, where paths of variables do not begin with the name of the model."""
    keras.utils.set_random_seed(1)
    stack = [layers.Dense(5, "tanh", name="first"), *between, layers.Dense(4, "tanh", name="second")]
    pixels = x = keras.Input((6,))
    for layer in [*stack, layers.Dense(2, name="last")]:
        x = layer(x)
    return keras.Model(pixels, x)


def compiled(model=None, optimizer=None, **settings) -> keras.Model:
    model = model or chain()
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss="mse", **settings)
    return model


def fit(model, steps: int = 2) -> None:
    model.fit(X[: 8 * steps], Y[: 8 * steps], batch_size=8, verbose=0)


def differential() -> DifferentialLearningRate:
    return DifferentialLearningRate(keras.optimizers.SGD(0.05), lambda variable: 1.0)


def test_all_that_trained_moved_and_all_that_was_frozen_stood_still():
    model = compiled()
    tfxfer.freeze(model, train="second")
    proof = Proof(model)
    before = proof.digest
    fit(model)
    assert proof.check(steps=2) == 4
    assert proof.idle == ()
    assert proof.digest == before == Proof(model).digest
    model.get_layer("first").kernel.assign_add(np.full((6, 5), 1e-3))
    assert Proof(model).digest != before


def test_one_bit_of_a_frozen_weight_is_noticed_and_named():
    model = chain()
    tfxfer.freeze(model, train="second")
    proof = Proof(model)
    kernel = model.get_layer("first").kernel
    value = kernel.numpy()
    value.view(np.uint32)[2, 3] ^= 1
    kernel.assign(value)
    with pytest.raises(VerificationError, match=r"first/kernel moved, but is frozen\."):
        proof.check(steps=0)


def test_many_are_counted():
    model = chain()
    tfxfer.freeze(model, train="head")
    proof = Proof(model)
    for layer in model.layers[:3]:
        for variable in layer.weights:
            variable.assign_add(keras.ops.ones_like(variable))
    with pytest.raises(VerificationError, match="first/kernel, first/bias, second/kernel, second/bias moved, but are"):
        proof.check_frozen()


@pytest.mark.parametrize("later", ["woken", "put to sleep"])
def test_plain_keras_ignores_flags_that_change_after_fit_and_a_proof_notices(later):
    """The two silent cases: what wakes does not train, and what is put to sleep goes on training."""
    model = compiled()
    tfxfer.freeze(model, train="head" if later == "woken" else "second")
    fit(model)
    model.get_layer("second").trainable = later == "woken"
    if later == "woken":
        with pytest.raises(VerificationError, match=r"slots for 2 variables and the model trains 4; apart: second/"):
            Proof(model)
    else:
        proof = Proof(model)
        fit(model)
        with pytest.raises(VerificationError, match=r"second/kernel, second/bias moved, but are frozen"):
            proof.check(steps=2)


@pytest.mark.parametrize(
    ("layer", "awake", "message"),
    [
        ("first", True, "first/kernel, first/bias became trainable while the model was training"),
        ("second", False, "second/kernel, second/bias became frozen .* Change it with tfxfer.freeze"),
    ],
)
def test_a_flag_that_changes_behind_our_back_is_noticed(layer, awake, message):
    model = compiled(optimizer=differential())
    tfxfer.freeze(model, train="second")
    proof = Proof(model)
    fit(model)
    model.get_layer(layer).trainable = awake
    with pytest.raises(VerificationError, match=message):
        proof.check(steps=2)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("all", "slots for 4 variables and the model trains 6; apart: first/kernel, first/bias"),
        ("head", "slots for 4 variables and the model trains 2; apart: second/kernel, second/bias"),
    ],
)
def test_a_slot_too_few_or_too_many_is_noticed(train, message):
    model = compiled(optimizer=differential())
    tfxfer.freeze(model, train="second")
    model.optimizer.build(model.trainable_variables)
    Proof(model)
    other = keras.Model(model.inputs, model.outputs)  # not compiled: `freeze` cannot tell the optimizer
    tfxfer.freeze(other, train=train)
    with pytest.raises(VerificationError, match=message):
        Proof(model)


@pytest.mark.parametrize("wrap", [lambda inner: inner, keras.optimizers.LossScaleOptimizer])
def test_an_optimizer_of_keras_may_know_more_but_not_less(wrap):
    model = compiled(optimizer=wrap(keras.optimizers.Adam(0.01)))
    model.optimizer.build(model.trainable_variables)
    model.get_layer("first").trainable = False
    Proof(model)
    model = compiled(optimizer=wrap(keras.optimizers.Adam(0.01)))
    model.optimizer.build(model.trainable_variables[2:])
    with pytest.raises(VerificationError, match="slots for 4 variables and the model trains 6; apart: first/kernel"):
        Proof(model)


@keras.saving.register_keras_serializable("test_proof")
class Blocked(layers.Layer):
    """Lets no gradient through."""

    def call(self, x):
        return keras.ops.stop_gradient(x)


def test_a_group_that_no_gradient_reaches_is_named():
    model = compiled(chain(Blocked()))
    tfxfer.freeze(model, train="all")
    proof = Proof(model)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        fit(model)
    with pytest.raises(VerificationError, match=r"first/kernel, first/bias did not move in 2 steps.*no gradient"):
        proof.check(steps=2)


def test_one_step_below_a_zero_head_moves_nothing_there_and_is_no_fault():
    model = compiled()
    model.get_layer("last").kernel.assign(np.zeros((4, 2)))
    tfxfer.freeze(model, train="all")
    proof = Proof(model)
    fit(model, steps=1)
    assert proof.check(steps=1) == 2
    assert len(proof.idle) == 4


def test_a_branch_that_is_off_is_told_but_is_no_fault():
    """All units of one convolution of a residual block are off, so its gradient is exactly 0."""
    below = keras.initializers.Constant(-99.0)
    off = layers.Conv1D(3, 3, padding="same", activation="relu", bias_initializer=below, name="off")
    after = layers.Conv1D(3, 3, padding="same", name="after")
    pixels = keras.Input((6,))
    x = layers.Conv1D(3, 3, padding="same", name="first")(layers.Reshape((6, 1))(pixels))
    x = layers.Conv1D(3, 3, padding="same", name="second")(layers.Add()([x, after(off(x))]))
    x = layers.Dense(2, name="last")(layers.GlobalAveragePooling1D()(x))
    model = compiled(keras.Model(pixels, x), run_eagerly=True)
    tfxfer.freeze(model, train="all")
    proof = Proof(model)
    fit(model)
    assert proof.check(steps=2) == 7
    assert proof.idle == ("off/kernel", "off/bias", "after/kernel")


def test_a_bias_in_front_of_batch_norm_is_no_fault():
    model = compiled(chain(layers.BatchNormalization(name="norm")))
    tfxfer.freeze(model, train="all", batch_norm="train")
    proof = Proof(model)
    fit(model)
    assert proof.check(steps=2) + len(proof.idle) == 8


def test_a_rate_too_small_for_a_gain_of_one_is_no_fault():
    model = tfxfer.with_stored_statistics(chain(layers.BatchNormalization(name="norm")))
    compiled(model, keras.optimizers.SGD(1e-8))
    tfxfer.freeze(model, train="all", batch_norm="affine")
    proof = Proof(model)
    fit(model)
    proof.check(steps=2)
    assert "norm/gamma" in proof.idle


@pytest.mark.parametrize(
    ("train", "batch_norm"),
    [("all", "train"), ("all", "frozen"), ("second", "train"), ("head", "frozen")],
)
def test_statistics_may_move_where_they_train_and_nowhere_else(train, batch_norm):
    model = compiled(chain(layers.BatchNormalization(name="norm")), run_eagerly=True)
    tfxfer.freeze(model, train=train, batch_norm=batch_norm)
    proof = Proof(model)
    fit(model)
    proof.check(steps=2)
    model.get_layer("norm").moving_mean.assign_add(np.ones(5))
    if model.get_layer("norm").trainable:
        proof.check(steps=2)
    else:
        with pytest.raises(VerificationError, match="norm/moving_mean moved, but is frozen"):
            proof.check(steps=2)


def test_stored_statistics_are_to_stand_still_though_their_gains_train():
    model = tfxfer.with_stored_statistics(chain(layers.BatchNormalization(name="norm")))
    tfxfer.freeze(model, train="all", batch_norm="affine")
    proof = Proof(model)
    model.get_layer("norm").layer.moving_mean.assign_add(np.ones(5))
    with pytest.raises(VerificationError, match="norm/moving_mean moved, but is frozen"):
        proof.check(steps=0)


def test_what_a_normalization_layer_was_adapted_to_is_to_stand_still():
    normal = layers.Normalization(name="normal")
    normal.adapt(X)
    first = layers.Dense(5, name="first")
    model = keras.Sequential([keras.Input((6,)), normal, first, layers.Dense(2, name="last")])
    tfxfer.freeze(model, train="all")
    proof = Proof(model)
    normal.adapt(X + 1)
    with pytest.raises(VerificationError, match="normal/mean"):
        proof.check(steps=0)


@keras.saving.register_keras_serializable("test_proof")
class Watching(layers.Layer):
    """Keeps a mean of its own, a metric and random state, as layers of other people do."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.metric = keras.metrics.Mean(name="seen")
        self.seed_generator = keras.random.SeedGenerator(0)

    def build(self, shape):
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.mean = self.add_weight(shape=(), initializer="zeros", trainable=False, name="mean")

    def call(self, x):
        self.metric.update_state(keras.ops.mean(x))
        self.mean.assign(0.9 * self.mean + 0.1 * keras.ops.mean(x))
        return self.gain * x + 1e-3 * keras.random.normal((5,), seed=self.seed_generator)


def test_state_of_a_layer_is_free_while_it_trains_and_still_while_it_is_frozen():
    """A batch norm of someone else's that moves its means though it is frozen is what this must find."""
    model = compiled(chain(Watching(name="watching")), metrics=["mae"], run_eagerly=True)
    tfxfer.freeze(model, train="all")
    proof = Proof(model)
    fit(model)
    assert proof.check(steps=2) == 7
    tfxfer.freeze(model, train="second")
    proof = Proof(model)
    fit(model)
    with pytest.raises(VerificationError, match=r"watching/mean moved, but is frozen"):
        proof.check(steps=2)


def test_metrics_and_random_state_are_no_weights():
    model = compiled(chain(layers.Dropout(0.5, seed=1)), metrics=["mae"], run_eagerly=True)
    tfxfer.freeze(model, train="head")
    proof = Proof(model)
    fit(model)
    assert proof.check(steps=2) == 2


def test_a_frozen_recurrent_layer_may_go_on_where_it_stopped():
    memory = layers.GRU(3, stateful=True, name="memory")
    stack = [keras.Input((2, 3), batch_size=8), memory, layers.Dense(4, name="second"), layers.Dense(2, name="last")]
    model = compiled(keras.Sequential(stack), run_eagerly=True)
    tfxfer.freeze(model, train="second")
    proof = Proof(model)
    model.fit(X.reshape(16, 2, 3), Y, batch_size=8, verbose=0)
    assert np.abs(memory.states[0].numpy()).max() > 0
    assert proof.check(steps=2) == 4


def test_spectral_normalization_changes_a_frozen_kernel_in_each_step_and_is_found_out():
    """It does so in Keras 3.15, whatever `trainable` says."""
    spectral = layers.SpectralNormalization(layers.Dense(5, name="inner"), name="spectral")
    model = compiled(keras.Sequential([keras.Input((6,)), spectral, layers.Dense(2, name="last")]), run_eagerly=True)
    tfxfer.freeze(model, train="head")
    proof = Proof(model)
    fit(model)
    with pytest.raises(VerificationError, match="moved, but"):
        proof.check(steps=2)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_other_precisions_are_compared_too(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = compiled(chain(), run_eagerly=True)
        tfxfer.freeze(model, train="second")
        proof = Proof(model)
        fit(model)
        assert proof.check(steps=2) == 4
        model.get_layer("first").kernel.assign_add(np.ones((6, 5)))
        with pytest.raises(VerificationError, match="first/kernel moved"):
            proof.check(steps=2)
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_model_without_a_layer_graph_is_proved_as_a_whole():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = layers.Dense(5, name="first"), layers.Dense(2, name="last")

        def call(self, x):
            return self.last(self.first(x))

    model = Own()
    model(X)
    model.first.trainable = False
    compiled(model, run_eagerly=True)
    proof = Proof(model)
    fit(model)
    assert proof.check(steps=2) == 2
    still = Proof(model)
    with pytest.raises(VerificationError, match=r"kernel.* did not move in 9 steps"):
        still.check(steps=9)


@pytest.mark.slow
def test_on_two_devices(mirrored):
    with mirrored.scope():
        model = compiled(chain(layers.BatchNormalization(name="norm")))
    tfxfer.freeze(model, train="all", batch_norm="train")
    proof = Proof(model)
    fit(model)
    proof.check(steps=2)
    tfxfer.freeze(model, train="second")
    proof = Proof(model)
    fit(model)
    assert proof.check(steps=2) == 4


@pytest.mark.slow
def test_digests_of_a_large_model_take_seconds_and_no_copies():
    import time
    import tracemalloc

    wide = [layers.Dense(4096, name=name) for name in "abc"]
    model = keras.Sequential([keras.Input((2048,)), *wide, layers.Dense(2, name="last")])  # 160 MiB
    tfxfer.freeze(model, train="head")
    tracemalloc.start()
    start = time.monotonic()
    proof = Proof(model)
    took, (kept, _) = time.monotonic() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert proof.digest
    assert kept < 2**20
    assert took < 10
