"""What names mean: compared with lists of layers written by hand, or with Keras's own `model.layers`."""

import keras
import pytest

import tfxfer
from tfxfer.addressing import Places
from tfxfer.errors import ConfigError

layers = keras.layers


def chain(name="chain"):
    """Three dense layers under batch norm, then a last one."""
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(5, name="first"),
            layers.BatchNormalization(name="first_norm"),
            layers.Dense(4, name="second"),
            layers.Dropout(0.5, name="rest"),
            layers.Dense(3, name="third"),
        ],
        name=name,
    )


def named(places) -> list[str]:
    return [place.name for place in places]


def of(*layers_) -> set[int]:
    """The variables of layers that gradients can move, found without the code under test."""
    return {id(v) for layer in layers_ for v in layer.weights if "moving" not in v.name}


def vgg():
    return keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3), name="vgg16")


def first_eight_of_vgg(network) -> set[int]:
    """As the tutorials have it: `for layer in vgg.layers[:8]`."""
    eight = [layer.name for layer in vgg().layers[:8]]
    assert eight[-1] == "block3_conv1"
    return of(*(network.get_layer(name) for name in eight[1:]))  # behind the input


def ids(places) -> set[int]:
    return {id(place.variable) for place in places}


def test_places_are_all_variables_that_gradients_can_move_in_the_order_of_the_graph():
    model = chain()
    model.trainable = False
    assert named(Places(model).places) == [
        "first/kernel", "first/bias", "first_norm/gamma", "first_norm/beta",
        "second/kernel", "second/bias", "third/kernel", "third/bias",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("first_norm", ["first_norm/gamma", "first_norm/beta"]),
        ("re:_norm$", ["first_norm/gamma", "first_norm/beta"]),
        ("re:^(second|third)$", ["second/kernel", "second/bias", "third/kernel", "third/bias"]),
        ("re:second/kernel", ["second/kernel"]),
        ("layers[:1]", ["first/kernel", "first/bias"]),
        ("layers[0]", ["first/kernel", "first/bias"]),
        ("layers[-1]", ["third/kernel", "third/bias"]),
        ("layers[2:4]", ["second/kernel", "second/bias"]),
        ("layers[-3:-1]", ["second/kernel", "second/bias"]),
    ],
)
def test_an_address_means(address, expected):
    assert named(Places(chain()).at(address)) == expected


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("secnd", r"'secnd' is neither a layer group nor a layer of 'chain'\. Did you mean 'second'\? Groups: "),
        ("re:conv", r"'re:conv' matches no variable of 'chain'\..* Names are like first/kernel, first/bias"),
        ("re:^secnd$", r"matches no variable of 'chain'\. Did you mean 'second'\?"),
        ("re:(", r"'re:\(' is no regular expression: "),
        ("re:", r"an empty one would match everything"),
        ("rest", r"'rest' has no variables that gradients can move"),
        ("layers[3]", r"has no variables that gradients can move"),
        ("layers[:6]", r"'layers\[:6\]' reaches beyond the 5 layers of 'chain'"),
        ("layers[-6:]", r"reaches beyond the 5 layers"),
        ("layers[5]", r"'layers\[5\]' means no layer: 'chain' has 5, counted from 0"),
        ("layers[3:2]", r"means no layer"),
        ("layers[::2]", r"is not written as layers\[:8\], layers\[-3:\]"),
        ("layers[]", r"is not written as"),
        ("layers[:8", r"is not written as"),
        ("layers[a:b]", r"is not written as"),
        ("chian.layers[:2]", r"no model 'chian' is nested in 'chain'\. None is: write layers\[…\] alone"),
        (3, r"3 is no address\. Write the name"),
    ],
)
def test_what_means_nothing_is_told_with_the_fix(address, message):
    with pytest.raises(ConfigError, match=message):
        Places(chain()).at(address)


def test_a_nested_model_is_all_its_layers_and_a_layer_within_has_its_own_name():
    inner = chain("inner")
    model = keras.Sequential([keras.Input((6,)), inner, layers.Dense(2, name="last")], name="outer")
    places = Places(model)
    assert ids(places.at("inner")) == of(*inner.layers)
    assert ids(places.at("second")) == of(inner.get_layer("second"))
    assert ids(places.at("inner.layers[:3]")) == of(*inner.layers[:3])
    with pytest.raises(ConfigError, match=r"no model 'iner' is nested in 'outer'\. Did you mean 'inner'\?"):
        places.at("iner.layers[:3]")


