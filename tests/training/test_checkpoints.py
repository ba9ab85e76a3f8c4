"""Checkpoints within a stage outlive kills, full disks and altered files, and are never those of another run."""

import resource
import signal

import numpy as np
import pytest

import tfxfer
from tfxfer import files, pipeline, runtime
from tfxfer.training.checkpoints import StageCheckpoint, StageCheckpoints
from tfxfer.training.fit import _RunCheckpoints

FACTS = {"plan": "abc", "stage": 0}


def checkpoint(step):
    return StageCheckpoint(told={"step": step}, numbers={"weights": [np.full(5000, step, np.float32), np.array(step)]})


@pytest.fixture
def opened(tmp_path):
    """A function that opens the same folder, and what was noted of it."""
    lines = []

    def open_again(**settings):
        return StageCheckpoints(
            tmp_path / "stage_1", **{"seconds": 0, "keep": 2, "note": lines.append, "facts": FACTS} | settings
        )

    open_again.lines, open_again.folder = lines, tmp_path / "stage_1"
    return open_again


def test_the_newest_comes_back_bit_for_bit(opened):
    odd = np.array([np.nan, -0.0, 1e-45, np.inf], np.float32)
    for step in (1, 2):
        told = {"step": step, "deep": {"list": [1, None, "ü"], "infinite": -np.inf}}
        opened().write(StageCheckpoint(told=told, numbers={"odd": [odd, np.array([step])], "none": []}))
    newest = opened().newest()
    assert newest.told == told
    assert newest.numbers["odd"][0].tobytes() == odd.tobytes()
    assert newest.numbers["odd"][1] == 2
    assert not opened.lines


def test_without_any_there_is_none(opened):
    assert opened().newest() is None
    assert StageCheckpoints().newest() is None
    StageCheckpoints().write(checkpoint(1))


def test_the_time_of_a_stage_counts_through_processes(opened):
    first = opened()
    first._start -= 100
    first.write(checkpoint(1))
    again = opened()
    again.newest()
    assert 100 < again.stage_seconds < 110


def test_so_many_are_kept(opened):
    for step in range(5):
        opened(keep=3).write(checkpoint(step))
    assert len(list(opened.folder.glob("*.index"))) == 3
    assert opened().newest().told["step"] == 4


@pytest.mark.parametrize("facts", [{"plan": "xyz", "stage": 0}, {"plan": "abc", "stage": 1}])
def test_one_of_another_plan_is_none(opened, facts):
    opened(facts=facts).write(checkpoint(1))
    assert opened().newest() is None


def damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 0x10
    path.write_bytes(data[: len(data) // 2] if how == "cut short" else b"" if how == "emptied" else data)
    if how == "removed":
        path.unlink()


@pytest.mark.parametrize("how", ["flipped", "cut short", "emptied", "removed"])
@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_where_the_newest_is_damaged_the_one_before_serves(opened, how, part):
    for step in (1, 2):
        opened().write(checkpoint(step))
    damage(opened.folder / f"checkpoint-2.{part}", how)
    assert opened().newest().told["step"] == 1
    # Without its index a checkpoint is none.
    assert len(opened.lines) == (0 if (part, how) == ("index", "removed") else 1)
    for line in opened.lines:
        assert "checkpoint-2" in line
        assert "the one before" in line
    opened().write(checkpoint(3))
    assert opened().newest().told["step"] == 3


def test_where_all_are_damaged_the_stage_begins_anew(opened):
    opened().write(checkpoint(1))
    damage(opened.folder / "checkpoint-1.data-00000-of-00001", "flipped")
    assert opened().newest() is None
    assert len(opened.lines) == 1


def test_a_full_disk_costs_one_moment_and_is_told(opened):
    opened().write(checkpoint(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        opened().write(checkpoint(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    (line,) = opened.lines
    assert "could not be written" in line
    assert "goes on" in line
    assert not list(opened.folder.glob("checkpoint-2.*"))
    assert opened().newest().told["step"] == 1
    opened().write(checkpoint(3))
    assert opened().newest().told["step"] == 3


def test_a_run_that_goes_on_with_other_libraries_is_told(plugin, colours, tmp_path):
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", batch_size=8)
    ready, lines = pipeline.prepare(recipe, with_seconds=False), []
    for version in ("3.0.0", None):
        checkpoints = _RunCheckpoints(tmp_path, ready.plan, runtime.alone())
        checkpoints.check_versions(lines.append)
        assert len(lines) == (0 if version else 1)
        if version:
            versions = files.read_json(tmp_path / "versions.json")
            files.write_json(tmp_path / "versions.json", versions | {"keras": version})
    assert "keras 3.0.0 → " in lines[0]
