"""A bundle answers as the model in memory does, for others too, and is checked when it is opened."""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer import export, files, prediction
from tfxfer.data.rows import Rows
from tfxfer.errors import BundleError, VerificationError, WorkdirError
from tfxfer.export import core, parity, saved_model
from tfxfer.export.formats import Subject

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
SAMPLE = Rows(PIXELS, np.zeros(6, np.int32), np.arange(6), 3)


@pytest.fixture
def bundle(trained, tmp_path) -> pathlib.Path:
    """A copy of a bundle that a test may damage."""
    return shutil.copytree(trained / "bundle", tmp_path / "bundle")


def test_every_file_is_listed_with_its_digest(trained):
    index = json.loads((trained / "bundle" / "bundle.json").read_text())
    on_disk = {str(p.relative_to(trained / "bundle")) for p in (trained / "bundle").rglob("*") if p.is_file()}
    assert set(index["files"]) == on_disk - {"bundle.json"}
    assert index["classes"] == ["blue", "green", "red"]


def test_the_saved_model_is_callable_on_fractions(trained):
    model = keras.models.load_model(trained / "bundle" / "model.keras")
    served = tf.saved_model.load(str(trained / "bundle" / "saved_model" / "1"))
    fractions = tf.constant(PIXELS, tf.float32) / 255
    np.testing.assert_allclose(served(fractions), model(PIXELS.astype(np.float32)), atol=1e-5)
    np.testing.assert_array_equal(served(fractions, training=False), served(fractions))
    answer = served.signatures["serving_default"](images=fractions)
    np.testing.assert_allclose(answer["probabilities"], tf.nn.softmax(answer["logits"]), rtol=1e-6)
    assert [name.decode() for name in served.class_names.numpy()] == ["blue", "green", "red"]
    assert pathlib.Path(served.labels.asset_path.numpy().decode()).read_text() == "blue\ngreen\nred\n"


