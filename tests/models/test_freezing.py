"""What trains after `freeze`, measured by training, not by reading flags."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import graph
from tfxfer.backbones import Request
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import TinySource

pytestmark = pytest.mark.usefixtures("plugin")


def classifier():
    return tfxfer.swap_head(tfxfer.load_backbone("tiny:cnn"), tfxfer.heads.Linear(outputs=3, kernel="glorot_uniform"))


def moved_by_training(model) -> set[str]:
    """Trains a few steps on noise and returns the names of the variables that changed."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (16, 24, 24, 3)).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[generator.integers(0, 3, 16)]
    before = [variable.numpy().copy() for variable in model.variables]
    if not model.compiled:
        model.compile(keras.optimizers.SGD(0.1), loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    model.fit(pixels, labels, batch_size=8, epochs=2, verbose=0)
    pairs = zip(model.variables, before, strict=True)
    return {variable.path for variable, old in pairs if not np.array_equal(variable.numpy(), old)}


def test_only_the_head_trains():
    model = classifier()
    assert tfxfer.freeze(model).trained == ("head",)
    assert moved_by_training(model) == {"head_logits/kernel", "head_logits/bias"}


def test_frozen_batch_norm_keeps_statistics_gamma_and_beta():
    model = classifier()
    done = tfxfer.freeze(model, train="stage3.block1", batch_norm="frozen")
    assert done.trained == ("stage3.block1", "head")
    assert done.trainable_weights == (8 * 8 * 9 + 8) + (8 * 3 + 3)
    assert moved_by_training(model) == {
        "block2_conv/kernel",
        "block2_conv/bias",
        "head_logits/kernel",
        "head_logits/bias",
    }


def test_training_batch_norm_moves_only_in_the_trained_groups():
    model = classifier()
    tfxfer.freeze(model, train=1, batch_norm="train")
    moved = moved_by_training(model)
    assert {"block2_bn/moving_mean", "block2_bn/gamma"} <= moved
    assert not any(path.startswith(("stem", "block1")) for path in moved)


def test_affine_batch_norm_moves_gamma_and_beta_but_no_statistics():
    model = classifier()
    stored = tfxfer.with_stored_statistics(model)
    tfxfer.freeze(stored, train="all", batch_norm="affine")
    moved = moved_by_training(stored)
    assert {"block1_bn/gamma", "block1_bn/beta", "block2_bn/gamma"} <= moved
    assert not any("moving" in path for path in moved)
    # the same variables: what was trained there is in the first model too
    x = np.random.default_rng(1).integers(0, 256, (2, 24, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(model(x, training=False), stored(x, training=False), rtol=1e-5, atol=1e-6)


def test_affine_needs_the_other_graph_and_says_how_to_get_it():
    with pytest.raises(BackboneError, match=r"model = tfxfer\.with_stored_statistics\(model\)"):
        tfxfer.freeze(classifier(), train="all", batch_norm="affine")


def test_a_compiled_model_obeys_too():
    """In plain Keras a change of `trainable` after `compile` is ignored without a word."""
    model = classifier()
    tfxfer.freeze(model, train="all")
    assert "stem_conv/kernel" in moved_by_training(model)
    tfxfer.freeze(model, train="head")
    assert moved_by_training(model) == {"head_logits/kernel", "head_logits/bias"}


def test_freezing_again_wakes_what_an_outer_flag_put_to_sleep():
    model = classifier()
    model.trainable = False
    tfxfer.freeze(model, train="stage2.block1", batch_norm="train")
    assert len(model.trainable_variables) == 2 * 2 + 2 * 2 + 2
    assert [group.name for group in graph.layer_groups(model)] == [
        "stage1.block1",
        "stage2.block1",
        "stage3.block1",
        "head",
    ]


@pytest.mark.parametrize(
    ("train", "message"),
    [("stage2.blok1", r"Did you mean 'stage2.block1'\?"), (7, "more layer groups than the 3 there are")],
)
def test_groups_that_do_not_exist_are_named(train, message):
    with pytest.raises(ConfigError, match=message):
        tfxfer.freeze(classifier(), train=train)


def test_the_guide_of_keras_moves_statistics_and_ours_does_not():
    """The canary of the batch-norm modes: `base(x, training=False)` does not hold in `fit` on Keras up to 3.15."""
    base = tfxfer.load_backbone("tiny:cnn").model
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
    guide = keras.Model(inputs, keras.layers.Dense(3)(x))
    moved = moved_by_training(guide)
    if keras.__version__ < "3.16":
        assert "block1_bn/moving_mean" in moved
    model = classifier()
    tfxfer.freeze(model, train="all", batch_norm="frozen")
    assert not any("_bn/" in path for path in moved_by_training(model))


def test_a_nested_model_that_was_frozen_by_hand_trains_again():
    base = TinySource().build(Request(name="cnn", image_size=24, weights="random"))
    base.trainable = False
    model = keras.Sequential([keras.Input((24, 24, 3)), base, keras.layers.Flatten(), keras.layers.Dense(2)])
    assert len(model.trainable_variables) == 2
    done = tfxfer.freeze(model, train="stage3", batch_norm="train")
    assert done.trained[0] == "stage3.block1"
    assert len(model.trainable_variables) == 4 + 2
    tfxfer.freeze(model, train="all", batch_norm="train")
    assert len(model.trainable_variables) == 2 + 4 + 4 + 2
