"""What is a policy and a colour; and one framing on the whole road: what a recipe says is what everything sees."""

import io
import json
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tfxfer
from tfxfer import assessment, data, export, pipeline, prediction
from tfxfer.data import images
from tfxfer.data.finding import Picture
from tfxfer.errors import ConfigError
from tfxfer.framing import Framing
from tfxfer.recipes import Data

PADDED = Framing(resize="pad", background="#20c060")


@pytest.mark.parametrize(
    ("background", "colour"),
    [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#0a80FF", (10, 128, 255))],
)
def test_a_background_is_a_name_or_six_digits(background, colour):
    assert Framing(background=background).colour == colour


@pytest.mark.parametrize("background", ["red", "#fff", "#12345g", "White", "", "#1234567"])
def test_what_is_no_colour_is_answered(background):
    with pytest.raises(ConfigError, match=r"is no colour; write white, black or #rrggbb"):
        Framing(background=background)


def test_what_is_no_policy_is_answered():
    with pytest.raises(ConfigError, match=r"resize='stretch' is not one of 'squash', 'crop', 'pad'"):
        Framing(resize="stretch")


def test_it_says_the_background_where_it_is_not_the_usual_one_or_always_seen():
    """Names of caches are made of it: what differs must read differently."""
    assert str(Framing()) == "squash"
    assert str(Framing(background="black")) == "squash, on black"
    assert str(Framing(resize="pad")) == "pad, on white"


@pytest.mark.parametrize(
    ("resize", "left", "top", "part", "scaled", "first"),
    [
        ("squash", 0.0, 0.0, (50, 20), (8, 8), (0, 0)),
        ("crop", 15.0, 0.0, (20, 20), (8, 8), (0, 0)),
        ("pad", 0.0, 0.0, (50, 20), (8, 3), (0, 2)),  # 3.2 rows
    ],
)
def test_a_picture_is_placed(resize, left, top, part, scaled, first):
    place = Framing(resize=resize).placed(50, 20, 8)
    assert (place.left, place.top) == (left, top)
    assert (place.width, place.height) == part
    assert (place.columns, place.rows) == scaled
    assert (place.column, place.row) == first
    turned = Framing(resize=resize).placed(20, 50, 8)
    assert (turned.left, turned.top, turned.columns, turned.rows) == (top, left, *scaled[::-1])


def test_what_is_decoded_smaller_keeps_what_the_square_needs():
    assert Framing().least(50, 20, 8) == Framing(resize="crop").least(50, 20, 8) == (8, 8)
    assert PADDED.least(50, 20, 8) == (8, 1)
    assert PADDED.least(20, 50, 8) == (1, 8)


def half_transparent(width: int, height: int) -> bytes:
    """A PNG whose left half lets the background through."""
    pixels = np.full((height, width, 4), (250, 5, 5, 255), np.uint8)
    pixels[:, : width // 2, 3] = 60
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


PHOTO = half_transparent(50, 20)


@pytest.fixture(scope="module")
def padded(plugin, colours, tmp_path_factory) -> pathlib.Path:
    """A run with padding on a green background, whose pixels lay on disk."""
    workdir = tmp_path_factory.mktemp("runs") / "padded"
    asked = Data(source=f"folder:{colours}", resize="pad", background=PADDED.background)
    stage = tfxfer.Stage(train="head", epochs=1, learning_rate=0.5)
    recipe = tfxfer.Recipe(data=asked, backbone="tiny:cnn", stages=(stage,))
    tfxfer.run(recipe, workdir=workdir, show=lambda line: None)
    return workdir


def test_the_plan_the_bundle_and_its_card_say_so(padded):
    assert "(pad, on #20c060)" in (padded / "plan.txt").read_text()
    index = json.loads((padded / "bundle" / "bundle.json").read_text())
    assert (index["resize"], index["background"]) == ("pad", "#20c060")
    assert export.open_bundle(padded / "bundle").framing == PADDED
    assert "Pictures are padded to 24×24 pixels, #20c060 below" in (padded / "bundle" / "README.md").read_text()


def test_a_bundle_from_before_there_were_backgrounds_has_white_ones(padded, tmp_path):
    index = json.loads((padded / "bundle" / "bundle.json").read_text())
    del index["background"]
    (tmp_path / "bundle").mkdir()
    for path in (padded / "bundle").iterdir():
        (tmp_path / "bundle" / path.name).symlink_to(path)
    (tmp_path / "bundle" / "bundle.json").unlink()
    (tmp_path / "bundle" / "bundle.json").write_text(json.dumps(index))
    assert export.open_bundle(tmp_path / "bundle").framing == Framing(resize="pad")


def test_prediction_evaluation_and_serving_see_what_training_saw(padded, tmp_path):
    for label in ("blue", "green", "red"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "a.png").write_bytes(PHOTO)
    bundle = export.open_bundle(padded / "bundle")
    expected = images.render(PHOTO, 24, PADDED)
    assert expected[0, 0].tolist() == [0x20, 0xC0, 0x60]  # above a picture of 10 rows
    assert 0x20 < expected[12, 2, 0] < 250  # and through it
    examples = assessment.open_examples(bundle, f"folder:{tmp_path / 'photos'}")
    np.testing.assert_array_equal(examples.pixels(24, bundle.framing)[0], expected)
    picture = Picture("a.png", str(tmp_path / "photos" / "red" / "a.png"))
    np.testing.assert_array_equal(prediction.read(picture, 24, bundle.framing), expected)
    logits = bundle.model(expected[None].astype(np.float32))
    for name, model in (("saved_model", logits), ("feature_vector", None)):
        served = tf.saved_model.load(str(padded / "bundle" / name / "1"))
        answer = served.signatures["serve_bytes"](image_bytes=tf.constant([PHOTO]))
        same = served.signatures["serve_uint8"](images=tf.constant(expected[None]))
        for key, numbers in answer.items():
            np.testing.assert_array_equal(numbers, same[key])
        if model is not None:
            np.testing.assert_allclose(answer["logits"], model, atol=1e-5)


def test_anyones_model_is_served_with_a_framing_of_choice(padded, tmp_path):
    model = export.open_bundle(padded / "bundle").model
    tfxfer.export_hub(model, tmp_path / "hub", resize="pad", background="#20c060")
    served = tf.saved_model.load(str(tmp_path / "hub"))
    answer = served.signatures["serve_bytes"](image_bytes=tf.constant([PHOTO]))
    expected = images.render(PHOTO, 24, PADDED)
    np.testing.assert_allclose(answer["logits"], model(expected[None].astype(np.float32)), atol=1e-5)


@pytest.mark.slow  # tests/data/test_pixel_store.py covers the thought
def test_what_lies_decoded_on_disk_is_not_decoded_by_a_run_that_goes_on(plugin, colours, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "pixel_store", lambda plan, workdir, workers: workdir / "cache" / "pixels.npy")
    rendered, render = [], images.render
    monkeypatch.setattr(images, "render", lambda *arguments: rendered.append(1) or render(*arguments))
    fit = pipeline.training.fit
    stage = tfxfer.Stage(train="head", epochs=1, learning_rate=0.5)
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,))

    def stopped(*_arguments, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline.training, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        tfxfer.run(recipe, workdir=tmp_path / "run", show=lambda line: None)
    assert len(rendered) == 60
    monkeypatch.setattr(pipeline.training, "fit", fit)
    report = tfxfer.run(recipe, workdir=tmp_path / "run", show=lambda line: None)
    assert len(rendered) == 60
    assert report.test.examples == data.open_data(recipe.data, seed=0).facts.test_counts[0] * 3
