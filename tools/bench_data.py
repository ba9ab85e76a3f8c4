"""Measures how data is opened: pictures decoded, and a manifest of a million rows, its splits and facts.

    python tools/bench_data.py --check
    python tools/bench_data.py --only=decode --turns=1

Three minutes on two cores that do nothing else. One row for a figure, with the value that is wanted; `--check` makes a
figure that falls short an exit code of 1.

Decoding is that of training, `pictures.render`, to 224×224, beside Keras's own folder helper and what is usually done
with Pillow in two processes, in turns, on the same generated files, after a turn that does not count. With the extra
[fast] installed simplejpeg and numba decode, as in training from `decoders.LEAST` images on; they are loaded before.
Without it Pillow decodes.

Of a large JPEG most of the time goes into decoding its bits (Huffman's code), which no scale spares and every decoder
must do one after the other. So there is a row for it: how much of our time it takes, by the same libjpeg at an eighth
of the size. What it alone would be over Keras's helper is printed, and is the most that could be reached.

The manifests name a million images that do not exist, so what looks at every image (decodes and hashes it) is left out
of the seconds, and its answer made up: a hash of the row, and a size. Each manifest is read in a process of its own,
which loads no TensorFlow; its memory is the largest that it ever had, all in all.
"""

import argparse
import concurrent.futures
import csv
import json
import multiprocessing
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import PIL.Image
from bench_quickstart import Figure, _at_least, _at_most, _equal, _last_line, _machine, _python, _reported

