"""`tfxfer predict` on whatever names pictures, and `tfxfer evaluate` on pictures of classes in another order."""

import csv
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

from tfxfer import files
from tfxfer.cli.main import main
from tfxfer.data import images

pytestmark = pytest.mark.usefixtures("plugin")
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def predict(trained, tmp_path, monkeypatch, capfdbinary):
    """Runs the command in a folder of its own with the trained bundle; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["predict", f"--bundle={trained / 'bundle'}", *arguments])
        out, err = capfdbinary.readouterr()
        return code, out.decode("utf-8", "surrogateescape"), err.decode()

    return run


def bomb() -> bytes:
    """A PNG of 12,000×12,000 pixels in a hundred bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_batch_with_all_that_cannot_be_read_is_answered_but_for_those(predict, colours, tmp_path):
    shutil.copytree(colours, tmp_path / "photos")
    (tmp_path / "photos" / "bomb.png").write_bytes(bomb())
    (tmp_path / "photos" / "half.png").write_bytes((colours / "red" / "000.png").read_bytes()[:60])
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    (tmp_path / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes((colours / "red" / "001.png").read_bytes())
    code, out, err = predict("photos", "--output=x.jsonl", "--top=1")
    assert (code, err) == (1, "")
    assert out == "64 images labelled in x.jsonl, 3 of them unreadable\n"
    rows = {pathlib.Path(row["image"]): row for row in map(json.loads, (tmp_path / "x.jsonl").read_text().splitlines())}
    problems = {path.name: row["error"] for path, row in rows.items() if row["error"]}
    assert problems.keys() == {"bomb.png", "half.png", "pipe.png"}
    assert problems["bomb.png"] == "12000×12000 pixels are beyond the limit"
    right = [
        row["predictions"][0]["label"] == path.parent.name
        for path, row in rows.items()
        if path.parent.name in "red green blue"
    ]
    assert len(right) == 60
    assert all(right)
    assert rows[pathlib.Path("photos", os.fsdecode(b"caf\xe9.png"))]["predictions"][0]["label"] == "red"


def test_a_manifest_to_standard_output(predict, colours, tmp_path):
    (tmp_path / "list.csv").write_text(f"id;photo\n1;{colours / 'red' / '000.png'}\n2;none.png\n3;\n")
    code, out, err = predict("list.csv", "--column=photo", "--format=csv", "--top=all")
    assert (code, err) == (1, "")
    rows = list(csv.DictReader(out.splitlines()))
    assert list(rows[0])[-3:] == ["label_3", "probability_3", "error"]
    assert rows[0]["label_1"] == "red"
    assert sum(float(rows[0][f"probability_{place}"]) for place in (1, 2, 3)) == pytest.approx(1, abs=1e-5)
    assert [row["error"] for row in rows[1:]] == [
        "list.csv, row 3, column photo: cannot be read (No such file or directory)",
        "list.csv, row 4, column photo: the cell is empty",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv"]


def test_embeddings_are_what_the_head_reads(predict, trained, colours, tmp_path):
    (tmp_path / "none.png").write_text("none")
    glob = str(colours / "**" / "00*.png")
    code, out, _ = predict("none.png", glob, "--embeddings=features.npy")
    assert code == 1
    assert out == "31 images labelled in features.csv, 1 of them unreadable; 8 features of each in features.npy\n"
    features = np.load(tmp_path / "features.npy", mmap_mode="r")
    assert (features.shape, features.dtype) == ((31, 8), np.float32)
    assert np.isnan(features[0]).all()
    rows = list(csv.DictReader((tmp_path / "features.csv").read_text().splitlines()))[1:]
    model = keras.models.load_model(trained / "bundle" / "model.keras", compile=False)
    pixels = np.stack([images.decode(pathlib.Path(row["image"]).read_bytes()) for row in rows])
    head = model.layers[-1]
    logits = features[1:] @ head.kernel.numpy() + head.bias.numpy()
    np.testing.assert_allclose(logits, model.predict_on_batch(pixels), atol=1e-4)
    best = np.argmax(logits, axis=1)
    assert [row["label_1"] for row in rows] == [("blue", "green", "red")[place] for place in best]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.jpg"], 1, "none.jpg does not exist."),
        (["*.jpg"], 1, "*.jpg matches no image. Folders at any depth are **: 'photos/**/*.jpg', in quotes."),
        (["empty"], 1, "the folder empty has no images."),
        (["list.csv", "--column=imge"], 1, "list.csv has no column 'imge'. Did you mean 'image'? Columns: 'image',"),
        (["a.png", "--column=image"], 2, "--column=image is of manifests, and none was given."),
        (["a.png", "--output=there.csv"], 1, "there.csv exists and is not overwritten. Choose another --output."),
        (["a.png", "--output=none/x.csv"], 1, "there is no folder none. Make it, or choose another --output."),
        (["a.png", "--output=x.xls"], 2, "--output=x.xls has another suffix than .csv and .jsonl."),
        (["a.png", "--embeddings=x.npz"], 2, "--embeddings=x.npz has another suffix than .npy."),
        (["a.png", "--format=json"], 2, "--format=json is no format. Did you mean 'jsonl'?"),
        (["a.png", "--top=0"], 2, "--top=0 is no number of classes. Write --top=3, or --top=all."),
        (["a.png", "--top=²"], 2, "--top=² is no number of classes. Write --top=3, or --top=all."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_message(predict, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.setattr("tfxfer.cli.quiet.load_tensorflow", lambda: pytest.fail("TensorFlow was loaded"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "list.csv").write_text("image,x\na.png,1\n")
    Image.new("RGB", (24, 24)).save(tmp_path / "a.png")
    before = sorted(tmp_path.rglob("*"))
    found, out, err = predict(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_what_predict_decides_costs_no_tensorflow(tmp_path):
    """In a process of its own: here it is loaded already."""
    code = (
        "import sys; from tfxfer.cli.main import main\n"
        "codes = [main(['predict', '--bundle=b', *words]) for words in (['no.jpg'], ['*.x'], ['.', '--output=x'])]\n"
        "print(codes, 'tensorflow' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bundle.json").touch()
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "[1, 1, 2] False\n", done.stderr


def test_nothing_on_standard_input(predict, monkeypatch, tmp_path):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        code, out, err = predict("-", "--output=x.csv", "--embeddings=x.npy")
    assert (code, out) == (1, "")
    assert err.startswith("error: standard input named no images. Give it paths, one a line:")
    assert list(tmp_path.iterdir()) == []


def test_standard_input_is_answered_before_its_end_and_a_stop_leaves_nothing(trained, colours, plugin, tmp_path):
    variables = {**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "tfxfer", "predict", f"--bundle={trained / 'bundle'}", "-", "--format=jsonl"]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command.append("--embeddings=features.npy")
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # tests in the background ignore it
    process = subprocess.Popen(command, cwd=tmp_path, env=variables, text=True, **pipes, **heard)
    try:
        process.stdin.write(f"{colours / 'red' / '000.png'}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["predictions"][0]["label"] == "red"
        assert len(list(tmp_path.iterdir())) == 1  # beside its place
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        assert time.monotonic() - start < 10
    finally:
        process.kill()
        _, errors = process.communicate()
    assert (code, errors) == (75, "stopped; no file was written.\n")
    assert list(tmp_path.iterdir()) == []


def copied(trained, tmp_path, classes: list[str]) -> pathlib.Path:
    """A bundle whose network calls its classes otherwise."""
    bundle = shutil.copytree(trained / "bundle", tmp_path / "bundle")
    index = json.loads((bundle / "bundle.json").read_text())
    index["classes"] = classes
    (bundle / "labels.txt").write_text("".join(f"{name}\n" for name in classes))
    index["files"]["labels.txt"] = files.sha256(bundle / "labels.txt")
    (bundle / "bundle.json").write_text(json.dumps(index))
    return bundle


def test_evaluate_when_the_network_has_its_classes_in_another_order(trained, colours, tmp_path, capsys):
    """Red and blue change their names on both sides; by their places in order, two thirds would be wrong."""
    bundle = copied(trained, tmp_path, ["red", "green", "blue"])
    new = tmp_path / "new"
    for name, content in (("red", "blue"), ("green", "green"), ("blue", "red")):
        shutil.copytree(colours / content, new / name)
    assert main(["evaluate", f"--bundle={bundle}", f"--data=folder:{new}"]) == 0
    assert "accuracy 100.0 % on 60 examples" in capsys.readouterr().out
    assert main(["evaluate", f"--bundle={bundle}", f"--data=folder:{colours}"]) == 0  # a canary
    assert "accuracy 33.3 % on 60 examples" in capsys.readouterr().out


def test_evaluate_on_one_class_alone_leaves_the_others_without_examples(trained, colours, tmp_path, capsys):
    shutil.copytree(colours / "red", tmp_path / "new" / "red")
    output = tmp_path / "result.json"
    assert (
        main(["evaluate", f"--bundle={trained / 'bundle'}", f"--data=folder:{tmp_path / 'new'}", f"--output={output}"])
        == 0
    )
    assert "accuracy 100.0 % on 20 examples" in capsys.readouterr().out
    counts = {result["name"]: result["examples"] for result in json.loads(output.read_text())["classes"]}
    assert counts == {"blue": 0, "green": 0, "red": 20}


def test_evaluate_names_a_class_that_the_network_does_not_know(trained, colours, tmp_path, capsys):
    for name in ("red", "violet"):
        shutil.copytree(colours / "red", tmp_path / "new" / name)
    assert main(["evaluate", f"--bundle={trained / 'bundle'}", f"--data=folder:{tmp_path / 'new'}"]) == 1
    message = "has classes that the network does not know: violet. It knows: blue, green, red. Rename or remove"
    assert message in capsys.readouterr().err


def test_evaluate_refuses_unreadable_images_or_leaves_them_out(trained, colours, tmp_path, capsys):
    shutil.copytree(colours / "red", tmp_path / "new" / "red")
    (tmp_path / "new" / "red" / "bomb.png").write_bytes(bomb())
    command = ["evaluate", f"--bundle={trained / 'bundle'}", f"--data=folder:{tmp_path / 'new'}"]
    assert main(command) == 1
    errors = capsys.readouterr().err
    assert "1 of 21 images cannot be read:" in errors
    assert "--on_bad_image=skip" in errors
    assert main([*command, "--on_bad_image=skip"]) == 0
    assert "accuracy 100.0 % on 20 examples" in capsys.readouterr().out
