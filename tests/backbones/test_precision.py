"""A backbone computes in the precision asked for; its weights, pixels and features stay float32, and so does Keras."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import graph
from tfxfer.backbones import in_precision
from tfxfer.errors import ConfigError

POLICIES = ("mixed_bfloat16", "mixed_float16")
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3)).astype(np.float32)


def load(precision=None, handle="tiny:cnn", **settings):
    return tfxfer.load_backbone(handle, precision=precision, **settings)


def policies(model) -> dict[str, str]:
    return {layer.name: layer.dtype_policy.name for layer in model.layers}


@pytest.mark.parametrize("policy", POLICIES)
def test_layers_compute_in_it_from_the_first_weights_on(plugin, policy):
    model = load(policy).model
    names = policies(model)
    exact = {"pixels", "pixel_convention", "features_float32"}
    assert {names.pop(name) for name in exact & names.keys()} == {"float32"}
    assert set(names.values()) == {policy}
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.output.dtype == "float32"
    assert model(PICTURES).numpy().dtype == np.float32


@pytest.mark.parametrize("policy", POLICIES)
def test_it_is_what_keras_makes_under_its_global_policy(plugin, policy):
    """But for the scale of pixels, which Keras would round: these pictures have just two levels that it keeps."""
    pictures = np.where(PICTURES < 128, 0.0, 255.0)
    keras.config.set_dtype_policy(policy)
    try:
        native = load().model
    finally:
        keras.config.set_dtype_policy("float32")
    ours, exact = load(policy).model(pictures).numpy(), load().model(pictures).numpy()
    np.testing.assert_array_equal(ours, native(pictures).numpy())
    assert 0 < np.abs(ours - exact).max() < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_of_keras_changes(plugin, policy, monkeypatch):
    load(policy)
    assert keras.config.dtype_policy().name == "float32"
    monkeypatch.setattr(graph, "retraced", lambda model: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load(policy)
    assert keras.config.dtype_policy().name == "float32"
    assert keras.layers.Dense(1).compute_dtype == "float32"


def test_a_model_in_float32_again_is_what_it_was(plugin):
    model = load().model
    before = model(PICTURES).numpy()
    less, own = in_precision(model, "mixed_bfloat16")
    assert own == ()
    assert np.abs(less(PICTURES).numpy().astype(np.float32) - before).max() > 1e-4
    again, _ = in_precision(less, "float32")
    np.testing.assert_array_equal(again(PICTURES).numpy(), before)


def test_a_model_that_computes_in_it_already_stays_the_same_object(plugin):
    model = load("float32").model
    assert in_precision(model, "float32")[0] is model


@pytest.mark.parametrize("settings", [{"at": "stage2"}, {"levels": ("stage1", "stage3")}, {"channels": 1}])
def test_parts_and_levels_give_float32(plugin, settings):
    for model in (load("mixed_float16", **settings).model, load("mixed_bfloat16", **settings).model):
        assert {tensor.dtype for tensor in model.outputs} == {"float32"}
        assert "conv" in " ".join(name for name, policy in policies(model).items() if policy.startswith("mixed"))


def test_a_head_stays_in_float32(plugin):
    model = tfxfer.swap_head(load(), tfxfer.heads.MLP(outputs=3, hidden=(4,), dropout=0.1))
    model, _ = in_precision(model, "mixed_bfloat16")
    head = {name: policy for name, policy in policies(model).items() if name.startswith("head")}
    assert set(head.values()) == {"float32"}
    assert len(head) == 5
    assert model.get_layer("block2_conv").compute_dtype == "bfloat16"


@pytest.mark.parametrize("saved", ["float32", "mixed_float16"])
@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16"])
def test_a_file_computes_in_what_is_asked_for_whatever_it_was_saved_with(plugin, tmp_path, saved, asked):
    load(saved).model.save(tmp_path / "own.keras")
    model = load(asked, f"file:{tmp_path / 'own.keras'}").model
    assert model.get_layer("block2_conv").dtype_policy.name == asked
    assert model.output.dtype == "float32"


def test_weights_that_are_not_float32_are_left_alone(plugin, tmp_path):
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(4, 3, dtype="bfloat16", name="own")(keras.layers.Rescaling(1 / 255)(inputs))
    keras.Model(inputs, keras.layers.Conv2D(4, 3, name="other")(x)).save(tmp_path / "own.keras")
    backbone = load("mixed_float16", f"file:{tmp_path / 'own.keras'}")
    assert backbone.facts.own_precision == ("own",)
    kinds = policies(backbone.model)
    assert (kinds["own"], kinds["other"]) == ("bfloat16", "mixed_float16")


@pytest.mark.parametrize("name", ["builtin:efficientnet_lite0", "torch:vit_small_patch16_224"])
def test_networks_of_other_sources(name):
    exact = load(None, name, weights="random", image_size=32)
    model, _ = in_precision(exact.model, "mixed_bfloat16")
    kinds = list(policies(model).values())
    assert kinds.count("mixed_bfloat16") > 0.9 * len(kinds)
    assert np.isfinite(model(np.zeros((1, 32, 32, 3), np.float32)).numpy().astype(np.float32)).all()


def test_an_unknown_precision_is_named(plugin):
    with pytest.raises(ConfigError) as caught:
        load("bfloat16")
    assert str(caught.value) == "precision='bfloat16' is not one of float32, mixed_bfloat16, mixed_float16."
