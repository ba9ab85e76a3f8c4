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
