"""Heads on backbones and on whole models."""

import contextlib
import itertools
import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer import activations, heads, load_backbone, models, swap_head
from tfxfer.activations.store import MemoryStore
from tfxfer.addressing import Places
from tfxfer.backbones import model_scan
from tfxfer.data.rows import Rows
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.heads import MLP, Cosine, Linear
from tfxfer.models import heads as building
from tfxfer.plans.heads import with_head

pytestmark = pytest.mark.usefixtures("plugin")
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SEVERAL = {"species": Linear(outputs=5, kernel="glorot_uniform"), "age": MLP(outputs=3, hidden=(4,), batch_norm=True)}


def on_vectors(head, width: int = 3) -> keras.Model:
    """A head on a network whose features are its inputs."""
    inputs = keras.Input((width,))
    features = keras.layers.Activation("linear", name="features")(inputs)
    return swap_head(keras.Model(inputs, features), head, at="features")


def names(model) -> list[str]:
    return [layer.name for layer in model.layers if layer.name.startswith("head_")]


def group_names(model) -> list[str]:
    return [group.name for group in tfxfer.layer_groups(model)]


def head_variables(model) -> list[keras.Variable]:
    return tfxfer.layer_groups(model)[-1].trainable_variables


@contextlib.contextmanager
def precision(policy: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


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


def test_batch_norm_stands_between_a_hidden_layer_without_bias_and_its_relu_and_dropout_before_the_last():
    model = swap_head(load_backbone("tiny:cnn"), MLP(outputs=3, hidden=(7, 5), dropout=0.5, batch_norm=True))
    hidden = ["head_hidden_0", "head_norm_0", "head_relu_0", "head_hidden_1", "head_norm_1", "head_relu_1"]
    assert names(model) == ["head_pool", *hidden, "head_dropout", "head_logits"]
    assert not model.get_layer("head_hidden_0").use_bias
    assert model.get_layer("head_hidden_0").activation is keras.activations.linear


def test_the_head_s_batch_norm_trains_while_the_backbone_s_is_frozen():
    model = swap_head(load_backbone("tiny:cnn"), MLP(outputs=3, hidden=(7,), batch_norm=True))
    tfxfer.freeze(model, train="head", batch_norm="frozen")
    before = {variable.path: variable.numpy().copy() for variable in model.weights}
    model.compile("adam", loss=LOSS)
    model.fit(np.concatenate([PIXELS] * 4), np.arange(8) % 3, batch_size=4, epochs=2, verbose=0)
    moved = {v.path for v in model.weights if not np.array_equal(v.numpy(), before[v.path])}
    norm = {f"head_norm_0/{name}" for name in ("gamma", "beta", "moving_mean", "moving_variance")}
    assert moved == norm | {
        "head_hidden_0/kernel", "head_logits/kernel", "head_logits/bias",
    }  # fmt: skip


def test_the_same_seed_gives_the_same_head():
    one, same, other = (
        swap_head(load_backbone("tiny:cnn"), MLP(outputs=3), seed=seed).get_layer("head_hidden_0").kernel.numpy()
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_cosine_logits_by_hand():
    """Features (3, 4, 0) and (0, 0, 2); classes along the axes 0 and 1, whose lengths say nothing."""
    model = on_vectors(Cosine(outputs=2, scale=10.0))
    model.get_layer("head_cosine").kernel.assign([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    features = np.array([[3, 4, 0], [0, 0, 2]], np.float32)
    for length in (1, 1e-2, 1e3):
        np.testing.assert_allclose(model(features * length), [[6, 8], [0, 0]], atol=1e-3)
    model.get_layer("head_scale").kernel.assign([[2.0]])
    np.testing.assert_allclose(model(features), [[1.2, 1.6], [0, 0]], atol=1e-5)


@pytest.mark.parametrize("kernel", ["orthogonal", "glorot_uniform"])
@pytest.mark.parametrize("outputs", [3, 20])
def test_the_weights_of_each_class_have_length_1_from_the_start(kernel, outputs):
    """Also with more classes than features, where no kernel is orthogonal."""
    kernels = on_vectors(Cosine(outputs=outputs, kernel=kernel), 8).get_layer("head_cosine").kernel.numpy()
    np.testing.assert_allclose(np.linalg.norm(kernels, axis=0), 1, atol=1e-6)
    if kernel == "orthogonal" and outputs == 3:
        np.testing.assert_allclose(kernels.T @ kernels, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("learn_scale", [True, False])
def test_training_keeps_the_length_of_the_weights_and_moves_the_scale_where_it_is_learned(learn_scale):
    model = on_vectors(Cosine(outputs=2, scale=5.0, learn_scale=learn_scale))
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), loss=LOSS)
    before = model.get_layer("head_cosine").kernel.numpy().copy()
    features = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    model.fit(features, (features[:, 0] > 0).astype(int), batch_size=8, epochs=3, verbose=0)
    after = model.get_layer("head_cosine").kernel.numpy()
    assert not np.allclose(after, before, atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(after, axis=0), 1, atol=1e-6)
    scales = [v.numpy().item() for v in model.trainable_variables if v.path.startswith("head_scale")]
    assert len(scales) == int(learn_scale)
    assert all(abs(scale - 5.0) > 0.1 for scale in scales)
    assert np.abs(model(features)).max() <= (abs(scales[0]) if learn_scale else 5.0) * 1.0001


def gradient_at_zero_features() -> np.ndarray:
    model = on_vectors(Cosine(outputs=2), 8)
    features = tf.Variable(np.zeros((1, 8), np.float32))

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = LOSS(np.array([0]), model(features))
        return tape.gradient(loss, [features, *model.trainable_variables])

    return np.concatenate([np.ravel(gradient) for gradient in gradients()])


def test_features_that_are_all_zero_have_a_finite_gradient(monkeypatch):
    assert np.isfinite(gradient_at_zero_features()).all()
    assert np.abs(gradient_at_zero_features()).max() < 1e9
    monkeypatch.setattr(building, "_SHIFT", 0.0)  # the canary: so it would be without
    assert not np.abs(gradient_at_zero_features()).max() < 1e9


@pytest.mark.parametrize("head", [Linear(outputs=3), MLP(outputs=3, hidden=(4,), batch_norm=True), Cosine(outputs=3)])
def test_logits_are_float32_under_mixed_precision(head):
    with precision("mixed_bfloat16"):
        model = swap_head(load_backbone("tiny:cnn"), head)
        assert model.get_layer("block2_relu").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    assert model(PIXELS).dtype == tf.float32


def test_a_cosine_is_computed_in_float32_under_mixed_precision():
    """In bfloat16, with 8 bits, logits would be off by up to 0.04."""
    with precision("mixed_bfloat16"):
        model = on_vectors(Cosine(outputs=3), 64)
    features = np.random.default_rng(0).normal(size=(4, 64)).astype("float32")
    features = np.asarray(tf.cast(tf.cast(features, tf.bfloat16), tf.float32))  # what the trunk gives
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(model(features), 10 * unit @ model.get_layer("head_cosine").kernel, atol=1e-4)


def test_a_cosine_head_trains_on_two_devices(mirrored):
    with mirrored.scope():
        model = on_vectors(Cosine(outputs=2))
        model.compile("adam", loss=LOSS)
    features = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    model.fit(features, (features[:, 0] > 0).astype(int), batch_size=8, verbose=0)
    kernel = model.get_layer("head_cosine").kernel
    for copy in mirrored.experimental_local_results(kernel.value):
        np.testing.assert_allclose(np.linalg.norm(copy.numpy(), axis=0), 1, atol=1e-6)
        np.testing.assert_array_equal(copy.numpy(), kernel.numpy())


ALL_HEADS = [
    kind(outputs=3, pooling=pooling, **settings)
    for kind, settings in [
        (Linear, {}),
        (MLP, {"hidden": ()}),
        (MLP, {"hidden": (7,)}),
        (MLP, {"hidden": (7, 5)}),
        (MLP, {"hidden": (7, 5), "batch_norm": True}),
        (Cosine, {}),
        (Cosine, {"learn_scale": False}),
    ]
    for pooling in ("avg", "max", "both")
]


@pytest.mark.parametrize("head", ALL_HEADS, ids=repr)
def test_the_plan_knows_the_layers_that_a_head_will_have(head):
    backbone = load_backbone("tiny:cnn")
    model = swap_head(backbone, head)
    planned, built = with_head(backbone.facts, head), Places(model).outline
    assert [(layer.name, layer.variables) for layer in planned.layers] == [
        (layer.name, layer.variables) for layer in built.layers
    ]
    # Counted in the whole network, where the layer that scales pixels does not count.
    counted = [[dict(layer.positions).get("") for layer in outline.layers] for outline in (planned, built)]
    assert counted[0] == counted[1]
    assert counted[0][:3] == [0, None, 1]
    assert dict(planned.lengths)[""] == dict(built.lengths)[""]
    assert planned.groups == built.groups
    assert group_names(model) == ["stage1.block1", "stage2.block1", "stage3.block1", "head"]
    assert models.pooled_features(model).shape == (None, 16 if head.pooling == "both" else 8)


def test_a_whole_model_keeps_its_layers_and_loses_its_head():
    old = swap_head(load_backbone("tiny:cnn"), Linear(outputs=3))
    new = swap_head(old, heads.Linear(outputs=7))
    assert new.output_shape == (None, 7)
    assert new.get_layer("block1_conv") is old.get_layer("block1_conv")
    assert sum(isinstance(layer, keras.layers.Dense) for layer in new.layers) == 1


@pytest.mark.parametrize(
    "put", [lambda head: swap_head(load_backbone("tiny:cnn"), head), on_vectors], ids=["map", "vector"]
)
def test_a_second_swap_replaces_any_head_by_any_other(put):
    several = {"a": MLP(outputs=2, hidden=(4,)), "b": Cosine(outputs=2, pooling="max")}
    one, deep, cosine = Linear(outputs=2), MLP(outputs=2, batch_norm=True), Cosine(outputs=2)
    for old, new in itertools.pairwise([one, one, deep, deep, several, several, cosine, cosine, one]):
        swapped, fresh = swap_head(put(old), new), put(new)
        assert [layer.name for layer in swapped.layers[1:]] == [layer.name for layer in fresh.layers[1:]]
        assert isinstance(swapped.output, dict) is (new is several)


def test_what_stands_on_a_head_goes_with_it():
    old = swap_head(load_backbone("tiny:cnn"), MLP(outputs=3))
    answering = keras.Model(old.input, keras.layers.Softmax()(old.output))
    assert group_names(answering)[-1] == "head"
    assert names(swap_head(answering, Linear(outputs=7))) == ["head_pool", "head_logits"]


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


def test_several_heads_give_a_dict_of_logits_and_are_one_group():
    with precision("mixed_bfloat16"):
        model = swap_head(load_backbone("tiny:cnn"), SEVERAL)
    assert {name: logits.shape for name, logits in model.output.items()} == {"species": (None, 5), "age": (None, 3)}
    assert {logits.dtype for logits in model.output.values()} == {"float32"}
    own = ["head_age_hidden_0", "head_age_norm_0", "head_age_relu_0", "head_age_dropout", "head_age_logits"]
    assert sorted(names(model)) == sorted(["head_pool", "head_species_logits", *own])
    assert group_names(model) == ["stage1.block1", "stage2.block1", "stage3.block1", "head"]


def test_several_heads_each_begin_at_numbers_of_their_own_whatever_their_order():
    one, two = MLP(outputs=2), Cosine(outputs=2)
    model = on_vectors({"a": one, "b": one, "c": two})
    other = on_vectors({"c": two, "b": one})
    kernels = {name: model.get_layer(f"head_{name}_hidden_0").kernel.numpy() for name in "ab"}
    assert not np.array_equal(kernels["a"], kernels["b"])
    np.testing.assert_array_equal(other.get_layer("head_b_hidden_0").kernel, kernels["b"])


def test_several_heads_train_alone_with_a_loss_each():
    model = swap_head(load_backbone("tiny:cnn"), SEVERAL)
    done = tfxfer.freeze(model, train="head")
    assert done.trained == ("head",)
    assert {id(v) for v in model.trainable_variables} == {id(v) for v in head_variables(model)}
    before = {v.path: v.numpy().copy() for v in model.weights}
    model.compile("adam", loss={"species": LOSS, "age": LOSS}, metrics={"age": ["accuracy"]})
    labels = {"species": np.arange(8) % 5, "age": np.arange(8) % 3}
    history = model.fit(np.concatenate([PIXELS] * 4), labels, batch_size=4, verbose=0).history
    assert {"species_loss", "age_loss", "age_accuracy"} <= set(history)
    moved = {v.path for v in model.weights if not np.array_equal(v.numpy(), before[v.path])}
    assert {v.path for v in head_variables(model)} <= moved
    assert all(path.startswith("head_") for path in moved)


POOLED = [
    ({"a": Linear(outputs=2), "b": MLP(outputs=2)}, (None, 8)),
    ({"a": Linear(outputs=2, pooling="both"), "b": Cosine(outputs=2, pooling="both")}, (None, 16)),
    ({"a": Linear(outputs=2), "b": Cosine(outputs=2, pooling="max")}, (None, 3, 3, 8)),
    ({"a": Linear(outputs=2), "b": Cosine(outputs=2, pooling="both")}, (None, 3, 3, 8)),
]


@pytest.mark.parametrize(("several", "shape"), POOLED)
def test_heads_share_their_pooling_where_they_pool_alike(several, shape):
    """And can be cut off there: at the map of features where they do not."""
    model = swap_head(load_backbone("tiny:cnn"), several)
    assert models.pooled_features(model).shape == shape
    poolings = [call for call in names(model) if call.startswith("head_pool")]
    assert len(poolings) == len(set(poolings))
    cut = activations.cut_at(model, "features")
    prefix = activations.part(model, cut)
    examples = Rows(PIXELS, np.zeros(2, np.int32), np.arange(2), 2)
    with MemoryStore("float32", prefix.output_shape[1:]) as store:
        rows = activations.cached(store, prefix, examples, batch_size=2, text="").take(np.arange(2))
    behind = activations.suffix(model, cut)(rows)
    for name, logits in model(PIXELS).items():
        np.testing.assert_allclose(behind[name], logits, atol=1e-5)


def test_stored_statistics_leave_several_outputs_as_they_are():
    model = swap_head(load_backbone("tiny:cnn"), SEVERAL)
    stored = tfxfer.with_stored_statistics(model)(PIXELS)
    for name, logits in model(PIXELS).items():
        np.testing.assert_allclose(stored[name], logits, atol=1e-5)


SAVED = {**SEVERAL, "kind": Cosine(outputs=2), "fixed": Cosine(outputs=2, learn_scale=False, pooling="max")}


@pytest.mark.slow
def test_saved_heads_open_where_tfxfer_is_not_installed(tmp_path):
    """`None` in `sys.modules` makes every import of tfxfer fail."""
    model = swap_head(load_backbone("tiny:cnn"), SAVED)
    model.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert model_scan.foreign_code(json.loads(file.read("config.json")), packages=()) == ()
    np.save(tmp_path / "pixels.npy", PIXELS.astype(np.float32))
    code = """
import sys
sys.modules["tfxfer"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1] + "/model.keras")
np.savez(sys.argv[1] + "/logits.npz", **model(np.load(sys.argv[1] + "/pixels.npy")))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True)
    answers = np.load(tmp_path / "logits.npz")
    assert set(answers) == set(SAVED)
    for name, logits in model(PIXELS).items():
        np.testing.assert_allclose(answers[name], logits, atol=1e-6)


def test_saved_heads_are_heads_again(tmp_path):
    model = swap_head(load_backbone("tiny:cnn"), SAVED)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert group_names(again) == group_names(model)
    assert again.get_layer("head_kind_cosine").kernel.constraint.get_config() == {"axis": 0}
    assert tfxfer.freeze(again).trainable_weights == tfxfer.freeze(model).trainable_weights
    assert names(swap_head(again, Linear(outputs=2))) == ["head_pool", "head_logits"]


RUNS = [Cosine(dropout=0.1, pooling="both"), MLP(hidden=(8,), dropout=0.1, batch_norm=True)]


@pytest.mark.parametrize("head", [pytest.param(RUNS[0], marks=pytest.mark.slow), RUNS[1]], ids=["cosine", "mlp"])
def test_a_run_learns_and_exports_every_head(head, colours, tmp_path):
    """Through both kinds of cached stage; that the exported files answer alike is checked by the run."""
    from conftest import tiny_recipe

    said = []
    report = tfxfer.run(tiny_recipe(colours, head=head), workdir=tmp_path / "run", show=said.append)
    assert report.test.accuracy > 0.9
    assert [parity.file for parity in report.export] == ["model.keras", "saved_model/1", "feature_vector/1"]
    assert f"{type(head).__name__}: {head.pooling} pooling" in said[0]


def test_a_head_without_a_number_of_outputs_is_refused():
    with pytest.raises(ConfigError, match=r"Say how many: outputs=10"):
        swap_head(load_backbone("tiny:cnn"), Linear())


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({}, "the dict has no head in it. Write {'species': heads.Linear(outputs=5), …}."),
        ({"a b": Linear(outputs=1)}, "'a b' cannot name a head. Write letters, digits and underscores: 'species'."),
        ({"größe": Linear(outputs=1)}, "'größe' cannot name a head. Write letters, digits and underscores: 'species'."),
        ({"": Linear(outputs=1)}, "'' cannot name a head. Write letters, digits and underscores: 'species'."),
        ({1: Linear(outputs=1)}, "1 cannot name a head. Write letters, digits and underscores: 'species'."),
        ({"a": Linear()}, "head 'a': Linear(outputs='auto') works in recipes. Say how many: outputs=10."),
        (
            {"a": 5, "b-": Cosine()},
            "head 'a': 5 is no head, expected one of heads.Linear(outputs=…), heads.MLP(outputs=…), "
            "heads.Cosine(outputs=…), or a dict of them; 'b-' cannot name a head. Write letters, digits and "
            "underscores: 'species'; head 'b-': Cosine(outputs='auto') works in recipes. Say how many: outputs=10.",
        ),
        (
            Linear,
            "<class 'tfxfer.heads.Linear'> is no head, expected one of heads.Linear(outputs=…), "
            "heads.MLP(outputs=…), heads.Cosine(outputs=…), or a dict of them.",
        ),
        (
            [Linear(outputs=1)],
            "[Linear(outputs=1, pooling='avg', dropout=0.0, kernel='zeros')] is no head, expected one of "
            "heads.Linear(outputs=…), heads.MLP(outputs=…), heads.Cosine(outputs=…), or a dict of them.",
        ),
    ],
)
def test_what_is_no_head_is_answered_with_what_is(head, message):
    with pytest.raises(ConfigError) as caught:
        on_vectors(head)
    assert str(caught.value) == message


def test_names_of_heads_that_sound_like_layers_of_ours_do_no_harm():
    several = {name: MLP(outputs=2, hidden=(3,)) for name in ("pool", "pool_max", "dropout", "logits", "hidden", "_")}
    model = swap_head(load_backbone("tiny:cnn"), several)
    assert group_names(model) == ["stage1.block1", "stage2.block1", "stage3.block1", "head"]
    assert names(swap_head(model, Linear(outputs=2))) == ["head_pool", "head_logits"]


def foreign(name: str) -> keras.Model:
    """A classifier of somebody who called a layer in its middle as we call those of heads."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 3, name="one"),
            layers.Conv2D(4, 3, name=name),
            layers.Conv2D(4, 3, name="three"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )


def test_layers_of_others_that_are_called_as_the_head_s_are_not_taken_for_it():
    model = swap_head(foreign("head_scale"), Linear(outputs=3))
    assert [layer.name for layer in model.layers][1:] == ["one", "head_scale", "three", "head_pool", "head_logits"]
    assert len(head_variables(model)) == 2


def test_a_layer_that_has_a_name_that_the_head_needs_is_named():
    with pytest.raises(BackboneError) as caught:
        swap_head(foreign("head_logits"), Linear(outputs=3))
    assert str(caught.value) == (
        "the model has a layer 'head_logits' below its head already, as the new head will. Give that layer another "
        "name where the model is made, or cut below it: at=…"
    )
    assert swap_head(foreign("head_logits"), Linear(outputs=3), at="one").output_shape == (None, 3)


def test_two_ways_of_pooling_need_a_feature_map():
    with pytest.raises(ConfigError, match=r"features \(None, 3\) have no height and width\. Write pooling='avg'"):
        on_vectors(Cosine(outputs=2, pooling="both"))


def test_a_model_without_a_head_of_ours_has_no_pooled_features():
    with pytest.raises(BackboneError, match="swap_head gives it one"):
        models.pooled_features(foreign("two"))


def test_a_model_without_a_place_for_a_head_is_refused():
    inputs = keras.Input((8,))
    with pytest.raises(BackboneError, match=r"Name a layer: at="):
        swap_head(keras.Model(inputs, keras.layers.ReLU()(inputs)), Linear(outputs=2))
