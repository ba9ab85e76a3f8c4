"""Measures what others get of a trained network: how fast it labels files, and in how much memory.

    python tools/bench_export.py --check
    python tools/bench_export.py --only=predict --pictures=200 --turns=1

Five minutes on two cores that do nothing else. One row for a figure, with the value that is wanted; `--check` makes a
figure that falls short an exit code of 1. What is compared takes turns in one process, after a turn that does not
count; this process loads no TensorFlow.
"""

import argparse
import concurrent.futures
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import PIL.Image
from bench_quickstart import Figure, _at_least, _at_most, _last_line, _machine, _program, _python, _reported

# Of pictures in files, as users have them, and of the network that labels them.
_HEIGHT, _WIDTH, _QUALITY = 375, 500, 90
_SIZE, _BATCH = 128, 32
_PICTURES, _FIRST = 2_000, 500
_MOST_MEGABYTES = 8
_RATES = "from bench_export import rates; import sys; rates(sys.argv[1], int(sys.argv[2]))"
_MEMORY = "from bench_export import memory; import sys; memory(sys.argv[1], int(sys.argv[2]))"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--only", default=",".join(_MEASUREMENTS), help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--pictures", type=int, default=_PICTURES, help="to label, ≥ 64")
    parser.add_argument("--turns", type=int, default=5, help="of each comparison, ≥ 1")
    given = parser.parse_args()
    unknown = [name for name in given.only.split(",") if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}. Measurements: {', '.join(_MEASUREMENTS)}.")
    if given.pictures < 2 * _BATCH or given.turns < 1:
        parser.error(f"too little to measure. Write --pictures={2 * _BATCH} --turns=1, or more.")
    print(_machine(), flush=True)
    figures = []
    for name in given.only.split(","):
        figures += _MEASUREMENTS[name](given)
    return _reported(figures, check=given.check)


