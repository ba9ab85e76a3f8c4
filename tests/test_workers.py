"""What processes that train together tell each other."""

import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from local_cluster import tool

from tfxfer import runtime
from tfxfer.clusters import Cluster
from tfxfer.errors import WorkerError
from tfxfer.plans import Plan
from tfxfer.recipes import Running
from tfxfer.runtime.workers import Workers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN = """
import argparse, json
import keras, numpy as np, tensorflow as tf
from tfxfer import runtime
from tfxfer.errors import TfxferError
from tfxfer.recipes import Running

flags = argparse.ArgumentParser()
flags.add_argument("--workers"), flags.add_argument("--task_index", type=int)
given = flags.parse_args()
index = given.task_index
workers = runtime.join_workers(Running(workers=tuple(given.workers.split(",")), task_index=index))
"""


def said(code: str, count: int = 2) -> list[list[str]]:
    """Returns the lines that each of several workers printed, which run the same code."""
    command = [sys.executable, "-c", BEGIN + textwrap.dedent(code)]
    environment = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stderr": subprocess.PIPE, "env": environment}
    with tool.started(command, tool.free_addresses(count), **pipes) as processes:
        told = [process.communicate(timeout=240) for process in processes]
        assert [process.returncode for process in processes] == [0] * count, told[-1][1][-3000:]
    return [out.splitlines() for out, _ in told]


def test_what_they_tell_each_other():
    """All in one: each process takes seconds to start."""
    first, second = said(
        """
        print(workers.count, workers.position, workers.is_chief)
        print(workers.any(False, index == 1, index == 0, True), workers.of_chief(7 + index))
        print(workers.sum([[index, 10]]).tolist())
        print(workers.gathered(np.full((2, 3), index, np.float16)).tolist())
        content = bytes(range(256)) * 9 + b"end"
        print(workers.from_chief(lambda: content) == content, workers.from_chief(bytes) == b"")
        with workers.losses_told():
            try:
                workers.from_chief(lambda: 1 / 0)
            except (ZeroDivisionError, TfxferError) as error:
                code = [error.exit_code] if index else []
                print(type(error).__name__, "which writes the files" in str(error), *code)
        variables = [keras.Variable(np.full((3, 2), 0.5 + index, "float32")), keras.Variable(index, dtype="uint8")]
        variables.append(keras.Variable(np.array([-0.0, np.nan, 1e-42], "float32") * (1 - index)))
        workers.follow_chief(variables)
        print([variable.numpy().tobytes().hex() for variable in variables])
        print(workers.array_of_chief(np.array([0.1, -0.0, np.nan]) if index == 0 else np.zeros(3)))
        workers.check_alike({"recipe: seed": "0"})
        try:
            workers.check_alike({"recipe: seed": "0", "code": "a" * 64 if index else "b" * 64})
        except TfxferError as error:
            print(error)
        """
    )
    assert first[0] == "2 0 True"
    assert second[0] == "2 1 False"
    assert first[1] == second[1] == "(False, True, True, True) 7"
    assert first[2] == second[2] == "[[1, 20]]"
    assert first[3] == second[3] == "[[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]]"
    assert first[4] == second[4] == "True True"
    assert (first[5], second[5]) == ("ZeroDivisionError False", "WorkerError True 70")
    odd = (np.array([-0.0, np.nan, 1e-42], "float32") * 1).tobytes().hex()
    assert first[6] == second[6] == str([np.full((3, 2), 0.5, "float32").tobytes().hex(), "00", odd])
    assert first[7] == second[7] == "[ 0.1 -0.   nan]"
    assert first[8] == second[8]
    assert first[8].startswith("worker 1 of 2 (127.0.0.1:")
    assert "has another code (aaaaaaaaaaaaaaaa…, the first bbbbbbbbbbbbbbbb…)" in first[8]


