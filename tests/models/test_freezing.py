"""What trains after `freeze`, measured by training, not by reading flags."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import graph
from tfxfer.backbones import Request
from tfxfer.errors import BackboneError, ConfigError, VerificationError
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


def trains_exactly(model, *layers_) -> None:
    """Compares with layers found by hand, first by flags and then by training for two steps on noise."""
    wanted = {id(v) for layer in layers_ for v in layer.weights if "moving" not in v.name}
    assert {id(v) for v in model.trainable_variables} == wanted
    generator = np.random.default_rng(0)
    inputs = [generator.normal(size=(4, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    outputs = [generator.normal(size=(4, *tensor.shape[1:])).astype("float32") for tensor in model.outputs]
    before = [v.numpy() for v in model.weights]
    if not model.compiled:
        model.compile(keras.optimizers.SGD(0.01), loss=["mse"] * len(outputs), run_eagerly=True)
    inputs, outputs = (values[0] if len(values) == 1 else values for values in (inputs, outputs))
    model.fit(inputs, outputs, batch_size=2, verbose=0)
    moved = {id(v) for v, old in zip(model.weights, before, strict=True) if not np.array_equal(v.numpy(), old)}
    statistics = {id(v) for layer in layers_ for v in layer.weights if "moving" in v.name and layer.trainable}
    assert moved - statistics <= wanted
    # A bias may have no gradient at all: in front of batch norm, or that of the keys of attention.
    assert not [v.path for v in model.weights if id(v) in wanted - moved and len(v.shape) > 1]


layers = keras.layers


def test_a_share_of_the_weights_below_the_head_as_near_as_layers_make_it():
    model = classifier()
    sizes = {"stem_conv": 112, "block1_conv": 296, "block1_bn": 16, "block2_conv": 584, "block2_bn": 16}
    done = tfxfer.freeze(model, frozen=f"{100 * (112 + 296) / sum(sizes.values()):.1f}%")
    assert done.trained == ("stage3.block1", "head")
    trains_exactly(model, model.get_layer("block2_conv"), model.get_layer("head_logits"))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"train": "block1_conv"}, ["block1_conv", "block2_conv"]),
        ({"train": "re:_conv$"}, ["stem_conv", "block1_conv", "block2_conv"]),
        ({"frozen": "block1_conv"}, ["block2_conv"]),
        ({"frozen": "layers[:2]"}, ["block1_conv", "block2_conv"]),
        ({"frozen": 2}, ["block2_conv"]),
        ({"frozen": ("stem_conv", "stage3")}, ["block1_conv"]),
    ],
)
def test_what_is_asked_for_is_what_moves(asked, expected):
    model = classifier()
    done = tfxfer.freeze(model, **asked)
    assert done.trainable_weights == sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    trains_exactly(model, *(model.get_layer(name) for name in [*expected, "head_logits"]))


def test_flags_of_single_variables_set_by_hand_count_for_nothing():
    """Keras drops `trainable = True` where it is True already, and a variable frozen by hand stays frozen."""
    model = classifier()
    conv = model.get_layer("block1_conv")
    conv.kernel.trainable = False
    conv.trainable = True
    assert conv.trainable_variables == [conv.bias]
    tfxfer.freeze(model, train="all")
    trains_exactly(model, *(layer for layer in model.layers if layer.weights and "_bn" not in layer.name))
    stem = model.get_layer("stem_conv")
    stem.trainable = False
    stem.kernel.trainable = True
    tfxfer.freeze(model, train="head")
    trains_exactly(model, model.get_layer("head_logits"))


def test_everything_wakes_though_the_model_itself_says_that_it_is_awake():
    model = classifier()
    for layer in model.layers:
        layer.trainable = False
    assert model.trainable
    tfxfer.freeze(model, train="all", batch_norm="train")
    assert len(model.trainable_variables) == 3 * 2 + 2 * 2 + 2


def test_a_model_nested_in_a_nested_one():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, name="deep"), layers.Dense(5, name="deeper")])
    middle = keras.Sequential([keras.Input((6,)), inner, layers.Dense(4, name="middle")])
    model = keras.Sequential([keras.Input((6,)), middle, layers.Dense(2, name="last")])
    inner.trainable = False
    tfxfer.freeze(model, train="deeper")
    trains_exactly(model, inner.layers[1], *middle.layers[1:], model.layers[-1])
    tfxfer.freeze(model, frozen="middle")
    trains_exactly(model, model.layers[-1])


def test_a_shared_layer_several_inputs_and_several_outputs():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    shared = layers.Dense(3, name="shared")
    both = layers.Concatenate()([shared(left), shared(right)])
    x = layers.Dense(5, name="common")(both)
    ends = layers.Dense(2, name="head_one_logits")(x), layers.Dense(3, name="head_two_logits")(x)
    model = keras.Model([left, right], ends)
    heads = [model.get_layer(f"head_{name}_logits") for name in ("one", "two")]
    assert tfxfer.freeze(model, train="head").trained == ("head",)
    trains_exactly(model, *heads)
    tfxfer.freeze(model, train="common")
    trains_exactly(model, model.get_layer("common"), *heads)
    tfxfer.freeze(model, train="re:shared")
    trains_exactly(model, shared, *heads)


def test_layers_that_hold_layers():
    words = keras.Input((5, 4))
    x = layers.TimeDistributed(layers.Dense(4, name="each"), name="spread")(words)
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = layers.Bidirectional(layers.LSTM(3), name="both_ways")(x)
    model = keras.Model(words, layers.Dense(2, name="last")(x))
    of = model.get_layer
    tfxfer.freeze(model, train="both_ways")
    trains_exactly(model, of("both_ways"), of("last"))
    tfxfer.freeze(model, train="re:^(query|value)$")
    trains_exactly(model, of("attention")._query_dense, of("attention")._value_dense, of("last"))
    tfxfer.freeze(model, frozen="attention")
    trains_exactly(model, of("both_ways"), of("last"))
    tfxfer.freeze(model, train=("spread",))
    trains_exactly(model, of("spread"), of("last"))


def test_a_batch_norm_within_a_wrapper_is_frozen_too():
    pixels = keras.Input((3, 4))
    norm = layers.BatchNormalization(name="norm")
    x = layers.TimeDistributed(norm, name="spread")(layers.Dense(4, name="first")(pixels))
    x = layers.Dense(3, name="middle")(layers.Flatten()(x))
    model = keras.Model(pixels, layers.Dense(2, name="last")(x))
    tfxfer.freeze(model, train="all", batch_norm="frozen")
    trains_exactly(model, *(model.get_layer(name) for name in ("first", "middle", "last")))


def test_gains_of_stored_statistics_wake_and_sleep():
    model = tfxfer.with_stored_statistics(classifier())
    tfxfer.freeze(model, train="stage3", batch_norm="affine")
    trains_exactly(model, *(model.get_layer(name) for name in ("block2_conv", "block2_bn", "head_logits")))
    tfxfer.freeze(model, train="stage3", batch_norm="frozen")
    trains_exactly(model, *(model.get_layer(name) for name in ("block2_conv", "head_logits")))


def test_the_table_tells_what_trains_in_a_hundred_columns():
    inputs = x = keras.Input((4,))
    for name in ("first", "a_name_that_is_far_too_long_for_any_column_of_a_table"):
        x = layers.Dense(1000, name=name)(x)
    model = keras.Model(inputs, layers.Dense(2, name="last")(x))
    done = tfxfer.freeze(model, train="a_name_that_is_far_too_long_for_any_column_of_a_table")
    assert done.table.splitlines() == [
        "group                                     trains  layers                 weights",
        "first                                     no      - of 1              - of 5,000",
        "a_name_that_is_far_…ny_column_of_a_table  yes     1 of 1  1,001,000 of 1,001,000",
        "last                                      yes     1 of 1          2,002 of 2,002",
        "all                                               2 of 3  1,003,002 of 1,008,002",
        "batch norm in what trains: frozen",
    ]
    assert str(tfxfer.freeze(model, train="head")).startswith("1 group trains (2,002 weights: last), 2 are frozen")


def test_a_group_of_which_some_layers_train_trains_partly():
    done = tfxfer.freeze(classifier(), train="block2_bn", batch_norm="train")
    assert [group.trains for group in done.groups] == ["no", "no", "partly", "yes"]
    done = tfxfer.freeze(classifier(), train="stage3", batch_norm="frozen")
    assert [group.trains for group in done.groups] == ["no", "no", "yes", "yes"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_norm": "fixed"}, r"batch_norm='fixed' is not one of 'frozen', 'affine', 'train'"),
        ({"warmup_steps": -1}, r"warmup_steps=-1 is not a whole number of optimizer steps from 0 on"),
        ({"warmup_steps": 1.5}, r"warmup_steps=1\.5"),
        ({"train": "heda"}, r"Did you mean 'head'\?"),
        ({"train": "re:conv9"}, r"matches no variable of 'tiny_cnn_classifier'\. Names are like stem_conv/kernel"),
    ],
)
def test_bad_settings_change_nothing(settings, message):
    model = classifier()
    model.get_layer("stem_conv").trainable = False
    before = [variable.trainable for variable in model.weights]
    with pytest.raises(ConfigError, match=message):
        tfxfer.freeze(model, **settings)
    assert [variable.trainable for variable in model.weights] == before


def test_a_layer_that_keeps_flags_of_its_own_is_found_out():
    """The canary of the check within `freeze`: Keras would train something else than was asked."""

    class Willful(layers.Dense):
        @property
        def trainable_variables(self):
            return []

        @property
        def variables(self):
            return [v for v in super().variables if "bias" not in v.name]

    model = keras.Sequential([keras.Input((4,)), Willful(3, name="willful"), layers.Dense(2, name="last")])
    with pytest.raises(VerificationError, match=r"4 variables are to train, and Keras would train 3; apart: .*bias"):
        tfxfer.freeze(model, train="all")


@pytest.mark.parametrize("make", [keras.Sequential, lambda: keras.Sequential([layers.Dense(2)])])
def test_a_model_that_is_not_built_is_refused(make):
    with pytest.raises(BackboneError, match="not built"):
        tfxfer.freeze(make())


def application(name: str, size: int) -> tuple[keras.Model, keras.Model]:
    """A network of Keras in the way of the tutorials, and the network alone."""
    network = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(size, size, 3))
    stack = [keras.Input((size, size, 3)), network, layers.GlobalAveragePooling2D(), layers.Dense(2, name="last")]
    return keras.Sequential(stack), network


@pytest.mark.parametrize("name", ["MobileNetV2", pytest.param("NASNetMobile", marks=pytest.mark.slow)])
def test_flags_of_a_nested_network_of_keras_by_position(name):
    model, network = application(name, 32)
    cut = len(network.layers) - 20
    tfxfer.freeze(model, frozen=f"{network.name}.layers[:{cut}]", batch_norm="train")
    wanted = [*network.layers[cut:], model.layers[-1]]
    expected = {id(v) for layer in wanted for v in layer.weights if "moving" not in v.name}
    assert {id(v) for v in model.trainable_variables} == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16", "ResNet50", "NASNetMobile", "ConvNeXtTiny"])
@pytest.mark.parametrize("share", ["10%", "60%"])
def test_networks_of_keras_train_what_was_asked(name, share):
    model, network = application(name, 32)
    if name == "MobileNetV2":
        # With random weights and the statistics of a fresh batch norm its features are 1e-12, and nothing moves.
        for layer in network.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.moving_variance.assign(np.full(layer.moving_variance.shape, 0.35))
    tfxfer.freeze(model, train=share, batch_norm="train")
    sizes = [sum(v.value.shape.num_elements() for v in layer.weights if "moving" not in v.name)
             for layer in network.layers]  # fmt: skip
    trained = [any(v.trainable for v in layer.weights) for layer in network.layers]
    got = sum(size for size, trains in zip(sizes, trained, strict=True) if trains) / sum(sizes)
    assert got == pytest.approx(float(share[:-1]) / 100, abs=0.12)
    trains_exactly(
        model, *(layer for layer, trains in zip(network.layers, trained, strict=True) if trains), model.layers[-1]
    )


def test_statistics_that_are_held_cannot_train_and_the_other_model_is_named():
    """Nothing would move, and nobody would notice."""
    held = tfxfer.with_stored_statistics(classifier())
    with pytest.raises(
        BackboneError, match=r"holds those of .* more\. Type: model = tfxfer\.with_moving_statistics\("
    ) as e:
        tfxfer.freeze(held, train="all", batch_norm="train")
    assert "batch_norm='affine' to keep the statistics" in str(e.value)
    assert tfxfer.freeze(tfxfer.with_moving_statistics(held), train="all", batch_norm="train").trained
    assert tfxfer.freeze(held, train="head", batch_norm="train").batch_norm == "train"  # nothing held would train
    assert tfxfer.freeze(held, train="all", batch_norm="affine").trained
