"""One test for each bug that others shipped in staged fine-tuning, named after what broke.

The issue threads are those of Lightning, fastai, timm, Keras, tsai, Ludwig, luxonis and PEFT. Those that name replicas
run on two logical CPU devices too.
"""

import contextlib

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import graph, heads
from tfxfer.errors import BackboneError, ConfigError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.integers(0, 256, (24, 24, 24, 3)).astype(np.float32)
Y = GENERATOR.integers(0, 3, 24)
STEPS = 3
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture(params=["one device", "mirrored"])
def scope(request):
    """The scope in which models are made: none, or that of two replicas."""
    return contextlib.nullcontext if request.param == "one device" else request.getfixturevalue("mirrored").scope


def classifier(rate=0.01, optimizer=None, multipliers=None) -> keras.Model:
    keras.utils.set_random_seed(3)
    head = heads.Linear(outputs=3, kernel="glorot_uniform")
    model = tfxfer.swap_head(tfxfer.load_backbone("tiny:cnn"), head)
    optimizer = optimizer or keras.optimizers.Adam(rate)
    model.compile(tfxfer.DifferentialLearningRate(optimizer, multipliers or {"...": 1.0}, model=model), loss=LOSS)
    tfxfer.freeze(model, train="head")
    return model


def fit(model, *callbacks, epochs=1, **settings):
    return model.fit(
        X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks), **settings
    ).history


def waking(schedule, **settings):
    return tfxfer.GradualUnfreezing(schedule, show=None, **settings)


def numbers(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def moved(model, before):
    return {path for path, value in numbers(model).items() if not np.array_equal(value, before[path])}


def test_1_after_resuming_behind_an_unfreeze_the_woken_part_moves(tmp_path):
    """Lightning 21901: the optimizer that came back knew the head only."""
    model = classifier()
    fit(model, waking({0: "head", 1: 1}), epochs=2)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    before = numbers(again)
    fit(again, epochs=1)
    assert {"block2_conv/kernel", "head_logits/kernel"} <= moved(again, before)


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_2_resumed_before_at_and_past_the_unfreeze_it_ends_in_the_same_weights(tmp_path, stopped_after):
    """Lightning compares `epoch == unfreeze_at_epoch`, so that resuming past it never unfreezes."""
    schedule = {0: "head", 2: 1}
    whole = classifier()
    fit(whole, waking(schedule), keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"), epochs=4)
    again = keras.models.load_model(tmp_path / f"{stopped_after}.keras")
    fit(again, waking(schedule), epochs=4, initial_epoch=stopped_after)
    for path, value in numbers(whole).items():
        np.testing.assert_array_equal(value, numbers(again)[path], err_msg=path)


def test_3_every_variable_that_trains_is_known_to_the_optimizer_after_each_change(scope):
    """luxonis: 0 of 10 groups were in the optimizer."""
    with scope():
        model = classifier()
    counts = []

    class Count(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            known = {id(variable) for variable in self.model.optimizer.trained_variables}
            assert known == {id(variable) for variable in self.model.trainable_variables}
            counts.append(len(known))

    fit(model, waking({0: "head", 1: 1, 2: "all"}), Count(), epochs=3)
    assert counts == [2, 4, 8]


def test_4_what_wakes_begins_at_the_present_rate_of_the_schedule():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([STEPS - 1], [0.5, 0.001])
    model = classifier(optimizer=keras.optimizers.SGD(schedule))
    kernel = model.get_layer("block2_conv").kernel
    before = kernel.numpy()
    fit(model, waking({0: "head", 1: 1}), epochs=2)
    reference = classifier(optimizer=keras.optimizers.SGD(0.5))
    fit(reference, waking({0: "head", 1: 1}), epochs=2)
    far = np.abs(reference.get_layer("block2_conv").kernel.numpy() - before).max()
    assert 0 < np.abs(kernel.numpy() - before).max() < far / 50


@pytest.mark.parametrize("kind", ["step", "cosine", "plateau"])
def test_5_a_scheduler_does_not_erase_the_multipliers(kind):
    """timm 2532, Lightning 4983: other schedulers overwrote or ignored the rates of the groups."""
    rate = keras.optimizers.schedules.CosineDecay(0.1, 9) if kind == "cosine" else 0.1
    model = classifier(optimizer=keras.optimizers.SGD(rate), multipliers={"head": 1.0, "...": 0.25})
    tfxfer.freeze(model, train="all")
    callbacks = {
        "step": [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)],
        "plateau": [keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10)],
        "cosine": [],
    }[kind]
    fit(model, *callbacks, epochs=3)
    rates = model.optimizer.effective_rates()
    assert rates["head"] == pytest.approx(float(model.optimizer.learning_rate))
    assert rates["head"] < 0.1
    assert rates["stage3.block1"] == pytest.approx(0.25 * rates["head"])


def test_6_a_pattern_that_matches_nothing_and_a_model_of_one_group_are_errors():
    """tsai 51, Ludwig: both froze nothing, or everything, and went on."""
    with pytest.raises(ConfigError, match="matches no variable"):
        tfxfer.freeze(classifier(), frozen="re:layer_that_is_not_there")
    single = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(BackboneError, match="one layer group only"):
        tfxfer.freeze(single, train="head")


@pytest.mark.parametrize("mode", ["frozen", "train"])
def test_7_batch_norm_stands_still_bit_for_bit_or_moves_as_the_mode_says(scope, mode):
    with scope():
        model = classifier()
    tfxfer.freeze(model, train="all", batch_norm=mode)
    before = numbers(model)
    fit(model, epochs=2)
    norms = {path for path in moved(model, before) if "_bn/" in path}
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    every = {f"{norm}/{name}" for norm in ("block1_bn", "block2_bn") for name in names}
    assert norms == (every if mode == "train" else set())


def test_8_what_was_unfrozen_is_the_same_on_all_replicas(mirrored):
    """Lightning 20340: gradients of what woke were not reduced."""
    with mirrored.scope():
        model = classifier(optimizer=keras.optimizers.SGD(0.01))
    before = numbers(model)
    fit(model, waking({0: "head", 1: "all"}), epochs=2)
    assert "stem_conv/kernel" in moved(model, before)
    for variable in model.trainable_variables:
        one, other = (replica.numpy() for replica in mirrored.experimental_local_results(variable.value))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("reset", [True, False])
def test_9_early_stopping_and_plateaus_begin_anew_or_carry_on_as_asked(reset):
    """keras 13488: the best value of the frozen phase ended the next one."""
    stopping = keras.callbacks.EarlyStopping("loss", patience=50)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=50, min_delta=10)
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append((stopping.best, plateau.best))

    fit(classifier(), waking({2: 1}, reset=[stopping, plateau] if reset else []), Look(), stopping, plateau, epochs=3)
    assert seen[1][0] is not None
    assert (seen[2] == (None, None)) == reset


