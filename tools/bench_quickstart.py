"""Measures what the quickstart promises: accuracy, time, start-up, early errors, exact and reusable exports.

    python tools/bench_quickstart.py --check

About four minutes on two cores. One row for a figure, with the value that is wanted; `--check` makes a figure that
falls short an exit code of 1. Everything runs as its user would run it, in a process of its own; this process loads
no TensorFlow.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_CONFIG = "--config=configs/digits.py"
_TEST_EXAMPLES = 1000
# A mistake on the command line, and what the answer must suggest.
_MISTAKES = (
    ("--config.stages[0].epoch=3", "epochs"),
    ("--config.backbon.handle=builtin:efficientnet_lite0", "backbone"),
    ("--config.data.resize=squish", "squash"),
    ("--image_sise=64", "image_size"),
    ("--stages=partail", "partial"),
    ("--data=sampel:digits", "sample"),
    ("--backbone=builtin:efficientnet_lite", "efficientnet_lite0"),
)
_MISTAKE = """
import json, sys
from tfxfer.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, "tensorflow" in sys.modules]))
"""
_WITHOUT_TFXFER = """
import json, sys
sys.modules["tfxfer"] = None  # importing it is an error from here on
import keras, numpy as np, tensorflow as tf

def softmax(logits):
    return tf.nn.softmax(tf.cast(logits, tf.float64)).numpy()

model = keras.models.load_model(sys.argv[1] + "/model.keras", compile=False)
served = tf.saved_model.load(sys.argv[1] + "/saved_model/1")
pixels = np.random.default_rng(0).integers(0, 256, (32, *model.input_shape[1:]), np.uint8)
difference = np.abs(softmax(model(pixels)) - softmax(served(tf.constant(pixels, tf.float32) / 255.0))).max()
print(json.dumps(float(difference)))
"""
_DIGESTS = """
import hashlib, json, sys
import keras, numpy as np

def digest(path):
    state, count = hashlib.sha256(), 0
    for weight in keras.models.load_model(path, compile=False).weights:
        array = np.ascontiguousarray(weight.numpy())
        state.update(f"{weight.path} {array.shape} {array.dtype}".encode() + array.tobytes())
        count += array.size
    return state.hexdigest(), count

print(json.dumps([digest(path) for path in sys.argv[1:]]))
"""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One row: what was measured, its value and the wanted value as shown, and whether the value is as wanted."""

    name: str
    value: str
    wanted: str
    holds: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--twice", action=argparse.BooleanOptionalAction, default=True, help="compare two short runs")
    parser.add_argument("--tests", action="store_true", help="time the default test tier too, in this environment")
    parser.add_argument("--workdir", type=pathlib.Path, help="a new folder in which the runs are kept")
    given = parser.parse_args()
    if given.workdir and given.workdir.exists():
        parser.error(f"{given.workdir} exists; a finished run in it would be measured as a fast one. Name a new one.")
    print(_machine(), flush=True)
    with contextlib.ExitStack() as cleanup:
        folder = given.workdir or pathlib.Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        figures = start_up() + mistakes(folder) + quickstart(folder.resolve() / "digits")
        if given.twice:
            figures += repeated(folder.resolve())
    if given.tests:
        figures += default_tier()
    return _reported(figures, check=given.check)


