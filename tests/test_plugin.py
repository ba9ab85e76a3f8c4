"""An outsider's package of one source: installed by pip, found, listed, held to the whole contract, and gone again."""

import os
import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tests" / "plugin"
CONTRACT = """
import sys
import tfxfer_pebble
assert not {"keras", "tensorflow", "numpy"} & set(sys.modules), "the module of the plug-in loads Keras"
from tfxfer import testing
for weights in ("pretrained", "random"):
    testing.check_source(tfxfer_pebble.SOURCE, "small", weights=weights)
print("kept by", tfxfer_pebble.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> pathlib.Path:
    """A folder into which pip has installed the package, without network."""
    folder = tmp_path_factory.mktemp("pip")
    source = shutil.copytree(PACKAGE, folder / "source")  # setuptools leaves its own folders beside the sources
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command += ["--target", str(folder / "site"), str(source)]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={**os.environ, **quiet}
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def run(*arguments: str, path: pathlib.Path | None) -> subprocess.CompletedProcess:
    """Runs Python in a process of its own, with `path` on its import path."""
    folders = [str(path)] if path else []
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([*folders, str(ROOT)])}
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300, check=False)


def test_pip_leaves_the_module_and_its_entry_point(installed):
    assert (installed / "tfxfer_pebble.py").is_file()
    (points,) = installed.glob("tfxfer_pebble-*.dist-info/entry_points.txt")
    declared = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert declared == {"tfxfer.backbones": {"pebble": "tfxfer_pebble:SOURCE"}}
    assert points.read_text().split() == ["[tfxfer.backbones]", "pebble", "=", "tfxfer_pebble:SOURCE"]


def test_it_is_listed(installed):
    done = run("-m", "tfxfer", "backbones", "pebble", path=installed)
    assert done.returncode == 0, done.stderr
    assert "\npebble:small " in done.stdout
    everything = run("-m", "tfxfer", "backbones", path=installed)
    assert "\npebble:small " in everything.stdout
    assert "\nkeras:VGG16 " in everything.stdout


@pytest.mark.slow
def test_it_shows_its_layer_groups(installed):
    done = run("-m", "tfxfer", "backbones", "pebble:small", path=installed)
    assert done.returncode == 0, done.stderr
    assert "origin      random numbers" in done.stdout
    assert "4×4×16 yes" in done.stdout


def test_it_keeps_the_contract(installed):
    done = run("-c", CONTRACT, path=installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"kept by {installed / 'tfxfer_pebble.py'}"


def test_it_is_gone_when_it_is_not_on_the_path(installed):
    """The canary of the tests above: without pip's folder there is nothing to find."""
    for words in (["backbones", "pebble"], ["backbones", "pebble:small"]):
        done = run("-m", "tfxfer", *words, path=None)
        assert done.returncode == 2
        assert (
            "there is no source 'pebble'. Sources installed: builtin, file, hub, keras, kerashub, torch" in done.stderr
        )


def test_nothing_was_built_beside_the_sources():
    assert {path.name for path in PACKAGE.iterdir()} - {"__pycache__"} == {"pyproject.toml", "tfxfer_pebble.py"}