def test_a_model_nested_in_a_nested_one_is_found():
    middle = keras.Sequential([keras.Input((6,)), chain("inner"), layers.Dense(3, name="fourth")], name="middle")
    model = keras.Sequential([keras.Input((6,)), middle, layers.Dense(2, name="last")])
    places = Places(model)
    assert ids(places.at("inner")) == of(*middle.get_layer("inner").layers)
    assert ids(places.at("middle")) == of(*middle.get_layer("inner").layers, middle.get_layer("fourth"))
    assert named(places.at("layers[5]")) == ["fourth/kernel", "fourth/bias"]


def in_sequential():
    network = vgg()
    return keras.Sequential([network, layers.Flatten(), layers.Dense(2)]), network


def behind_an_input():
    network, pixels = vgg(), keras.Input((32, 32, 3))
    return keras.Model(pixels, layers.Dense(2)(layers.Flatten()(network(pixels)))), network


def grown_from_its_output():
    network = vgg()
    return keras.Model(network.input, layers.Dense(2)(layers.Flatten()(network.output))), network


def by_load_backbone():
    network = tfxfer.load_backbone("keras:VGG16", image_size=32, weights="random")
    model = tfxfer.swap_head(network, tfxfer.heads.Linear(outputs=2))
    return model, model


@pytest.mark.parametrize("make", [in_sequential, behind_an_input, grown_from_its_output, by_load_backbone])
def test_the_first_eight_layers_are_those_of_the_tutorials(make):
    model, network = make()
    assert ids(Places(model).at("layers[:8]")) == first_eight_of_vgg(network)


def test_positions_in_a_named_network_are_those_of_keras():
    model, network = behind_an_input()
    for address, expected in (("layers[:8]", network.layers[:8]), ("layers[-4:]", network.layers[-4:])):
        assert ids(Places(model).at(f"vgg16.{address}")) == of(*expected)


def test_a_layer_used_twice_stands_once():
    left, right = keras.Input((4,)), keras.Input((4,))
    shared = layers.Dense(3, name="shared")
    model = keras.Model([left, right], layers.Dense(2, name="last")(layers.Add()([shared(left), shared(right)])))
    assert named(Places(model).places) == ["shared/kernel", "shared/bias", "last/kernel", "last/bias"]
    assert named(Places(model).at("layers[2]")) == ["shared/kernel", "shared/bias"]  # behind two inputs, as in Keras


def test_layers_within_layers_have_names_of_their_own():
    words = keras.Input((7, 4))
    x = layers.MultiHeadAttention(2, 3, name="attention")(words, words)
    x = layers.Bidirectional(layers.LSTM(3, name="memory"), name="both_ways")(x)
    model = keras.Model(words, layers.Dense(2, name="last")(x))
    places = Places(model)
    assert len(places.at("attention")) == len(places.at("layers[1]")) == 8
    assert named(places.at("query")) == ["query/kernel", "query/bias"]
    assert len(places.at("both_ways")) == 6
    assert ids(places.at("re:^both_ways|lstm_cell|memory")) == ids(places.at("both_ways"))


def test_a_name_behind_a_slash_is_looked_for_within_the_one_before():
    words = keras.Input((7, 4))
    x = layers.MultiHeadAttention(2, 3, name="first")(words, words)
    x = layers.MultiHeadAttention(2, 3, name="second")(x, x)
    places = Places(keras.Model(words, layers.Dense(2, name="last")(x)))
    assert len(places.at("query")) == 4
    assert ids(places.at("second/query")) < ids(places.at("second"))
    assert len(places.at("second/query")) == 2
    group = places.at("second/query")[0].group
    assert ids(places.at(f"{group}/second/query")) == ids(places.at("second/query"))
    with pytest.raises(ConfigError, match=r"'query/second' is neither"):
        places.at("query/second")


def test_variables_that_a_layer_made_for_itself_are_no_places():
    class Counting(layers.Layer):
        def build(self, shape):
            self.gain = self.add_weight(shape=(), name="gain", initializer="ones")
            self.calls = self.add_weight(shape=(), name="calls", trainable=False)

        def call(self, x):
            self.calls.assign_add(1.0)
            return x * self.gain

    model = keras.Sequential([keras.Input((4,)), Counting(name="counting"), layers.Dense(2, name="last")])
    assert named(Places(model).at("counting")) == ["counting/gain"]


def test_statistics_of_a_layer_in_a_list_are_no_places():
    class Holding(layers.Layer):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.held = [layers.BatchNormalization(name="held_norm")]

        def call(self, x):
            return self.held[0](x)

    model = keras.Sequential([keras.Input((4,)), Holding(name="holding"), layers.Dense(2, name="last")])
    assert named(Places(model).at("holding")) == ["held_norm/gamma", "held_norm/beta"]


def test_the_head_is_the_last_group_whatever_it_is_called():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="body"), keras.layers.Dense(2, name="top")])
    assert [place.name for place in Places(model).at("head")] == ["top/kernel", "top/bias"]
