"""`tfxfer cache`: what is kept on disk, and its removal, without TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest

from tfxfer.activations.disk import DiskStore
from tfxfer.activations.keys import Key
from tfxfer.cli.main import main


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A folder with one store of 20 rows."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TFXFER_CACHE_DIR", str(folder))
    key = Key("keras:VGG16", "stage4.block1", "0" * 16, "squash", 96, "1", "float16", (8,), ("tensorflow 2.21.0",))
    names = np.arange(40, dtype=np.uint64).reshape(20, 2)
    with DiskStore(key) as store, store.filling(names):
        store.append(names, np.ones((20, 8), np.float32))
    assert store.folder.parent == folder
    return folder


def test_ls_names_what_there_is(cache, capsys):
    assert main(["cache", "ls"]) == 0
    shown = capsys.readouterr().out
    assert " ".join(shown.split()).partition(" keras:VGG16 ")[2].startswith("stage4.block1 96 float16 20 ")
    assert f" kB in {cache}. Remove some: tfxfer cache prune --help\n" in shown


def test_the_flag_comes_before_the_variable(cache, tmp_path, capsys):
    assert main(["cache", "ls", f"--cache_dir={tmp_path / 'other'}"]) == 0
    assert capsys.readouterr().out == f"no cached activations in {tmp_path / 'other'}.\n"
    assert main(["cache", "prune", "--all", f"--cache_dir={tmp_path / 'other'}"]) == 0
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    ("flag", "is_gone"),
    [
        ("--all", True),
        ("--older_than_days=0", True),
        ("--older_than_days=1", False),
        ("--to_gb=0.0000001", True),
        ("--to_gb=1", False),
    ],
)
def test_prune_removes_what_was_asked_for(cache, capsys, flag, is_gone):
    assert main(["cache", "prune", flag]) == 0
    assert capsys.readouterr().out.startswith("removed 1 store, " if is_gone else "removed 0 stores, 0 B; ")
    assert len(list(cache.iterdir())) == (not is_gone)


def test_what_cannot_be_removed_is_1_and_named(cache, capsys):
    (folder,) = cache.iterdir()
    (folder / "notes.txt").touch()
    assert main(["cache", "prune", "--all"]) == 1
    shown = capsys.readouterr()
    assert shown.err == f"error: {folder} stays: notes.txt in it is not of tfxfer.\n"
    assert shown.out.startswith("removed 0 stores, 0 B; ")


def test_no_tensorflow_is_loaded(cache):
    code = (
        "import sys; from tfxfer.cli.main import main\n"
        "assert main(['cache', 'ls']) == 0 == main(['cache', 'prune', '--all'])\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "keras:VGG16" in done.stdout
    assert done.stdout.endswith("[]\n")
