"""Names to numbers: every variable has one rule, and the makers' numbers are those worked out by hand."""

import keras
import numpy as np
import pytest

from tfxfer import graph
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.optimizers import DifferentialLearningRate, multipliers


@pytest.fixture(scope="module")
def network():
    """Four layer groups: stage1.block1, stage2.block1, stage2.block2 and the head."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv1")(inputs)
    x = keras.layers.BatchNormalization(name="conv1_bn")(x)
    x = keras.layers.MaxPooling2D(name="pool")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv2")(x)
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv3")(x)
    x = keras.layers.GlobalAveragePooling2D(name="mean")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(x), name="small")


def names(network):
    return [group.name for group in graph.layer_groups(network)]


def by_name(given, network):
    """Returns layer/variable → multiplier."""
    return {"/".join(v.path.split("/")[-2:]): value for v, value, _ in multipliers.resolved(given, network)}


def test_the_network_of_these_tests_has_the_groups_that_they_speak_of(network):
    assert names(network) == ["stage1.block1", "stage2.block1", "stage2.block2", "head"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"stage2.block1": 0.5, "...": 0.1}, {"conv2": 0.5}),
        ({"stage2": 0.5, "...": 0.1}, {"conv2": 0.5, "conv3": 0.5}),
        ({"conv3": 0.5, "…": 0.1}, {"conv3": 0.5}),
        ({"re:^conv[12]$": 0.5, ...: 0.1}, {"conv1": 0.5, "conv2": 0.5}),
        ({"re:_bn$": 0.5, "...": 0.1}, {"conv1_bn": 0.5}),
        ({"layers[:3]": 0.5, "...": 0.1}, {"conv1": 0.5, "conv1_bn": 0.5}),
        ({"head": 1, "...": np.float32(0.1)}, {"head": 1.0}),
        ({"head": np.float64(0.5), "...": 0.1}, {"head": 0.5}),
        ({"re:.": 0.5}, dict.fromkeys(("conv1", "conv1_bn", "conv2", "conv3", "head"), 0.5)),
    ],
)
def test_names_are_groups_stages_layers_expressions_and_positions(network, given, wanted):
    found = by_name(given, network)
    assert len(found) == 10
    for name, value in found.items():
        assert value == pytest.approx(wanted.get(name.partition("/")[0], 0.1))
        assert type(value) is float


def test_an_expression_can_tell_the_variables_of_a_layer_apart(network):
    found = by_name({"re:/bias$": 0.5, "...": 0.1}, network)
    assert {name for name, value in found.items() if value == 0.5} == {
        "conv1/bias", "conv2/bias", "conv3/bias", "head/bias",
    }  # fmt: skip


def test_frozen_variables_have_a_rule_too_for_they_may_wake(network):
    network.get_layer("conv2").trainable = False
    try:
        assert by_name({"conv2": 0.5, "...": 0.1}, network)["conv2/kernel"] == 0.5
    finally:
        network.get_layer("conv2").trainable = True


def test_what_goes_by_the_rest_is_called_by_its_group(network):
    labels = {label for _, _, label in multipliers.resolved({"head": 1.0, "...": 0.1}, network)}
    assert labels == {"head", "stage1.block1", "stage2.block1", "stage2.block2"}


BAD = [
    ({"head": 1.0}, r'no rule for 8 of 10 variables, such as conv1/kernel, .*"\.\.\.": 0\.1'),
    ({}, "no rule for 10 of 10 variables"),
    ({"stage2": 0.5, "conv3": 0.1, "...": 1.0}, "conv3/kernel is meant by two rules, 'stage2' and 'conv3'"),
    ({"re:nothing": 0.5, "...": 1.0}, "'re:nothing' matches no variable of 'small'. Names are like conv1/kernel"),
    ({"re:(": 0.5, "...": 1.0}, "is no regular expression"),
    ({"pool": 0.5, "...": 1.0}, "'pool' has no variables that gradients can move"),
    ({"stage9": 0.5, "...": 1.0}, "neither a layer group nor a layer"),
    ({"conv22": 0.5, "...": 1.0}, "Did you mean 'conv2'?"),
    ({"layers[9:]": 0.5, "...": 1.0}, "reaches beyond the 8 layers of 'small'"),
    ({1: 0.5, "...": 1.0}, "1 is no address"),
    ({"re:.": 0.5, "...": 1.0}, '"..." is left with no variable: the other rules cover all'),
    ({"head": 0.5, "...": 1.0, "…": 0.1}, '"..." and "…" mean the same. Leave one out'),
    ({"head": 1.0, "...": 0}, r"'\]=0 would train without moving\. Freeze it instead: tfxfer\.freeze"),
    ({"head": 1.0, "...": 0.0}, "Freeze it instead"),
    ({"head": -0.5, "...": 1.0}, r"multipliers\['head'\]=-0.5 must be a finite number above 0 and at most 1"),
    ({"head": 2.0, "...": 1.0}, r"multipliers\['head'\]=2.0 must be"),
    ({"head": float("nan"), "...": 1.0}, r"multipliers\['head'\]=nan must be"),
    ({"head": float("inf"), "...": 1.0}, r"multipliers\['head'\]=inf must be"),
    ({"head": "1", "...": 1.0}, r"multipliers\['head'\]='1' must be"),
    ({"head": True, "...": 1.0}, r"multipliers\['head'\]=True must be"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), BAD)
def test_a_mapping_that_does_not_cover_each_variable_once_is_refused(network, given, message):
    with pytest.raises(ConfigError, match=message):
        DifferentialLearningRate(keras.optimizers.Adam(), given, model=network)


def test_a_network_without_a_graph_of_layers_is_refused():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model(np.ones((1, 3), np.float32))
    with pytest.raises(BackboneError):
        DifferentialLearningRate(keras.optimizers.Adam(), {"...": 0.1}, model=model)


# Makers


def test_layer_decay_falls_from_the_head_by_relative_depth(network):
    found = multipliers.layer_decay(network, 0.9)
    # depths 0, 1/3, 2/3 and 1: 0.9 to the powers 12, 8, 4 and 0
    assert list(found) == names(network)
    assert list(found.values()) == pytest.approx([0.28242954, 0.43046721, 0.6561, 1.0])


def test_layer_decay_has_a_floor(network):
    assert list(multipliers.layer_decay(network, 0.5, floor=0.01).values()) == pytest.approx([0.01, 0.01, 0.0625, 1.0])
    assert min(multipliers.layer_decay(network, 0.5).values()) == 0.001
    assert set(multipliers.layer_decay(network, 1.0).values()) == {1.0}


def test_head_to_body_gives_all_but_the_head_the_same(network):
    assert multipliers.head_to_body(network) == {"head": 1.0, "...": pytest.approx(0.1)}
    assert multipliers.head_to_body(network, 100)["..."] == pytest.approx(0.01)


def test_slices_grow_by_one_factor_from_group_to_group(network):
    found = multipliers.slices(network, 0.001)
    assert list(found.values()) == pytest.approx([0.001, 0.01, 0.1, 1.0])
    assert list(multipliers.slices(network, 0.1, 0.8).values()) == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_ulmfit_divides_by_2_6_from_group_to_group(network):
    assert list(multipliers.ulmfit(network).values()) == pytest.approx([1 / 17.576, 1 / 6.76, 1 / 2.6, 1.0])
    assert list(multipliers.ulmfit(network, 10, floor=0.05).values()) == pytest.approx([0.05, 0.05, 0.1, 1.0])


MAKERS = {
    "layer_decay": multipliers.layer_decay,
    "head_to_body": multipliers.head_to_body,
    "slices": lambda model: multipliers.slices(model, 0.01),
    "ulmfit": multipliers.ulmfit,
}


@pytest.mark.parametrize("maker", MAKERS)
def test_what_makers_make_covers_the_network(network, maker):
    optimizer = DifferentialLearningRate(keras.optimizers.SGD(1.0), MAKERS[maker](network), model=network)
    assert optimizer.multiplier(network.get_layer("head").kernel) == 1.0
    assert list(optimizer.effective_rates())[-1] == "head"


@pytest.mark.parametrize("maker", MAKERS)
def test_what_makers_make_covers_a_network_of_one_layer(maker):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    found = MAKERS[maker](model)
    assert list(found) == ["head"]
    DifferentialLearningRate(keras.optimizers.SGD(1.0), found, model=model)


@pytest.mark.parametrize("maker", MAKERS)
def test_what_makers_make_leaves_out_groups_without_anything_to_move(maker):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv1")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.BatchNormalization(center=False, scale=False, name="bn")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Conv2D(4, 1, name="conv2")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x))
    DifferentialLearningRate(keras.optimizers.SGD(1.0), MAKERS[maker](model), model=model)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: multipliers.layer_decay(model, 0), "decay=0 must be a finite number above 0 and at most 1"),
        (lambda model: multipliers.layer_decay(model, 1.5), "decay=1.5 must be"),
        (lambda model: multipliers.layer_decay(model, floor=2), "floor=2 must be"),
        (lambda model: multipliers.head_to_body(model, 0.5), "ratio=0.5 must be a number of at least 1"),
        (lambda model: multipliers.head_to_body(model, float("inf")), "ratio=inf must be"),
        (lambda model: multipliers.slices(model, 0.5, 0.1), "lowest=0.5 must be .* above 0 and at most 0.1"),
        (lambda model: multipliers.slices(model, 0.5, 2), "highest=2 must be"),
        (lambda model: multipliers.ulmfit(model, 0.5), "factor=0.5 must be a number of at least 1"),
        (lambda model: multipliers.ulmfit(model, "2"), "factor='2' must be"),
        (lambda model: multipliers.ulmfit(model, floor=0), "floor=0 must be"),
    ],
)  # fmt: skip
def test_makers_refuse_numbers_out_of_range(network, call, message):
    with pytest.raises(ConfigError, match=message):
        call(network)
