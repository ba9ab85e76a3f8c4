"""A SavedModel behaves as any layer of Keras: it trains, freezes, saves, loads, clones and is exported."""

import importlib
import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from backbones.hub.conftest import SIZE, keras_model, model_around, write_function, write_reusable

from tfxfer.backbones.hub.layer import SavedModelLayer, saved_models_allowed
from tfxfer.errors import BackboneError, ConfigError

PICTURES = tf.TensorSpec([None, SIZE, SIZE, 3])


# When an asset cannot be loaded, Keras warns of other things on the way to its error.
GOES_ON = pytest.mark.filterwarnings("ignore:Skipping nested container")


def values(layer) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy() for variable in layer.variables}


def moved(layer, before) -> set[str]:
    return {path for path, value in values(layer).items() if not np.array_equal(value, before[path])}


def fit(model, pictures, epochs=2):
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(pictures, np.ones((len(pictures), 4)), batch_size=2, epochs=epochs, verbose=0, shuffle=False)


# Variables.


def test_weights_are_the_variables_of_the_saved_model_and_no_copies(reusable):
    layer = SavedModelLayer(reusable, trainable=True)
    originals = {id(variable) for variable in layer.saved_model.variables}
    assert {id(variable.value) for variable in layer.weights} == originals
    assert len(layer.trainable_weights) == 6
    layer.weights[0].assign(tf.zeros_like(layer.weights[0]))
    assert not np.any(layer.saved_names["Net/conv1/kernel"].numpy())
    np.testing.assert_array_equal(layer.saved_model.variables[0], layer.saved_names["Net/conv1/kernel"])


def test_variables_of_other_types_are_wrapped_without_a_copy_too(tmp_path):
    half = tf.Variable(tf.ones([3], tf.float16), name="half")
    count = tf.Variable(5, name="count", trainable=False)

    def call(images):
        return tf.reduce_mean(images, [1, 2]) * tf.cast(half, tf.float32) * tf.cast(count, tf.float32)

    folder = write_function(tmp_path / "types", call, PICTURES, variables=[half, count], trainable_variables=[half])
    layer = SavedModelLayer(folder, trainable=True)
    assert [variable.dtype for variable in layer.weights] == ["float16", "int32"]
    assert {id(v.value) for v in layer.weights} == {id(v) for v in layer.saved_model.variables}


def test_listed_variables_that_get_no_gradient_are_named_in_a_warning(tmp_path, pictures):
    folder = write_reusable(tmp_path / "stuck", stuck=True)
    with pytest.warns(UserWarning, match="no gradient.* Net/conv1/norm/gamma\\.$"):
        model = model_around(folder, trainable=True)
    layer = model.layers[-1]
    assert layer.saved_names["Net/conv1/norm/gamma"].path not in {v.path for v in layer.trainable_weights}
    fit(model, pictures)  # Keras would warn of missing gradients, and warnings are errors here


def test_groups_follow_the_saved_names(reusable):
    layer = SavedModelLayer(reusable, trainable=True)
    first, second = layer.variable_groups()
    assert (first.name, second.name) == ("Net/conv1", "Net/conv2")
    assert [v.name for v in first.trainable] == ["Net_conv1_kernel", "Net_conv1_norm_gamma", "Net_conv1_norm_beta"]
    assert [v.name for v in first.batch_norm] == ["Net_conv1_norm_gamma", "Net_conv1_norm_beta"]
    assert [v.name for v in first.statistics] == ["Net_conv1_norm_moving_mean"]
    covered = [id(v) for group in (first, second) for v in (*group.trainable, *group.statistics)]
    assert sorted(covered) == sorted(id(v) for v in layer.variables)


# Training.


def test_a_frozen_saved_model_does_not_move_and_adds_no_loss(reusable, pictures):
    pixels = keras.Input((SIZE, SIZE, 3))
    layer = SavedModelLayer(reusable, batch_norm="train")
    model = keras.Model(pixels, keras.layers.Dense(4)(layer(pixels)))
    before = values(layer)
    fit(model, pictures)
    assert moved(layer, before) == set()
    assert model(pictures, training=True) is not None
    assert model.losses == []


