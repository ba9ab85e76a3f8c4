"""Processes that train together end in the weights of one, stop together, and go on.

Each test starts processes of `tfxfer train`, as on several machines, on the loopback.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
from local_cluster import tool

from tfxfer import pipeline

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).resolve().parents[2]
# As in `test_strategies`.
SHARE, NOTHING = 1e-5, 1e-8
CONFIG = """
import tfxfer


def get_config():
    stages = (
        tfxfer.Stage(train="head", epochs=6, learning_rate=0.1),
        tfxfer.Stage(
            train="all", steps=25, learning_rate=0.01, head_to_body=1.0, batch_norm="train",
            unfreezing=tfxfer.recipes.Gradual(), refresh_statistics=True,
        ),
    )
    return tfxfer.Recipe(
        data="folder:{data}", backbone="tiny:cnn", stages=stages, batch_size=9,
        augment=tfxfer.Augment(views=3, mixup=0.2),
        running=tfxfer.Running(checkpoint_seconds=0.0),
    )
"""


@pytest.fixture(scope="module")
def place(plugin, colours, tmp_path_factory):
    """A folder with the configuration and the pictures; its path is the same for all workers."""
    place = tmp_path_factory.mktemp("workers")
    shutil.copytree(colours, place / "photos")
    (place / "config.py").write_text(CONFIG.format(data=place / "photos"))
    return place


@pytest.fixture
def train(place, plugin):
    """A function that gives the processes of workers as a context; they end with it."""

    def train(workdir, count=2, *flags, **settings):
        program = [sys.executable, "-m", "tfxfer", "train"]
        command = [*program, f"--config={place}/config.py", f"--workdir={workdir}", *flags]
        environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(plugin)])} | settings.pop("env", {})
        return tool.started(command, tool.free_addresses(count), env=environment, **settings)

    return train


def told(processes, *, grace=200):
    """Returns the exit codes, and what each has said, once all have ended."""
    outs = [process.communicate(timeout=grace)[0] for process in processes]
    return [process.returncode for process in processes], outs


def wait_for(process, words: str) -> list[str]:
    """Reads what a process says up to a line with these words."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"it ended before it said {words!r}:\n{''.join(lines)[-3000:]}")


def weights_of(workdir):
    return [variable.numpy() for variable in keras.models.load_model(workdir / "bundle" / "model.keras").variables]


