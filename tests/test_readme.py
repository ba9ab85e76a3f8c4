"""What README shows is run: its Python, its commands (but for this test itself), its files."""

import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from local_cluster import tool
from PIL import Image

from tfxfer.cli.main import main

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = _BLOCK.findall(README)
# What the chapter on backbones runs needs other files than the rest.
_BEFORE, CHAPTER = README.split("\n## Backbones\n")
CHAPTER, _AFTER = CHAPTER.split("\n## ", 1)
CHAPTER_BLOCKS = _BLOCK.findall(CHAPTER)
SCRIPTS = [text for kind, text in _BLOCK.findall(_BEFORE + "\n## " + _AFTER) if kind == "python"]
_, MACHINES = README.split("\n## Several machines\n")
MACHINES = [text for kind, text in _BLOCK.findall(MACHINES.split("\n## ")[0]) if kind == "sh"]
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" and text not in MACHINES for line in text.splitlines()]
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
    breeds = [f"{breed}/{breed}{number}.png,{breed}" for breed in ("cat", "dog") for number in range(12)]
    (tmp_path / "breeds.csv").write_text("image,breed\n" + "".join(f"photos/{line}\n" for line in breeds))
    grades = ("poor", "fair", "good")
    tags = [
        f"{name}{'|indoors' if number % 3 else ''},{number + 0.5},{grades[number % 3]},photos/{name}/{name}{number}.png"
        for name in ("cat", "dog")
        for number in range(12)
    ]
    (tmp_path / "tags.csv").write_text("\n".join(["tags,age,grade,image", *tags]))
    (tmp_path / "list.csv").write_text("image\nnew_pictures/cat0.png\nnew_pictures/dog1.png\n")
    return tmp_path


def test_there_are_two_lines_of_set_up():
    assert len(SETUP) == 2
    assert "tfxfer train --config=configs/digits.py" in SETUP[0]
    assert "pytest -n 2 --dist loadfile -m 'not slow'" in SETUP[1]


@pytest.mark.slow
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
    assert "6 groups train (2,425,858 weights: stage5.block2, …, head_conv, head), 13 are frozen" in shown
    assert "test examples, accuracy 1.0" in shown


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(1500)  # some forty commands, one after the other
def test_the_commands_of_the_readme_run(photos, plugin, capsys):
    """In order, in one folder; the set-up lines are the business of CI, which runs them as they stand."""
    (photos / "config.py").write_text(next(text for text in SCRIPTS if "get_config" in text))
    commands = [line for line in COMMANDS if line not in SETUP]
    assert len(commands) >= 6
    for line in commands:
        if " | " in line:
            subprocess.run(line.replace("tfxfer ", f"{sys.executable} -m tfxfer "), shell=True, check=True)
            continue
        words = shlex.split(line)
        assert words[0] == "tfxfer"
        words = smaller(words)
        # One epoch instead of two stages; MobileNetV2's weights cannot be had without network.
        if any(word.startswith("--config=") for word in words):
            words = [word.replace("runs/photos", "runs/config") for word in words]
            words += ["--config.backbone.weights=random", "--config.stages[0].epochs=1", "--config.stages[1].epochs=1"]
        if any(word.startswith("--devices=") for word in words):  # chosen before TensorFlow starts
            path = os.pathsep.join([str(plugin), str(ROOT)])
            subprocess.run(
                [sys.executable, "-m", "tfxfer", *words[1:]], check=True, env={**os.environ, "PYTHONPATH": path}
            )
        else:
            assert main(words[1:]) == 0, "\n".join((line, *capsys.readouterr()))
    for file in ("labels.csv", "labels.jsonl", "features.csv", "features.npy", "runs/photos/phone/onnx/model.onnx"):
        assert (photos / file).exists(), file


# With the network of which README speaks runs the road from pictures to predictions, and what needs its classes.
_AS_IT_STANDS = ("--workdir=runs/photos", "--write=advised.py", "--backbones=", "--config=")
_TINY = "--backbone=tiny:cnn"


def smaller(words: list[str]) -> list[str]:
    """Returns a command of README for small pictures, and mostly for a tiny network."""
    if words[1] not in ("train", "plan", "lr-find", "advise", "compare"):
        return words
    if not any(word.startswith(_AS_IT_STANDS) for word in words):
        return [*words, "--image_size=32", _TINY]
    stages = ["--stages=feature_extraction"] if "--data=folder:photos" in words else []
    return [*words, "--image_size=32", *stages]


def test_the_main_commands_of_the_readme_keep_their_network():
    """And the others do not, or all of this would be for nothing."""
    kept = [line for line in COMMANDS if line not in SETUP and smaller(shlex.split(line)).count(_TINY) == 0]
    assert "tfxfer train --data=folder:photos --workdir=runs/photos" in kept
    assert any(line.startswith("tfxfer advise") for line in kept)
    assert len(COMMANDS) - len(kept) > 10


