"""A trained head is scaled to logits of standard deviation 1, and its predictions stay what they were."""

import keras
import numpy as np
import pytest

from tfxfer import activations, heads, models
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.models.rescaling import rescale_head

FEATURES = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")


def network(head, seed=3):
    """A head on six features, with random numbers for what training would have made."""
    x = keras.Input((6,), name="features_in")
    base = keras.Model(x, keras.layers.Dense(6, activation="relu", name="body")(x))
    model = models.swap_head(base, head, at="body")
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        if variable.name in ("kernel", "bias") and "float" in variable.dtype:
            variable.assign(generator.normal(size=variable.shape) * 7)
    return model


def logits(model):
    return model.predict_on_batch(FEATURES)


@pytest.mark.parametrize(
    "head", [heads.Linear(outputs=3), heads.MLP(outputs=3, hidden=(5,)), heads.Cosine(outputs=3)], ids=lambda h: type(h)
)
def test_logits_have_a_deviation_of_1_and_predictions_stay(head):
    model = network(head)
    before = logits(model)
    factor = rescale_head(model, [FEATURES])
    after = logits(model)
    assert before.std() > 2
    assert after.std() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(after, before * factor, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))


def test_nothing_but_the_last_layer_is_touched():
    model = network(heads.MLP(outputs=3, hidden=(5,)))
    before = {variable.path: variable.numpy() for variable in model.variables}
    rescale_head(model, [FEATURES])
    moved = {v.path for v in model.variables if not np.array_equal(v.numpy(), before[v.path])}
    assert moved == {"head_logits/kernel", "head_logits/bias"}


def test_the_deviation_is_that_of_all_batches():
    one, several = network(heads.Linear(outputs=3)), network(heads.Linear(outputs=3))
    factor = rescale_head(one, [FEATURES])
    assert rescale_head(several, iter([FEATURES[:20], FEATURES[20:]])) == pytest.approx(factor)


def test_by_hand():
    """Logits 2 and −2 have a deviation of 2, so everything is halved."""
    x = keras.Input((1,))
    model = keras.Model(x, keras.layers.Dense(2, name="head_logits")(x))
    model.layers[-1].set_weights([np.array([[1.0, -1.0]]), np.array([1.0, -1.0])])
    assert rescale_head(model, [np.array([[1.0]], "float32")]) == 0.5
    kernel, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(kernel, [[0.5, -0.5]])
    np.testing.assert_allclose(bias, [0.5, -0.5])


def test_a_head_of_zeros_is_left_alone_even_where_its_bias_is_not_zero():
    model = network(heads.Linear(outputs=3))
    layer = model.get_layer("head_logits")
    layer.kernel.assign(np.zeros((6, 3)))
    assert rescale_head(model, [FEATURES]) == 1.0
    assert layer.bias.numpy().any()
    layer.set_weights([np.ones((6, 3)), np.zeros(3)])
    assert rescale_head(model, [np.zeros((4, 6), "float32")]) == pytest.approx(1.0 / logits_deviation(model))


def logits_deviation(model):
    """Of features of zeros, which a body of random numbers does not leave at zero; 1 where they are all the same."""
    return float(model.predict_on_batch(np.zeros((4, 6), "float32")).std()) or 1.0


def test_each_of_several_heads_has_its_own_factor():
    model = network({"species": heads.Linear(outputs=3), "age": heads.MLP(outputs=2, hidden=(4,))})
    factors = rescale_head(model, [FEATURES])
    assert factors.keys() == {"species", "age"}
    assert [logits(model)[name].std() for name in factors] == pytest.approx([1, 1], rel=1e-4)


def test_what_is_behind_a_cut_is_rescaled_the_same():
    model = network(heads.Linear(outputs=3))
    suffix = activations.suffix(model, (models.pooled_features(model),))
    kept = keras.Model(model.input, model.get_layer("body").output).predict_on_batch(FEATURES)
    rescale_head(suffix, [kept])
    assert logits(model).std() == pytest.approx(1, rel=1e-4)


def test_what_cannot_be_rescaled_is_named():
    with pytest.raises(BackboneError, match=r"only a dense layer without activation can be rescaled"):
        rescale_head(network(heads.Cosine(outputs=3, learn_scale=False)), [FEATURES])
    x = keras.Input((6,))
    probabilities = keras.Model(x, keras.layers.Dense(2, activation="softmax", name="probabilities")(x))
    with pytest.raises(BackboneError, match=r"ends in 'probabilities', and only a dense layer"):
        rescale_head(probabilities, [FEATURES])
    held = keras.Model(x, keras.layers.Dense(2, kernel_constraint="unit_norm", name="held")(x))
    with pytest.raises(BackboneError, match=r"the kernel of 'held' is held"):
        rescale_head(held, [FEATURES])


def test_no_batches_and_logits_that_are_not_finite():
    with pytest.raises(ConfigError, match="was given no batches"):
        rescale_head(network(heads.Linear(outputs=3)), [])
    model = network(heads.Linear(outputs=3))
    model.get_layer("head_logits").bias.assign([0, np.inf, 0])
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ConfigError, match=r"the logits of 'head_logits' are not finite: .* Lower its learning rate\."),
    ):
        rescale_head(model, [FEATURES])