@pytest.fixture(scope="module")
def one(place, plugin, tmp_path_factory):
    """A run of one process, in this one."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    scope = {}
    exec((place / "config.py").read_text(), scope)
    pipeline.run(scope["get_config"](), workdir=workdir, show=lambda _: None)
    return workdir


@pytest.fixture
def two(train, tmp_path_factory, _two=[]):  # noqa: B006  # made once; needs the function-scoped `train`
    """A run of two workers that nobody disturbed."""
    if not _two:
        workdir = tmp_path_factory.mktemp("two") / "run"
        with train(workdir) as processes:
            codes, outs = told(processes)
        assert codes == [0, 0], "\n".join(outs)[-4000:]
        _two.append((workdir, outs))
    return _two[0]


def assert_close(one, other):
    assert_close_arrays(weights_of(one), weights_of(other))


def assert_close_arrays(some, others):
    for a, b in zip(some, others, strict=True):
        assert np.abs(a - b).max() <= max(SHARE * np.abs(a).max(), NOTHING)


def assert_same(one, other):
    for a, b in zip(weights_of(one), weights_of(other), strict=True):
        assert a.tobytes() == b.tobytes()


def test_two_workers_end_in_the_weights_of_one_process(one, two):
    workdir, (first, second) = two
    assert_close(one, workdir)
    histories = [json.loads((run / "report" / "report.json").read_text())["history"] for run in (one, workdir)]
    for alone, together in zip(*(history["stages"] for history in histories), strict=True):
        for a, b in zip(alone["epochs"], together["epochs"], strict=True):
            for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
                assert a[name] == pytest.approx(b[name], abs=1e-5), name
    assert "(at most 5 on each)" in first
    assert "computed once: up to features" in first
    assert "trains along; the first one shows what happens and writes the files." in second
    assert "epoch" not in second


def test_who_starts_late_is_waited_for_and_only_the_first_writes(train, two, tmp_path):
    with train(tmp_path / "run{worker}", delay=8.0) as processes:
        codes, outs = told(processes)
    assert codes == [0, 0], "\n".join(outs)[-4000:]
    assert_same(two[0], tmp_path / "run0")
    assert not (tmp_path / "run1").exists()


@pytest.mark.parametrize("lost", [0, 1])
def test_kill_9_of_one_stops_the_other_by_name_and_all_go_on(train, two, tmp_path, lost):
    workdir, stage = tmp_path / "run", "stage 1 head" if lost else "stage 2 all"
    with train(workdir) as processes:
        wait_for(processes[0], f"{stage}  epoch 2/")
        processes[lost].kill()
        start = time.monotonic()
        codes, outs = told(processes, grace=60)
    assert time.monotonic() - start < 30
    assert codes[1 - lost] == 75, outs[1 - lost][-3000:]
    assert f"error: worker {lost} of 2 (127.0.0.1:" in outs[1 - lost]
    assert "Start the same command on all workers again" in outs[1 - lost]
    with train(workdir) as processes:
        codes, outs = told(processes)
    assert codes == [0, 0], "\n".join(outs)[-4000:]
    assert f"{stage}  goes on behind step" in outs[0]
    assert_same(two[0], workdir)


def test_one_that_vanishes_without_a_word_is_missed(train, tmp_path):
    """As a machine whose cable is pulled: its connections stay open."""
    with train(tmp_path / "run") as processes:
        wait_for(processes[0], "stage 1 head  epoch 1/")
        processes[1].send_signal(signal.SIGSTOP)
        start = time.monotonic()
        out, _ = processes[0].communicate(timeout=120)
        assert time.monotonic() - start < 60
        assert processes[0].returncode == 75, out[-3000:]
        assert "error: worker 1 of 2 (127.0.0.1:" in out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_stops_all_behind_the_same_step(train, one, two, tmp_path, number):
    workdir = tmp_path / "run"
    with train(workdir) as processes:
        wait_for(processes[0], "stage 2 all  epoch 1/")
        processes[1].send_signal(number)
        codes, outs = told(processes, grace=60)
    assert codes == [75, 75], "\n".join(outs)[-4000:]
    assert all("stopped; the same command goes on where it stopped." in out for out in outs)
    if number == signal.SIGTERM:
        with train(workdir) as processes:
            codes, outs = told(processes)
        assert codes == [0, 0], "\n".join(outs)[-4000:]
        assert "stage 2 all  goes on behind step" in outs[0]
        assert_same(two[0], workdir)
    else:  # one process goes on with what two have begun
        with train(workdir, 1) as processes:
            codes, outs = told(processes)
        assert codes == [0], outs[0][-4000:]
        assert "stage 2 all  goes on behind step" in outs[0]
        assert_close(one, workdir)


def test_a_finished_run_is_told_to_all(train, two):
    with train(two[0]) as processes:
        codes, outs = told(processes)
    assert codes == [0, 0]
    assert "is finished; this is its report." in outs[0]


def start_each(place, plugin, settings, tmp_path):
    """Returns the exit codes and words of workers that differ in their flags, folders or code."""
    addresses = tool.free_addresses(len(settings))
    processes = []
    try:
        for number, own in enumerate(settings):
            workers = [f"--workers={','.join(addresses)}", f"--task_index={number}"]
            command = [sys.executable, "-m", "tfxfer", "train", *own["flags"], f"--workdir={tmp_path}/run", *workers]
            path = os.pathsep.join([str(own.get("code", ROOT)), str(plugin)])
            processes.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, "PYTHONPATH": path},
                    cwd=own.get("cwd", place),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        return told(processes, grace=120)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_another_recipe_other_code_and_other_data_are_refused(place, plugin, tmp_path):
    flags = ["--data=folder:photos", "--backbone=tiny:cnn"]
    codes, outs = start_each(place, plugin, [{"flags": flags}, {"flags": [*flags, "--batch_size=16"]}], tmp_path)
    assert codes == [2, 2]
    for out in outs:
        assert "error: worker 1 of 2 (127.0.0.1:" in out
        assert "has another recipe: batch_size (16, the first 32). Start the same command" in out

    shutil.copytree(ROOT / "tfxfer", tmp_path / "other" / "tfxfer", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "other" / "tfxfer" / "pixels.py").open("a") as file:
        file.write("\n# another version\n")
    codes, outs = start_each(place, plugin, [{"flags": flags}, {"flags": flags, "code": tmp_path / "other"}], tmp_path)
    assert codes == [2, 2]
    assert all("has another code of tfxfer (" in out for out in outs)

    shutil.copytree(place / "photos", tmp_path / "elsewhere" / "photos")
    next((tmp_path / "elsewhere" / "photos" / "red").iterdir()).unlink()
    elsewhere = {"flags": flags, "cwd": tmp_path / "elsewhere"}
    codes, outs = start_each(place, plugin, [{"flags": flags}, elsewhere], tmp_path)
    assert codes == [2, 2], outs
    assert all("has another data, or network (their digest) (" in out for out in outs)


@pytest.mark.parametrize("failing", [0, 1])
def test_one_that_cannot_keep_activations_is_no_hang(train, tmp_path, failing):
    """Its cache folder cannot be written; then nobody keeps any. (Mixup is of pixels then: other weights.)"""
    folders = [tmp_path / str(number) for number in range(2)]
    for folder in folders:
        folder.mkdir()
    folders[failing].joinpath("cache").write_text("in the way")
    template = "{worker}"
    flags = ["--config.cache.store=disk"]
    with train(tmp_path / "run", 2, *flags, env={"TFXFER_CACHE_DIR": f"{tmp_path}/{template}/cache"}) as processes:
        codes, outs = told(processes)
    assert codes == [0, 0], "\n".join(outs)[-4000:]
    assert "What is frozen is computed in every epoch instead." in outs[0]


def test_an_error_of_the_first_is_told_to_the_others(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep")
    with train(tmp_path / "run") as processes:
        codes, outs = told(processes)
    assert codes == [1, 1]
    assert "exists and is no run of tfxfer" in outs[0]
    assert "worker 0 of 2 (127.0.0.1:" in outs[1]
    assert "which writes the files, has stopped; it says why." in outs[1]


def test_stock_keras_cannot(tmp_path):
    """What `Trainee` is there for: when this fails, `fit` of Keras trains across machines by itself."""
    code = """
    import argparse
    import keras, numpy as np, tensorflow as tf
    from tfxfer import runtime
    from tfxfer.recipes import Running
    flags = argparse.ArgumentParser()
    flags.add_argument("--workers"), flags.add_argument("--task_index", type=int)
    given = flags.parse_args()
    running = Running(workers=tuple(given.workers.split(",")), task_index=given.task_index)
    with runtime.scope(running):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=False)
    try:
        model.fit(np.ones((8, 2)), np.ones((8, 1)), batch_size=4, verbose=0)
    except ValueError as error:
        print("refused:", str(error)[:60])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    settings = {"env": {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}, "stderr": subprocess.PIPE}
    with tool.started(command, tool.free_addresses(2), **settings) as processes:
        outs = [process.communicate(timeout=120)[0] for process in processes]
    assert all("refused: Attempt to convert a value (PerReplica" in out for out in outs), outs


def test_other_weights_would_be_noticed(one):
    """The canary: a ten-thousandth in one number of one tensor."""
    weights = weights_of(one)
    changed = [array.copy() for array in weights]
    largest = np.unravel_index(np.abs(changed[-1]).argmax(), changed[-1].shape)
    changed[-1][largest] *= 1.0001
    with pytest.raises(AssertionError):
        assert_close_arrays(weights, changed)