def test_a_trainable_saved_model_moves_its_weights_but_no_statistics(reusable, pictures):
    model = model_around(reusable, trainable=True)
    before = values(model.layers[-1])
    fit(model, pictures)
    assert moved(model.layers[-1], before) == {v.path for v in model.trainable_weights}


def test_statistics_move_only_when_asked_and_while_everything_trains(reusable, pictures):
    model = model_around(reusable, trainable=True, batch_norm="train")
    layer = model.layers[-1]
    before = values(layer)
    fit(model, pictures)
    assert moved(layer, before) == set(before)

    layer.saved_names["Net/conv1/kernel"].trainable = False
    before = values(layer)
    fit(model, pictures)
    assert moved(layer, before) == {v.path for v in layer.trainable_weights}
    assert len(layer.trainable_weights) == 5

    layer.trainable = True
    layer.batch_norm = "frozen"
    before = values(layer)
    fit(model, pictures)
    assert moved(layer, before) == {v.path for v in layer.trainable_weights}
    with pytest.raises(ConfigError, match="'frozen', 'affine', 'train'"):
        layer.batch_norm = "no"


def test_part_of_a_saved_model_trains(reusable, pictures):
    model = model_around(reusable, trainable=True)
    layer = model.layers[-1]
    for variable in layer.variable_groups()[0].trainable:
        variable.trainable = False
    before = values(layer)
    fit(model, pictures)
    assert moved(layer, before) == {v.path for v in layer.variable_groups()[1].trainable}


def test_training_is_the_same_every_time(reusable, pictures):
    first, again = (model_around(reusable, trainable=True, batch_norm="train") for _ in range(2))
    for model in (first, again):
        keras.utils.set_random_seed(1)
        fit(model, pictures)
    for one, other in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_setting_trainable_again_sets_every_variable_again(reusable):
    layer = SavedModelLayer(reusable, trainable=True)
    layer.saved_names["Net/conv1/kernel"].trainable = False
    layer.trainable = True
    assert len(layer.trainable_weights) == 6
    layer.trainable = False
    layer.saved_names["Net/conv1/kernel"].trainable = True
    layer.trainable = False
    assert not any(variable.trainable for variable in layer.variables)


def test_toggling_with_an_optimizer_built_before_keeps_its_state(reusable, pictures):
    model = model_around(reusable, trainable=True)
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(model.trainable_variables)
    model.layers[-1].trainable = False
    model.layers[-1].trainable = True
    model.compile(optimizer, "mse")
    model.fit(pictures, np.ones((4, 4)), verbose=0)
    assert int(optimizer.iterations) == 1


def test_regularisation_losses_count_while_what_they_are_about_trains(reusable, pictures):
    model = model_around(reusable, trainable=True)
    layer = model.layers[-1]
    model(pictures)
    expected = 0.01 * np.sum(layer.saved_names["Net/conv1/kernel"].numpy() ** 2)
    assert [float(loss) for loss in model.losses] == pytest.approx([expected])
    plain = np.mean((model(pictures) - np.ones((4, 4))) ** 2)
    model.compile("sgd", "mse")
    assert model.evaluate(pictures, np.ones((4, 4)), verbose=0) == pytest.approx(plain + expected, rel=1e-5)
    layer.saved_names["Net/conv1/kernel"].trainable = False
    model(pictures)
    assert model.losses == []


def test_hyper_parameters_reach_the_function(reusable, pictures):
    models = [model_around(reusable, trainable=True, batch_norm="train", arguments={"momentum": m}) for m in (1.0, 0)]
    for model in models:
        model(pictures, training=True)
    means = [model.layers[-1].saved_names["Net/conv1/norm/moving_mean"].numpy() for model in models]
    assert not np.any(means[0])
    assert np.all(means[1] != 0)


def test_unknown_hyper_parameters_are_named_with_the_nearest(reusable):
    with pytest.raises(ConfigError, match=r"no argument 'momentun'. Did you mean 'momentum'\?.*momentum \(float32"):
        SavedModelLayer(reusable, arguments={"momentun": 0.5})
    with pytest.raises(ConfigError, match="does not take momentum='high'"):
        SavedModelLayer(reusable, arguments={"momentum": "high"})