def test_the_saved_model_can_be_fine_tuned_whatever_was_frozen(trained):
    """The last stage of that run trained the last block and the head."""
    model = keras.models.load_model(trained / "bundle" / "model.keras")
    for layer in model.layers:
        layer.trainable = True
    served = tf.saved_model.load(str(trained / "bundle" / "saved_model" / "1"))
    assert len(served.trainable_variables) == len(model.trainable_variables)
    assert len(served.variables) == len(model.variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(served(tf.constant(PIXELS, tf.float32) / 255, training=True) ** 2)
    assert all(gradient is not None for gradient in tape.gradient(loss, list(served.trainable_variables)))


def test_the_keras_file_loads_where_tfxfer_is_not_installed(trained):
    """`None` in `sys.modules` makes every import of tfxfer fail; the last line is the canary of that."""
    code = """
import sys
import zipfile
sys.modules["tfxfer"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
print(float(np.abs(model(np.load(sys.argv[2]).astype("float32"))).sum()))
try:
    import tfxfer
except ImportError:
    print("absent")
"""
    pixels = trained.parent / "pixels.npy"
    np.save(pixels, PIXELS)
    file = trained / "bundle" / "model.keras"
    done = subprocess.run([sys.executable, "-c", code, file, pixels], capture_output=True, text=True, check=True)
    value, absent = done.stdout.split()
    expected = np.abs(keras.models.load_model(file)(PIXELS.astype(np.float32))).sum()
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    assert absent == "absent"


def test_parity_fires_when_a_file_answers_differently(trained, bundle):
    """The canary of the check on every export: one weight is changed by a little."""
    model = keras.models.load_model(trained / "bundle" / "model.keras")
    subject = Subject(model, ("blue", "green", "red"), PIXELS)

    def compared(kind):
        return parity.compare(kind, bundle / kind.file, subject, parity.reference(model, SAMPLE))

    for kind in core.CORE.values():
        found = compared(kind)
        assert found.largest_difference <= 1e-5
        assert found.agreement == (None if kind.name == "feature_vector" else 1)
        assert found.size_bytes > 10_000
        assert 0 < found.one_ms < found.batch_ms * 32
    model.get_layer("head_logits").bias.assign_add([1e-3, 0, 0])
    for kind in ("keras", "saved_model"):
        with pytest.raises(VerificationError, match="answers differently from the trained model: probabilities differ"):
            compared(core.CORE[kind])
    compared(core.CORE["feature_vector"])
    last = model.get_layer("block2_conv").kernel
    last.assign(1.01 * last)
    with pytest.raises(VerificationError, match="features differ by a share of up to"):
        compared(core.CORE["feature_vector"])


def test_a_file_that_answers_at_random_is_told(trained, bundle):
    model = keras.models.load_model(trained / "bundle" / "model.keras")
    noise = np.random.default_rng(0)
    kind = dataclasses.replace(
        core.CORE["keras"], opened=lambda path, subject: lambda pictures: noise.random((len(pictures), 3))
    )
    with pytest.raises(VerificationError, match="differently each time"):
        parity.compare(kind, bundle / kind.file, Subject(model, (), PIXELS), parity.reference(model, SAMPLE))


@pytest.mark.parametrize(("wrong", "fails"), [(0, False), (1, False), (2, True)])
def test_a_format_held_to_accuracy_may_lose_a_point_and_no_more(trained, wrong, fails):
    model = keras.models.load_model(trained / "bundle" / "model.keras")
    pixels = np.random.default_rng(1).integers(0, 256, (100, 24, 24, 3), dtype=np.uint8)
    rows = Rows(pixels, np.zeros(100, np.int32), np.arange(100), 3)
    answers = prediction.softmax(prediction.logits(model, rows))
    rows = dataclasses.replace(rows, labels=answers.argmax(axis=1).astype(np.int32))
    answers[:wrong] = np.roll(answers[:wrong], 1, axis=1)
    kind = dataclasses.replace(
        core.CORE["keras"], limit=None, opened=lambda path, subject: lambda pictures: answers[: len(pictures)]
    )
    path = trained / "bundle" / "model.keras"
    with pytest.raises(VerificationError, match="a point less is allowed") if fails else contextlib.nullcontext():
        parity.compare(kind, path, Subject(model, (), pixels), parity.reference(model, rows))


def test_a_graph_that_draws_random_numbers_is_refused(tmp_path):
    """The canary: a layer that stays random whatever `training` says."""

    class Noise(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x))

    inputs = keras.Input((24, 24, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(Noise()(inputs)))
    with pytest.raises(VerificationError, match="would answer at random"):
        saved_model.write(model, saved_model.Offer("features"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_of_layers_are_in_the_saved_model(tmp_path):
    """Keras does not count them among the variables, and TensorFlow refuses a function without them."""
    inputs = keras.Input((24, 24, 3))
    brightest = keras.ops.cast(keras.layers.GlobalMaxPooling2D()(inputs), "int64")
    found = keras.layers.IntegerLookup(vocabulary=np.array([253, 254, 255]))(brightest)
    model = keras.Model(inputs, keras.ops.cast(found, "float32"))
    saved_model.write(model, saved_model.Offer("logits", ("a", "b", "c")), tmp_path / "out")
    served = tf.saved_model.load(str(tmp_path / "out"))
    pixels = np.full((1, 24, 24, 3), [254, 255, 7], np.float32)
    np.testing.assert_array_equal(model(pixels), [[2, 3, 0]])
    np.testing.assert_array_equal(served(tf.constant(pixels) / 255), [[2, 3, 0]])


def never(kind, path, subject, reference):
    raise VerificationError(f"{kind.file} answers differently.")


def test_a_failed_export_leaves_nothing_behind(trained, tmp_path, monkeypatch, colours):
    from conftest import tiny_recipe

    import tfxfer

    monkeypatch.setattr(parity, "compare", never)
    with pytest.raises(VerificationError, match=r"model\.keras answers differently\. Nothing was exported"):
        tfxfer.run(tiny_recipe(colours), workdir=tmp_path / "run", show=lambda line: None)
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if "bundle" in p.name) == []


def test_an_existing_target_is_not_overwritten(trained, bundle):
    from tfxfer import files

    with pytest.raises(WorkdirError, match="exists and is not overwritten"), files.new_folder(bundle):
        pass


def reindexed(bundle, **changes):
    """Writes the index anew, and the digest of the labels in it."""
    index = json.loads((bundle / "bundle.json").read_text()) | changes
    if "labels.txt" in (index.get("files") or {}):
        index["files"]["labels.txt"] = files.sha256(bundle / "labels.txt")
    (bundle / "bundle.json").write_text(json.dumps({k: v for k, v in index.items() if v is not None}))


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"classes": ["blue", "green"]}, "blue\ngreen\n", "it names 2 classes, and its network has 3 outputs"),
        ({"classes": ["blue", "green", "rot"]}, None, r"bundle\.json and labels\.txt name other classes"),
        ({"resize": "stretch"}, None, "lacks classes, files or a framing"),
        ({"background": "red"}, None, "lacks classes, files or a framing"),
        ({"background": 5}, None, "lacks classes, files or a framing"),
        ({"classes": None}, None, "lacks classes, files or a framing"),
        ({"files": None}, None, "lacks classes, files or a framing"),
        ({"files": {}}, None, "is damaged"),
        ({"schema": None}, None, r"its bundle\.json has no schema"),
        ({"schema": 1}, None, "has schema 1, this tfxfer reads 2 and 3. Open it with the version"),
    ],
)
def test_an_index_that_says_something_impossible_is_refused(bundle, changes, labels, message):
    if labels:
        (bundle / "labels.txt").write_text(labels)
    reindexed(bundle, **changes)
    with pytest.raises(BundleError, match=message):
        export.open_bundle(bundle)