def default_tier() -> list[Figure]:
    """Measures the tests that the README's command runs, without the installation before them."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-m", "not slow"],
        cwd=_ROOT,
        check=False,
    )
    seconds = time.monotonic() - start
    return [
        _at_most("default test tier, s", seconds, 480),
        _equal("exit code of the default test tier", done.returncode, 0),
    ]


def start_up() -> list[Figure]:
    """Measures how soon the program answers, and that it does so without TensorFlow."""
    imported = "import sys, tfxfer; print('tensorflow' in sys.modules)"
    helped = "import sys; from tfxfer.cli.main import main; main(['--help']); print('tensorflow' in sys.modules)"
    return [
        _at_most("`tfxfer --help`, median of 5, s", _median_seconds([_program(), "--help"]), 0.5),
        _at_most("`import tfxfer`, median of 5, s", _median_seconds([sys.executable, "-c", "import tfxfer"]), 0.5),
        _equal("TensorFlow loaded by `import tfxfer`", _last_line(_python(imported)), "False"),
        _equal("TensorFlow loaded by `tfxfer --help`", _last_line(_python(helped)), "False"),
    ]


def mistakes(folder: pathlib.Path) -> list[Figure]:
    """Makes mistakes in a config: each must be named, with exit code 2, before TensorFlow is loaded."""
    named = with_tensorflow = 0
    for mistake, suggestion in _MISTAKES:
        try:
            done = _python(_MISTAKE, "train", _CONFIG, f"--workdir={folder / 'mistake'}", mistake, timeout=60)
        except subprocess.TimeoutExpired:
            print(f"{mistake}: not noticed in 60 s", flush=True)
            continue
        code, loaded = json.loads(_last_line(done))
        suggested = re.search(rf"Did you mean:? '?{suggestion}\b", done.stderr) is not None
        named += suggested and code == 2
        with_tensorflow += loaded
        print(f"{mistake}: exit code {code}, {suggested=}, TensorFlow {loaded=}", flush=True)
    return [
        _equal("mistakes in a config answered by the right word", named, len(_MISTAKES)),
        _equal("such answers that loaded TensorFlow", with_tensorflow, 0),
    ]


def quickstart(workdir: pathlib.Path) -> list[Figure]:
    """Trains on the digits, start to bundle, and measures what comes out."""
    seconds = _train(workdir)
    report = json.loads((workdir / "report" / "report.json").read_text())
    differences = {parity["file"]: parity["largest_difference"] for parity in report["export"]}
    apart = json.loads(_last_line(_python(_WITHOUT_TFXFER, str(workdir / "bundle"), check=True)))
    return [
        _equal("digits: test examples", report["test"]["examples"], _TEST_EXAMPLES),
        _at_least("digits: test accuracy", report["test"]["accuracy"], 0.98),
        _at_most("digits: the whole command, s", seconds, 150),
        _equal("exported files compared", ", ".join(differences), "model.keras, saved_model/1"),
        _at_most("largest difference of a probability, as reported", max(differences.values()), 1e-5),
        _at_most("the same, .keras and SavedModel, tfxfer not importable", apart, 1e-5),
    ]


def repeated(folder: pathlib.Path) -> list[Figure]:
    """Runs a shortened recipe twice: the weights must be the same, bit for bit."""
    workdirs = folder / "short1", folder / "short2"
    for workdir in workdirs:
        _train(workdir, "--config.stages[0].epochs=1")
    paths = [str(workdir / "bundle" / "model.keras") for workdir in workdirs]
    (first, count), (second, _) = json.loads(_last_line(_python(_DIGESTS, *paths, check=True)))
    return [_equal(f"SHA-256 of {count:,} weights of a second run of 1 epoch", second[:16], first[:16])]


def _train(workdir: pathlib.Path, *flags: str) -> float:
    """Returns the wall seconds of `tfxfer train`."""
    command = [_program(), "train", _CONFIG, f"--workdir={workdir}", *flags]
    print(f"\n$ tfxfer {' '.join(command[1:])}", flush=True)
    start = time.perf_counter()
    subprocess.run(command, cwd=_ROOT, check=True)
    return time.perf_counter() - start


def _median_seconds(command: list[str]) -> float:
    """Returns the median wall seconds of five runs, after one that fills the caches."""
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _python(code: str, *arguments: str, check: bool = False, timeout: float = 300) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=_ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check and done.returncode:
        sys.exit(f"a measurement failed:\n{done.stderr}")
    return done


def _last_line(done: subprocess.CompletedProcess) -> str:
    return (done.stdout.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def _program() -> str:
    found = shutil.which("tfxfer", path=str(pathlib.Path(sys.executable).parent))
    return found or sys.exit(f"tfxfer is not installed beside {sys.executable}. Run: pip install -e '.[quickstart]'")


def _at_least(name: str, value: float, limit: float) -> Figure:
    return Figure(name, f"{value:.4g}", f"≥ {limit:g}", value >= limit)


def _at_most(name: str, value: float, limit: float) -> Figure:
    return Figure(name, f"{value:.3g}", f"≤ {limit:g}", value <= limit)


def _equal(name: str, value: object, wanted: object) -> Figure:
    return Figure(name, str(value), str(wanted), value == wanted)


def _machine() -> str:
    libraries = ("tfxfer", "tensorflow", "keras", "numpy")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def _reported(figures: list[Figure], *, check: bool) -> int:
    """Prints the rows, and returns the exit code: 1 where one falls short and that is to be checked."""
    print(f"\n{_table(figures)}")
    short = [figure.name for figure in figures if not figure.holds]
    if short:
        print(f"\n{len(short)} of {len(figures)} figures fall short: {'; '.join(short)}")
    return int(check and bool(short))


def _table(figures: list[Figure]) -> str:
    rows = [("figure", "value", "wanted", "")]
    rows += [(f.name, f.value, f.wanted, "ok" if f.holds else "FALLS SHORT") for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