def test_no_training_argument_is_given_to_a_function_without_one(tmp_path, pictures):
    scale = tf.Variable(2.0, name="scale")

    def call(images):
        return scale * tf.reduce_mean(images, [1, 2])

    folder = write_function(tmp_path / "plain", call, PICTURES, variables=[scale], trainable_variables=[scale])
    layer = SavedModelLayer(folder, trainable=True, batch_norm="train")
    np.testing.assert_allclose(layer(pictures, training=True), 2 * pictures.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("writer", ["reusable", "of_tf_keras", "of_tfxfer", "of_archive"])
def test_saved_models_of_all_writers_train(writer, request, pictures):
    folder = request.getfixturevalue(writer)
    model = model_around(folder, trainable=True)
    layer = model.layers[-1]
    loaded = tf.saved_model.load(str(folder))
    np.testing.assert_allclose(model(pictures), loaded(pictures, training=False), rtol=1e-5)
    before = values(layer)
    fit(model, pictures)
    # A bias before batch norm with batch statistics would not move; with stored ones it does.
    assert moved(layer, before) == {v.path for v in layer.trainable_weights}
    norm = [v for group in layer.variable_groups() for v in group.batch_norm]
    assert len(norm) == (4 if writer == "reusable" else 2)
    assert len(layer.variable_groups()) == 2


@pytest.mark.parametrize("writer", ["exported", "saved", "of_tf1"])
def test_saved_models_with_only_signatures_are_used_frozen(writer, request, pictures):
    folder = request.getfixturevalue(writer)
    output = "default" if writer == "of_tf1" else ""
    model = model_around(folder, output=output)
    if writer != "of_tf1":
        np.testing.assert_allclose(model(pictures), keras_model()(pictures), rtol=1e-5)
    pixels = keras.Input((SIZE, SIZE, 3))
    trained = keras.Model(pixels, keras.layers.Dense(4)(model(pixels)))
    before = values(model.layers[-1])
    fit(trained, pictures)
    assert moved(model.layers[-1], before) == set()
    assert not any(group.trainable for group in model.layers[-1].variable_groups())
    assert len(model.layers[-1].variable_groups()) == (1 if writer == "of_tf1" else 2)
    with pytest.raises(BackboneError, match="offers only a signature"):
        model.layers[-1].trainable = True
    with pytest.raises(BackboneError, match="Use it frozen"):
        SavedModelLayer(folder, trainable=True, output=output)


def test_a_saved_model_without_variables_cannot_train(tmp_path):
    folder = write_function(tmp_path / "bare", lambda images: tf.reduce_mean(images, [1, 2]), PICTURES)
    with pytest.raises(BackboneError, match="cannot train: it has no variables"):
        SavedModelLayer(folder, trainable=True)
    assert SavedModelLayer(folder).variables == []


def test_a_saved_model_that_lists_nothing_as_trainable_cannot_train(tmp_path):
    scale = tf.Variable(2.0)
    folder = write_function(tmp_path / "inference", lambda x: scale * x, PICTURES, variables=[scale])
    with pytest.raises(BackboneError, match="made it for inference"):
        SavedModelLayer(folder, trainable=True)


# Inputs and outputs.


def test_whole_numbers_are_refused_where_floats_belong(reusable, pictures):
    layer = SavedModelLayer(reusable)
    with pytest.raises(BackboneError, match=r"given uint8.*Rescaling\(1 / 255\)"):
        layer((pictures * 255).astype("uint8"))
    with pytest.raises(BackboneError, match="given int32, but the SavedModel takes float32"):
        layer(np.ones((1, SIZE, SIZE, 3), "int32"))


def test_pictures_of_another_size_are_refused_with_what_is_taken(reusable):
    with pytest.raises(BackboneError, match=r"given \(None, 32, 32, 3\).*takes float32 \[\?, 24, 24, 3\]"):
        model_around(reusable, size=32)


def test_mixed_precision_casts_at_the_borders_only(reusable, pictures):
    layer = SavedModelLayer(reusable, trainable=True, dtype="mixed_float16")
    features = layer(pictures)
    assert features.dtype == tf.float16
    assert {v.dtype for v in layer.weights} == {"float32"}
    # Inputs keep all their digits: the only rounding is that of the output.
    exact = SavedModelLayer(reusable)(pictures)
    np.testing.assert_array_equal(features, tf.cast(exact, tf.float16))
    np.testing.assert_allclose(layer(pictures.astype("float16")), exact, rtol=1e-2)
    pixels = keras.Input((SIZE, SIZE, 3))
    model = keras.Model(pixels, keras.layers.Dense(4, dtype="float32")(layer(pixels)))
    before = values(layer)
    fit(model, pictures)
    assert len(moved(layer, before)) == 6


def test_outputs_of_unknown_shape_get_one_by_trying(tmp_path, pictures):
    def call(images):
        shape = tf.shape(images)
        return tf.reshape(images, [shape[0], shape[1] * shape[2], shape[3]])

    folder = write_function(tmp_path / "shapeless", call, tf.TensorSpec([None, None, None, 3]))
    model = model_around(folder)
    assert model.output_shape == (None, SIZE * SIZE, 3)
    assert model_around(folder, size=None).output_shape == (None, None, 3)
    assert keras.Sequential([model, keras.layers.Flatten(), keras.layers.Dense(1)])(pictures).shape == (4, 1)


def test_a_size_may_stay_open(sizeless, pictures):
    model = model_around(sizeless, size=None)
    assert model.output_shape == (None, None, None, 4)
    assert model(pictures).shape == (4, 6, 6, 4)
    assert model(pictures[:, :12, :12]).shape == (4, 3, 3, 4)
    assert model_around(sizeless, size=32).output_shape == (None, 8, 8, 4)


def test_one_of_several_outputs_is_chosen_by_its_key(tmp_path, pictures):
    def call(images):
        mean = tf.reduce_mean(images, [1, 2])
        return {"pooled": mean, "layers": [mean + 1, images]}

    folder = write_function(tmp_path / "dict", call, PICTURES)
    np.testing.assert_allclose(
        SavedModelLayer(folder, output="layers/0")(pictures), pictures.mean((1, 2)) + 1, rtol=1e-5
    )
    with pytest.raises(ConfigError, match=r"layers/0: float32 \[\?, 3\]; layers/1: .*; pooled: float32 \[\?, 3\]"):
        SavedModelLayer(folder)
    with pytest.raises(ConfigError, match=r"no output 'poled'\. Did you mean 'pooled'"):
        SavedModelLayer(folder, output="poled")


def test_several_inputs_are_given_in_their_structure(tmp_path):
    def call(tokens):
        return tf.cast(tokens["ids"] * tokens["mask"], tf.float32)

    spec = {name: tf.TensorSpec([None, 5], tf.int32) for name in ("mask", "ids")}
    layer = SavedModelLayer(write_function(tmp_path / "inputs", call, spec))
    given = {"ids": np.arange(5)[None], "mask": np.ones((1, 5), "int64")}
    np.testing.assert_array_equal(layer(given), np.arange(5)[None])


def test_xla_compiles_a_layer_that_says_it_can(reusable, pictures, monkeypatch):
    # A run before this test may have turned op determinism on, for good, and Keras then compiles nothing.
    config = importlib.import_module("tensorflow.python.framework.config")
    monkeypatch.setattr(config, "is_op_determinism_enabled", lambda: False)
    results = []
    for jit in (False, True):
        model = model_around(reusable, trainable=True, batch_norm="train")
        model.layers[-1].supports_jit = jit
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit)
        model.fit(pictures, np.ones((4, 4)), verbose=0)
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