def test_a_bundle_opens_and_predicts(trained):
    opened = export.open_bundle(trained / "bundle")
    assert opened.class_names == ("blue", "green", "red")
    assert prediction.logits(opened.model, SAMPLE, batch_size=4).shape == (6, 3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: (b / "labels.txt").write_text("x"), r"altered \['labels\.txt'\]"),
        (lambda b: (b / "model.keras").unlink(), r"missing \['model\.keras'\]"),
        (lambda b: (b / "bundle.json").write_text("{"), "is no bundle"),
        (lambda b: (b / "bundle.json").unlink(), r"A bundle is the folder `bundle` that tfxfer train writes"),
        (lambda b: (b / "bundle.json").write_text('{"schema": 99, "files": {}}'), "has schema 99"),
    ],
)
def test_a_damaged_bundle_is_refused(bundle, damage, message):
    damage(bundle)
    with pytest.raises(BundleError, match=message):
        export.open_bundle(bundle)


def changed_config(bundle, change):
    """Changes the config of a bundle's network, and the digest of the file with it."""
    path = bundle / "model.keras"
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    config = json.loads(members["config.json"])
    change(next(layer for layer in config["config"]["layers"] if layer["class_name"] == "Conv2D"))
    with zipfile.ZipFile(path, "w") as new:
        for name, content in {**members, "config.json": json.dumps(config).encode()}.items():
            new.writestr(name, content)
    index = json.loads((bundle / "bundle.json").read_text())
    index["files"]["model.keras"] = files.sha256(path)
    (bundle / "bundle.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layer: layer.update(class_name="Popen", module="subprocess"), "the class subprocess.Popen"),
        (
            lambda layer: layer["config"].update(
                activation={"class_name": "StringLookup", "module": "keras.layers", "config": {"vocabulary": "/etc/x"}}
            ),
            "it reads the file '/etc/x'",
        ),
        (lambda layer: layer.update(class_name="Lambda", module="keras.layers"), "Lambda .Python code."),
    ],
)
def test_a_bundle_whose_network_brings_code_is_refused(bundle, change, message):
    changed_config(bundle, change)
    with pytest.raises(BundleError, match=f"is refused: .*{message}.*--allow_unsafe_model_code"):
        export.open_bundle(bundle)


def test_the_card_names_what_was_measured(trained):
    card = (trained / "bundle" / "README.md").read_text()
    assert "| test | 12 | 100.0 % |" in card
    assert "fine-tuned from `tiny:cnn`" in card.lower()
    assert "1. green (precision 1.00, recall 1.00, 4 test examples)" in card
