"""`tfxfer data check` on folders and tables: what it finds, its exit code, and that it loads no TensorFlow."""

import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfxfer.cli import main


def scene(number: int) -> Image.Image:
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes of 30 pictures that have nothing in common, in the folder that the test is in."""
    monkeypatch.chdir(tmp_path)
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            scene(30 * place + number).save(tmp_path / "photos" / name / f"{number:02}.png")
    return pathlib.Path("photos")


def check(photos, *flags):
    return main.main(["data", "check", f"--data=folder:{photos}", *flags])


def test_nothing_wrong(photos, capsys):
    assert check(photos) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"data    folder:{photos}: 60 images, 2 classes\nsplits  42 train, 6 validation, 12 test (")
    assert "pixels  RGB 60\n" in shown
    assert re.search(r"dog +21 +3 +6 +30\n", shown)
    assert shown.endswith("nothing wrong was found.\n")


def test_warnings_do_not_make_it_fail_and_the_page_shows_what_is_nearly_the_same(photos, tmp_path, capsys):
    for number in range(30):
        scene(number).save(photos / "cat" / f"{number:02}.jpg", quality=60)
    assert check(photos, f"--output={tmp_path}/page.html") == 0
    shown = capsys.readouterr().out
    assert "pair(s) of nearly the same images stand in two splits" in shown
    assert shown.endswith(f"1 warning. Training goes ahead.\npage: {tmp_path}/page.html\n")
    page = (tmp_path / "page.html").read_text()
    assert "data:image/png;base64," in page
    assert page.count("<li>cat/") >= 20


def test_the_contact_sheet_shows_both_of_each_pair():
    import io

    from tfxfer.data.pictures import Arrays
    from tfxfer.inspection import pairs_sheet
    from tfxfer.inspection.inspected import Place

    colours = [np.full((9, 9, 3), colour, np.uint8) for colour in ((200, 0, 0), (0, 200, 0))]
    pair = tuple(Place(index=index, name="x", class_name="c", split="") for index in (0, 1))
    sheet = np.asarray(Image.open(io.BytesIO(pairs_sheet(Arrays(colours), [pair] * 5))))
    assert sheet.shape == (2 * 118 + 8, 4 * 208 + 8, 3)  # four in a row, the fifth in the next
    assert (sheet[60, 50].tolist(), sheet[60, 150].tolist()) == ([200, 0, 0], [0, 200, 0])
    assert (sheet[178, 50].tolist(), sheet[178, 258].tolist()) == ([200, 0, 0], [255, 255, 255])


def test_errors_make_it_fail_and_all_are_told_at_once(photos, tmp_path, capsys):
    (photos / "dog" / "bad.jpg").write_text("<html>")
    for split in ("train", "test"):
        shutil.copytree(photos, pathlib.Path("ready") / split)
    (pathlib.Path("ready") / "test" / "dog" / "bad.jpg").unlink()
    assert check(pathlib.Path("ready")) == 1
    shown = capsys.readouterr().out
    assert "error: 1 of 121 images cannot be read\n    train/dog/bad.jpg: no picture of a known format" in shown
    assert "error: the split train of folder:" in shown  # once copies are left out nothing remains to train on
    assert "error: 60 exact copies in two splits" in shown
    assert "test/cat/00.png (test, cat) = train/cat/00.png (train, cat)" in shown or (
        "train/cat/00.png (train, cat) = test/cat/00.png (test, cat)" in shown
    )
    assert shown.endswith("3 errors. Training refuses the data as they are.\n")


def test_pictures_in_two_classes_twins_and_what_is_black(photos, capsys):
    shutil.copy(photos / "cat" / "00.png", photos / "dog" / "again.png")
    shutil.copytree(photos / "dog", photos / "Dog ")
    Image.fromarray((np.asarray(scene(0)) // 255).astype(np.uint8)).save(photos / "cat" / "black.png")
    Image.new("RGB", (40, 40), (200, 10, 10)).save(photos / "cat" / "blank.png")
    scene(99).resize((20, 90)).save(photos / "cat" / "small.png")
    scene(98).convert("L").save(photos / "cat" / "grey.png")
    assert check(photos) == 0
    shown = capsys.readouterr().out
    for expected in (
        "32 exact copies in two classes",
        "'Dog ' and 'dog'",
        "    'Dog '",
        "1 of 96 images are nearly black: no level above 15 of 255\n    cat/black.png",
        "1 of 96 images are of one colour all over\n    cat/blank.png",
        "1 of 96 images have a side of less than 32 pixels\n    cat/small.png (20×90)",
        "1 of 96 images are grey",
        "pixels  RGB 95, L 1",
    ):
        assert expected in shown, expected


def test_a_class_too_small_to_split_is_an_error(photos, capsys):
    (photos / "cow").mkdir()
    scene(1000).save(photos / "cow" / "0.png")
    assert check(photos) == 1
    assert (
        "error: too few different images to split, at least 3 a class are needed: cow (1)." in capsys.readouterr().out
    )


def test_a_table_that_cannot_be_read_is_told_like_anywhere(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("image,label\na.png,\n")
    assert main.main(["data", "check", f"--data=csv:{tmp_path}/a.csv"]) == 1
    assert "row 2: column label: the cell is empty" in capsys.readouterr().err


def test_a_page_that_is_there_is_not_overwritten(photos, tmp_path, capsys):
    (tmp_path / "page.html").write_text("mine")
    assert check(photos, f"--output={tmp_path}/page.html") == 1
    assert "exists and is not overwritten. Write --overwrite" in capsys.readouterr().err
    assert (tmp_path / "page.html").read_text() == "mine"
    assert check(photos, f"--output={tmp_path}/page.html", "--overwrite") == 0
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data"], "say what to do. Write tfxfer data "),
        (["data", "chekc"], "there is nothing called 'chekc'. Did you mean 'check'?"),
        (["data", "check"], "the recipe names no data. Write --data=folder:photos."),
        (["data", "check", "--data=folder:x", "--output=x.png"], "is no HTML file. Write --output=report.html"),
    ],
)
def test_what_cannot_be_typed(words, message, capsys):
    assert main.main(words) == 2
    assert message in capsys.readouterr().err


def test_tensorflow_is_not_loaded(photos):
    code = (
        "import sys; from tfxfer.cli import main; "
        f"code = main.main(['data', 'check', '--data=folder:{photos}']); "
        "sys.exit(code or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0