# Saving.


@pytest.mark.parametrize(
    "writer", ["reusable", "of_tf_keras", "of_tfxfer", "of_archive", "exported", "saved", "of_tf1"]
)
def test_a_keras_file_holds_all_that_it_needs(writer, request, pictures, tmp_path):
    folder = shutil.copytree(request.getfixturevalue(writer), tmp_path / "original")
    tunable = writer not in ("exported", "saved", "of_tf1")
    model = model_around(folder, trainable=tunable, output="default" if writer == "of_tf1" else "")
    if tunable:
        model.compile("adam", "mse")
        model.fit(pictures, np.ones((4, 4)), verbose=0)
    model.save(tmp_path / "model.keras")
    shutil.rmtree(folder)
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    np.testing.assert_array_equal(loaded(pictures), model(pictures))
    if tunable:
        # The optimizer's state belongs to the same variables, so training goes on as if nothing had happened.
        for each in (model, loaded):
            each.fit(pictures, np.ones((4, 4)), verbose=0)
        np.testing.assert_allclose(loaded(pictures), model(pictures), rtol=1e-6)
        assert {id(v.value) for v in loaded.weights} >= {
            id(v) for v in loaded.layers[-1].saved_model.trainable_variables
        }
    loaded.save(tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras", safe_mode=False)
    np.testing.assert_array_equal(again(pictures), loaded(pictures))


def test_settings_and_frozen_variables_come_back(reusable, pictures, tmp_path):
    model = model_around(reusable, trainable=True, batch_norm="train", arguments={"momentum": 0.5})
    model.layers[-1].saved_names["Net/conv1/kernel"].trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=False).layers[-1]
    assert loaded.batch_norm == "train"
    assert loaded.get_config()["arguments"] == {"momentum": 0.5}
    assert len(loaded.trainable_weights) == 5
    assert not loaded.saved_names["Net/conv1/kernel"].trainable
    assert [group.name for group in loaded.variable_groups()] == ["Net/conv1", "Net/conv2"]


