"""The rules behind "auto", each at both sides of its threshold."""

import pytest
from sample_facts import backbone_facts, card, data_facts, machine_facts

from tfxfer import plans
from tfxfer.errors import ConfigError
from tfxfer.plans import rules
from tfxfer.recipes import Adam, Recipe, Running, Stage


@pytest.mark.parametrize(
    ("counts", "preset"),
    [((9, 10, 10), "feature_extraction"), ((10, 10, 10), "partial"), ((5, 5, 20), "partial"), ((500,) * 3, "partial")],
)
def test_below_ten_examples_a_class_only_the_head_learns(counts, preset):
    chosen, why = rules.choose_preset(data_facts(train_counts=counts), card())
    assert chosen == preset
    assert f"{sum(counts) / 3:.0f} training examples a class" in why


@pytest.mark.parametrize(
    ("height", "width", "known", "size"),
    [
        (28, 28, card(), 128),  # BiT-HyperRule
        (95, 97, card(), 128),  # 9215 pixels
        (96, 96, card(), 224),  # 9216 pixels
        (300, 400, card(), 224),
        (28, 28, card(native_size=96), 96),  # never more than the weights were made for
        (28, 28, card(minimum_size=160), 160),  # never less than the network needs
    ],
)
def test_small_pictures_are_seen_at_128_pixels_and_others_at_the_native_size(height, width, known, size):
    chosen, why = rules.choose_image_size(Recipe(), data_facts(height=height, width=width), known)
    assert chosen == size
    assert (f"{width}×{height} pixels, below 96×96" in why) == (height * width < 9216)


def test_a_given_image_size_is_kept():
    assert rules.choose_image_size(Recipe(image_size=64), data_facts(), card()) == (64, "given")


@pytest.mark.parametrize(
    ("steps", "batch_size", "weights", "mode", "why"),
    [
        (1999, 64, "pretrained", "frozen", "1999 steps are too few for new statistics (fewer than 2000)"),
        (2000, 31, "pretrained", "frozen", "batches of 31 are too small for new statistics"),
        (2000, 32, "pretrained", "train", "2000 steps of 32 examples are enough for new statistics"),
        (10, 4, "random", "train", "random weights have no statistics worth keeping"),
        (10, 4, "weights.h5", "frozen", "10 steps are too few for new statistics (fewer than 2000)"),
    ],
)
def test_batch_norm_is_frozen_in_short_runs_and_small_batches(steps, batch_size, weights, mode, why):
    assert rules.choose_batch_norm(Stage(epochs=1), steps, batch_size, weights) == (mode, why)


def test_a_given_batch_norm_mode_is_kept_whatever_the_run():
    stage = Stage(epochs=1, batch_norm="affine")
    assert rules.choose_batch_norm(stage, 10_000, 256, "random") == ("affine", "given")


def test_the_rate_grows_with_the_batch_and_is_lower_for_a_head_alone():
    stage = Stage(epochs=1)
    assert rules.choose_learning_rate(stage, 64) == pytest.approx(0.02)
    assert rules.choose_learning_rate(stage, 32) == pytest.approx(0.01)
    assert rules.choose_learning_rate(Stage(train=1, epochs=1), 32) == pytest.approx(0.03)
    assert rules.choose_learning_rate(Stage(epochs=1, learning_rate=1), 32) == 1.0


@pytest.mark.parametrize(
    ("settings", "batch_size", "rate"),
    [
        ({}, 32, 1e-3),
        ({}, 128, 2e-3),  # with the root of the batch
        ({"train": 1}, 32, 1e-3),  # ten times the groups'
        ({"train": 1, "head_to_body": 100.0}, 32, 1e-3),  # never more than for a head alone
        ({"train": 1, "head_to_body": 1.0}, 32, 1e-4),  # the groups' is the bound
        ({"train": 1, "head_to_body": 1.0, "group_factor": 2.6}, 32, 2.6e-4),
        ({"train": 1, "learning_rate": 5}, 64, 5.0),
    ],
)
def test_the_rate_of_adam(settings, batch_size, rate):
    stage = Stage(epochs=1, optimizer=Adam(), **settings)
    assert rules.choose_learning_rate(stage, batch_size) == pytest.approx(rate)


