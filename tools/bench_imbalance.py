"""Measures what each way to make rare classes count brings: a head on cached features of long-tailed digits.

    python tools/bench_imbalance.py --check

About ten minutes on two cores. The most frequent digit has 300 training examples, the rarest 3, those between lie on a
geometric line; each seed deals the digits to the places anew and draws other examples. The test has 150 of each digit.
What is wanted is a balanced accuracy above that of doing nothing, with each of the corrections, in the mean of seeds.
"""

import argparse
import contextlib
import csv
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np
import PIL.Image

_MOST, _LEAST, _HELD_OUT, _TEST = 300, 3, 10, 150
OPTIONS = {
    "nothing": {},
    "class_weights=inverse": {"class_weights": "inverse"},
    "class_weights=effective": {"class_weights": "effective"},
    "sampling=balanced": {"sampling": "balanced"},
    "sampling=square_root": {"sampling": "square_root"},
    "focal_gamma=2": {"focal_gamma": 2.0},
    "effective, focal_gamma=2": {"class_weights": "effective", "focal_gamma": 2.0},
    "logit_adjustment=1": {"logit_adjustment": 1.0},
}
# The others are no corrections of the shares of classes, or half a one.
_WANTED = ("class_weights=inverse", "class_weights=effective", "sampling=balanced", "logit_adjustment=1")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="seeds 0 to N-1, by default 3")
    parser.add_argument("--image_size", type=int, default=64, metavar="PIXELS", help="by default 64")
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="by default 20")
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error(f"--seeds={given.seeds} is too few.")
    found: dict[str, list] = {name: [] for name in OPTIONS}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TFXFER_CACHE_DIR"] = f"{folder}/cache"
        for seed in range(given.seeds):
            table = write_digits(pathlib.Path(folder) / str(seed), seed)
            for name, settings in OPTIONS.items():
                start = time.monotonic()
                found[name].append(measure(table, seed, settings, given.image_size, given.epochs))
                print(f"seed {seed}  {name}  {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return _told(found, given.check)


def write_digits(folder: pathlib.Path, seed: int) -> pathlib.Path:
    """Writes pictures and a table with their digits and splits; returns the table."""
    from tfxfer.data import samples

    found, generator = samples.find("digits"), np.random.default_rng(seed)
    folder.mkdir()
    rows = []
    counts = np.geomspace(_MOST, _LEAST, 10).round().astype(int)
    for digit, count in zip(generator.permutation(10), counts, strict=True):
        members = generator.permutation(np.flatnonzero(found.labels == digit))
        ends = np.cumsum([count, _HELD_OUT, _TEST])
        for split, part in zip(("train", "validation", "test"), np.split(members, ends)[:3], strict=True):
            for index in part:
                name = f"{index}.png"
                PIL.Image.fromarray(found.pictures.decode(int(index), None)).save(folder / name)
                rows.append((name, f"digit {digit}", split))
    table = folder / "digits.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("image", "label", "split"), *rows])
    return table


def measure(table: pathlib.Path, seed: int, settings: dict, image_size: int, epochs: int):
    """Returns what a head trained so measures on the test, on pixels."""
    from tfxfer.cli import quiet

    quiet.load_tensorflow()
    import keras

    import tfxfer
    from tfxfer import data, evaluation, pipeline, training

    recipe = tfxfer.Recipe(
        data=tfxfer.Data(source=f"csv:{table}", on_duplicate="drop"),
        stages=(tfxfer.Stage(train="head", epochs=epochs),),
        image_size=image_size,
        seed=seed,
        augment=tfxfer.Augment(views=1),
        cache=tfxfer.Cache(store="disk"),
        imbalance=tfxfer.Imbalance(**settings),
    )
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as workdir:
        ready = pipeline.prepare(recipe, with_seconds=False)
        what = ready.plan.what
        pixels = ready.examples.pixels(what.image_size, what.framing)
        training.fit(
            ready.model, ready.examples, pixels, ready.plan, pathlib.Path(workdir),
            tell=lambda *_: None, note=lambda _: None,
        )  # fmt: skip
        measured = evaluation.measure(ready.model, ready.examples.rows(pixels, data.TEST), what.class_names)
    keras.backend.clear_session()
    counts = ready.examples.facts.train_counts
    rarest = np.argsort(counts)[:3]
    return measured.balanced_accuracy, measured.accuracy, statistics.mean(measured.classes[at].recall for at in rarest)


def _told(found: dict[str, list], check: bool) -> int:
    print(f"{'':26} balanced accuracy, %     recall of the three rarest, %    wanted")
    plain = statistics.mean(one[0] for one in found["nothing"])
    fails = 0
    for name, seeds in found.items():
        balanced, rare = ([100 * one[at] for one in seeds] for at in (0, 2))
        wanted, holds = "", True
        if name in _WANTED:
            holds = statistics.mean(balanced) > 100 * plain
            wanted = f"above {100 * plain:.1f}: {'ok' if holds else 'FALLS SHORT'}"
        fails += not holds
        each = ", ".join(f"{one:.1f}" for one in balanced)
        mean = f"{statistics.mean(balanced):.1f} ({each})"
        print(f"{name:26} {mean:27} {statistics.mean(rare):5.1f}    {wanted}")
    return int(check and fails > 0)


if __name__ == "__main__":
    sys.exit(main())