def test_10_optimizer_slots_survive_a_change(scope):
    """fastai's `freeze_to` clears the state of the optimizer."""
    with scope():
        model = classifier()
    fit(model, epochs=1)
    before = [(variable, variable.numpy()) for variable in model.optimizer.variables]
    tfxfer.freeze(model, train="all")
    assert len(model.optimizer.variables) > len(before)
    for variable, value in before:
        np.testing.assert_array_equal(variable.numpy(), value)


def test_11_layer_groups_cover_every_variable_once_from_stem_to_head():
    """For all applications of Keras: tests/backbones/test_keras_applications.py."""
    model = classifier()
    grouped = [id(variable) for group in graph.layer_groups(model) for variable in group.variables]
    assert sorted(grouped) == sorted(id(variable) for variable in model.weights)
    assert graph.layer_groups(model)[-1].name == "head"


def test_12_what_is_exported_predicts_what_the_model_in_memory_predicts(tmp_path):
    """Here for a network that woke in `fit`; for bundles: tests/export/."""
    model = classifier()
    fit(model, waking({0: "head", 1: "all"}), epochs=2)
    expected = model.predict_on_batch(X)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras", compile=False)
    np.testing.assert_allclose(again.predict_on_batch(X), expected, atol=1e-5)
    model.export(tmp_path / "saved_model", verbose=False)
    served = keras.layers.TFSMLayer(tmp_path / "saved_model", call_endpoint="serve")
    np.testing.assert_allclose(served(X), expected, atol=1e-5)


def test_13_the_search_for_a_rate_leaves_everything_as_it_was():
    """Lightning's conflicts with freezing callbacks; the whole list: tests/lr_finder/."""
    model = classifier()
    fit(model, waking({0: "head", 1: 1}), epochs=2)
    before, slots = numbers(model), [variable.numpy() for variable in model.optimizer.variables]
    trained = [variable.path for variable in model.trainable_variables]
    tfxfer.find_learning_rate(model, (X, Y), steps=10)
    assert not moved(model, before)
    assert [variable.path for variable in model.trainable_variables] == trained
    for variable, value in zip(model.optimizer.variables, slots, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_14_a_checkpoint_of_a_part_holds_the_head_and_the_statistics(tmp_path):
    """PEFT 1070 and 1732: the new head, or the statistics of batch norm, were left out."""
    model = classifier()
    tfxfer.freeze(model, train="all", batch_norm="train")
    fit(model)
    model.save_weights(tmp_path / "part.weights.h5")
    keras.utils.set_random_seed(4)
    again = tfxfer.swap_head(tfxfer.load_backbone("tiny:cnn"), heads.Linear(outputs=3))
    again.load_weights(tmp_path / "part.weights.h5")
    for path, value in numbers(model).items():
        if "seed" not in path:
            np.testing.assert_array_equal(value, numbers(again)[path], err_msg=path)
