"""The program for machines with a GPU says so where there is none, and runs through on a processor."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def gpu_check(*arguments: str) -> subprocess.CompletedProcess:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, str(ROOT / "tools" / "gpu_check.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=500, check=False)


@pytest.mark.parametrize(("arguments", "code"), [pytest.param((), 0, marks=pytest.mark.slow), (("--check",), 1)])
def test_without_a_gpu_nothing_is_measured_and_nothing_is_shown(arguments, code):
    done = gpu_check(*arguments)
    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.splitlines()[-1] == "no GPU here: nothing was measured. --on=cpu --small tries the program."


@pytest.mark.slow
def test_it_runs_through_on_a_processor():
    done = gpu_check("--on=cpu", "--small", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
        for name in ("frozen", "partial", "full"):
            lines = [line for line in done.stdout.splitlines() if line.split()[:2] == [precision, name]]
            assert [("XLA" in line) for line in lines] == [False, True]
        assert f"logits in {precision} on the cpu, relative difference" in done.stdout
    assert "FALLS SHORT" not in done.stdout
