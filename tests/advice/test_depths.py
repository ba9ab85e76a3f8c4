"""What the one pass gives, against the network cut by hand and moments taken by NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer import graph, models
from tfxfer.advice import depths
from tfxfer.errors import BackboneError, DataError

pytestmark = pytest.mark.usefixtures("plugin")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (11, 24, 24, 3)).astype(np.uint8)


def _backbone(name: str = "cnn"):
    backbone = tfxfer.load_backbone(f"tiny:{name}", image_size=24)
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(np.arange(8.0) / 8)
            layer.moving_variance.assign(np.arange(1.0, 9.0))
    return backbone


def test_features_are_those_of_the_network_cut_there(images):
    backbone = _backbone()
    found = depths.measure(backbone, images, batch_size=4)  # the last batch is padded
    assert found.names == tuple(group.name for group in backbone.groups)
    for name, features in zip(found.names, found.features, strict=True):
        cut = keras.Model(backbone.model.input, graph.feature_tensor(backbone.model, name))
        np.testing.assert_allclose(features, cut.predict(images, verbose=0).mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.features[-1], backbone.features(images), atol=1e-5)


def test_divergences_are_those_of_what_each_batch_norm_reads(images):
    backbone = _backbone()
    found = depths.measure(backbone, images, batch_size=4)
    expected = []
    for name in ("block1_bn", "block2_bn"):
        read = keras.Model(backbone.model.input, backbone.model.get_layer(name).input).predict(images, verbose=0)
        old, new = np.arange(1.0, 9.0) + 1e-3, read.var(axis=(1, 2), dtype=np.float64) + 1e-3
        off = read.mean(axis=(1, 2), dtype=np.float64) - np.arange(8.0) / 8
        expected.append(0.5 * ((new + off**2) / old - 1 - np.log(new / old)).mean())
    np.testing.assert_allclose(found.divergences, expected, rtol=1e-4)


def test_large_pictures_go_through_a_few_at_a_time(images, monkeypatch):
    """Without a GPU, where what batch norms read of a whole batch would fill memory."""
    given = []
    predict = models.predict_on_batch
    monkeypatch.setattr(
        models, "predict_on_batch", lambda model, batch: given.append(len(batch)) or predict(model, batch)
    )
    whole = depths.measure(_backbone(), images, batch_size=8)
    assert set(given) == {8}
    given.clear()
    monkeypatch.setattr(depths, "_PIXELS", 3 * 24 * 24)
    few = depths.measure(_backbone(), images, batch_size=8)
    monkeypatch.setattr(depths, "_PIXELS", 1)
    depths.measure(_backbone(), images[:2], batch_size=8)
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    assert set(given) == ({8} if has_gpu else {3, 1})
    np.testing.assert_allclose(few.features[-1], whole.features[-1], rtol=1e-4, atol=1e-5)


def test_depths_have_the_size_of_the_weights_up_to_them(images):
    backbone = _backbone()
    found = depths.measure(backbone, images)
    weights = sum(int(np.prod(variable.shape)) for variable in backbone.model.variables if "seed" not in variable.path)
    assert found.megabytes[-1] == pytest.approx(4e-6 * weights)
    assert list(found.megabytes) == sorted(found.megabytes)
    assert 0 < found.megabytes[0] < found.megabytes[-1]


def test_a_network_without_batch_norm_has_no_divergences(images):
    assert depths.measure(_backbone("plain"), images).divergences == ()


def test_nothing_in_the_network_changes(images):
    backbone = _backbone()
    before = [variable.numpy() for variable in backbone.model.variables]
    depths.measure(backbone, images)
    for old, variable in zip(before, backbone.model.variables, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())


def test_other_pictures_are_refused(images):
    with pytest.raises(BackboneError, match=r"images have shape \(11, 20, 24, 3\)"):
        depths.measure(_backbone(), images[:, :20])
    with pytest.raises(DataError, match="no pictures"):
        depths.measure(_backbone(), images[:0])
