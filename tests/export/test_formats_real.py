"""Networks that people use, in each format: what they are made of is what a format must hold."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfxfer
from tfxfer.export import formats

pytestmark = pytest.mark.slow
# Patches of colour, by which features differ from picture to picture; of plain noise all would be alike, and a head
# that tells them apart nevertheless would tell rounding apart.
_PATCHES = np.random.default_rng(0).integers(0, 256, (48, 4, 4, 3), np.uint8)
PICTURES = _PATCHES.repeat(16, axis=1).repeat(16, axis=2)
NAMES = tuple("abcde")


def subject(backbone: keras.Model, *, random: bool = True) -> formats.Subject:
    """`backbone` with a head whose logits spread, so that probabilities depend on the picture."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((64, 64, 3))
    features = keras.layers.GlobalAveragePooling2D()(backbone(pixels))
    model = keras.Model(pixels, keras.layers.Dense(len(NAMES), name="head")(keras.layers.Dropout(0.2)(features)))
    if random:
        # Random weights shrink what passes through them, until batch norm sees a constant.
        tfxfer.refresh_statistics(model, [PICTURES.astype(np.float32)], which="all")
    head = model.get_layer("head")
    logits = model.predict_on_batch(PICTURES.astype(np.float32))
    head.kernel.assign(head.kernel / 2 / logits.std(axis=0))
    head.bias.assign(-logits.mean(axis=0) / 2 / logits.std(axis=0))
    return formats.Subject(model, NAMES, PICTURES)


def lite0() -> formats.Subject:
    return subject(tfxfer.load_backbone("builtin:efficientnet_lite0", image_size=64).model, random=False)


def application(name: str) -> formats.Subject:
    keras.utils.set_random_seed(0)
    return subject(getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(64, 64, 3)))


SUBJECTS = {
    "EfficientNet-Lite0": lite0,
    "MobileNetV3Small": lambda: application("MobileNetV3Small"),  # hard swish, squeeze and excitation
    "EfficientNetB0": lambda: application("EfficientNetB0"),  # swish, Normalization
}


@pytest.fixture(scope="module", params=SUBJECTS)
def network(request) -> formats.Subject:
    return SUBJECTS[request.param]()


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_file_of_a_real_network_answers_like_it(name, network, tmp_path, request):
    each = formats.FORMATS[name]
    each.write(network, tmp_path / "file")
    found = each.opened(tmp_path / "file", network)(PICTURES)
    expected = tf.nn.softmax(network.model.predict_on_batch(PICTURES.astype(np.float32))).numpy()
    assert expected.std(axis=0).max() > 0.05
    difference = np.abs(found - expected)
    # Random weights multiply what rounding does to a layer, so that these networks, and fewer bits, are held to a mean.
    # How much differs from processor to processor: EfficientNetB0 in LiteRT was within 1e-5 on one, and at 1.2e-5 on
    # another.
    if each.limit == 1e-5:
        is_trained = "EfficientNet-Lite0" in request.node.name
        assert difference.max() <= (each.limit if is_trained else 10 * each.limit)
    assert difference.mean() <= (each.limit or 0.05)


def test_int8_takes_at_most_30_percent_of_float(tmp_path):
    network, sizes = lite0(), {}
    for name in ("litert", "litert_int8"):
        formats.FORMATS[name].write(network, tmp_path / name)
        sizes[name] = (tmp_path / name).stat().st_size
    assert sizes["litert_int8"] <= 0.3 * sizes["litert"]
