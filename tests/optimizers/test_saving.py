"""A run that was saved in its middle goes on bit for bit, by `.keras`, `tf.train.Checkpoint` and `BackupAndRestore`."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_networks import INPUTS, chain, fit, nested, numbers, same, train

import tfxfer
from tfxfer.errors import ConfigError
from tfxfer.optimizers import DifferentialLearningRate, of

MULTIPLIERS = {"a": 0.1, "b": 0.3, "...": 1.0}


def compiled(model, optimizer=None, **settings):
    given = optimizer or keras.optimizers.AdamW(0.01, weight_decay=0.1, use_ema=True)
    model.compile(DifferentialLearningRate(given, MULTIPLIERS, model=model, **settings), loss="mse")
    return model


def change(model, *layers, warmup_steps=0):
    """Trains what is named and nothing else, from the next step on."""
    for name in ("a", "b", "c"):
        model.get_layer(name).trainable = name in layers
    of(model).follow(model.trainable_variables, warmup_steps=warmup_steps)


def with_history(model):
    """Trains in three cohorts, one of them split, one in its warm-up."""
    compiled(model)
    change(model, "c")
    train(model)
    change(model, "b", "c", warmup_steps=6)
    train(model)
    model.get_layer("b").bias.trainable = False
    of(model).follow(model.trainable_variables)
    model.get_layer("b").bias.trainable = True
    change(model, "a", "b", "c", warmup_steps=20)
    train(model)
    change(model, "a", "c")
    model.get_layer("b").trainable = True
    of(model).follow(model.trainable_variables, warmup_steps=9)
    train(model)
    return model


def check_goes_on(model, loaded):
    """Fits both and compares everything, bit by bit."""
    assert same(numbers(of(model).variables), numbers(of(loaded).variables))
    assert list(of(model).effective_rates().values()) == list(of(loaded).effective_rates().values())
    train(model)
    train(loaded)
    assert same(numbers(model.variables), numbers(loaded.variables))
    assert same(numbers(of(model).variables), numbers(of(loaded).variables))


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def test_a_keras_file_goes_on(tmp_path):
    model = compiled(chain())
    train(model)
    check_goes_on(model, saved_and_loaded(model, tmp_path))


def test_a_keras_file_goes_on_after_variables_came_and_went(tmp_path):
    model = with_history(chain())
    assert len(of(model)._cohorts) == 3
    check_goes_on(model, saved_and_loaded(model, tmp_path))


def test_another_order_of_slots_would_be_noticed(tmp_path, monkeypatch):
    model = with_history(chain())
    model.save(tmp_path / "model.keras")
    plain = DifferentialLearningRate._arrange
    monkeypatch.setattr(DifferentialLearningRate, "_arrange", lambda self, cohorts: plain(self, cohorts[::-1]))
    with pytest.raises((AssertionError, ValueError)):
        check_goes_on(model, keras.models.load_model(tmp_path / "model.keras"))


def test_a_keras_file_of_nested_networks_goes_on(tmp_path):
    """Paths of variables change when such a file is loaded, so nothing goes by them."""
    model = compiled(nested())
    model.get_layer("chain").get_layer("a").trainable = False
    train(model)
    model.get_layer("chain").get_layer("a").trainable = True
    of(model).follow(model.trainable_variables, warmup_steps=20)
    train(model)
    check_goes_on(model, saved_and_loaded(model, tmp_path))


def test_a_keras_file_in_mixed_precision_goes_on(tmp_path):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = compiled(chain())
        fit(model)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        loaded = saved_and_loaded(model, tmp_path)
        assert same(numbers(model.optimizer.variables), numbers(loaded.optimizer.variables))
        fit(model, epochs=2)
        fit(loaded, epochs=2)
        assert same(numbers(model.optimizer.variables), numbers(loaded.optimizer.variables))
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_a_keras_file_keeps_the_rate_as_it_is_now(tmp_path):
    model = compiled(chain())
    train(model)
    model.optimizer.learning_rate = 0.125
    assert float(saved_and_loaded(model, tmp_path).optimizer.learning_rate) == 0.125
    model.optimizer.learning_rate = keras.optimizers.schedules.CosineDecay(0.5, 10)
    train(model)
    check_goes_on(model, saved_and_loaded(model, tmp_path))


def test_a_keras_file_keeps_what_decays_and_how(tmp_path):
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    model = compiled(chain(), optimizer, weight_decay_follows=False)
    train(model)
    check_goes_on(model, saved_and_loaded(model, tmp_path))


def test_a_keras_file_of_your_own_optimizer_goes_on(tmp_path):
    @keras.saving.register_keras_serializable("test_saving")
    class Halved(keras.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate / 2)

    model = compiled(chain(), Halved(0.1, momentum=0.9))
    train(model)
    check_goes_on(model, saved_and_loaded(model, tmp_path))


@pytest.mark.slow
def test_a_keras_file_loads_in_a_process_that_only_knows_tfxfer(tmp_path):
    model = compiled(chain())
    train(model)
    model.save(tmp_path / "model.keras")
    program = (
        "import sys, keras, tfxfer.optimizers\nprint(keras.models.load_model(sys.argv[1]).optimizer.effective_rates())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.keras")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == str(of(model).effective_rates())


def test_what_was_frozen_when_a_file_was_saved_wakes_with_its_own_multiplier(tmp_path):
    model = compiled(chain())
    change(model, "c")
    train(model)
    loaded = saved_and_loaded(saved_and_loaded(model, tmp_path), tmp_path)
    for network in (model, loaded):
        change(network, "b", "c")
        train(network)
        change(network, "c")
    assert of(loaded).multiplier(loaded.get_layer("b").kernel) == 0.3
    again = saved_and_loaded(loaded, tmp_path)
    for network in (model, again):
        change(network, "a", "b", "c")
    check_goes_on(model, again)


def test_frozen_variables_that_cannot_be_told_apart_in_a_file_need_their_multipliers_anew(tmp_path):
    def twins():
        inputs = keras.Input((4,))
        first, second = chain(), chain(seed=1)
        second.name = "second"
        return keras.Model(inputs, keras.layers.Dense(4, name="top")(second(first(inputs))), name="twins")

    def multiplier(variable):
        return 1.0 if "top" in variable.path else 0.1

    model = twins()
    model.compile(DifferentialLearningRate(keras.optimizers.Adam(0.01), multiplier), loss="mse")
    for variable in model.trainable_variables:
        model.optimizer.multiplier(variable)  # asked once, a function's answer is kept
    for name in ("chain", "second"):
        model.get_layer(name).trainable = False
    train(model)
    loaded = saved_and_loaded(model, tmp_path)
    loaded.get_layer("chain").trainable = True
    with pytest.raises(ConfigError, match=r"a/kernel has no multiplier.*optimizer\.set_multipliers\(multipliers"):
        of(loaded).follow(loaded.trainable_variables)
    of(loaded).set_multipliers(multiplier)
    of(loaded).follow(loaded.trainable_variables)
    assert of(loaded).multiplier(loaded.get_layer("chain").get_layer("a").kernel) == 0.1
    train(loaded)


def test_an_optimizer_saved_before_it_was_built_says_what_to_do(tmp_path):
    model = compiled(chain())
    model.save(tmp_path / "model.keras")
    with pytest.raises(ConfigError, match=r"saved before it was built.*compile=False"):
        keras.models.load_model(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras", compile=False).predict(INPUTS, verbose=0).shape == (64, 4)


def test_variables_frozen_one_by_one_are_told_from_those_of_the_file(tmp_path):
    """Keras keeps the flag of a layer in a file, but not that of a variable."""
    model = compiled(chain())
    model.get_layer("a").bias.trainable = False
    train(model)
    with pytest.raises(ConfigError, match=r"saved with 5 variables in training, the model now trains 6\."):
        saved_and_loaded(model, tmp_path)


def replay(model):
    """Makes the same cohorts as `with_history`, without training."""
    compiled(model)
    change(model, "c")
    change(model, "a", "c", warmup_steps=20)
    model.get_layer("b").trainable = True
    of(model).follow(model.trainable_variables, warmup_steps=9)
    return model


def test_a_checkpoint_goes_on_after_variables_came_and_went(tmp_path):
    model, restored = with_history(chain()), replay(chain(seed=1))
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "checkpoint")
    status = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer).restore(path)
    status.assert_existing_objects_matched()
    check_goes_on(model, restored)


def test_a_checkpoint_can_be_restored_before_the_optimizer_is_built(tmp_path):
    model, restored = compiled(chain()), compiled(chain(seed=1))
    train(model)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "checkpoint")
    status = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer).restore(path)
    restored.optimizer.build(restored.trainable_variables)
    status.assert_existing_objects_matched()
    check_goes_on(model, restored)


def test_weights_can_be_set_as_a_list():
    model, other = with_history(chain()), replay(chain(seed=1))
    other.optimizer.set_weights(numbers(model.optimizer.variables))
    assert same(numbers(model.optimizer.variables), numbers(other.optimizer.variables))
    with pytest.raises(ValueError, match="shorter"):
        other.optimizer.set_weights(numbers(model.optimizer.variables)[:-1])


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise InterruptedError


def test_backup_and_restore_goes_on(tmp_path):
    model, stopped, restarted = compiled(chain()), compiled(chain()), compiled(chain(seed=1))
    fit(model, epochs=4)
    with pytest.raises(InterruptedError):
        fit(stopped, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(tmp_path), Stop()])
    fit(restarted, epochs=4, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)])
    assert same(numbers(model.variables), numbers(restarted.variables))
    assert same(numbers(model.optimizer.variables), numbers(restarted.optimizer.variables))


def test_training_on_after_tfxfer_froze_a_loaded_network(tmp_path):
    model = compiled(chain())
    train(model)
    loaded = saved_and_loaded(model, tmp_path)
    frozen = [variable.numpy() for variable in loaded.get_layer("a").variables]
    tfxfer.freeze(loaded, train="b")
    train(loaded)
    assert same(frozen, numbers(loaded.get_layer("a").variables))
    assert not np.array_equal(loaded.get_layer("b").kernel, model.get_layer("b").kernel)


def test_a_checkpoint_restores_what_wakes_later(tmp_path):
    model, restored = compiled(chain()), compiled(chain(seed=1))
    change(model, "c")
    train(model)
    change(model, "b", "c")
    train(model)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "checkpoint")
    status = tf.train.Checkpoint(model=restored, optimizer=restored.optimizer).restore(path)
    change(restored, "c")
    change(restored, "b", "c")
    status.assert_existing_objects_matched()
    check_goes_on(model, restored)
