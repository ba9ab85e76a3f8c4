"""SavedModels of several writers, each of a few hundred weights for pictures of 24×24 pixels."""

import pathlib
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer.backbones.hub import layer

SIZE = 24


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> pathlib.Path:
    """Our cache, empty in each test."""
    monkeypatch.setenv("TFXFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures() -> np.ndarray:
    """Four pictures in [0, 1]."""
    return np.random.default_rng(0).uniform(size=(4, SIZE, SIZE, 3)).astype("float32")


@pytest.fixture(scope="session")
def reusable(tmp_path_factory) -> pathlib.Path:
    """A reusable SavedModel written by hand: two blocks with batch norm, a regulariser, a hyper-parameter."""
    return write_reusable(tmp_path_factory.mktemp("hub") / "reusable")


@pytest.fixture(scope="session")
def sizeless(tmp_path_factory) -> pathlib.Path:
    """The same for pictures of any size, giving a feature map."""
    return write_reusable(tmp_path_factory.mktemp("hub") / "sizeless", size=None, pooled=False)


@pytest.fixture(scope="session")
def of_tf_keras(tmp_path_factory) -> pathlib.Path:
    """What Keras 2 writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import tf_keras

        tf_keras.utils.set_random_seed(0)
        layers = tf_keras.layers
        model = tf_keras.Sequential(
            [
                layers.Input((SIZE, SIZE, 3)),
                layers.Conv2D(4, 3, 2, kernel_regularizer="l2", name="conv1"),
                layers.BatchNormalization(name="bn1"),
                layers.Conv2D(4, 3, 2, name="conv2"),
                layers.GlobalAveragePooling2D(),
            ]
        )
        place = tmp_path_factory.mktemp("hub") / "tf_keras"
        model.save(place)
    return place


@pytest.fixture(scope="session")
def of_tfxfer(tmp_path_factory) -> pathlib.Path:
    """What we write."""
    from tfxfer.export import saved_model

    folder = tmp_path_factory.mktemp("hub")
    saved_model.write(keras_model(), saved_model.Offer("logits", ("a", "b")), folder / "tfxfer")
    return folder / "tfxfer"


@pytest.fixture(scope="session")
def of_archive(tmp_path_factory) -> pathlib.Path:
    """What ExportArchive of Keras 3 writes with an endpoint named __call__."""
    model = keras_model()
    archive = keras.export.ExportArchive()
    archive.track(model)

    def call(images, training=False):
        return model(images, training=training)

    function = tf.function(call)
    spec = tf.TensorSpec([None, SIZE, SIZE, 3])
    for training in (False, True):
        function.get_concrete_function(spec, training=training)
    archive.add_endpoint("__call__", function)
    place = tmp_path_factory.mktemp("hub") / "archive"
    archive.write_out(str(place), verbose=False)
    return place


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> pathlib.Path:
    """What `model.export` of Keras 3 writes: signatures only."""
    place = tmp_path_factory.mktemp("hub") / "exported"
    keras_model().export(place, verbose=False)
    return place


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> pathlib.Path:
    """What `tf.saved_model.save` makes of a model of Keras 3: a signature only."""
    place = tmp_path_factory.mktemp("hub") / "saved"
    tf.saved_model.save(keras_model(), str(place))
    return place


@pytest.fixture(scope="session")
def of_tf1(tmp_path_factory) -> pathlib.Path:
    """A TF1 Hub module: two graphs without and with the tag of training, signatures, and the mark of a module."""
    place = tmp_path_factory.mktemp("hub") / "tf1"
    v1 = tf.compat.v1
    builder = v1.saved_model.builder.SavedModelBuilder(str(place))
    for tags in ([], ["train"]):
        with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
            images = v1.placeholder(tf.float32, [None, SIZE, SIZE, 3])
            start = v1.constant_initializer(np.linspace(-1, 1, 108).reshape(3, 3, 3, 4))
            kernel = v1.get_variable("module/conv/weights", [3, 3, 3, 4], initializer=start)
            info = v1.saved_model.build_tensor_info
            vector = info(tf.reduce_mean(tf.nn.conv2d(images, kernel, 2, "SAME"), [1, 2]))
            signature = v1.saved_model.build_signature_def(
                {"images": info(images)}, {"default": vector, "twin": vector}
            )
            session.run(v1.global_variables_initializer())
            signatures = {"default": signature, "image_feature_vector": signature}
            if not tags:
                builder.add_meta_graph_and_variables(session, tags, signature_def_map=signatures)
            else:
                builder.add_meta_graph(tags, signature_def_map=signatures)
    builder.save()
    (place / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return place


@pytest.fixture(scope="session")
def with_table(tmp_path_factory) -> pathlib.Path:
    """A reusable SavedModel for pictures that looks a word, which a variable holds, up in a list of words."""
    place = tmp_path_factory.mktemp("hub")
    (place / "words.txt").write_text("good\nbad\n")
    table = table_of_words(str(place / "words.txt"))
    kernel, word = tf.Variable(tf.eye(3), name="kernel"), tf.Variable("bad", trainable=False, name="word")

    def call(images):
        return tf.reduce_mean(images, [1, 2]) @ kernel + tf.cast(table.lookup(word), tf.float32)

    listed = {"variables": [kernel], "trainable_variables": [kernel]}
    return write_function(place / "table", call, tf.TensorSpec([None, SIZE, SIZE, 3]), table=table, word=word, **listed)


@pytest.fixture(scope="session")
def signature_with_table(with_table, tmp_path_factory) -> pathlib.Path:
    """The same as a signature only."""
    place = tmp_path_factory.mktemp("hub") / "signature"
    loaded = tf.saved_model.load(str(with_table))
    module = tf.Module()
    module.loaded = loaded
    module.serve = tf.function(lambda images: {"features": loaded(images)})
    spec = tf.TensorSpec([None, SIZE, SIZE, 3], name="images")
    tf.saved_model.save(module, str(place), signatures=module.serve.get_concrete_function(spec))
    return place


@pytest.fixture(scope="session")
def tf1_with_table(tmp_path_factory) -> pathlib.Path:
    """A TF1 module that looks a word up in a list of words, and has a variable that no checkpoint holds."""

    def network(images, table):
        shift = tf.compat.v1.get_variable(
            "shift", [], initializer=tf.compat.v1.constant_initializer(0.5), collections=["local_variables"]
        )
        return tf.reduce_mean(images, [1, 2]) + tf.cast(table.lookup(tf.constant("bad")), tf.float32) + shift

    return write_tf1_with_table(
        tmp_path_factory.mktemp("hub") / "tf1_table", tf.float32, [None, SIZE, SIZE, 3], network
    )


@pytest.fixture(scope="session")
def tf1_text(tmp_path_factory) -> pathlib.Path:
    """A TF1 module from words to rows of three numbers: `good` 0, 1, 2; `bad` 3, 4, 5; others 6, 7, 8."""

    def network(words, table):
        start = tf.compat.v1.constant_initializer(np.arange(9).reshape(3, 3))
        return tf.gather(tf.compat.v1.get_variable("rows", [3, 3], initializer=start), table.lookup(words))

    return write_tf1_with_table(tmp_path_factory.mktemp("hub") / "tf1_text", tf.string, [None], network)


def table_of_words(path) -> tf.lookup.StaticHashTable:
    """A table from each line of a file to its number; 2 for what is not in it."""
    initializer = tf.lookup.TextFileInitializer(
        path, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    return tf.lookup.StaticHashTable(initializer, 2)


def write_tf1_with_table(place: pathlib.Path, dtype: tf.DType, shape: list, network) -> pathlib.Path:
    """Writes `network(inputs, table)` as a TF1 Hub module whose table is filled from an asset; returns `place`."""
    v1 = tf.compat.v1
    words = place.parent / "words.txt"
    words.write_text("good\nbad\n")
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        asset = tf.constant(str(words))
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        inputs = v1.placeholder(dtype, shape)
        info = v1.saved_model.build_tensor_info
        outputs = {"default": info(network(inputs, table_of_words(asset)))}
        start = tf.group(v1.tables_initializer(), v1.local_variables_initializer())
        session.run([v1.global_variables_initializer(), start])
        builder = v1.saved_model.builder.SavedModelBuilder(str(place))
        builder.add_meta_graph_and_variables(
            session,
            [],
            signature_def_map={"default": v1.saved_model.build_signature_def({"x": info(inputs)}, outputs)},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=start,
        )
    builder.save()
    (place / "tfhub_module.pb").write_bytes(b"\x08\x03")
    words.unlink()
    return place


def keras_model() -> keras.Model:
    """A tiny model of Keras 3: two convolutions, one with batch norm."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Conv2D(4, 3, 2, name="conv1"),
            keras.layers.BatchNormalization(name="bn1"),
            keras.layers.Conv2D(4, 3, 2, name="conv2"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )


def write_reusable(place: pathlib.Path, *, size: int | None = SIZE, pooled: bool = True, stuck: bool = False):
    """Writes by hand, with `tf.train.Checkpoint`, what TF Hub calls a reusable SavedModel; returns `place`.

    Training moves both moving means to 0.9 × (default of the argument `momentum`) the old value, plus the rest of the
    batch's. With `stuck` the first gamma is listed as trainable but was created otherwise.
    """
    generator = tf.random.Generator.from_seed(1)
    blocks, variables = [], []
    for name, channels, trains in (("Net/conv1", 3, not stuck), ("Net/conv2", 4, True)):
        kernel = tf.Variable(generator.normal([3, 3, channels, 4]) / 5, name=f"{name}/kernel")
        gamma = tf.Variable(tf.ones([4]), name=f"{name}/norm/gamma", trainable=trains)
        beta = tf.Variable(tf.zeros([4]), name=f"{name}/norm/beta")
        mean = tf.Variable(tf.zeros([4]), name=f"{name}/norm/moving_mean", trainable=False)
        blocks.append((kernel, gamma, beta, mean))
        variables += blocks[-1]

    @tf.function
    def call(images, training=False, momentum=0.9):
        x = images
        for kernel, gamma, beta, moving in blocks:
            x = tf.nn.conv2d(x, kernel, 2, "SAME")
            mean = tf.convert_to_tensor(moving)
            if training:
                mean = tf.reduce_mean(x, [0, 1, 2])
                moving.assign(moving * momentum + mean * (1 - momentum))
            x = tf.nn.relu((x - mean) * gamma + beta)
        return tf.reduce_mean(x, [1, 2]) if pooled else x

    @tf.function(input_signature=[])
    def decay():
        return 0.01 * tf.reduce_sum(blocks[0][0] ** 2)

    for training in (False, True):
        call.get_concrete_function(
            tf.TensorSpec([None, size, size, 3]), training=training, momentum=tf.TensorSpec([], tf.float32)
        )
    module = tf.train.Checkpoint()
    module.__call__ = call
    module.variables = variables
    module.trainable_variables = [variable for kernel, gamma, beta, _ in blocks for variable in (kernel, gamma, beta)]
    module.regularization_losses = [decay]
    tf.saved_model.save(module, str(place))
    return place


def write_function(place: pathlib.Path, function, spec: tf.TensorSpec, **attributes) -> pathlib.Path:
    """Writes a callable SavedModel without variables, or with those given as attributes; returns `place`."""
    module = tf.train.Checkpoint(**attributes)
    module.__call__ = tf.function(function)
    module.__call__.get_concrete_function(spec)
    tf.saved_model.save(module, str(place))
    return place


def model_around(folder: pathlib.Path, *, size: int | None = SIZE, **settings) -> keras.Model:
    """A model from pictures in [0, 1] to the output of a SavedModel."""
    pixels = keras.Input((size, size, 3))
    return keras.Model(pixels, layer.SavedModelLayer(folder, name="hub", **settings)(pixels))
