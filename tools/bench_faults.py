"""Kills a run of three stages at random moments and looks at what is lost.

    python tools/bench_faults.py --check

About fifteen minutes on two cores: 30 kills, five in each run, as `kill -9` does it, in whatever the run is doing. One
row for a figure, with the value that is wanted; `--check` makes a figure that falls short an exit code of 1. This
process loads no TensorFlow but at its end, to compare weights.
"""

import argparse
import collections
import dataclasses
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

from bench_quickstart import Figure, _equal, _machine, _reported

_CONFIG = """
import tfxfer
from tfxfer.recipes import Adam, Running

def get_config():
    stages = (
        tfxfer.Stage(train="head", epochs=30, learning_rate=0.1),
        tfxfer.Stage(train=1, epochs=30, learning_rate=0.01, head_to_body=2.0, optimizer=Adam()),
        tfxfer.Stage(train="all", epochs=30, learning_rate=0.01, head_to_body=2.0, batch_norm="train"),
    )
    return tfxfer.Recipe(
        data="folder:COLOURS", backbone="tiny:cnn", stages=stages, batch_size=4, augment=tfxfer.Augment(views=3),
        cache=tfxfer.Cache(store="disk"), running=Running(checkpoint_seconds=0.0),
    )
"""
_COMPARE = """
import sys
import keras, numpy as np
one, other = (keras.models.load_model(path, compile=False).weights for path in sys.argv[1:])
assert len(one) == len(other)
print(sum(a.numpy().tobytes() != b.numpy().tobytes() for a, b in zip(one, other)))
"""
_STEPS = re.compile(r"goes on behind step (\d+) of")
# The last line that a run printed → what it was doing.
_DOING = (
    (r"^stage 3 .*epoch 30/30", "measuring, exporting"),
    (r"^stage 3 ", "training stage 3"),
    (r"^stage 2 .*epoch 30/30", "between stages 2 and 3"),
    (r"^stage 2 ", "training stage 2"),
    (r"^stage 1 .*epoch 30/30", "between stages 1 and 2"),
    (r"^stage 1 ", "training stage 1"),
    (r".", "filling the cache, or before the first epoch's end"),
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one process did: its exit code (None: killed), what it printed, and its seconds."""

    code: int | None
    lines: list[str]
    seconds: float


class _Runs:
    """Starts the same command in folders of a scratch folder."""

    def __init__(self, scratch: pathlib.Path):
        from tfxfer import testing

        self._scratch = scratch
        colours = testing.write_colours(scratch / "colours")
        plugin = testing.write_plugin(scratch / "plugin")
        (scratch / "config.py").write_text(_CONFIG.replace("COLOURS", str(colours)))
        path = os.pathsep.join([str(plugin), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._variables = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def start(self, name: str, *, kill_after: float | None = None) -> Outcome:
        """Runs the command in the folder `name`, killed after so many seconds."""
        command = [sys.executable, "-m", "tfxfer", "train", f"--config={self._scratch / 'config.py'}"]
        # Each run has a cache of its own: the first one would fill it for all.
        variables = self._variables | {"TFXFER_CACHE_DIR": str(self._scratch / f"cache_{name}")}
        start = time.monotonic()
        process = subprocess.Popen(
            [*command, f"--workdir={self._scratch / name}"],
            env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            printed, _ = process.communicate(timeout=kill_after)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
            code = None
        return Outcome(code, printed.splitlines(), time.monotonic() - start)

    def kept(self, name: str) -> tuple[int, int]:
        """Returns the stage, counted from 1, and how many checkpoints of it are whole."""
        folders = sorted((self._scratch / name / "checkpoints").glob("stage_?"))
        return (int(folders[-1].name[-1]), len(list(folders[-1].glob("*.index")))) if folders else (0, 0)

    def different(self, one: str, other: str) -> int:
        """Returns how many weights of two finished runs differ in any bit."""
        models = [str(self._scratch / name / "bundle" / "model.keras") for name in (one, other)]
        found = subprocess.run([sys.executable, "-c", _COMPARE, *models], capture_output=True, text=True, check=True)
        return int(found.stdout.split()[-1])


def measured(kills: int, in_a_row: int, seed: int) -> list[Figure]:
    """Kills so many runs and returns the figures."""
    chance = random.Random(seed)
    doing: collections.Counter[str] = collections.Counter()
    unequal, failed, lost, restarts = 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        runs = _Runs(pathlib.Path(folder))
        whole = runs.start("whole")
        if whole.code:
            raise SystemExit("\n".join(whole.lines))
        begun = _start_seconds(runs)
        print(f"uninterrupted {whole.seconds:.0f} s, of which {begun:.0f} s until the plan is made", flush=True)
        for number in range(-(-kills // in_a_row)):
            name = f"run{number}"
            for _ in range(min(in_a_row, kills - number * in_a_row)):
                had = runs.kept(name)
                outcome = runs.start(name, kill_after=chance.uniform(0.6 * begun, whole.seconds))
                lost += _begins_anew(had, outcome)
                if outcome.code is None:
                    doing[_what(outcome.lines)] += 1
                    restarts += 1
                elif outcome.code:
                    failed += 1
                    print("\n".join(outcome.lines[-5:]), flush=True)
                else:  # finished before its time
                    shutil.rmtree(pathlib.Path(folder) / name)
            had = runs.kept(name)
            end = runs.start(name)
            lost += _begins_anew(had, end)
            if end.code:
                failed += 1
                print("\n".join(end.lines[-5:]), flush=True)
                continue
            unequal += runs.different("whole", name) > 0
            print(f"{name}: {dict(doing)}", flush=True)
    covered = ", ".join(f"{what} {count}" for what, count in doing.most_common())
    return [
        Figure(f"kills, in: {covered}", str(restarts), f"at least {kills // 2}", restarts >= kills // 2),
        _equal("restarts that fail", failed, 0),
        _equal("restarts that begin a stage anew though it has a checkpoint", lost, 0),
        _equal("runs that end in other weights, in any bit", unequal, 0),
    ]


def _start_seconds(runs: _Runs) -> float:
    """Returns how long a run takes until it trains: that of one that is finished already, about."""
    return runs.start("whole").seconds


def _begins_anew(had: tuple[int, int], outcome: Outcome) -> bool:
    """Whether a run that came to its steps did not go on with what was kept of its stage."""
    trained = any(line.startswith("stage ") and "epoch" in line for line in outcome.lines)
    return had[1] > 0 and trained and not any(map(_STEPS.search, outcome.lines))


def _what(lines: list[str]) -> str:
    told = [line for line in lines if "goes on" not in line]
    for pattern, name in _DOING:
        if told and re.search(pattern, told[-1]):
            return name
    return "starting"


def main() -> int:
    """Measures, prints the rows, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--in-a-row", type=int, default=5, help="kills of one run before it may end")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(_machine(), flush=True)
    figures = measured(arguments.kills, arguments.in_a_row, arguments.seed)
    return _reported(figures, check=arguments.check)


if __name__ == "__main__":
    sys.exit(main())
