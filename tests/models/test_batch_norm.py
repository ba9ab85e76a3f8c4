"""The modes of batch norm mean the same for every network; momentum follows its rule and comes back."""

import functools
import inspect
import types

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.models import batch_norm, statistics

# One network of each family of keras.applications with batch norm, and the smallest pictures that it takes.
FAMILIES = {
    "densenet": ("DenseNet121", 32),
    "efficientnet": ("EfficientNetB0", 32),
    "efficientnet_v2": ("EfficientNetV2B0", 32),
    "inception_resnet_v2": ("InceptionResNetV2", 75),
    "inception_v3": ("InceptionV3", 75),
    "mobilenet": ("MobileNet", 32),
    "mobilenet_v2": ("MobileNetV2", 32),
    "mobilenet_v3": ("MobileNetV3Small", 32),
    "nasnet": ("NASNetMobile", 32),
    "resnet": ("ResNet50", 32),
    "resnet_v2": ("ResNet50V2", 32),
    "xception": ("Xception", 71),
}
SIZE = 8


def base():
    """Two convolutions with batch norm, as somebody's own network."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    x = pixels = keras.Input((SIZE, SIZE, 3))
    for number in range(2):
        x = layers.Conv2D(4, 3, padding="same", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"bn{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    return keras.Model(pixels, x, name="base")


def flat():
    return tfxfer.swap_head(base(), tfxfer.heads.Linear(outputs=3, kernel="glorot_uniform"))


def with_head(call):
    """A model around `base()`, called by `call(base, pixels)`."""
    pixels = keras.Input((SIZE, SIZE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(call(base(), pixels))
    return keras.Model(pixels, keras.layers.Dense(3, name="top")(pooled))


def sequential():
    inner = keras.Sequential([keras.Input((SIZE, SIZE, 3)), base(), keras.layers.GlobalAveragePooling2D()])
    return keras.Sequential([keras.Input((SIZE, SIZE, 3)), inner, keras.layers.Dense(3)])


SHAPES = {
    "flat": flat,
    "nested": lambda: with_head(lambda inner, pixels: inner(pixels)),
    "nested Sequential": sequential,
    "training=False in the graph": lambda: with_head(lambda inner, pixels: inner(pixels, training=False)),
    "StoredStatistics": lambda: tfxfer.with_stored_statistics(flat()),
}
# The latter from the Keras after 3.15 on.
HELD_BY_THE_GRAPH = ("StoredStatistics", "training=False in the graph")


def in_mode(model, mode):
    """Returns the model to train, frozen in a mode, the way our errors and docstrings say."""
    if mode == "affine":
        model = tfxfer.with_stored_statistics(model)
    tfxfer.freeze(model, train="all", batch_norm=mode)
    return model


def compiled(model, *, run_eagerly=False):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=loss, jit_compile=False, run_eagerly=run_eagerly)
    return model


def noise(model, count):
    """Random pixels and labels, far from mean 0 and variance 1."""
    generator = np.random.default_rng(0)
    pixels = generator.uniform(0, 255, (count, *model.input_shape[1:])).astype(np.float32)
    return pixels, np.eye(3, dtype=np.float32)[generator.integers(0, 3, count)]


def moved_by_training(model, norms):
    """Trains three steps; returns, for each kind of variable in batch norm, in how many of `norms` it moved."""
    kinds = ("moving_mean", "moving_variance", "gamma", "beta")
    pairs = [(kind, getattr(norm, kind)) for norm in norms for kind in kinds]
    before = [None if variable is None else variable.numpy() for _, variable in pairs]
    model.fit(*noise(model, 12), batch_size=4, verbose=0)
    moved = dict.fromkeys(kinds, 0)
    for (kind, variable), old in zip(pairs, before, strict=True):
        moved[kind] += variable is not None and not np.array_equal(variable.numpy(), old)
    return moved


def with_statistics(model):
    """Returns a random network with statistics that fit; else signals fade on their way, and gradients with them."""
    statistics.refresh_statistics(model, [noise(model, 12)], which="all")
    return model


def check_mode(model, mode, *, run_eagerly=False):
    norms = batch_norm.all_batch_norms(model)
    assert norms
    moved = moved_by_training(compiled(in_mode(model, mode), run_eagerly=run_eagerly), norms)
    have = {kind: sum(getattr(norm, kind) is not None for norm in norms) for kind in moved}
    moving = {"moving_mean": mode == "train", "moving_variance": mode == "train"}
    moving |= {"gamma": mode != "frozen", "beta": mode != "frozen"}
    assert moved == {kind: have[kind] if moves else 0 for kind, moves in moving.items()}


@pytest.mark.parametrize("mode", ["frozen", "affine", "train"])
@pytest.mark.parametrize("shape", SHAPES)
def test_modes_mean_the_same_however_a_network_is_nested(shape, mode):
    model = SHAPES[shape]()
    if mode == "train" and shape in HELD_BY_THE_GRAPH:
        model = batch_norm.with_moving_statistics(model)
    check_mode(with_statistics(model), mode)


@functools.lru_cache(maxsize=1)
def of_family(family):
    """Returns a random network of a family, and its weights to begin a test with; made once for all modes."""
    name, size = FAMILIES[family]
    keras.utils.set_random_seed(0)
    inner = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(size, size, 3))
    model = with_statistics(tfxfer.swap_head(inner, tfxfer.heads.Linear(outputs=3, kernel="glorot_uniform")))
    return model, model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["frozen", "affine", "train"])  # varies first
@pytest.mark.parametrize("family", FAMILIES)
def test_modes_mean_the_same_in_every_family_of_keras(family, mode):
    model, weights = of_family(family)
    model.set_weights(weights)
    # Three steps cost a third of the time if nothing is traced; one family shows that it makes no difference.
    check_mode(model, mode, run_eagerly=family != "mobilenet_v2")


def test_every_family_of_keras_with_batch_norm_is_among_them():
    """Fails when Keras gains a family, or when one turns to batch norm."""
    modules = inspect.getmembers(keras.applications, inspect.ismodule)
    members = [member for _, module in modules for _, member in inspect.getmembers(module, inspect.isfunction)]
    homes = {inspect.getmodule(inspect.unwrap(member)) for member in members}
    found = {home.__name__.rpartition(".")[2] for home in homes if "BatchNormalization(" in inspect.getsource(home)}
    assert found == {*FAMILIES} - {"resnet_v2"}  # which is built of the blocks of resnet


def test_what_keras_makes_of_training_false_in_the_graph():
    """The behaviour that the modes do not rely on; keras-team/keras#20285, fixed by #23364 after 3.15.1.

    When it fails, Keras honours the graph. Then `freeze(batch_norm="train")` has to look for it: statistics behind
    `training=False` stand still without a word, until `with_moving_statistics` undoes it.
    """
    model = SHAPES["training=False in the graph"]()
    norms = batch_norm.all_batch_norms(model)
    moved = moved_by_training(compiled(model), norms)
    assert moved["moving_mean"] == (2 if keras.__version__ < "3.16" else 0)


def test_a_model_with_stored_statistics_becomes_one_with_moving_ones_again():
    model = flat()
    again = batch_norm.with_moving_statistics(tfxfer.with_stored_statistics(model))
    assert batch_norm.has_free_statistics(again)
    assert not batch_norm.has_held_statistics(again)
    assert {id(v) for v in again.variables} == {id(v) for v in model.variables}
    x = np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(again(x), model(x), rtol=1e-6)


def test_stored_statistics_inside_a_nested_model_count_as_held():
    inner = tfxfer.with_stored_statistics(base())
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), inner, keras.layers.Flatten(), keras.layers.Dense(3)])
    assert not batch_norm.has_free_statistics(model)
    assert batch_norm.has_held_statistics(model)


def test_affine_asks_for_the_other_graph_of_a_nested_model_and_takes_it():
    model = sequential()
    with pytest.raises(BackboneError, match=r"with_stored_statistics\(model\)"):
        tfxfer.freeze(model, train="all", batch_norm="affine")
    tfxfer.freeze(tfxfer.with_stored_statistics(model), train="all", batch_norm="affine")


def test_batch_norm_of_a_new_head_moves_its_statistics_in_every_mode():
    """Nothing was ever stored there that could be kept."""
    head = tfxfer.heads.MLP(outputs=3, hidden=(4,), batch_norm=True, kernel="glorot_uniform")
    for mode in ("frozen", "affine", "train"):
        model = tfxfer.swap_head(base(), head)
        (new,) = [norm for norm in batch_norm.all_batch_norms(model) if norm.name.startswith("head_")]
        assert moved_by_training(compiled(in_mode(model, mode)), [new])["moving_mean"] == 1


def test_stored_statistics_keep_the_precision_of_their_layer():
    norm = keras.layers.BatchNormalization(dtype="mixed_float16")
    pixels = keras.Input((SIZE, SIZE, 3))
    stored = tfxfer.with_stored_statistics(keras.Model(pixels, norm(pixels)))
    assert stored.output.dtype == "float16"
    assert stored(np.zeros((1, SIZE, SIZE, 3), np.float32)).dtype == "float16"


@pytest.mark.parametrize(
    ("steps", "momentum"), [(1, 0.9), (10, 0.9), (99, 0.9), (100, 0.9), (200, 0.95), (1000, 0.99), (10_000, 0.999)]
)
def test_momentum_averages_over_a_tenth_of_an_epoch_but_over_ten_steps_at_least(steps, momentum):
    assert batch_norm.batch_norm_momentum(steps) == pytest.approx(momentum)


def test_momentum_works_in_a_model_that_is_compiled_and_has_been_fitted():
    """By hand: one batch of constants; the canary is the same change made past us, which Keras does not see."""
    pixels = keras.Input((3,))
    norm = keras.layers.BatchNormalization(name="norm", momentum=0.75)
    model = keras.Model(pixels, norm(pixels))
    model.compile("sgd", loss="mse")
    batch = np.full((4, 3), 8.0, np.float32)

    def mean_after_a_step_from_zero():
        norm.moving_mean.assign([0.0] * 3)
        model.fit(batch, batch, verbose=0)
        return norm.moving_mean.numpy()[0]

    assert mean_after_a_step_from_zero() == 8 * 0.25
    norm.momentum = 0.5
    assert mean_after_a_step_from_zero() == 8 * 0.25
    norm.momentum = 0.75
    with batch_norm.set_batch_norm_momentum(model, 0.5) as change:
        assert change.changed == ((norm, 0.75),)
        assert mean_after_a_step_from_zero() == 8 * 0.5
    assert norm.momentum == 0.75
    assert mean_after_a_step_from_zero() == 8 * 0.25


def test_momentum_can_change_within_a_fit():
    pixels = keras.Input((3,))
    norm = keras.layers.BatchNormalization(momentum=0.5)
    model = keras.Model(pixels, norm(pixels))
    model.compile("sgd", loss="mse")

    class Lower(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                batch_norm.set_batch_norm_momentum(self.model, 0.25)

    batch = np.full((4, 3), 8.0, np.float32)
    model.fit(batch, batch, epochs=2, verbose=0, callbacks=[Lower()])
    assert norm.moving_mean.numpy()[0] == (8 * 0.5) * 0.25 + 8 * 0.75


def test_momentum_is_lowered_only_where_statistics_move():
    model = flat()
    frozen, moving = batch_norm.all_batch_norms(model)
    frozen.trainable = False
    change = batch_norm.set_batch_norm_momentum(model, 0.9)
    assert (frozen.momentum, moving.momentum) == (0.99, 0.9)
    assert str(change) == "momentum 0.9 in 1 batch norms (was 0.99), 0 keep a smaller one"
    kept = batch_norm.set_batch_norm_momentum(model, 0.95)
    assert (kept.changed, kept.kept, moving.momentum) == ((), ("bn1",), 0.9)
    kept.restore()
    assert moving.momentum == 0.9
    change.restore()
    assert moving.momentum == 0.99
    stored = tfxfer.with_stored_statistics(model)
    assert batch_norm.set_batch_norm_momentum(stored, 0.9).changed == ()
    nested = sequential()
    assert len(batch_norm.set_batch_norm_momentum(nested, 0.9).changed) == 2


def test_a_file_holds_the_momentum_of_the_moment_and_predicts_the_same(tmp_path):
    model = flat()
    x = np.random.default_rng(0).normal(size=(2, SIZE, SIZE, 3)).astype(np.float32)
    with batch_norm.set_batch_norm_momentum(model, 0.9):
        model.save(tmp_path / "lowered.keras")
    model.save(tmp_path / "restored.keras")
    for name, momentum in (("lowered", 0.9), ("restored", 0.99)):
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert {norm.momentum for norm in batch_norm.all_batch_norms(loaded)} == {momentum}
        np.testing.assert_array_equal(loaded(x), model(x))


class Sealed(keras.layers.Layer):
    """A layer that is a network inside, as `graph.Parted` describes."""

    batch_norm = "train"

    def variable_groups(self):
        return ()

    def call(self, inputs):
        return inputs


def test_networks_inside_a_layer_are_out_of_reach_and_it_says_so():
    pixels = keras.Input((3,))
    sealed = Sealed(name="sealed")
    model = keras.Model(pixels, sealed(pixels))
    (sentence,) = batch_norm.set_batch_norm_momentum(model, 0.9).out_of_reach
    assert sentence == "'sealed' is a network inside that moves its statistics with a momentum of its own"
    parameter = types.SimpleNamespace(name="batch_norm_momentum")
    sealed.offer = types.SimpleNamespace(parameters=(parameter,))
    sealed.get_config = lambda: {"arguments": {"batch_norm_momentum": 0.997}}
    (sentence,) = batch_norm.set_batch_norm_momentum(model, 0.9).out_of_reach
    assert sentence == (
        "'sealed' has a momentum inside, 0.997, set when the layer is made: arguments={'batch_norm_momentum': 0.9}"
    )
    sealed.batch_norm = "frozen"
    assert batch_norm.set_batch_norm_momentum(model, 0.9).out_of_reach == ()


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "10"])
def test_steps_that_are_none_are_answered(steps):
    with pytest.raises(ConfigError, match="is not a whole number of steps from 1 on"):
        batch_norm.batch_norm_momentum(steps)


@pytest.mark.parametrize("momentum", [1.0, -0.1, float("nan"), "0.9", True])
def test_momenta_that_are_none_are_answered(momentum):
    with pytest.raises(ConfigError, match=r"is not a number in \[0, 1\)\. Type momentum=batch_norm_momentum"):
        batch_norm.set_batch_norm_momentum(flat(), momentum)