def test_safe_mode_refuses_a_file_with_a_saved_model(reusable, pictures, tmp_path):
    model = model_around(reusable)
    model.save(tmp_path / "model.keras")
    with pytest.raises(BackboneError, match="safe_mode=False"):
        keras.models.load_model(tmp_path / "model.keras")
    with saved_models_allowed():
        loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pictures), model(pictures))
    with pytest.raises(BackboneError, match="safe mode"):
        keras.models.load_model(tmp_path / "model.keras")


@GOES_ON
def test_the_ops_in_a_file_are_scanned_whatever_the_mode(tmp_path, pictures):
    secret = tmp_path / "secret"
    secret.write_text("x")

    def call(images):
        with tf.control_dependencies([tf.io.read_file(str(secret))]):
            return tf.reduce_mean(images, [1, 2])

    folder = write_function(tmp_path / "reads", call, PICTURES)
    with pytest.raises(BackboneError, match=r"ReadFile.*--allow_unsafe_model_code"):
        SavedModelLayer(folder)
    model = model_around(folder, allow_unsafe_model_code=True)
    model.save(tmp_path / "model.keras")
    assert keras.models.clone_model(model)(pictures).shape == (4, 3)
    with pytest.raises(ValueError, match="ReadFile"):
        keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    with pytest.raises(ValueError, match="ReadFile"), saved_models_allowed():
        keras.models.load_model(tmp_path / "model.keras")
    with saved_models_allowed(allow_unsafe_model_code=True):
        assert keras.models.load_model(tmp_path / "model.keras")(pictures).shape == (4, 3)


@GOES_ON
def test_a_file_whose_saved_model_was_exchanged_is_refused(reusable, of_tfxfer, tmp_path):
    model_around(reusable, trainable=True).save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as opened, zipfile.ZipFile(tmp_path / "other.keras", "w") as written:
        for name in opened.namelist():
            inside = name.partition("saved_model/")[2]
            data = (of_tfxfer / inside).read_bytes() if inside.startswith("variables/") else opened.read(name)
            data = (of_tfxfer / inside).read_bytes() if inside == "saved_model.pb" else data
            written.writestr(name, data)
    with pytest.raises(ValueError, match="does not fit what the file says"):
        keras.models.load_model(tmp_path / "other.keras", safe_mode=False)


