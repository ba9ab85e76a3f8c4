"""Several processes share a store on disk, and any of them may be killed."""

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tfxfer.activations.disk import DiskStore
from tfxfer.activations.keys import Key
from tfxfer.activations.segments import RECORD

KEY = Key("builtin:b", "stem", "0" * 16, "squash", 32, "1", "float32", (500,), ("tensorflow 2.21.0",))
COUNT = 2000
NAMES = np.arange(2 * COUNT, dtype=np.uint64).reshape(COUNT, 2)
ROWS = np.arange(COUNT, dtype=np.float32)[:, None] + np.arange(500, dtype=np.float32)

# What a child does: it computes what is missing, 10 rows at a time, and says how many that were.
_FILL = """
import sys, time
import numpy as np
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.keys import Key
key = Key("builtin:b", "stem", "0" * 16, "squash", 32, "1", "float32", (500,), ("tensorflow 2.21.0",))
names = np.arange(2 * {count}, dtype=np.uint64).reshape({count}, 2)
rows = np.arange({count}, dtype=np.float32)[:, None] + np.arange(500, dtype=np.float32)
with DiskStore(key, sys.argv[1], tell=lambda text: print("waits" if "waiting" in text else text, flush=True)) as store:
    print("open", flush=True)
    with store.filling(names) as missing:
        print("fills", len(missing), flush=True)
        for start in range(0, len(missing), 10):
            some = missing[start : start + 10]
            store.append(names[some], rows[some])
            time.sleep({pause})
    assert (store.gather(store.places(names)) == rows).all()
print("done")
"""


@pytest.fixture
def child(tmp_path):
    """Starts processes that fill the store; what still runs at the end is killed."""
    running = []

    def start(code: str = _FILL, pause: float = 0.0) -> subprocess.Popen:
        text = code.replace("{count}", str(COUNT)).replace("{pause}", str(pause))
        process = subprocess.Popen([sys.executable, "-c", text, tmp_path], stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def recorded(folder: pathlib.Path) -> int:
    """Number of rows that all processes together have finished."""
    return sum(path.stat().st_size // RECORD.itemsize for path in folder.glob(f"{KEY.digest}/*.index"))


def wait_until(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.001)


def test_a_filling_that_is_killed_again_and_again_is_continued(child, tmp_path):
    """At moments that nobody chose: some time after a number of rows that was."""
    generator = np.random.default_rng()
    for target in (1, 400, 900):
        process = child(pause=0.0005)
        wait_until(lambda target=target: recorded(tmp_path) >= target, process)
        time.sleep(generator.uniform(0, 0.01))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        with DiskStore(KEY, tmp_path) as store:
            there = np.setdiff1d(np.arange(COUNT), store.missing(NAMES))
            assert target <= len(there) < COUNT
            np.testing.assert_array_equal(store.gather(store.places(NAMES[there])), ROWS[there])
    already = recorded(tmp_path)
    shown = child().communicate(timeout=60)[0]
    assert shown.split() == ["open", "fills", str(COUNT - already), "done"]
    assert recorded(tmp_path) == COUNT


def test_of_two_that_fill_at_once_one_waits_and_finds_the_rows(child, tmp_path):
    first = child(pause=0.004)
    wait_until(lambda: recorded(tmp_path) >= 10, first)
    second = child()
    assert second.communicate(timeout=60)[0].split() == ["open", "waits", "fills", "0", "done"]
    assert first.communicate(timeout=60)[0].split() == ["open", "fills", str(COUNT), "done"]
    assert recorded(tmp_path) == COUNT


def test_one_that_waits_for_a_process_that_is_killed_goes_on(child, tmp_path):
    first = child(pause=10)
    wait_until(lambda: recorded(tmp_path) >= 10, first)
    said = []
    with DiskStore(KEY, tmp_path, tell=lambda text: (said.append(text), first.kill())) as store:
        with store.filling(NAMES) as missing:
            assert missing.tolist() == list(range(10, COUNT))
            store.append(NAMES[missing], ROWS[missing])
        np.testing.assert_array_equal(store.gather(store.places(NAMES)), ROWS)
    assert said == [f"another run is computing the same activations ({store.folder}); waiting for it."]


def test_a_limit_of_the_system_on_file_sizes_is_a_full_disk(child, tmp_path):
    """The one way to fill up a real medium that every machine has: RLIMIT_FSIZE, in a process of its own."""
    code = """
import resource, sys
import numpy as np
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.keys import Key
from tfxfer.activations.store import CacheFullError
key = Key("builtin:b", "stem", "0" * 16, "squash", 32, "1", "float32", (500,), ("tensorflow 2.21.0",))
names = np.arange(2 * {count}, dtype=np.uint64).reshape({count}, 2)
rows = np.arange({count}, dtype=np.float32)[:, None] + np.arange(500, dtype=np.float32)
resource.setrlimit(resource.RLIMIT_FSIZE, (301_000, 301_000))
with DiskStore(key, sys.argv[1]) as store:
    try:
        with store.filling(names):
            for start in range(0, {count}, 10):
                store.append(names[start : start + 10], rows[start : start + 10])
    except CacheFullError as error:
        print(error)
    places = store.places(names[:150])
    print(store.rows, (store.gather(places) == rows[:150]).all())
"""
    process = child(code)
    shown = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "is full (File too large). Make room with tfxfer cache prune" in shown
    assert shown.splitlines()[-1] == "150 True"
    with DiskStore(KEY, tmp_path) as store:
        assert store.missing(NAMES).tolist() == list(range(150, COUNT))


@pytest.mark.slow
def test_ten_that_start_together_compute_each_row_once(child, tmp_path):
    everyone = [child(pause=0.001) for _ in range(10)]
    shown = [process.communicate(timeout=300)[0].split() for process in everyone]
    assert all(words[0] == "open" and words[-1] == "done" for words in shown)
    assert sum("fills" in words for words in shown) >= 1
    assert recorded(tmp_path) == COUNT
