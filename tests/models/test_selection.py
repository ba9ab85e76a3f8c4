"""What `train=` and `frozen=` mean, without changing a flag."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tfxfer.addressing import Places
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.models.freezing import freeze
from tfxfer.models.selection import selected

layers = keras.layers


def model_of(*units: int) -> keras.Model:
    """Dense layers a, b, c, … of so many units on four inputs; weights: units · (inputs + 1)."""
    stack = [layers.Dense(width, name=name) for name, width in zip("abcdef", units, strict=False)]
    return keras.Sequential([keras.Input((4,)), *stack], name="stack")


@pytest.fixture(scope="module")
def places() -> Places:
    """Layers a, b, c, d of 20, 20, 50 and 55 weights and a head e of 12."""
    return Places(model_of(4, 4, 10, 5, 2))


def chosen(places, train=None, frozen=None) -> str:
    """The names of the layers that are to train."""
    ids = selected(places, train, frozen)
    return "".join(dict.fromkeys(place.layer.name for place in places.places if id(place.variable) in ids))


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        (None, "e"),
        ("head", "e"),
        ("all", "abcde"),
        (1, "de"),
        (np.int64(3), "bcde"),
        (4, "abcde"),
        (0.5, "cde"),
        (np.float32(0.25), "de"),
        ("40%", "de"),
        ("70%", "cde"),
        ("72.5 %", "cde"),
        ("1%", "de"),
        ("99%", "bcde"),
        ("c", "cde"),
        ("e", "e"),
        ("re:^[bd]$", "bde"),
        ("layers[-3:]", "cde"),
        ("layers[1:3]", "bce"),
        (("b", "d"), "bde"),
        (["layers[0]", "re:c"], "ace"),
        (("e",), "e"),
    ],
)
def test_train_means(places, train, expected):
    assert chosen(places, train=train) == expected


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        (0, "abcde"),
        (1, "bcde"),
        (4, "e"),
        (0.5, "cde"),
        (0.01, "bcde"),
        ("30%", "cde"),
        ("90%", "de"),
        ("b", "cde"),
        ("re:^[bd]$", "ace"),
        ("re:.", "e"),
        ("layers[:2]", "cde"),
        ("layers[1:3]", "ade"),
        ("layers[:5]", "e"),
        (("a", "c"), "bde"),
        (("a", "e"), "bcde"),
    ],
)
def test_frozen_means_and_the_head_trains_whatever_is_said(places, frozen, expected):
    assert chosen(places, frozen=frozen) == expected


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"train": 0}, r"train=0 must be a number of layer groups from 1 on.* Write train='head'\."),
        ({"train": -1}, r"train=-1 must be a number of layer groups"),
        ({"train": 5}, r"train=5 asks for more layer groups than the 4 there are.*at most train=4"),
        ({"train": 1.0}, r"train=1\.0 must be .* Write train='all'\."),
        ({"train": float("nan")}, r"train=nan must be"),
        ({"train": True}, r"train=True must be a number or share"),
        ({"train": {"a"}}, r"must be a number or share of layer groups, .*or a list of these names"),
        ({"train": ()}, r"train=\(\) is empty.*train='head'"),
        ({"train": ("a", 2)}, r"train=2 is no address"),
        ({"train": ("a", "x")}, r"train='x' is neither a layer group nor a layer"),
        ({"train": "2"}, r"train='2' is a number in quotes\. Write train=2 or '2%'"),
        ({"train": "0%"}, r"train='0%' is a share of the weights .* above 0 % .* train='head'"),
        ({"train": "100%"}, r"below 100 %.*all of them train='all'"),
        ({"train": "-5%"}, r"must be above 0 %"),
        ({"train": "re:z"}, r"train='re:z' matches no variable"),
        ({"train": "re:kernel"}, r"would train a/kernel and freeze a/bias\. A layer freezes as a whole"),
        ({"frozen": -1}, r"frozen=-1 must be 0 to 4, as so many layer groups are below the head of 'stack'"),
        ({"frozen": 5}, r"frozen=5 must be 0 to 4"),
        ({"frozen": 1.5}, r"frozen=1\.5 must be .*share of them above 0 and below 1"),
        ({"frozen": False}, r"frozen=False must be a number or share"),
        ({"frozen": "all"}, r"would leave nothing to train\. Write train='head'"),
        ({"frozen": "e"}, r"frozen='e' means the head only, which always trains\. Write train='head'"),
        ({"frozen": "re:^e$"}, r"means the head only"),
        ({"frozen": ("e",)}, r"means the head only"),
        ({"frozen": []}, r"frozen=\[\] is empty"),
        ({"frozen": "re:bias"}, r"would train a/kernel and freeze a/bias"),
        ({"frozen": "layers[:9]"}, r"frozen='layers\[:9\]' reaches beyond the 5 layers"),
        ({"frozen": "ab"}, r"frozen='ab' is neither a layer group nor a layer"),
        ({"train": 1, "frozen": 1}, r"train=1 and frozen=1 say the same thing twice\. Give one of them"),
    ],
)
def test_bad_requests_are_told_with_the_fix(places, asked, message):
    with pytest.raises(ConfigError, match=message):
        selected(places, asked.get("train"), asked.get("frozen"))


def test_a_near_name_is_suggested():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="middle"), layers.Dense(2, name="last")])
    with pytest.raises(ConfigError, match=r"Did you mean 'middle'\?"):
        selected(Places(model), "midle", None)


def test_a_model_without_a_head_is_refused():
    bare = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.Dense(2), layers.Reshape((2, 1)), layers.ReLU()]
    )
    selected(Places(bare), "head", None)  # what follows the last weights belongs to them
    single = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(BackboneError, match="one layer group only"):
        selected(Places(single), "head", None)


def test_no_share_of_a_single_layer_can_be_frozen():
    with pytest.raises(BackboneError, match="one layer with weights"):
        selected(Places(model_of(4, 2)), "50%", None)


@keras.saving.register_keras_serializable("test_selection")
class Network(layers.Layer):
    """Tells the parts of its variables, as a SavedModel does: p and q of 16 and 48 weights."""

    batch_norm = "frozen"

    def build(self, shape):
        self.p, self.q = (self.add_weight(shape=(4, width), name=name) for name, width in (("p", 4), ("q", 12)))

    def call(self, x):
        return x @ self.p @ self.q

    def variable_groups(self):
        return [SimpleNamespace(name=v.name, trainable=(v,), batch_norm=(), statistics=()) for v in (self.p, self.q)]


@pytest.mark.parametrize(
    ("train", "expected"),
    [("q", "q"), ("all", "pq"), (1, "q"), ("75%", "q"), ("re:inside/p$", "p"), ("inside", "pq"), ("layers[0]", "pq")],
)
def test_parts_of_a_layer_that_is_a_network_inside_are_frozen_one_by_one(train, expected):
    inside = Network(name="inside")
    model = keras.Sequential([keras.Input((4,)), inside, layers.Dense(2, name="last")])
    ids = selected(Places(model), train, None)
    assert "".join(v.name for v in inside.weights if id(v) in ids) == expected
    done = freeze(model, train=train)
    assert [v.name for v in inside.trainable_variables] == list(expected)
    assert "".join(group.name for group in done.groups if group.trained_layers) == f"{expected}last"


def test_lora_keeps_its_kernel_whatever_is_woken():
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, name="adapted"), layers.Dense(2, name="last")], name="net"
    )
    layer = model.get_layer("adapted")
    layer.enable_lora(2)
    freeze(model, train="head")
    freeze(model, train="all")
    assert [v.name for v in layer.trainable_variables] == ["bias", "lora_kernel_a", "lora_kernel_b"]
    assert not layer._kernel.trainable


def test_batch_norm_goes_with_the_layer_before_it_where_weights_are_shared_out():
    norm = layers.BatchNormalization(name="norm")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(40, name="b"), norm,
                              layers.Dense(2, name="last")])  # fmt: skip
    places = Places(model)  # 20, 200 and 80 weights below the head: 80 / 300 would be the norm alone
    assert chosen(places, train="27%") == "bnormlast"
    assert chosen(places, train="re:norm") == "normlast"
