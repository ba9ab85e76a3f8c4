"""Layer groups: complete, in order, cut where one tensor crosses."""

import keras
import numpy as np
import pytest

from tfxfer import graph
from tfxfer.backbones import Request
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.testing import TinySource


def names(model):
    return [group.name for group in graph.layer_groups(model)]


def tiny():
    return TinySource().build(Request(name="cnn", image_size=24, weights="random"))


def residual_model():
    inputs = keras.Input((8,))
    x = keras.layers.Dense(4, name="first")(inputs)
    y = keras.layers.Dense(4, name="second")(x)
    y = keras.layers.Dense(4, name="third")(y)
    x = keras.layers.Add(name="join")([x, y])
    return keras.Model(inputs, keras.layers.Dense(2, name="last")(x))


def test_a_chain_is_cut_before_each_layer_with_a_kernel():
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4, name="one"), keras.layers.ReLU(), keras.layers.Dense(3, name="two")]
    )
    groups = graph.layer_groups(model)
    assert [group.name for group in groups] == ["one", "two"]
    assert [group.facts.parameters for group in groups] == [8 * 4 + 4, 4 * 3 + 3]
    assert groups[0].outputs[0].shape == (None, 4)


def test_a_residual_block_is_not_cut_inside_where_two_tensors_cross():
    assert names(residual_model()) == ["first", "second", "last"]


def test_a_backward_pass_needs_what_kernels_read_and_where_batch_norm_moves_what_it_reads():
    facts = [group.facts for group in graph.layer_groups(tiny())]
    assert [group.activations for group in facts] == [24 * 24 * 3, 12 * 12 * 4, 6 * 6 * 8]
    assert [group.norm_inputs for group in facts] == [0, 6 * 6 * 8, 3 * 3 * 8]


def test_activations_are_needed_by_what_they_read_only_where_their_gradient_asks_for_it():
    inputs = keras.Input((8,))
    x = keras.layers.Activation("relu")(keras.layers.Dense(4)(inputs))
    x = keras.layers.Activation("gelu")(keras.layers.Dense(4)(x))
    facts = [group.facts for group in graph.layer_groups(keras.Model(inputs, keras.layers.Dense(2)(x)))]
    assert sum(group.activations for group in facts) == 8 + 4 + 4 + 4


def test_a_plain_chain_has_a_block_for_each_convolution():
    assert names(tiny()) == ["stage1.block1", "stage2.block1", "stage3.block1"]


def test_groups_cover_every_variable_once_and_survive_saving(tmp_path):
    model = tiny()
    covered = [id(v) for group in graph.layer_groups(model) for v in group.variables]
    assert sorted(covered) == sorted(id(v) for v in model.variables)
    model.save(tmp_path / "m.keras")
    assert names(keras.models.load_model(tmp_path / "m.keras")) == names(model)


def test_statistics_are_told_from_gamma_and_beta_also_when_all_is_frozen():
    model = tiny()
    model.trainable = False
    block = graph.layer_groups(model)[1]
    assert (block.facts.parameters, block.facts.batch_norm_parameters, block.facts.statistics) == (
        4 * 8 * 9 + 8 + 16,
        16,
        16,
    )


def test_the_cut_tensor_is_what_the_rest_depends_on():
    model = residual_model()
    second = graph.layer_groups(model)[1]
    prefix, suffix = keras.Model(model.input, second.outputs[0]), keras.Model(second.outputs[0], model.output)
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    np.testing.assert_allclose(suffix(prefix(x)), model(x), rtol=1e-6)


