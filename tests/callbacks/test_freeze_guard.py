"""The guard in `fit`: what it lets pass, and each thing that it stops for."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer.callbacks.freeze_guard import FreezeGuard
from tfxfer.callbacks.gradual_unfreezing import GradualUnfreezing
from tfxfer.errors import VerificationError
from tfxfer.optimizers import DifferentialLearningRate

layers = keras.layers
NOISE = np.random.default_rng(0)
X, Y = NOISE.normal(size=(16, 6)).astype("float32"), NOISE.normal(size=(16, 2)).astype("float32")


def compiled(optimizer=None, run_eagerly=True) -> keras.Model:
    keras.utils.set_random_seed(1)
    pixels = keras.Input((6,))
    x = layers.Dense(5, "tanh", name="first")(pixels)
    x = layers.Dense(2, name="last")(layers.Dense(4, "tanh", name="second")(x))
    model = keras.Model(pixels, x)
    # Eagerly, for speed; `fit` has a train function either way.
    model.compile(optimizer or keras.optimizers.SGD(0.05), loss="mse", run_eagerly=run_eagerly)
    return model


def differential():
    return DifferentialLearningRate(keras.optimizers.SGD(0.05), lambda variable: 1.0)


def fit(model, *callbacks, epochs=3):
    validation = X[:4], Y[:4]
    return model.fit(
        X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), validation_data=validation
    )


class At(keras.callbacks.Callback):
    """Does something at the beginning or end of one epoch or batch."""

    def __init__(self, method: str, number: int, act):
        super().__init__()
        setattr(self, method, lambda at=number, logs=None: act(self.model) if at == number else None)


def touch(model):
    model.get_layer("first").kernel.assign_add(np.full((6, 5), 1e-6))


def test_nothing_is_said_when_all_is_well():
    model = compiled()
    tfxfer.freeze(model, train="second")
    guard = FreezeGuard()
    assert len(fit(model, guard).epoch) == 3
    assert guard.idle == ()


@pytest.mark.parametrize(
    ("method", "number"), [("on_train_batch_end", 1), ("on_epoch_end", 1), ("on_epoch_begin", 2), ("on_test_end", None)]
)
def test_a_callback_that_touches_a_frozen_kernel_is_found_out(method, number):
    model = compiled()
    tfxfer.freeze(model, train="second")
    meddler = keras.callbacks.LambdaCallback() if number is None else At(method, number, touch)
    if number is None:
        meddler.on_test_end = lambda logs=None: touch(model)
    with pytest.raises(VerificationError, match="first/kernel moved, but is frozen"):
        fit(model, meddler, FreezeGuard())


def test_a_layer_set_trainable_behind_its_back_is_found_out():
    def wake(model):
        model.get_layer("first").trainable = True

    model = compiled(run_eagerly=False)
    tfxfer.freeze(model, train="second")
    with pytest.raises(VerificationError, match="first/kernel, first/bias became trainable"):
        fit(model, At("on_epoch_begin", 1, wake), FreezeGuard(), epochs=2)


def test_flags_changed_between_compile_and_a_second_fit_are_found_out():
    model = compiled()
    tfxfer.freeze(model, train="head")
    fit(model, epochs=1)
    model.get_layer("first").trainable = True
    with pytest.raises(VerificationError, match="slots for 2 variables and the model trains 4; apart: first/kernel"):
        fit(model, FreezeGuard(), epochs=1)


@pytest.mark.parametrize(
    ("first", "method"),
    [
        ("guard", "on_epoch_begin"),
        pytest.param("change", "on_train_batch_end", marks=pytest.mark.slow),
        pytest.param("change", "on_epoch_begin", marks=pytest.mark.slow),
        pytest.param("guard", "on_train_batch_end", marks=pytest.mark.slow),
    ],
)
def test_it_follows_freeze_within_fit_wherever_it_stands(first, method):
    model = compiled()
    tfxfer.freeze(model, train="head")
    guard, change = FreezeGuard(), At(method, 1, lambda model: tfxfer.freeze(model, train="second"))
    fit(model, *((guard, change) if first == "guard" else (change, guard)))
    tfxfer.freeze(model, train="head")
    change = At(method, 1, lambda model: (touch(model), tfxfer.freeze(model, train="all")))
    with pytest.raises(VerificationError, match="first/kernel moved, but is frozen"):
        fit(model, *((guard, change) if first == "guard" else (change, guard)))


def test_it_follows_gradual_unfreezing_also_when_that_puts_weights_back():
    fit(compiled(differential()), GradualUnfreezing({0: "head", 1: "second", 2: "all"}, show=None), FreezeGuard())

    class Worse(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            logs["score"] = float(epoch)

    search = GradualUnfreezing.searching(["head", "second"], monitor="score", mode="min", show=None)
    fit(compiled(differential()), Worse(), search, FreezeGuard(), epochs=4)
    assert search.found == "head"


def test_best_weights_put_back_at_the_end_are_no_fault():
    model = compiled()
    tfxfer.freeze(model, train="second")
    stop = keras.callbacks.EarlyStopping("val_loss", mode="max", patience=1, restore_best_weights=True)
    fit(model, stop, FreezeGuard())


def test_weights_restored_before_the_first_batch_are_no_fault():
    class Restore(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            touch(self.model)

    model = compiled()
    tfxfer.freeze(model, train="second")
    fit(model, FreezeGuard(), Restore())


def test_a_group_that_does_not_move_is_named():
    model = compiled()
    tfxfer.freeze(model, train="all")
    model.get_layer("last").kernel.assign(np.zeros((4, 2)))

    def hold(model):
        model.get_layer("last").kernel.assign(np.zeros((4, 2)))

    hold_each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: hold(model))
    with pytest.raises(VerificationError, match=r"first/kernel, first/bias did not move in 2 steps"):
        fit(model, hold_each, FreezeGuard())


def test_one_guard_serves_one_fit_after_the_other():
    model, guard = compiled(differential()), FreezeGuard()
    for train in ("head", "all", "second"):
        tfxfer.freeze(model, train=train)
        fit(model, guard, epochs=1)


@pytest.mark.slow
def test_in_a_compiled_train_function_on_two_devices(mirrored):
    with mirrored.scope():
        model = compiled(run_eagerly=False)
    tfxfer.freeze(model, train="second")
    fit(model, FreezeGuard(), epochs=1)
    with pytest.raises(VerificationError, match="first/kernel moved, but is frozen"):
        fit(model, At("on_train_batch_end", 1, touch), FreezeGuard(), epochs=1)
