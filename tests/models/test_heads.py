"""Heads on backbones and on whole models."""

import keras
import numpy as np
import pytest

from tfxfer import heads, load_backbone, swap_head
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.heads import MLP, Linear

pytestmark = pytest.mark.usefixtures("plugin")
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)


def test_a_linear_head_starts_at_zero_logits():
    model = swap_head(load_backbone("tiny:cnn"), Linear(outputs=5))
    assert model.output_shape == (None, 5)
    assert model.output.dtype == "float32"
    np.testing.assert_array_equal(model(PIXELS), np.zeros((2, 5)))


@pytest.mark.parametrize(("pooling", "width"), [("avg", 8), ("max", 8), ("both", 16)])
def test_pooling_gives_the_width_that_it_says(pooling, width):
    model = swap_head(load_backbone("tiny:cnn"), Linear(outputs=3, pooling=pooling, kernel="glorot_uniform"))
    assert model.get_layer("head_logits").kernel.shape == (width, 3)
    features = np.asarray(load_backbone("tiny:cnn").model(PIXELS.astype(np.float32)))
    pooled = {"avg": features.mean((1, 2)), "max": features.max((1, 2))}
    expected = np.concatenate([pooled["avg"], pooled["max"]], 1) if pooling == "both" else pooled[pooling]
    np.testing.assert_allclose(model(PIXELS), expected @ model.get_layer("head_logits").kernel.numpy(), rtol=1e-4)


def test_an_mlp_has_its_hidden_layers_and_dropout():
    model = swap_head(load_backbone("tiny:cnn"), MLP(outputs=3, hidden=(7, 5), dropout=0.5))
    shapes = [tuple(layer.kernel.shape) for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    assert shapes == [(8, 7), (7, 5), (5, 3)]
    assert sum(isinstance(layer, keras.layers.Dropout) for layer in model.layers) == 3


def test_the_same_seed_gives_the_same_head():
    one, same, other = (
        swap_head(load_backbone("tiny:cnn"), MLP(outputs=3), seed=seed).get_layer("head_hidden_0").kernel.numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_whole_model_keeps_its_layers_and_loses_its_head():
    old = swap_head(load_backbone("tiny:cnn"), Linear(outputs=3))
    new = swap_head(old, heads.Linear(outputs=7))
    assert new.output_shape == (None, 7)
    assert new.get_layer("block1_conv") is old.get_layer("block1_conv")
    assert sum(isinstance(layer, keras.layers.Dense) for layer in new.layers) == 1


def test_a_whole_model_can_be_cut_at_a_layer():
    old = swap_head(load_backbone("tiny:cnn"), Linear(outputs=3))
    new = swap_head(old, Linear(outputs=7), at="block1_relu")
    assert "block2_conv" not in [layer.name for layer in new.layers]
    with pytest.raises(ConfigError, match="Did you mean 'block1_relu'"):
        swap_head(old, Linear(outputs=7), at="block1_rellu")


def test_a_network_of_dense_layers_is_cut_before_its_last():
    old = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="body"), keras.layers.Dense(3)])
    new = swap_head(old, Linear(outputs=2))
    assert new.get_layer("head_logits").kernel.shape == (4, 2)


def test_a_head_without_a_number_of_outputs_is_refused():
    with pytest.raises(ConfigError, match=r"Say how many: outputs=10"):
        swap_head(load_backbone("tiny:cnn"), Linear())


def test_a_model_without_a_place_for_a_head_is_refused():
    inputs = keras.Input((8,))
    with pytest.raises(BackboneError, match=r"Name a layer: at="):
        swap_head(keras.Model(inputs, keras.layers.ReLU()(inputs)), Linear(outputs=2))
