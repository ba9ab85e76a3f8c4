"""Every command on three colours, as a user types it."""

import csv
import json
import re
import shutil

import pytest
from PIL import Image

from tfxfer.cli.main import main

pytestmark = pytest.mark.usefixtures("plugin")


def test_train_plan_evaluate_predict_from_a_shell(program, colours, tmp_path):
    """The one test that runs the program in processes of its own, with its output as users see it."""
    (tmp_path / "config.py").write_text(
        "from tfxfer import Recipe, Stage\n"
        "def get_config():\n"
        "    return Recipe(stages=(Stage(train='head', epochs=3, learning_rate=0.5), Stage(train='all', epochs=1)))\n"
    )
    data = ["--config=config.py", "--data=folder:" + str(colours), "--backbone=tiny:cnn"]
    planned = program("plan", *data, cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"2 all +stage1…head +– +frozen", planned.stdout)
    trained = program("train", *data, "--workdir=run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr == ""
    assert trained.stdout.startswith(planned.stdout.rstrip("\n")[:200])
    assert re.search(r"test accuracy \d+\.\d % on 12 examples", trained.stdout)
    predicted = program("predict", "--bundle=run/bundle", str(colours / "red" / "000.png"), cwd=tmp_path)
    assert predicted.returncode == 0
    assert re.search(r"000\.png: red \d+\.\d %", predicted.stdout)
    assert predicted.stderr == ""


def test_plan_shows_what_train_does_and_writes_nothing(colours, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plan", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--batch_size=8"]) == 0
    shown = " ".join(capsys.readouterr().out.split())  # where a line ends depends on the length of a path
    for words in ("42 train, 6 validation, 12 test", "blue, green, red", "partial", "stage2…head", "frozen"):
        assert words in shown
    assert list(tmp_path.iterdir()) == []


def test_a_config_file_with_overrides(colours, tmp_path, capsys):
    config = tmp_path / "config.py"
    config.write_text(
        "from tfxfer import Recipe, Stage\n"
        "def get_config():\n"
        "    stages = (Stage(epochs=2), Stage(train=1, epochs=2))\n"
        f"    return Recipe(data='folder:{colours}', backbone='tiny:cnn', stages=stages)\n"
    )
    assert main(["plan", f"--config={config}", "--config.stages[1].train=stage2.block1", "--config.head", "MLP"]) == 0
    shown = capsys.readouterr().out
    assert "2 stage2.block1" in shown
    assert "MLP: avg pooling, hidden layers of 256, dropout 0.2" in shown


def test_evaluate_measures_the_same_test_split_again(trained, capsys, tmp_path):
    assert main(["evaluate", f"--bundle={trained / 'bundle'}", f"--output={tmp_path / 'result.json'}"]) == 0
    assert "accuracy 100.0 % on 12 examples" in capsys.readouterr().out
    assert json.loads((tmp_path / "result.json").read_text())["correct"] == 12


def test_evaluate_matches_classes_by_name(trained, colours, tmp_path, capsys):
    """Two of the three classes, so that their numbers differ from those of the network."""
    new = tmp_path / "new"
    for name in ("green", "red"):
        shutil.copytree(colours / name, new / name)
    assert main(["evaluate", f"--bundle={trained / 'bundle'}", f"--data=folder:{new}"]) == 0
    assert "accuracy 100.0 % on 40 examples" in capsys.readouterr().out


def test_predict_a_folder_writes_a_csv(trained, colours, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = tmp_path / "images"
    shutil.copytree(colours / "blue", images)
    (images / "broken.png").write_bytes((images / "000.png").read_bytes()[:60])
    assert main(["predict", f"--bundle={trained / 'bundle'}", "images", "--top=2"]) == 1
    assert "21 images labelled in predictions.csv, 1 of them unreadable" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "predictions.csv").read_text().splitlines()))
    assert list(rows[0]) == ["image", "label_1", "probability_1", "label_2", "probability_2", "error"]
    assert {row["label_1"] for row in rows} == {"blue", ""}
    [broken] = [row for row in rows if row["error"]]
    assert broken["image"].endswith("broken.png")


def test_predict_never_overwrites(trained, colours, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predictions.csv").write_text("mine")
    assert main(["predict", f"--bundle={trained / 'bundle'}", str(colours)]) == 1
    assert "predictions.csv exists and is not overwritten. Choose another --output." in capsys.readouterr().err
    assert (tmp_path / "predictions.csv").read_text() == "mine"


def test_predict_cleans_names_for_the_terminal(trained, tmp_path, capsys):
    path = tmp_path / "evil\x1b[31m.png"
    Image.new("RGB", (24, 24), (210, 50, 40)).save(path)
    assert main(["predict", f"--bundle={trained / 'bundle'}", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