def test_keras_still_tells_its_layers_of_safe_mode_where_we_look(reusable, tmp_path, monkeypatch):
    from tfxfer.backbones.hub import layer

    seen = []
    look = layer._safe_mode
    monkeypatch.setattr(layer, "_safe_mode", lambda: seen.append(look()) or seen[-1])
    model = model_around(reusable)
    model.save(tmp_path / "model.keras")
    for safe_mode in (True, False):
        with saved_models_allowed():
            keras.models.load_model(tmp_path / "model.keras", safe_mode=safe_mode)
    keras.models.clone_model(model)
    assert seen == [True, False, None]


def test_weights_files_come_back(reusable, pictures, tmp_path):
    model, other = (model_around(reusable, trainable=True, batch_norm="train") for _ in range(2))
    fit(model, pictures)
    model.save_weights(tmp_path / "model.weights.h5")
    assert not np.array_equal(other(pictures), model(pictures))
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(pictures), model(pictures))


def test_checkpoints_come_back(reusable, pictures, tmp_path):
    model, other = (model_around(reusable, trainable=True, batch_norm="train") for _ in range(2))
    fit(model, pictures)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).restore(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(other(pictures), model(pictures))


def test_a_clone_begins_as_published_with_variables_of_its_own(reusable, pictures):
    model = model_around(reusable, trainable=True, arguments={"momentum": 0.5})
    published = model(pictures).numpy()
    fit(model, pictures)
    clone = keras.models.clone_model(model)
    np.testing.assert_array_equal(clone(pictures), published)
    assert not {id(v.value) for v in clone.weights} & {id(v.value) for v in model.weights}
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(pictures), model(pictures))


def test_a_model_made_from_its_config_alone_opens_the_saved_model_where_it_was(reusable, pictures):
    model = model_around(reusable, trainable=True)
    config = json.dumps(keras.saving.serialize_keras_object(model))
    again = keras.saving.deserialize_keras_object(json.loads(config), safe_mode=False)
    np.testing.assert_array_equal(again(pictures), model(pictures))
    other = keras.saving.deserialize_keras_object(json.loads(config), safe_mode=False)
    fit(model, pictures)
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(other(pictures), model(pictures))


# Exporting.


def test_what_was_trained_can_be_written_as_a_reusable_saved_model(reusable, pictures, tmp_path):
    model = model_around(reusable, trainable=True)
    fit(model, pictures)
    tf.saved_model.save(model.layers[-1].saved_model, str(tmp_path / "trained"))
    again = model_around(tmp_path / "trained", trainable=True)
    np.testing.assert_allclose(again(pictures), model(pictures), rtol=1e-6)
    layer = again.layers[-1]
    assert list(layer.saved_names) == list(model.layers[-1].saved_names)
    assert len(layer.trainable_weights) == 6
    assert len(layer.losses) == 1
    assert [str(parameter) for parameter in layer.offer.parameters] == ["momentum (float32 [])"]


def test_our_exporter_writes_models_with_a_saved_model_inside(reusable, pictures, tmp_path):
    from tfxfer.export import saved_model

    pixels = keras.Input((SIZE, SIZE, 3))
    inside = SavedModelLayer(reusable, trainable=True, batch_norm="train")
    model = keras.Model(pixels, keras.layers.Dense(2)(inside(keras.layers.Rescaling(1 / 255)(pixels))))
    saved_model.write(model, saved_model.Offer("logits", ("a", "b")), tmp_path / "bundle")
    layer = SavedModelLayer(tmp_path / "bundle", trainable=True)
    np.testing.assert_allclose(layer(pictures), model(pictures * 255), rtol=1e-4, atol=1e-6)
    assert len(layer.trainable_weights) == 8


def test_keras_exports_models_with_a_saved_model_inside(reusable, pictures, tmp_path):
    model = model_around(reusable)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(pictures), model(pictures), rtol=1e-6)


def test_a_loaded_layer_outlives_its_file(reusable, pictures, tmp_path, cache):
    model = model_around(reusable)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
    folder = pathlib.Path(loaded.layers[-1].get_config()["directory"])
    assert folder.is_relative_to(cache)
    tf.saved_model.save(loaded.layers[-1].saved_model, str(tmp_path / "written"))
    np.testing.assert_allclose(SavedModelLayer(tmp_path / "written")(pictures), model(pictures), rtol=1e-6)
