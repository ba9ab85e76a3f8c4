"""The contact sheet shows pictures, views and mixed batches as training has them, and overwrites nothing."""

import dataclasses

import numpy as np
import PIL.Image
import pytest

import tfxfer
from tfxfer import augmentation, contact_sheet, data, framing, tasks, testing
from tfxfer.cli.main import main
from tfxfer.data.rows import Rows
from tfxfer.errors import WorkdirError

pytestmark = pytest.mark.usefixtures("plugin")


def recipe(colours, **augment):
    return tfxfer.Recipe(
        data=f"folder:{colours}", backbone="tiny:cnn", image_size=24, augment=tfxfer.Augment(**augment)
    )


def test_rows_are_pictures_views_and_batches_with_shares_of_labels(colours, tmp_path):
    asked = {"preset": "strong", "policy": "none", "erasing": 0.0}
    sheet = contact_sheet.draw(recipe(colours, **asked), tmp_path / "sheet.png", columns=6, shown=3)
    captions = [strip.caption for strip in sheet.strips]
    assert captions == ["as they are", "view 1", "view 2", "view 3", "mixed batch 1", "mixed batch 2"]
    raw, mirrored, *_, mixed, _ = sheet.strips
    assert raw.labels == ("blue", "blue", "green", "green", "red", "red")
    np.testing.assert_array_equal(mirrored.pictures, raw.pictures[:, :, ::-1])
    assert mixed.pictures.shape == (6, 24, 24, 3)
    for text in mixed.labels:
        shares = [int(line.split(" % ")[0]) for line in text.split("\n")]
        assert sum(shares) in (99, 100, 101)
        assert {line.split(" % ")[1] for line in text.split("\n")} <= {"blue", "green", "red"}
    with PIL.Image.open(tmp_path / "sheet.png") as image:
        image.load()
        # Four times as large: 96 pixels, and gaps of 6; the first tile begins behind the captions.
        assert image.width == 110 + 6 * 102 + 6
        tile = np.asarray(image)[6 : 6 + 96, 110 : 110 + 96]
    np.testing.assert_array_equal(tile[::4, ::4], raw.pictures[0])


@pytest.mark.parametrize(
    ("task", "targets", "texts"),
    [
        (tasks.Task(kind="multi_label"), np.array([[1, 0], [1, 1], [0, 0]] * 4, np.uint8), {"cat", "cat\ndog", "none"}),
        (
            tasks.Task(kind="regression", means=(2.0, 0.0), deviations=(0.5, 1.0)),
            np.array([[1.5, -1], [2.5, 0.25], [2, 0]] * 4, np.float32),
            {"1.5 cat\n-1 dog", "2.5 cat\n0.25 dog", "2 cat\n0 dog"},
        ),
        (tasks.Task(kind="ordinal"), np.array([0, 1] * 6, np.int32), {"cat", "dog"}),
    ],
)
def test_below_each_picture_stands_what_its_task_is(task, targets, texts):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 24, 24, 3), np.uint8)
    rows = Rows(pixels, targets, np.arange(12), 2, tuple(f"{n:064x}" for n in range(12)), task=task)
    augment = augmentation.settled(tfxfer.Augment(preset="none", cutmix=1.0))
    raw, mixed, *_ = contact_sheet._strips(rows, ("cat", "dog"), augment, 0, 6, 2)
    assert set(raw.labels) == texts
    assert raw.pictures.shape == mixed.pictures.shape
    if task.kind == "regression":  # mixtures lie between what is mixed, in the units of the data
        numbers = np.array([[float(line.split()[0]) for line in text.split("\n")] for text in mixed.labels])
        assert (numbers.min(axis=0) >= [1.5, -1]).all()
        assert (numbers.max(axis=0) <= [2.5, 0.25]).all()
    else:
        assert {line.split(" % ")[-1] for text in mixed.labels for line in text.split("\n")} <= {"cat", "dog", "none"}
    contact_sheet.arranged((raw, mixed))


def test_pictures_are_of_the_training_split_alone(colours, tmp_path):
    sheet = contact_sheet.draw(recipe(colours, mixup=0.4), tmp_path / "sheet.png", columns=21)
    examples = data.open_data(recipe(colours).data, seed=0)
    pixels = examples.pixels(24, framing.Framing())
    train = {pixels[index].tobytes() for index in examples.indices(data.TRAIN)}
    assert {picture.astype(np.uint8).tobytes() for picture in sheet.strips[0].pictures} <= train


def test_some_examples_keep_their_pixels_labels_and_weights(colours):
    every = data.open_data(recipe(colours).data, seed=0)
    every = dataclasses.replace(every, weights=np.arange(60, dtype=np.float32))
    some = every.some(np.array([40, 7]))
    assert (some.labels.tolist(), some.weights.tolist()) == (every.labels[[40, 7]].tolist(), [40, 7])
    assert some.keys == (every.keys[40], every.keys[7])
    np.testing.assert_array_equal(some.pixels(24, framing.Framing()), every.pixels(24, framing.Framing())[[40, 7]])


def test_where_nothing_is_done_the_sheet_says_so(colours, tmp_path):
    sheet = contact_sheet.draw(recipe(colours, preset="none"), tmp_path / "sheet.png")
    assert [strip.caption for strip in sheet.strips] == ["as they are"]
    assert str(sheet).startswith("views: nothing\nmixed: nothing")


def test_what_is_there_is_overwritten_only_when_asked(colours, tmp_path):
    there = tmp_path / "sheet.png"
    there.write_bytes(b"mine")
    with pytest.raises(WorkdirError, match=r"sheet\.png exists and is not overwritten\. Choose another --output, or"):
        contact_sheet.draw(recipe(colours), there)
    assert there.read_bytes() == b"mine"
    contact_sheet.draw(recipe(colours), there, overwrite=True)
    with PIL.Image.open(there) as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_names_of_classes_are_cleaned_and_cut(tmp_path):
    folder = testing.write_colours(tmp_path / "data", each=10)
    (folder / "red").rename(folder / "red\x1b[31m $^{x}$ with a very long name")
    sheet = contact_sheet.draw(recipe(folder), tmp_path / "sheet.png", columns=3)
    assert "\x1b" not in "".join(sheet.strips[0].labels)
    assert max(map(len, sheet.strips[0].labels)) == 18


def test_fewer_pictures_than_columns_are_all_there_are(tmp_path):
    folder = testing.write_colours(tmp_path / "data", each=5)
    sheet = contact_sheet.draw(recipe(folder, mixup=0.4), tmp_path / "sheet.png", columns=32)
    assert 3 <= len(sheet.strips[0].pictures) < 15
    assert [strip.caption for strip in sheet.strips if "mixed" in strip.caption] == ["mixed batch 1"]


def test_from_the_command_line(colours, tmp_path, capsys):
    command = ["data", "show", f"--data=folder:{colours}", "--backbone=tiny:cnn", f"--output={tmp_path / 's.png'}"]
    assert main([*command, "--config.augment.preset=medium", "--columns=4", "--views=2"]) == 0
    shown = capsys.readouterr().out
    assert "views: flip horizontal, rotation 10, crop area 0.5" in shown
    assert f"sheet: {tmp_path / 's.png'}" in shown
    assert main(command) == 1
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
