"""Measures how data is opened: a manifest of a million rows, its splits and facts, in seconds and memory.

    python tools/bench_data.py --check

About a minute on two cores. One row for a figure, with the value that is wanted; `--check` makes a figure that falls
short an exit code of 1. The manifests name a million images that do not exist, so what looks at every image (decodes
and hashes it) is left out of the seconds, and its answer made up: a hash of the row, and a size. Each manifest is read
in a process of its own, which loads no TensorFlow; its memory is the largest that it ever had, all in all.
"""

import argparse
import csv
import json
import pathlib
import sys
import tempfile

from bench_quickstart import Figure, _at_most, _equal, _last_line, _machine, _python, _reported

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
survey = pictures.Survey(keys, np.full((count, 2), 500, np.int32), {})
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
    parser.add_argument("--rows", type=int, default=_ROWS, help="rows of the manifests; fewer to try this program")
    given = parser.parse_args()
    print(_machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        return _reported(manifests(pathlib.Path(folder), given.rows), check=given.check)


def manifests(folder: pathlib.Path, rows: int) -> list[Figure]:
    """Opens the same rows as CSV, with groups and a draw, and as Parquet."""
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


if __name__ == "__main__":
    sys.exit(main())
