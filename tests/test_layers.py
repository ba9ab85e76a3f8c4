"""The contracts of import-linter hold, and each of them fails where wrong imports are planted."""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = "Each layer imports only those below it"
PURE = "Deciding code imports no TensorFlow, Keras or NumPy"
SCORES = "Scores are plain functions on arrays"
SHIPPED = "Nothing shipped imports the test helpers"
# Wrong imports: the file to plant each in, the line, the contract that it breaks and how the answer names it.
CANARIES = [
    ("heads.py", "from tfxfer import recipes", LAYERS, "tfxfer.heads -> tfxfer.recipes"),
    ("data/rows.py", "from tfxfer import backbones", LAYERS, "tfxfer.data.rows -> tfxfer.backbones"),
    ("files.py", "def late():\n    from tfxfer import graph", LAYERS, "tfxfer.files -> tfxfer.graph"),
    ("plans/rules.py", "import numpy", PURE, "tfxfer.plans.rules -> numpy"),
    ("lr_finder/suggestions.py", "import numpy", PURE, "tfxfer.lr_finder.suggestions -> numpy"),
    ("recipes/stage.py", "import tensorflow", PURE, "tfxfer.recipes.stage -> tensorflow"),
    ("scores/ridge.py", "import keras", SCORES, "tfxfer.scores.ridge -> keras"),
    ("export/card.py", "from tfxfer import testing", SHIPPED, "tfxfer.export.card -> tfxfer.testing"),
]


def lint(folder: pathlib.Path) -> subprocess.CompletedProcess:
    """Runs import-linter on the package in `folder` with its pyproject.toml."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    variables = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def copy(tmp_path) -> pathlib.Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "tfxfer", tmp_path / "tfxfer", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_every_contract_is_kept():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 4 kept, 0 broken." in done.stdout


def test_wrong_imports_break_their_contracts(copy):
    for file, line, _, _ in CANARIES:
        with (copy / "tfxfer" / file).open("a", encoding="utf-8") as stream:
            stream.write(f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1
    for _, _, contract, named in CANARIES:
        assert f"{contract} BROKEN" in done.stdout
        assert named in done.stdout


def test_a_module_without_a_layer_is_refused(copy):
    (copy / "tfxfer" / "stray.py").write_text('"""Belongs nowhere."""\n')
    done = lint(copy)
    assert done.returncode == 1
    assert "stray" in done.stdout


def test_every_contract_has_a_canary():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert {contract["name"] for contract in contracts} == {contract for _, _, contract, _ in CANARIES}
