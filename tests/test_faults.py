"""A process that is killed at any moment loses at most its stage, and leaves nothing half-written behind."""

import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from tfxfer import files

pytestmark = pytest.mark.slow


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in (".tfxfer-bundle.x", "checkpoints/.tfxfer-a.h5"):
        (tmp_path / name).write_text("half")
    (tmp_path / ".hidden").write_text("mine")
    files.remove_leftovers(tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == [".hidden", "checkpoints"]


@pytest.mark.parametrize("attempt", range(4))
def test_kill_9_at_a_random_moment(plugin, colours, trained, tmp_path, attempt):
    """Killed again and again at random moments, the run ends in the weights of one that was left in peace."""
    config = tmp_path / "config.py"
    config.write_text(
        "import tfxfer\n"
        "def get_config():\n"
        "    stages = (tfxfer.Stage(train='head', epochs=3, learning_rate=0.5),\n"
        "              tfxfer.Stage(train='stage3.block1', steps=9, learning_rate=0.1, head_to_body=2.0))\n"
        f"    return tfxfer.Recipe(data='folder:{colours}', backbone='tiny:cnn', stages=stages, batch_size=8)\n"
    )
    workdir = tmp_path / "run"
    command = [sys.executable, "-m", "tfxfer", "train", f"--config={config}", f"--workdir={workdir}"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin), *sys.path])}
    moments = random.Random(attempt)
    killed = 0
    for _ in range(20):
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, errors = process.communicate(timeout=moments.uniform(5, 12) + killed)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        assert process.returncode == 0, errors
        break
    else:
        pytest.fail("the run never ended")
    expected, found = (
        [v.numpy() for v in keras.models.load_model(run / "bundle" / "model.keras").variables]
        for run in (trained, workdir)
    )
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list(workdir.rglob(".tfxfer-*"))


def test_sigterm_stops_and_says_how_to_go_on(plugin, colours, tmp_path):
    command = [sys.executable, "-m", "tfxfer", "train", f"--data=folder:{colours}", "--backbone=tiny:cnn"]
    command += [f"--workdir={tmp_path / 'run'}", "--stages=full", "--config.stages[1].epochs=2000"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugin), *sys.path]), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("stage 2 all  epoch 2"):
            break
    time.sleep(0.2)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert "stopped; the same command goes on where it stopped" in errors
    assert (tmp_path / "run" / "checkpoints" / "progress.json").exists()
