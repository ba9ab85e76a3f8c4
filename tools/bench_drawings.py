"""Measures fine-tuning against a last-layer probe on real pictures: 585 drawings of 12 classes, the same splits.

    python tools/bench_drawings.py --check

About a quarter of an hour on two cores. Each seed draws a split of its own, 25 % of it test. On it the default recipe
trains, and a ridge classifier is fitted to the pooled features of the same network. The probe is the stronger of two
fair ones: it learns from the training and the validation examples, while fine-tuning learns from the former alone.
What is wanted is a mean difference above its standard error.
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

import fetch_assets

from tfxfer import Data, Recipe
from tfxfer.recipes import PRESETS

_TEST_FRACTION = 0.25
_VALIDATION_FRACTION = 0.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if the mean difference falls short")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds 0 to N-1, by default 10")
    parser.add_argument("--stages", choices=("auto", *PRESETS), default=Recipe().stages, help="the preset to measure")
    parser.add_argument("--image_size", type=int, default=160, metavar="PIXELS", help="by default 160")
    parser.add_argument("--one", type=int, metavar="SEED", help="measure one seed and print it as JSON")
    given = parser.parse_args()
    if given.seeds < 1 or (given.check and given.seeds < 2):
        parser.error(f"--seeds={given.seeds} is too few: one for a measurement, two for a standard error to check by.")
    try:
        drawings = fetch_assets.art4apps()
    except fetch_assets.AssetUnavailable as error:
        sys.exit(f"error: {error}")
    if given.one is not None:
        print(json.dumps(measure(_recipe(drawings, given.one, given.stages, given.image_size))))
        return 0
    return _compare(given.seeds, given.stages, given.image_size, given.check)


def measure(recipe: Recipe) -> dict:
    """Returns the test accuracies of the recipe and of a probe on the same split, and what went into them."""
    from tfxfer.cli import quiet

    quiet.load_tensorflow()
    import tfxfer
    from tfxfer.data import open_data

    start = time.monotonic()
    examples = open_data(recipe.data, seed=recipe.seed)
    with tempfile.TemporaryDirectory() as workdir:
        report = tfxfer.run(recipe, workdir=workdir, show=lambda line: print(line, file=sys.stderr, flush=True))
    tuned = time.monotonic()
    if report.data.fingerprint != examples.facts.fingerprint:
        raise ValueError("the run had another split than the probe: the comparison would be none.")
    accuracy = probe(recipe, examples)
    return {
        "fine_tuned": report.test.accuracy,
        "probe": accuracy,
        "examples": report.test.examples,
        "learned_from": len(examples.labels) - report.test.examples,
        "fine_tuned_seconds": tuned - start,
        "probe_seconds": time.monotonic() - tuned,
    }


def probe(recipe: Recipe, examples) -> float:
    """Returns the test accuracy of ridge regression on standardised, pooled features of the frozen backbone.

    It is fitted to the training and validation examples; its penalty is chosen among them by leave-one-out.
    """
    import numpy as np
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tfxfer import load_backbone
    from tfxfer.data import TEST

    backbone = load_backbone(recipe.backbone.handle, image_size=recipe.image_size)
    pixels = examples.pixels(recipe.image_size, recipe.data.framing)
    features = backbone.model.predict(pixels, batch_size=32, verbose=0).mean(axis=(1, 2))
    is_test = examples.splits == TEST
    classifier = make_pipeline(StandardScaler(), RidgeClassifierCV(alphas=10.0 ** np.arange(-1, 6)))
    classifier.fit(features[~is_test], examples.labels[~is_test])
    return float(classifier.score(features[is_test], examples.labels[is_test]))


def _recipe(drawings: pathlib.Path, seed: int, stages: str, image_size: int) -> Recipe:
    # Two drawings lie in two classes each, actions/bake.jpg = jobs/cook.jpg and actions/teach.jpg = jobs/teacher.jpg.
    data = Data(
        source=f"folder:{drawings}",
        on_duplicate="drop",
        test_fraction=_TEST_FRACTION,
        validation_fraction=_VALIDATION_FRACTION,
    )
    return Recipe(data=data, stages=stages, image_size=image_size, seed=seed)


def _compare(seeds: int, stages: str, image_size: int, check: bool) -> int:
    start = time.monotonic()
    print(f"stages {stages}, {image_size} pixels, {os.cpu_count()} cores; test accuracy in %\n")
    print("seed  fine-tuned  probe  difference  test examples  fine-tuned s  probe s", flush=True)
    results = []
    for seed in range(seeds):
        results.append(_in_a_process(seed, stages, image_size))
        result = results[-1]
        print(
            f"{seed:4}  {100 * result['fine_tuned']:10.1f}  {100 * result['probe']:5.1f}  {_difference(result):10.1f}  "
            f"{result['examples']:13}  {result['fine_tuned_seconds']:12.0f}  {result['probe_seconds']:7.0f}",
            flush=True,
        )
    tuned, probed = (100 * statistics.mean(result[name] for result in results) for name in ("fine_tuned", "probe"))
    print(f"mean  {tuned:10.1f}  {probed:5.1f}  {tuned - probed:10.1f}")
    print(f"\nin all {time.monotonic() - start:.0f} s")
    return _judge(results, check)


def _in_a_process(seed: int, stages: str, image_size: int) -> dict:
    """Measures one seed in a process of its own: TensorFlow gives no memory back."""
    command = [sys.executable, __file__, f"--one={seed}", f"--stages={stages}", f"--image_size={image_size}"]
    done = subprocess.run(command, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"seed {seed} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def _judge(results: list[dict], check: bool) -> int:
    if len(results) < 2:
        print("one seed has no standard error")
        return 0
    differences = [_difference(result) for result in results]
    mean, variance = statistics.mean(differences), statistics.variance(differences)
    error = math.sqrt(variance / len(results))
    # The splits share examples, so the plain standard error is too small: Nadeau & Bengio 2003.
    overlap = results[0]["examples"] / results[0]["learned_from"]
    corrected = math.sqrt(variance * (1 / len(results) + overlap))
    holds = mean > error
    print(
        f"mean paired difference {mean:.1f} ± {error:.1f} points (standard error; {corrected:.1f} for shared examples)"
    )
    print(f"wanted: above {error:.1f}: {'ok' if holds else 'FALLS SHORT'}")
    return int(check and not holds)


def _difference(result: dict) -> float:
    return 100 * (result["fine_tuned"] - result["probe"])


if __name__ == "__main__":
    sys.exit(main())
