"""Measures what others get of a trained network: whether it trains on, in 8 bits, and how fast it labels files.

    python tools/bench_export.py --check
    python tools/bench_export.py --only=predict --pictures=200 --turns=1

Ten minutes on two cores that do nothing else. One row for a figure, with the value that is wanted; `--check` makes a
figure that falls short an exit code of 1. What is compared takes turns in one process, after a turn that does not
count; this process loads no TensorFlow.
"""

import argparse
import concurrent.futures
import functools
import io
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
from bench_quickstart import _ROOT, Figure, _at_least, _at_most, _last_line, _machine, _program, _python, _reported

# Of pictures in files, as users have them, and of the network that labels them.
_HEIGHT, _WIDTH, _QUALITY = 375, 500, 90
_SIZE, _BATCH = 128, 32
_PICTURES, _FIRST = 2_000, 500
_MOST_MEGABYTES = 8
# That Keras 2 trains the features of a bundle on.
_STEPS = 12
_RATES = "from bench_export import rates; import sys; rates(sys.argv[1], int(sys.argv[2]))"
_REUSED = "from bench_export import reused; import sys; reused(sys.argv[1], int(sys.argv[2]))"
_SAME_PIXELS = "from bench_export import same_pixels; import sys; same_pixels(sys.argv[1], int(sys.argv[2]))"
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


def reuse(given: argparse.Namespace) -> list[Figure]:
    """Trains on digits, exports in 8 bits too, and gives the SavedModel of the features to Keras 2 and to tfxfer."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        command = [_program(), "train", "--config=configs/digits.py", "--formats=litert,litert_int8"]
        command += [f"--workdir={folder / 'run'}"]
        variables = os.environ | {"TFXFER_CACHE_DIR": str(folder / "cache")}
        done = subprocess.run(command, cwd=_ROOT, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"no bundle to measure:\n{done.stdout}{done.stderr}")
        report = json.loads((folder / "run" / "bundle" / "report.json").read_text())
        files = {file["format"]: file for file in report["export"]}
        exact, bytewise = files["litert"], files["litert_int8"]
        found = _measured(_REUSED, folder, _STEPS)
    print(f"exports of the digits: {json.dumps(report['export'])}\nin Keras 2: {json.dumps(found)}", flush=True)
    lost = 100 * (files["keras"]["accuracy"] - bytewise["accuracy"])
    return [
        _at_most(f"8 bits: points of accuracy lost on {bytewise['examples']:,} digits", lost, 1.0),
        _at_most("8 bits: size, % of float", 100 * bytewise["size_bytes"] / exact["size_bytes"], 30.0),
        _at_most(f"Keras 2 with hub.KerasLayer: loss behind {_STEPS} steps over before", found["loss"], 0.9),
        _at_most(f"– of {found['listed']} variables listed as trainable, stood still", found["still"], 0),
        _at_most("features that tfxfer loads: largest difference, over the largest", found["features"], 1e-6),
    ]


def reused(folder: str, steps: int) -> None:
    """Prints what became of the features of a bundle in Keras 2, and how they are as a backbone."""
    from tfxfer.cli import quiet

    quiet.load_tensorflow()
    import tensorflow_hub as hub
    import tf_keras

    import tfxfer
    from tfxfer import export
    from tfxfer.export import core

    bundle = pathlib.Path(folder, "run", "bundle")
    vector = core.feature_vector_of(export.open_bundle(bundle).model)
    size = vector.input_shape[1]
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (_BATCH, size, size, 3)).astype(np.float32)
    # Both compiled: op by op the same network of Keras differs from itself by 2e-6.
    expected = vector.predict_on_batch(pixels)
    again = tfxfer.load_backbone(f"hub:{bundle}/feature_vector/1", image_size=size).model.predict_on_batch(pixels)
    layer = hub.KerasLayer(str(bundle / "feature_vector" / "1"), trainable=True)
    model = tf_keras.Sequential([layer, tf_keras.layers.Dense(2)])
    # Adam: a shift before a convolution whose batch norm takes it out has only rounding for a gradient, below what SGD
    # adds to a float32.
    model.compile(
        tf_keras.optimizers.legacy.Adam(1e-3),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    labels = generator.integers(0, 2, _BATCH)
    model.predict(pixels[:1] / 255, verbose=0)
    before = [variable.numpy() for variable in layer.trainable_variables]
    losses = model.fit(pixels / 255, labels, batch_size=_BATCH, epochs=steps, verbose=0).history["loss"]
    after = [variable.numpy() for variable in layer.trainable_variables]
    found = {
        "loss": losses[-1] / losses[0],
        "listed": len(before),
        "still": sum(np.array_equal(a, b) for a, b in zip(before, after, strict=True)),
        "features": float(np.abs(again - expected).max() / np.abs(expected).max()),
    }
    print(json.dumps(found))


def pixels(given: argparse.Namespace) -> list[Figure]:
    """Compares what `serve_bytes` sees of files with what training sees of them."""
    with tempfile.TemporaryDirectory() as temporary:
        found = _measured(_SAME_PIXELS, pathlib.Path(temporary), 40)
    print(f"pixels: {json.dumps(found)}", flush=True)
    return [_at_most(f"{count:,} bytes of {name}: differ", other, 0) for name, (count, other) in found.items()]


def same_pixels(_folder: str, number: int) -> None:
    """Prints for each kind of file how many bytes were compared, and how many differ."""
    from tfxfer.cli import quiet

    quiet.load_tensorflow()
    import tensorflow as tf

    from tfxfer.data import images
    from tfxfer.export import encoded
    from tfxfer.framing import Framing

    kinds = {
        "RGB JPEG": ("RGB", {"format": "JPEG"}),
        "RGB JPEG, progressive, full chroma": ("RGB", {"format": "JPEG", "progressive": True, "subsampling": 0}),
        "grey JPEG": ("L", {"format": "JPEG"}),
        "RGB PNG": ("RGB", {"format": "PNG"}),
        "grey PNG": ("L", {"format": "PNG"}),
        "RGB PNG with transparency": ("RGBA", {"format": "PNG"}),
    }
    found = {}
    for name, (mode, how) in kinds.items():
        generator = np.random.default_rng(0)
        count = other = 0
        for index in range(number):
            field = _field(generator)
            height, width = generator.integers(20, (_HEIGHT, _WIDTH))
            picture = PIL.Image.fromarray(np.clip(128 + 60 * field[:height, :width], 0, 255).astype(np.uint8))
            stream = io.BytesIO()
            quality = {"quality": 60 + index % 25} if how["format"] == "JPEG" else {}
            if mode == "RGBA":
                picture.putalpha(picture.convert("L").rotate(180))
            picture.convert(mode).save(stream, **how, **quality)
            for framing in (Framing(), Framing(resize="crop"), Framing(resize="pad", background="#3060c0")):
                seen = images.render(stream.getvalue(), _SIZE, framing)
                served = encoded.decoded_batch(tf.constant([stream.getvalue()]), _SIZE, framing)[0].numpy()
                count, other = count + seen.size, other + int((seen != served).sum())
        found[name] = (count, other)
    print(json.dumps(found))


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
    read = functools.partial(prediction.read, size=_SIZE, framing=bundle.framing)
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


_MEASUREMENTS = {"predict": predict, "reuse": reuse, "pixels": pixels}


if __name__ == "__main__":
    sys.exit(main())