@pytest.mark.slow  # the other one is given up after some ten seconds
def test_one_that_leaves_is_named():
    """It ends well, as far as it knows: what the others wait for never comes."""
    first, second = said(
        """
        workers.any(True)
        if index == 0:
            try:
                with workers.losses_told():
                    workers.any(True)
            except TfxferError as error:
                print(error.exit_code, error)
        """
    )
    assert second == []
    assert first[0].startswith("75 worker 1 of 2 (127.0.0.1:")
    assert "has stopped or cannot be reached" in first[0]


def test_a_process_alone_is_answered_at_once():
    alone = runtime.alone()
    assert (alone.count, alone.position, alone.is_chief, str(alone)) == (1, 0, True, "this process alone")
    assert alone.any(True, False) == (True, False)
    assert alone.of_chief(3) == 3
    assert alone.sum([1, 2]).tolist() == [1, 2]
    assert alone.gathered(np.ones((2, 2))).shape == (1, 2, 2)
    assert alone.from_chief(lambda: b"x") == b"x"
    assert alone.value_from_chief(Plan, lambda: None) is None
    alone.check_alike({"anything": "at all"})
    variable = keras.Variable(1.0)
    alone.follow_chief([variable])
    assert float(variable) == 1.0
    with pytest.raises(tf.errors.UnavailableError), alone.losses_told():  # nobody else can be gone
        raise tf.errors.UnavailableError(None, None, "Collective ops is aborted by: /job:worker/replica:0/task:1")


@pytest.mark.parametrize(
    ("chief", "text", "named"),
    [
        ("", "/job:worker/replica:0/task:1 while calling", "worker 1 of 3 (b:2)"),
        ("", "Error reported from /job:worker/task:2: unhealthy: /job:worker/replica:0/task:2", "worker 2 of 3 (c:3)"),
        ("", "/job:worker/task:0 and /job:worker/task:2", "worker 2 of 3 (c:3)"),  # itself is not gone
        ("", "nobody is named", "another worker"),
        ("z:9", "/job:worker/task:1", "worker 2 of 4 (b:2)"),
        ("z:9", "/job:chief/replica:0/task:0", "worker 0 of 4 (z:9)"),
    ],
)
def test_which_one_an_error_of_tensorflow_names(chief, text, named):
    workers = Workers(None)
    workers._cluster = Cluster(workers=("a:1", "b:2", "c:3"), chief=chief, task="worker", index=0)
    with pytest.raises(WorkerError) as raised, workers.losses_told():
        raise tf.errors.UnavailableError(None, None, f"Collective ops is aborted by: {text}")
    assert str(raised.value).startswith(f"{named} has stopped or cannot be reached")


def test_other_errors_of_tensorflow_stay_what_they_are():
    workers = Workers(None)
    workers._cluster = Cluster(workers=("a:1", "b:2"))
    with pytest.raises(tf.errors.InvalidArgumentError), workers.losses_told():
        raise tf.errors.InvalidArgumentError(None, None, "shapes differ")


def test_our_code_has_a_digest_that_changes_with_it(tmp_path, monkeypatch):
    from tfxfer.runtime import machine

    before = runtime.identity(Running())
    assert before == runtime.identity(Running())
    assert {"version of tensorflow", "version of keras", "code of tfxfer", "number of devices"} <= before.keys()
    monkeypatch.setattr(machine, "_PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("1")
    one = runtime.identity(Running())["code of tfxfer"]
    (tmp_path / "a.py").write_text("2")
    assert len({before["code of tfxfer"], one, runtime.identity(Running())["code of tfxfer"]}) == 3


def test_another_number_of_devices_is_told_between_workers():
    one, other = (runtime.identity(Running(devices=devices)) for devices in ("cpu", "cpu:2"))
    assert {name for name in one if one[name] != other[name]} == {"number of devices"}
    assert (one["number of devices"], other["number of devices"]) == ("1 cpu", "2 cpu")