def predict(given: argparse.Namespace) -> list[Figure]:
    """Labels a folder of pictures, beside decoding alone and the network alone, and looks at memory meanwhile."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_pictures(folder / "pictures", given.pictures)
        _train(folder)
        found = _measured(_RATES, folder, given.turns)
        decode, model, ours = (statistics.median(found[name]) for name in ("decode", "model", "predict"))
        first = min(_FIRST, given.pictures // 4)
        few, all_of_them = (_measured(_MEMORY, folder, number)["megabytes"] for number in (first, given.pictures))
    in_turn = 1 / (1 / decode + 1 / model)
    print(
        f"predict: {ours:.0f} images/s; decoding alone {decode:.0f}, the network alone {model:.0f}, one after the "
        f"other {in_turn:.0f}; {given.turns} turns: {json.dumps(found)}\n"
        f"memory: at most {few:.1f} MB of the process's own for {first:,} pictures, {all_of_them:.1f} MB for "
        f"{given.pictures:,}",
        flush=True,
    )
    name = f"predict, {given.pictures:,} JPEGs, over decoding and network one after the other"
    return [
        _at_least(name, ours / in_turn, 0.9),
        _at_most(
            f"predict, MB more for {given.pictures:,} JPEGs than for {first:,}", all_of_them - few, _MOST_MEGABYTES
        ),
    ]


def write_pictures(folder: pathlib.Path, number: int) -> None:
    """Writes JPEGs: crops of two photographs under light of their own, mixed with noise that falls as 1/f."""
    from sklearn.datasets import load_sample_images

    photographs = [photograph.astype(np.float32) for photograph in load_sample_images().images]
    fields = [_field(np.random.default_rng(seed)) for seed in range(16)]
    folder.mkdir(parents=True)

    def write(index: int) -> int:
        generator = np.random.default_rng([1, index])
        photograph = photographs[index % len(photographs)]
        top = generator.integers(photograph.shape[0] - _HEIGHT + 1)
        left = generator.integers(photograph.shape[1] - _WIDTH + 1)
        pixels = photograph[top : top + _HEIGHT, left : left + _WIDTH][:, :: generator.choice([-1, 1])]
        field = np.roll(fields[generator.integers(len(fields))], generator.integers(_WIDTH, size=2), axis=(0, 1))
        share = generator.uniform(0.2, 0.8)
        mixed = share * pixels * generator.uniform(0.7, 1.2, 3) + (1 - share) * (128 + 50 * field)
        path = folder / f"{index:05}.jpg"
        PIL.Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8)).save(path, quality=_QUALITY)
        return path.stat().st_size

    with concurrent.futures.ThreadPoolExecutor() as pool:
        sizes = list(pool.map(write, range(number)))
    print(f"{number:,} JPEGs of {_WIDTH}×{_HEIGHT}, {np.mean(sizes) / 1e3:.0f} kB on average", flush=True)


def _field(generator: np.random.Generator) -> np.ndarray:
    """Returns noise whose amplitude falls as 1/f, as that of natural images does (Field 1987): float32, deviation 1.

    Channels are mostly alike, as in natural images.
    """
    frequency = np.hypot(np.fft.fftfreq(_HEIGHT)[:, None], np.fft.fftfreq(_WIDTH))
    frequency[0, 0] = np.inf
    white = generator.normal(size=(4, _HEIGHT, _WIDTH))
    channels = np.fft.ifft2(np.fft.fft2(white) / frequency).real
    channels /= channels.std(axis=(1, 2), keepdims=True)
    return np.moveaxis((channels[:1] + 0.3 * channels[1:]) / np.hypot(1, 0.3), 0, 2).astype(np.float32)


def _train(folder: pathlib.Path) -> None:
    """Makes a bundle; what it has learned does not matter here."""
    for index, path in enumerate(sorted((folder / "pictures").iterdir())[:60]):
        target = folder / "train" / f"class{index % 2}" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    command = [_program(), "train", f"--data=folder:{folder / 'train'}", "--backbone=builtin:efficientnet_lite0"]
    command += [f"--image_size={_SIZE}", "--stages=feature_extraction", f"--workdir={folder / 'run'}"]
    variables = os.environ | {"TFXFER_CACHE_DIR": str(folder / "cache")}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"no bundle to measure:\n{done.stderr}")


def _measured(code: str, folder: pathlib.Path, number: int) -> dict:
    """Runs a measurement in a process of its own, which prints JSON."""
    here = str(pathlib.Path(__file__).resolve().parent)
    code = f"import sys; sys.path.insert(0, {here!r}); {code}"
    return json.loads(_last_line(_python(code, str(folder), str(number), check=True, timeout=3600)))


def rates(folder: str, turns: int) -> None:
    """Prints images/s of decoding, of the network and of both as `tfxfer predict` has them, of each turn."""
    from tfxfer import labelling, models, prediction
    from tfxfer.data import finding

    bundle = _bundle(folder)
    pictures = finding.find([f"{folder}/pictures"]).pictures
    threads = prediction.decoding_threads()
    read = functools.partial(prediction.read, size=_SIZE, resize=bundle.resize)
    kept = []

    def decode() -> None:
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            kept[:] = pool.map(read, pictures)

    def model() -> None:
        for start in range(0, len(pictures), _BATCH):
            batch = kept[start : start + _BATCH]
            models.predict_on_batch(bundle.model, np.stack(batch + batch[-1:] * (_BATCH - len(batch))))

    def both() -> None:
        with tempfile.TemporaryDirectory() as place:
            outputs = labelling.Outputs("csv", pathlib.Path(place, "labels.csv"))
            labelling.label_with(bundle, finding.find([f"{folder}/pictures"]), outputs, threads=threads)

    found = {"decode": [], "model": [], "predict": []}
    for turn in range(turns + 1):
        for name, action in zip(found, (decode, model, both), strict=True):
            start = time.perf_counter()
            action()
            if turn:
                found[name].append(round(len(pictures) / (time.perf_counter() - start), 1))
    print(json.dumps(found))


def memory(folder: str, number: int) -> None:
    """Prints the most memory of its own, in MB, that labelling so many pictures took.

    A process for each number: whatever is held for every picture may all be there before the first answer.
    """
    from tfxfer import labelling
    from tfxfer.data import finding

    used = []
    words = sorted(map(str, pathlib.Path(folder, "pictures").iterdir()))[:number]
    with tempfile.TemporaryDirectory() as place:
        outputs = labelling.Outputs("csv", pathlib.Path(place, "labels.csv"), pathlib.Path(place, "features.npy"))
        labelling.label_with(
            _bundle(folder), finding.find(words), outputs, after_each=lambda: used.append(_anonymous_megabytes())
        )
    print(json.dumps({"megabytes": max(used)}))


def _anonymous_megabytes() -> float:
    """Returns how much memory this process has that no file backs (Linux)."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024 / 1e6


def _bundle(folder: str):
    from tfxfer.cli import quiet

    quiet.load_tensorflow()
    from tfxfer import export

    return export.open_bundle(pathlib.Path(folder, "run", "bundle"))


_MEASUREMENTS = {"predict": predict}


if __name__ == "__main__":
    sys.exit(main())
