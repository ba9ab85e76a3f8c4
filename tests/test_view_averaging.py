"""Averaging over views: the mean of what the network says of each, in the order of training, and said so."""

import dataclasses
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer import answers, files, prediction, values, view_averaging
from tfxfer.augmentation import Augment, settled
from tfxfer.cli.main import main
from tfxfer.errors import ConfigError
from tfxfer.tasks import Task

SIZE = 8
PIXELS = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), dtype=np.uint8)
MIRRORED = settled(Augment(preset="none", flip=True))


@pytest.fixture(scope="module")
def network():
    """Logits that hang on where what is, and features beside them."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIZE, SIZE, 3))
    features = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    return keras.Model(pixels, [keras.layers.Dense(3)(features), features])


def test_the_answer_is_the_mean_of_the_probabilities_of_picture_and_mirror_image(network):
    averaged = view_averaging.averaged(network, MIRRORED, 2)
    logits, features = averaged.predict_on_batch(PIXELS)
    both = [network.predict_on_batch(pixels)[0] for pixels in (PIXELS, PIXELS[:, :, ::-1])]
    mean = np.mean([prediction.softmax(each) for each in both], axis=0)
    np.testing.assert_allclose(prediction.softmax(logits), mean, rtol=1e-4)
    np.testing.assert_allclose(features, network.predict_on_batch(PIXELS)[1], rtol=1e-5)
    assert not np.allclose(prediction.softmax(both[0]), mean, rtol=1e-3)


@pytest.mark.parametrize("kind", ["multi_label", "ordinal", "regression"])
def test_of_other_tasks_too_what_the_outputs_mean_is_averaged(network, kind):
    numbers = {"means": (5.0, 0.0, 1.0), "deviations": (2.0, 1.0, 3.0)} if kind == "regression" else {}
    task = Task(kind=kind, **numbers)
    outputs, features = view_averaging.averaged(network, MIRRORED, 2, task).predict_on_batch(PIXELS)
    both = [network.predict_on_batch(pixels)[0] for pixels in (PIXELS, PIXELS[:, :, ::-1])]
    mean = np.mean([answers.meant(each, task) for each in both], axis=0)
    np.testing.assert_allclose(answers.meant(outputs, task), mean, rtol=1e-4)
    np.testing.assert_allclose(features, network.predict_on_batch(PIXELS)[1], rtol=1e-5)
    what = "numbers" if kind == "regression" else "probabilities"
    assert view_averaging.told(MIRRORED, 2, task).startswith(f"mean {what} of 2 views of each picture")


@pytest.mark.parametrize("kind", ["multi_label", "ordinal"])
def test_the_mean_of_answers_that_are_sure_is_finite(kind):
    pixels = keras.Input((SIZE, SIZE, 3))
    sure = keras.layers.Lambda(lambda x: tf.reduce_sum(x, axis=(1, 2)) * [1.0, -1.0, 1.0])(pixels)
    outputs = view_averaging.averaged(keras.Model(pixels, sure), MIRRORED, 2, Task(kind=kind)).predict_on_batch(PIXELS)
    assert np.isfinite(outputs).all()
    np.testing.assert_allclose(answers.meant(outputs, Task(kind=kind))[:, 0], float(kind == "multi_label"), atol=1e-6)


def test_more_views_are_moved_as_training_did_and_the_same_for_every_picture(network):
    augment = settled(Augment(preset="light"))
    averaged = view_averaging.averaged(network, augment, 6)
    together = averaged.predict_on_batch(PIXELS)[0]
    alone = averaged.predict_on_batch(PIXELS[3:4])[0]
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-4, atol=1e-5)
    assert not np.allclose(together, view_averaging.averaged(network, MIRRORED, 2).predict_on_batch(PIXELS)[0])


def test_a_network_with_logits_alone_keeps_its_shape(network):
    alone = keras.Model(network.input, network.output[0])
    averaged = view_averaging.averaged(alone, MIRRORED, 2)
    assert averaged.input_shape == (None, SIZE, SIZE, 3)
    assert averaged.output_shape == (None, 3)


def test_more_views_than_training_had_are_refused(network):
    with pytest.raises(ConfigError, match=r"trained with flip horizontal alone, which gives 2 views\. Write --tta=2\."):
        view_averaging.averaged(network, MIRRORED, 3)
    with pytest.raises(ConfigError, match=r"neither moved nor mirrored.*Leave --tta out\."):
        view_averaging.averaged(network, settled(Augment(preset="none")), 2)


def test_only_what_moves_pixels_is_taken_of_the_training(tmp_path):
    augment = dataclasses.replace(settled(Augment(preset="strong", hue=0.2)), views=3)
    files.write_json(tmp_path / "plan.json", {"what": {"augment": values.to_json(augment)}})
    taken = view_averaging.augment_of(tmp_path)
    assert (taken.flip, taken.crop_area) == ("horizontal", 0.25)
    assert (taken.policy, taken.erasing, taken.hue) == ("none", 0, 0)
    assert view_averaging.told(taken, 4) == (
        "mean probabilities of 4 views of each picture: itself, and with flip horizontal, crop area 0.25, "
        "crop aspect 1.33333"
    )


def test_the_plan_of_an_older_bundle_is_read(tmp_path):
    old = {"views": 4, "live": False, "flip": False, "rotation": 12.0, "shift": 0.1, "zoom": 0.1, "mixup": 0.0}
    files.write_json(tmp_path / "plan.json", {"what": {"augment": old}})
    assert view_averaging.augment_of(tmp_path).rotation == 12.0


def test_where_training_saw_each_picture_alone_there_are_no_views(network, tmp_path):
    """Whatever they might have differed in: one view is the picture itself."""
    old = {"views": 1, "live": False, "flip": True, "rotation": 12.0, "shift": 0.1, "zoom": 0.1, "mixup": 0.0}
    files.write_json(tmp_path / "plan.json", {"what": {"augment": old}})
    with pytest.raises(ConfigError, match="neither moved nor mirrored"):
        view_averaging.averaged(network, view_averaging.augment_of(tmp_path), 2)
    files.write_json(tmp_path / "plan.json", {"what": {"augment": old | {"live": True}}})
    assert view_averaging.augment_of(tmp_path).flip == "horizontal"


def test_evaluate_and_predict_say_that_they_average(trained, colours, tmp_path, capsys):
    folder = shutil.copytree(trained / "bundle", tmp_path / "bundle")
    plan, index = (files.read_json(folder / name) for name in ("plan.json", "bundle.json"))
    plan["what"]["augment"]["views"] = 4
    files.write_json(folder / "plan.json", plan)
    index["files"]["plan.json"] = files.sha256(folder / "plan.json")
    files.write_json(folder / "bundle.json", index)
    bundle = f"--bundle={folder}"
    assert main(["evaluate", bundle, "--tta=3", f"--output={tmp_path / 'r.json'}"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"accuracy \d+\.\d % on 12 examples .*, by the mean over 3 views of each picture", shown)
    assert json.loads((tmp_path / "r.json").read_text())["views"] == 3
    assert main(["predict", bundle, "--tta=3", str(colours / "red" / "000.png")]) == 0
    said = capsys.readouterr()
    assert re.search(r"000\.png: red \d+\.\d %", said.out)
    assert (
        "mean probabilities of 3 views of each picture: itself, and with rotation 12, shift 0.1, zoom 0.1" in said.err
    )


def test_without_it_nothing_is_said_of_views(trained, capsys):
    assert main(["evaluate", f"--bundle={trained / 'bundle'}"]) == 0
    assert "views" not in capsys.readouterr().out