def test_what_cannot_train_gets_a_head_alone():
    chosen, why = rules.choose_preset(data_facts(train_counts=(500,) * 3), card(trainable=False))
    assert (chosen, "cannot train" in why) == ("feature_extraction", True)


@pytest.mark.parametrize(
    ("name", "is_bias"),
    [
        ("bias", True),
        ("beta", True),
        ("resnet_block1_conv_biases", True),
        ("block_bn_offset", True),
        ("b", True),
        ("kernel", False),
        ("gamma", False),
        ("relative_bias_table", False),
        ("unbias", False),
    ],
)
def test_a_bias_is_told_by_the_last_word_of_its_name(name, is_bias):
    assert rules.is_called_bias(name) is is_bias


GPU = {"devices": ("gpu:0",)}
TWO = {"devices": ("gpu:0", "gpu:1"), "strategy": "mirrored"}


@pytest.mark.parametrize(
    ("running", "machine", "is_so", "why"),
    [
        ({}, {}, True, "on a CPU that costs nothing"),
        ({}, GPU, False, "on a GPU they are slower, and some are not there"),
        ({}, GPU | {"is_deterministic": True}, True, "an earlier run of this process made them so"),
        ({"deterministic": True}, GPU, True, "given"),
        ({"deterministic": False}, {}, False, "given"),
        ({"jit_compile": True}, {}, False, "XLA is asked for, and TensorFlow has one of both"),
    ],
)
def test_ops_are_deterministic_where_that_costs_nothing(running, machine, is_so, why):
    assert rules.choose_determinism(Running(**running), machine_facts(**machine)) == (is_so, why)


@pytest.mark.parametrize(
    ("running", "machine", "is_so", "why"),
    [
        ({}, {}, False, "on a CPU XLA trains slower"),
        ({}, GPU, True, "one GPU trains, and every layer can be compiled"),
        ({}, TWO, False, "several devices share the work"),
        ({"deterministic": True}, GPU, False, "ops are deterministic"),
        ({"jit_compile": False}, GPU, False, "given"),
        ({"jit_compile": True}, {}, True, "given"),
    ],
)
def test_steps_are_compiled_on_one_gpu_or_where_that_is_asked_for(running, machine, is_so, why):
    how = plans.resolve(
        Recipe(running=Running(**running)), data_facts(), backbone_facts(), machine_facts(**machine)
    ).how
    assert (how.jit_compile, how.jit_reason) == (is_so, why)


def test_several_devices_are_not_compiled_for():
    running = Running(jit_compile=True)
    with pytest.raises(ConfigError, match="jit_compile=true, and several devices share the work"):
        plans.resolve(Recipe(running=running), data_facts(), backbone_facts(), machine_facts(**TWO))


def test_a_layer_that_cannot_be_compiled_decides():
    backbone = backbone_facts(not_compilable=("tables",))
    how = plans.resolve(Recipe(), data_facts(), backbone, machine_facts(**GPU)).how
    assert (how.jit_compile, how.jit_reason) == (False, "XLA cannot compile tables")
    with pytest.raises(ConfigError) as caught:
        plans.resolve(Recipe(running=Running(jit_compile=True)), data_facts(), backbone, machine_facts(**GPU))
    assert str(caught.value) == (
        "jit_compile=true, and XLA cannot compile tables of tiny:net. Write --jit_compile=false."
    )


def test_layers_that_keep_their_precision_are_named_in_the_plan():
    backbone = backbone_facts(own_precision=("saved_model",))
    said = [
        plans.resolve(Recipe(precision=p), data_facts(), backbone, machine_facts()).reasons
        for p in ("float32", "mixed_float16")
    ]
    line = "precision: saved_model keeps its own, whatever the others compute in"
    assert [line in reasons for reasons in said] == [False, True]