def test_a_subclassed_model_has_no_graph():
    class Free(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(BackboneError, match=r"subclassed or not built\. Call it once"):
        graph.layer_groups(Free())


def test_an_unknown_group_is_answered_with_the_nearest():
    groups = graph.layer_groups(tiny())
    with pytest.raises(ConfigError, match=r"Did you mean 'stage2.block1'\? Groups: stage1.block1, stage2.block1"):
        graph.find_group(groups, "stage2.blok1")


def test_keras_still_lets_us_read_the_graph():
    """Fails when Keras renames what `graph.calls_of` reads, the one place where private API is used for it."""
    calls = graph.calls_of(residual_model())
    assert [call.operation.name for call in calls][1:] == ["first", "second", "third", "join", "last"]
    assert calls[1].inputs[0] is calls[0].outputs[0]
    assert len(calls[4].inputs) == 2


class Holding(keras.layers.Layer):
    """Keeps its layers in a list and a dict."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.norms = [keras.layers.BatchNormalization(name="listed_norm")]
        self.others = {"kernel": keras.layers.Dense(3, name="kept_dense")}

    def call(self, x):
        return self.others["kernel"](self.norms[0](x))


def test_layers_in_lists_and_dicts_of_a_layer_are_seen():
    model = keras.Sequential([keras.Input((4,)), Holding(name="holding"), keras.layers.Dense(2, name="last")])
    group = graph.layer_groups(model)[0]
    assert [layer.name for layer in graph.flatten(model.get_layer("holding"))] == [
        "holding",
        "listed_norm",
        "kept_dense",
    ]
    assert [layer.name for layer in group.batch_norms] == ["listed_norm"]
    assert [v.name for v in group.batch_norm_variables] == ["gamma", "beta"]
    assert len(group.statistics) == 2


def test_nested_models_with_layers_of_one_name_are_told_which():
    def nested(name):
        inputs = keras.Input((4,))
        return keras.Model(inputs, keras.layers.Dense(4, name="twin")(inputs), name=name)

    inputs = keras.Input((4,))
    shared = nested("one")
    twice = keras.Model(inputs, keras.layers.Dense(2, name="last")(shared(shared(inputs))))
    assert names(twice)[::2] == ["twin", "last"]  # a layer that runs twice is no reason to refuse
    outer = keras.Model(inputs, keras.layers.Dense(2, name="last")(nested("two")(shared(inputs))), name="outer")
    with pytest.raises(BackboneError, match=r"two layers in 'outer' are called 'twin': in 'one' and in 'two'\. Give"):
        graph.layer_groups(outer)


def test_what_lora_holds_is_no_gradient_s_business():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="one"), keras.layers.Dense(2, name="two")])
    words = keras.Sequential([keras.Input((5,)), keras.layers.Embedding(7, 3), keras.layers.LSTM(2)])
    for network, names_ in (
        (model, ["bias", "lora_kernel_a", "lora_kernel_b"]),
        (words, ["lora_embeddings_a", "lora_embeddings_b"]),
    ):
        network.layers[0].enable_lora(2)
        first = graph.layer_groups(network)[0]
        assert [v.name for v in first.trainable_variables][: len(names_)] == names_
        assert [v.name for v in first.statistics] == ["kernel" if network is model else "embeddings"]


@pytest.mark.parametrize(
    ("at", "layer"),
    [
        ("stage2", "block1_relu"),
        ("stage2.block1", "block1_relu"),
        ("block1_conv", "block1_conv"),
        ("stage2/block1_conv", "block1_conv"),
        ("re:^block1_bn$", "block1_bn"),
        ("layers[1]", "stem_conv"),
        ("layers[-1]", "block2_relu"),
        ("layers[1:2]", "stem_conv"),
    ],
)
def test_a_place_to_cut_is_told_as_what_trains_is(at, layer):
    model = tiny()
    assert graph.feature_tensor(model, at) is model.get_layer(layer).output


@pytest.mark.parametrize(
    ("at", "error", "message"),
    [
        ("re:_conv$", ConfigError, r"'re:_conv\$' means 3 layers of .* a cut is at one: stem_conv, block1_conv, "),
        ("re:_cnv", ConfigError, r"'re:_cnv' matches no layer of "),
        ("layers[:3]", ConfigError, r"'layers\[:3\]' means 3 layers"),
        ("layers[99]", ConfigError, r"'layers\[99\]' reaches beyond the \d+ layers"),
        ("blok1_conv", ConfigError, r"neither a layer group nor a layer of .*Did you mean 'block1_conv'\?"),
    ],
)
def test_a_place_that_is_none_or_several_is_told(at, error, message):
    with pytest.raises(error, match=message):
        graph.feature_tensor(tiny(), at)


def test_a_group_comes_before_a_layer_of_its_name():
    inputs = keras.Input((4,))
    x = keras.layers.ReLU(name="after")(keras.layers.Dense(3, name="one")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="two")(x))
    assert names(model)[0] == "one"
    assert graph.feature_tensor(model, "one") is model.get_layer("after").output
    assert graph.feature_tensor(model, "one/one") is model.get_layer("one").output