@pytest.mark.slow
@pytest.mark.real
def test_the_commands_for_several_machines_run(photos, plugin):
    """With ports of the loopback for those of two machines, and stand-ins for the commands of Slurm."""
    two, slurm, local = MACHINES
    fast = f" --image_size=32 {_TINY}"
    one, other = tool.free_addresses(2)
    lines = two.replace("10.0.0.1:2222", one).replace("10.0.0.2:2222", other).splitlines()
    assert len(lines) == 2
    run_at_once([f"{line}{fast}" for line in lines], photos, plugin)
    assert (photos / "runs" / "both" / "bundle" / "bundle.json").exists()

    for name, text in {
        "scontrol": "; ".join(f"echo {address}" for address in tool.free_addresses(2)),
        "srun": 'shift; SLURM_PROCID=1 "$@" & SLURM_PROCID=0 "$@"; code=$?; wait; exit $code',
    }.items():
        (photos / name).write_text(f"#!/bin/sh\n{text}\n")
        (photos / name).chmod(0o755)
    assert "sed 's/$/:2222/'" in slurm  # on one machine each needs a port of its own
    run_at_once([slurm.replace("sed 's/$/:2222/'", "cat").replace('PROCID"', f'PROCID{fast}"')], photos, plugin)
    assert (photos / "runs" / "slurm" / "bundle" / "bundle.json").exists()

    run_at_once([local.replace("tools/", f"{ROOT}/tools/").rstrip() + fast], photos, plugin)
    assert (photos / "runs" / "local" / "bundle" / "bundle.json").exists()


def run_at_once(scripts: list[str], folder: pathlib.Path, plugin: pathlib.Path) -> None:
    """Runs scripts of a shell beside each other, with this environment's programs and a plug-in."""
    path = os.pathsep.join([str(folder), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    processes = [
        subprocess.Popen(
            ["bash", "-ec", script],
            cwd=folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(plugin), str(ROOT)])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for script in scripts
    ]
    try:
        outs = [process.communicate(timeout=300)[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * len(scripts), "\n".join(outs)[-4000:]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def chapter(kind: str) -> list[str]:
    return [text for own, text in CHAPTER_BLOCKS if own == kind]


@pytest.fixture
def model_files(tmp_path, monkeypatch) -> None:
    """A working folder with the model files that the chapter on backbones names."""
    import keras
    import tensorflow as tf

    from tfxfer.backbones import torch_models

    monkeypatch.chdir(tmp_path)
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, name="first_conv")(pixels)
    x = keras.layers.Conv2D(4, 3, name="last_conv")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    keras.Model(pixels, keras.layers.Dense(2)(x)).save("dogs.keras")

    kernels = [
        tf.Variable(tf.ones([3, 3, 3, 3]), name=f"MobilenetV2/expanded_conv_{number}/kernel") for number in (13, 14)
    ]

    def call(images):
        for kernel in kernels:
            images = tf.nn.conv2d(images, kernel, 2, "SAME")
        return images

    module = tf.train.Checkpoint()
    module.__call__ = tf.function(call, [tf.TensorSpec([None, 32, 32, 3])])
    module.variables = module.trainable_variables = kernels
    tf.saved_model.save(module, "flowers_saved_model")

    model = torch_models.build("resnet18", 32, "torchvision")
    header, end = {}, 0
    for name, shape in torch_models.expected_shapes(model, "torchvision").items():
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    pathlib.Path("resnet18.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def test_the_python_of_the_chapter_on_backbones_runs(model_files, monkeypatch, capsys):
    """All blocks but those of the plug-in; the weights of keras: cannot be had without network."""
    import tfxfer
    from tfxfer import heads

    loaded, real = {}, tfxfer.load_backbone

    def load(handle, **settings):
        if handle.startswith("keras:"):
            settings = {"weights": "random", "image_size": 64, **settings}
        loaded[handle, *settings.items()] = backbone = real(handle, **settings)
        return backbone

    monkeypatch.setattr(tfxfer, "load_backbone", load)
    names = {"tfxfer": tfxfer, "heads": heads}
    scripts = [text for text in chapter("python") if "tfxfer.load_backbone" in text or "tfxfer.freeze" in text]
    for script in scripts:
        exec(compile(script, "README.md", "exec"), names)
    assert len(scripts) == 3
    assert len(loaded) == 6
    assert names["dogs"].model.output_shape == (None, 28, 28, 4)
    assert names["half"].model.output_shape == (None, 4, 4, 1024)
    assert [tensor.shape[1] for tensor in names["maps"].model.outputs] == [8, 4, 2]
    assert names["grey"].model.input_shape == (None, 64, 64, 1)
    assert (
        "2 groups train (101 weights: MobilenetV2/expanded_conv_14, head), 1 are frozen (81 weights)"
        in capsys.readouterr().out
    )


def test_the_commands_of_the_chapter_on_backbones_print_what_it_shows(capsys):
    """Every line of the excerpts, but for its last word: whether weights are here depends on the machine."""
    shown = ""
    for line in "".join(chapter("sh")).splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
        shown += capsys.readouterr().out
    excerpts = [line.rpartition(" ")[0] for text in chapter("text") for line in text.splitlines()]
    assert len(excerpts) >= 9
    for line in excerpts:
        assert line in shown


def test_the_plug_in_of_the_readme_is_the_one_that_is_tested():
    """tests/test_plugin.py installs it."""
    package = ROOT / "tests" / "plugin"
    assert chapter("toml") == [(package / "pyproject.toml").read_text(encoding="utf-8")]
    assert (package / "tfxfer_pebble.py").read_text(encoding="utf-8") in chapter("python")


def test_the_check_of_the_plug_in_of_the_readme():
    """The two blocks of the part on publishing, one after the other."""
    scripts = [text for text in chapter("python") if "SOURCE" in text]
    assert len(scripts) == 2
    names = {}
    for script in scripts:
        exec(compile(script, "README.md", "exec"), names)


def test_the_canary_of_the_blocks():
    """A README without blocks would pass everything above."""
    assert len(SCRIPTS) >= 3
    assert len(COMMANDS) >= 11
    assert len(chapter("python")) == 5


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
