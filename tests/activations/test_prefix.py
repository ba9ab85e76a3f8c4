"""`cached_prefix`: the frozen part of anyone's model is computed once, and training is as without it."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer.activations import filling, prefix
from tfxfer.activations.store import CacheFullError, MemoryStore
from tfxfer.errors import ConfigError

layers = keras.layers
GENERATOR = np.random.default_rng(0)
PICTURES = GENERATOR.integers(0, 256, (20, 8, 8, 3)).astype(np.float32)
LABELS = (np.arange(20) % 3).astype(np.int64)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def dataset(pictures=PICTURES, labels=LABELS, batch=8):
    return tf.data.Dataset.from_tensor_slices((pictures / 255, labels)).batch(batch)


def network(*, dropout=0.0):
    """Two convolutions with batch norm, pooling, a dense layer; the first convolution's block is frozen."""
    pixels = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="low")(pixels)
    x = layers.BatchNormalization(name="low_bn")(x)
    x = layers.ReLU(name="low_relu")(x)
    x = layers.Dropout(dropout, name="low_dropout")(x) if dropout else x
    x = layers.MaxPooling2D(name="low_pool")(x)
    x = layers.Conv2D(6, 3, padding="same", name="high")(x)
    x = layers.BatchNormalization(name="high_bn")(x)
    x = layers.ReLU(name="high_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(pixels, layers.Dense(3, name="logits")(x))


def frozen(model, *names):
    for name in names:
        model.get_layer(name).trainable = False
    return model


def trained(model, data, epochs=3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, jit_compile=False)
    return model.fit(data, epochs=epochs, verbose=0, shuffle=False).history["loss"]


def test_training_the_suffix_trains_the_model_as_it_would_be_without_a_cache():
    plain = frozen(network(), "low", "low_bn")
    twin = frozen(network(), "low", "low_bn")
    twin.set_weights(plain.get_weights())
    cached = tfxfer.cached_prefix(twin, dataset(), precision="float32", shuffle=False)
    assert cached.cut == ("low_pool",)
    np.testing.assert_allclose(trained(cached.model, cached.dataset), trained(plain, dataset()), rtol=1e-5)
    for ours, theirs in zip(twin.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert {id(v) for v in cached.model.trainable_variables} == {id(v) for v in twin.trainable_variables}


def test_it_unpacks_to_a_model_and_a_dataset_whose_length_is_known():
    suffix, activations = tfxfer.cached_prefix(frozen(network(), "low", "low_bn"), dataset())
    assert len(activations) == 3
    assert [len(labels) for _, labels in activations] == [8, 8, 4]
    assert suffix.input_shape == (None, 4, 4, 4)


def test_each_pass_has_every_example_once_in_an_order_of_its_own():
    model = frozen(network(), "low", "low_bn")
    numbered = dataset(labels=np.arange(20))
    _, activations = tfxfer.cached_prefix(model, numbered)
    first, second = (np.concatenate([labels for _, labels in activations]).tolist() for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    _, in_order = tfxfer.cached_prefix(model, numbered, shuffle=False)
    assert np.concatenate([labels for _, labels in in_order]).tolist() == list(range(20))


def test_rows_stay_with_their_labels_and_weights():
    model = frozen(network(), "low", "low_bn")
    weights = np.linspace(0, 1, 20).astype(np.float32)
    data = tf.data.Dataset.from_tensor_slices((PICTURES, np.arange(20), weights)).batch(8)
    cached = tfxfer.cached_prefix(model, data, precision="float32")
    expected = cached.prefix(PICTURES, training=False).numpy()
    for rows, numbers, given in cached.dataset:
        np.testing.assert_allclose(rows, expected[numbers.numpy()], rtol=1e-5, atol=1e-4)
        np.testing.assert_array_equal(given, weights[numbers.numpy()])


def test_validation_pictures_go_through_the_same_prefix():
    model = frozen(network(), "low", "low_bn")
    cached = tfxfer.cached_prefix(model, dataset())
    held_out = cached.cached(dataset(PICTURES[:5], LABELS[:5]))
    logits = np.concatenate([cached.model(rows) for rows, _ in held_out])
    np.testing.assert_allclose(logits, model(PICTURES[:5] / 255, training=False), atol=1e-2)


def test_with_all_but_the_head_frozen_the_pooled_features_are_kept():
    model = frozen(network(), "low", "low_bn", "high", "high_bn")
    cached = tfxfer.cached_prefix(model, dataset())
    assert cached.cut == ("pool",)
    assert cached.model.input_shape == (None, 6)
    assert cached.row_bytes == 16  # 6 float16, padded to whole words of 8 bytes


def test_models_nested_in_it_are_looked_into():
    inner = frozen(network(), "low", "low_bn")
    features = keras.Model(inner.input, inner.get_layer("high_relu").output, name="inner")
    pixels = keras.Input((8, 8, 3))
    outer = keras.Model(pixels, layers.Dense(3)(layers.Flatten()(features(pixels))))
    cached = tfxfer.cached_prefix(outer, dataset(), precision="float32")
    assert cached.cut == ("low_pool",)
    before = features.get_layer("high").kernel.numpy()
    trained(cached.model, cached.dataset)
    assert not np.array_equal(features.get_layer("high").kernel.numpy(), before)


def test_a_random_layer_ends_what_is_computed_once_unless_it_is_to_be_ignored():
    model = frozen(network(dropout=0.5), "low", "low_bn")
    assert tfxfer.cached_prefix(model, dataset()).cut == ("low_relu",)
    assert tfxfer.cached_prefix(model, dataset(), ignore_randomness=True).cut == ("low_pool",)


def test_every_kind_of_random_layer_is_known():
    convnext = importlib.import_module("keras.src.applications.convnext")
    for noisy in (layers.GaussianNoise(0.1, name="noisy"), convnext.StochasticDepth(0.5, name="noisy")):
        pixels = keras.Input((8, 8, 3))
        low = layers.Conv2D(4, 3, trainable=False, name="low")(pixels)
        model = keras.Model(pixels, layers.Dense(3)(layers.Flatten()(noisy(low))))
        assert tfxfer.cached_prefix(model, dataset()).cut == ("low",)
        with pytest.raises(ConfigError, match="behind layer 'noisy', which is random in training"):
            tfxfer.cached_prefix(model, dataset(), cut="noisy")


def test_a_prefix_whose_statistics_would_move_is_refused_by_name():
    model = frozen(network(), "low")
    assert tfxfer.cached_prefix(model, dataset()).cut == ("low",)
    with pytest.raises(ConfigError, match="behind layer 'low_bn', which moves its statistics"):
        tfxfer.cached_prefix(model, dataset(), cut="low_pool")


def test_a_prefix_that_trains_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"behind layer 'low', which trains\. Freeze it"):
        tfxfer.cached_prefix(network(), dataset(), cut="low_pool")
    with pytest.raises(ConfigError, match=r"nothing of .* can be computed once: its layer 'low' trains"):
        tfxfer.cached_prefix(network(), dataset())


def test_a_dataset_without_batches_or_with_several_inputs_is_refused():
    model = frozen(network(), "low", "low_bn")
    with pytest.raises(ConfigError, match="no batches"):
        tfxfer.cached_prefix(model, dataset().take(0))
    pairs = tf.data.Dataset.from_tensor_slices(((PICTURES, PICTURES), LABELS)).batch(8)
    with pytest.raises(ConfigError, match="tuple"):
        tfxfer.cached_prefix(model, pairs)


def test_more_than_fits_into_memory_is_an_error_that_names_the_disk(monkeypatch):
    model = frozen(network(), "low", "low_bn")
    small = MemoryStore("float16", (4, 4, 4), limit_bytes=1_500)  # of 20 rows of 128 bytes
    monkeypatch.setattr(prefix, "_in_memory", lambda *_: small)
    with pytest.raises(CacheFullError, match=r"1\.0 kB do not fit beside 1\.0 kB within 1\.5 kB.*store='disk'"):
        tfxfer.cached_prefix(model, dataset())


@pytest.fixture
def computed(monkeypatch):
    """A list of how many examples each batch had that went through a prefix."""
    counts = []
    original = filling.computing

    def computing(store, prefix, decode=None):
        compute = original(store, prefix, decode)
        return lambda batch, *rest: counts.append(len(batch)) or compute(batch, *rest)

    monkeypatch.setattr(filling, "computing", computing)
    return counts


def on_disk(model, folder, pictures=PICTURES):
    return tfxfer.cached_prefix(model, dataset(pictures), store="disk", folder=folder, shuffle=False)


def rows_of(cached):
    return np.concatenate([rows for rows, _ in cached.dataset])


def test_a_second_call_finds_everything_on_disk(tmp_path, computed):
    model = frozen(network(), "low", "low_bn")
    first = rows_of(on_disk(model, tmp_path))
    assert sum(computed) == 24  # the last batch is padded
    np.testing.assert_array_equal(rows_of(on_disk(model, tmp_path)), first)
    assert sum(computed) == 24


def test_a_changed_picture_is_computed_anew_and_nothing_else(tmp_path, computed):
    model = frozen(network(), "low", "low_bn")
    on_disk(model, tmp_path)
    computed.clear()
    changed = PICTURES.copy()
    changed[9] += 1
    cached = on_disk(model, tmp_path, changed)
    assert computed == [8]  # the batch that it lies in
    expected = cached.prefix(changed / 255, training=False)
    np.testing.assert_allclose(rows_of(cached), expected, atol=1e-2)


def test_a_changed_weight_makes_another_store(tmp_path, computed):
    model = frozen(network(), "low", "low_bn")
    on_disk(model, tmp_path)
    computed.clear()
    model.get_layer("high").kernel.assign_add(keras.ops.ones_like(model.get_layer("high").kernel))
    on_disk(model, tmp_path)
    assert computed == []  # it is behind the cut
    model.get_layer("low_bn").moving_mean.assign_add(keras.ops.ones(4))
    on_disk(model, tmp_path)
    assert sum(computed) == 24


def test_a_flipped_byte_is_found_and_only_its_row_computed_anew(tmp_path, computed):
    model = frozen(network(), "low", "low_bn")
    first = rows_of(on_disk(model, tmp_path))
    computed.clear()
    (shard,) = [file for file in tmp_path.rglob("*") if file.is_file() and file.stat().st_size == 20 * 128]
    content = bytearray(shard.read_bytes())
    content[13 * 128 + 5] ^= 0x40
    shard.write_bytes(content)
    np.testing.assert_array_equal(rows_of(on_disk(model, tmp_path)), first)
    assert computed == [8]


def test_what_was_kept_before_a_failure_is_not_computed_again(tmp_path, computed):
    model = frozen(network(), "low", "low_bn")

    def failing(numbers):
        for number in numbers:
            if number == 8:
                raise OSError("the network share is gone")
            yield PICTURES[number] / 255, LABELS[number]

    kinds = (tf.TensorSpec((8, 8, 3)), tf.TensorSpec((), tf.int64))
    passes = iter([range(8), range(9)])  # what is hashed ends before the failure, what is computed meets it

    def start():
        yield from failing(next(passes, range(9)))

    broken = tf.data.Dataset.from_generator(start, output_signature=kinds).batch(4)
    names = dataset(PICTURES[:8], LABELS[:8], batch=4)
    tfxfer.cached_prefix(model, names.take(1), store="disk", folder=tmp_path)
    assert sum(computed) == 4
    computed.clear()
    tfxfer.cached_prefix(model, broken.take(2), store="disk", folder=tmp_path)
    assert sum(computed) == 4  # the second batch alone
