"""What README shows is run: its Python, its commands (but for this test itself), its files."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tfxfer.cli.main import main

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
SCRIPTS = [text for kind, text in BLOCKS if kind == "python"]
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
SETUP = [line for line in COMMANDS if line.startswith("python3 -m venv")]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A working folder in which README's names exist: photos, more photos, a picture."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for folder in ("photos", "more_photos", "new_pictures"):
        for name, brightness in {"cat": 60, "dog": 170}.items():
            place = tmp_path / folder if folder == "new_pictures" else tmp_path / folder / name
            place.mkdir(parents=True, exist_ok=True)
            for number in range(12):
                pixels = generator.integers(0, 60, (40, 40, 3)) + brightness
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{name}{number}.png")
    shutil.copy(tmp_path / "photos" / "cat" / "cat0.png", "picture.jpg")
    return tmp_path


def test_there_are_two_lines_of_set_up():
    assert len(SETUP) == 2
    assert "tfxfer train --config=configs/digits.py" in SETUP[0]
    assert "pytest -m 'not slow'" in SETUP[1]


@pytest.mark.real
def test_the_python_of_the_readme_runs(photos, capsys):
    """All blocks in one namespace, with the variables that the text supposes."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    images = (generator.integers(0, 60, (40, 96, 96, 3)) + np.where(labels, 170, 60)[:, None, None, None]).astype(
        np.uint8
    )
    names = {"images": images, "labels": labels}
    for script in SCRIPTS:
        exec(compile(script, "README.md", "exec"), names)
    recipe = names["get_config"]()
    assert recipe.stages[1].train == "stage5"
    shown = capsys.readouterr().out
    assert "6 groups train (2,425,858 weights: stage5.block2, stage5.block3, stage5.block4, stage5.block5" in shown
    assert "test examples, accuracy 1.0" in shown


@pytest.mark.real
def test_the_commands_of_the_readme_run(photos, capsys):
    """In order, in one folder; the set-up lines are the business of CI, which runs them as they stand."""
    (photos / "config.py").write_text(next(text for text in SCRIPTS if "get_config" in text))
    commands = [line for line in COMMANDS if line not in SETUP]
    assert len(commands) >= 6
    for line in commands:
        words = shlex.split(line)
        assert words[0] == "tfxfer"
        # One epoch of a small size instead of the defaults; MobileNetV2's weights cannot be had without network.
        if words[1] in ("train", "plan"):
            words.append("--image_size=32")
        if "--data=folder:photos" in words:
            words.append("--stages=feature_extraction")
        if any(word.startswith("--config=") for word in words):
            words = [word.replace("runs/photos", "runs/config") for word in words]
            words += ["--config.backbone.weights=random", "--config.stages[0].epochs=1", "--config.stages[1].epochs=1"]
        assert main(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
    assert (photos / "labels.csv").exists()


def test_the_canary_of_the_blocks():
    """A README without blocks would pass everything above."""
    assert len(SCRIPTS) >= 3
    assert len(COMMANDS) >= 8


@pytest.mark.slow
@pytest.mark.real
def test_the_main_job_of_the_readme(tmp_path):
    """The first line of set-up as it stands, with this environment in place of a new one."""
    command = SETUP[0].split("&&")[-1].strip().replace(".venv/bin/tfxfer", f"{sys.executable} -m tfxfer")
    command = command.replace("runs/digits", str(tmp_path / "digits"))
    done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    accuracy = re.search(r"test accuracy (\d+\.\d) % on 1,000 examples", done.stdout)
    assert float(accuracy[1]) >= 98.0