# How many files, of which width and height; how much faster than Keras, and than Pillow in two processes. Of small ones
# it is the faster of the two that counts.
_LARGE, _SMALL = (400, 1600, 1200), (2_000, 500, 375)
_OVER_KERAS, _OVER_PILLOW, _OVER_BOTH = 2.5, 2, 0.97
# Of our time, which decoding of bits alone takes: the rest is for coefficients to colours, resizing and files.
_OF_POSSIBLE = 0.7
_SIZE, _QUALITY, _PROCESSES = 224, 90, 2
# By which power of the frequency amplitudes fall in natural images: 0.8 to 1.5, on average 1.2 (Tolhurst, Tadmor & Chao
# 1992).
_SLOPES = (0.9, 1.1, 1.2, 1.3, 1.5)
# Levels of contrast by width, how it varies from picture to picture and within each, both in powers of e. So that files
# are like photographs, before anything was timed. 24 photographs of Debian (mate-backgrounds, lomiri-wallpapers-16.04),
# brought to 1600×1200 and encoded likewise, took 1.22 bits a pixel (0.30 to 3.36), 16 % of their coefficients but the
# means were not 0, and 4.0 % of the blocks had none of those; of these pictures it is 1.21 (0.65 to 2.16), 19 % and
# 3.7 %. At 500×375 27 of the photographs took 1.73 bits, and 20 of ImageNet, 512 wide, 2.4; these take 1.9. Dead leaves
# (Lee, Mumford & Huang 2001) without textures took 3.0 and 4.2 bits, with 12 % and 4 % of such blocks.
_CONTRASTS, _FROM_PICTURE_TO_PICTURE, _WITHIN = {1600: 5, 500: 7}, 0.5, 1.0
_RATES = "from bench_data import rates; import sys; rates(sys.argv[1], int(sys.argv[2]))"
_ROWS = 1_000_000
_CLASSES = 100
_OPENED = """
import hashlib, json, resource, sys, time

import numpy as np

from tfxfer import data, recipes
from tfxfer.data import examples, manifest, pictures

recipe = recipes.Data(**json.loads(sys.argv[1]))
kind, _, name = recipe.source.partition(":")
start = time.perf_counter()
found = {"csv": manifest.find_csv, "parquet": manifest.find_parquet}[kind](name, recipe)
read = time.perf_counter() - start

count = len(found.pictures)
keys = tuple(hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))
survey = pictures.Survey(keys, np.full((count, 2), 500, np.int32), {}, ("RGB",) * count)
fractions = {"validation_fraction": recipe.validation_fraction, "test_fraction": recipe.test_fraction}

start = time.perf_counter()
opened = examples.decide(
    found, survey, on_bad_image="error", on_duplicate="error", seed=0, fractions=fractions,
    examples_per_class=recipe.examples_per_class,
)
decided = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([read, decided, peak, opened.facts.examples, "tensorflow" in sys.modules]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--only", default=",".join(_MEASUREMENTS), help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--rows", type=int, default=_ROWS, help="rows of the manifests; fewer to try this program")
    parser.add_argument("--share", type=float, default=1.0, help="of the files to decode; less to try this program")
    parser.add_argument("--turns", type=int, default=5, help="of each comparison, ≥ 1")
    given = parser.parse_args()
    unknown = [name for name in given.only.split(",") if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}. Measurements: {', '.join(_MEASUREMENTS)}.")
    print(_machine(), flush=True)
    figures = []
    for name in given.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            figures += _MEASUREMENTS[name](pathlib.Path(folder), given)
    return _reported(figures, check=given.check)


def decode(folder: pathlib.Path, given: argparse.Namespace) -> list[Figure]:
    """Decodes many large and many small JPEGs beside what others do."""
    figures = []
    for name, (number, width, height) in {"large": _LARGE, "small": _SMALL}.items():
        here, number = folder / name, max(16, int(given.share * number))
        write_photographs(here / "one_class", number, width, height)
        done = _python(_at_tools(_RATES), str(here), str(given.turns), check=True, timeout=3600)
        found = json.loads(_last_line(done))
        ours, keras, pillow, bits = (statistics.median(found[who]) for who in ("tfxfer", "keras", "pillow", "bits"))
        print(f"{name}: images/s, {json.dumps(found)}", flush=True)
        print(f"{name}: decoding of bits alone is {bits / keras:.2f} times as fast as Keras", flush=True)
        what = f"{number:,} JPEGs of {width}×{height} to {_SIZE}"
        if name == "large":
            figures += [
                _at_least(f"{what}: times as fast as Keras", ours / keras, _OVER_KERAS),
                _at_least(f"{what}: times as fast as Pillow", ours / pillow, _OVER_PILLOW),
                _at_least(f"{what}: share of the time that bits alone take", ours / bits, _OF_POSSIBLE),
            ]
        else:
            best = max(keras, pillow)
            figures.append(_at_least(f"{what}: times as fast as the faster of both", ours / best, _OVER_BOTH))
    return figures


def rates(folder: str, turns: int) -> None:
    """Prints images/s of each turn, and what decoded."""
    # Before TensorFlow has threads, which no fork would take along.
    with multiprocessing.get_context("fork").Pool(_PROCESSES) as processes:
        from tfxfer.cli import quiet

        quiet.load_tensorflow()
        import keras

        from tfxfer import decoders
        from tfxfer.data import images, pictures
        from tfxfer.framing import Framing

        paths = sorted(pathlib.Path(folder).rglob("*.jpg"))
        files = pictures.Files(pathlib.Path(folder), tuple(paths))
        out = np.empty((len(paths), _SIZE, _SIZE, 3), np.uint8)
        dataset = keras.utils.image_dataset_from_directory(
            folder, image_size=(_SIZE, _SIZE), shuffle=False, labels=None, verbose=False
        )

        # Whose rate is measured, however few they are.
        images.hasten(max(len(paths), decoders.LEAST))
        decoder, _ = decoders.choose(decoders.LEAST, installed=decoders.installed())
        eighth = _at_an_eighth() if decoders.installed() else images.check

        def ours() -> int:
            pictures.render(files, _SIZE, Framing(), out)
            return len(out)

        def bits() -> int:
            return len(list(pictures.in_parallel(lambda index: eighth(files.content(index)), len(paths), "bits")))

        def theirs() -> int:
            return sum(len(batch) for batch in dataset)

        def usual() -> int:
            return sum(len(some) for some in processes.imap(_with_pillow, _parts(paths)))

        found = {"keras": [], "tfxfer": [], "pillow": [], "bits": []}
        for turn in range(turns + 1):
            for name, action in zip(found, (theirs, ours, usual, bits), strict=True):
                start = time.perf_counter()
                assert action() == len(paths)
                if turn:
                    found[name].append(round(len(paths) / (time.perf_counter() - start), 1))
    print(json.dumps(found | {"decoder": decoder}))


def _at_an_eighth() -> Callable[[bytes], object]:
    import simplejpeg

    def decode(content: bytes) -> object:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
        return simplejpeg.decode_jpeg(content, "RGBX", min_height=-(-height // 8), min_width=-(-width // 8))

    return decode


def _parts(paths: list[pathlib.Path]) -> list[list[pathlib.Path]]:
    return [paths[start : start + 16] for start in range(0, len(paths), 16)]


def _with_pillow(paths: list[pathlib.Path]) -> np.ndarray:
    opened = (PIL.Image.open(path) for path in paths)
    return np.stack([np.asarray(image.convert("RGB").resize((_SIZE, _SIZE))) for image in opened])


def write_photographs(folder: pathlib.Path, number: int, width: int, height: int) -> None:
    """Writes JPEGs with the statistics of natural images: amplitudes that fall with the frequency, in colour.

    Contrast varies from one to the next, and within each, as between sky and leaves.
    """
    generator = np.random.default_rng(0)
    fields = [_field(generator, height, width, slope) for slope in _SLOPES]
    folder.mkdir(parents=True)

    def write(index: int) -> int:
        chosen = np.random.default_rng([1, index])

        def moved(place: int) -> np.ndarray:
            return np.roll(
                fields[(index + place) % len(fields)], (chosen.integers(height), chosen.integers(width)), (0, 1)
            )

        light, warmth, tint = (moved(place) for place in range(3))
        # In two numbers for colour beside light, which differ less.
        colours = np.stack([light + 0.3 * warmth, light - 0.15 * warmth + 0.15 * tint, light - 0.3 * tint], axis=-1)
        contrast = _CONTRASTS[width] * np.exp(_FROM_PICTURE_TO_PICTURE * chosen.normal())
        contrast = contrast * np.exp(_WITHIN * moved(4))[..., None]
        pixels = chosen.uniform(90, 160, 3) + contrast * colours
        path = folder / f"{index:05}.jpg"
        PIL.Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=_QUALITY, subsampling="4:2:0")
        return path.stat().st_size

    with concurrent.futures.ThreadPoolExecutor(_PROCESSES) as pool:
        sizes = list(pool.map(write, range(number)))
    bits = 8 * np.mean(sizes) / (width * height)
    print(f"{number:,} JPEGs of {width}×{height}, {np.mean(sizes) / 1e3:.0f} kB, {bits:.1f} bits a pixel", flush=True)


def _field(generator: np.random.Generator, height: int, width: int, slope: float) -> np.ndarray:
    """Returns noise whose amplitude falls as 1/f^slope, float32 `[height, width]`, deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(generator.normal(size=(height, width))) * frequency**-slope, s=(height, width))
    return (field / field.std()).astype(np.float32)


def _at_tools(code: str) -> str:
    return f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).resolve().parent)!r}); {code}"


def manifests(folder: pathlib.Path, given: argparse.Namespace) -> list[Figure]:
    """Opens the same rows as CSV, with groups and a draw, and as Parquet."""
    rows = given.rows
    write_csv(folder / "plain.csv", rows, with_groups=False)
    write_csv(folder / "groups.csv", rows, with_groups=True)
    write_parquet(folder / "plain.parquet", folder / "plain.csv")
    figures = []
    for name, recipe in {
        "csv": {"source": f"csv:{folder / 'plain.csv'}"},
        "csv with groups and a draw": {"source": f"csv:{folder / 'groups.csv'}", "examples_per_class": 10},
        "parquet": {"source": f"parquet:{folder / 'plain.parquet'}"},
    }.items():
        done = _python(_OPENED, json.dumps(recipe), check=True)
        read, decided, peak, examples, with_tensorflow = json.loads(_last_line(done))
        print(f"{name}: read in {read:.2f} s, splits and facts in {decided:.2f} s, {examples:,} examples", flush=True)
        figures += [
            _at_most(f"{name}: {rows:,} rows opened, splits and facts included, s", read + decided, 20),
            _at_most(f"{name}: memory at its peak, all in all, GB", peak / 1e9, 1),
            _equal(f"{name}: TensorFlow loaded", with_tensorflow, False),
        ]
    return figures


def write_csv(path: pathlib.Path, rows: int, *, with_groups: bool) -> None:
    """Writes a manifest as users have it: paths of 30 characters, labels as words, ten images a group."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "label", *["group"] * with_groups])
        for number in range(rows):
            label = number % _CLASSES
            group = [f"patient {number // (10 * _CLASSES)}.{label}"] * with_groups
            writer.writerow([f"images/{number % 1000:03}/photo{number:012}.jpg", f"species {label:03}", *group])


def write_parquet(path: pathlib.Path, manifest: pathlib.Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.csv.read_csv(manifest), path)


_MEASUREMENTS = {"decode": decode, "manifests": manifests}


if __name__ == "__main__":
    sys.exit(main())
