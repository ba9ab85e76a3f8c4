"""Measures what replicas, checkpoints and data cost, and whether replicas end in the weights of one device.

    python tools/bench_distribute.py --check

About fifteen minutes on two cores. One row for a figure, with the value that is wanted; `--check` makes a figure that
falls short an exit code of 1. Replicas are logical devices of the CPU, so what is measured is what they cost, not what
they gain. Inputs are random numbers.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import run_local_cluster
from bench_quickstart import Figure, _at_most, _machine, _reported

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_BATCH, _PIXELS, _CLASSES = 32, 96, 10
_STEPS = 12
# Replicas that are compared with one device, after so many steps.
_REPLICAS, _STEPS_TO_COMPARE = (2, 4), 20
_LARGEST_DIFFERENCE = 1e-5
_DEFAULT_SECONDS = 60.0


def start() -> None:
    """Splits the CPU into logical devices; comes before anything else."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * max(_REPLICAS))


def step_under_replicas(turns: int) -> list[Figure]:
    """Compares a step with stock Keras under the same strategy, turn by turn."""
    import keras
    import tensorflow as tf

    from tfxfer.data import batches

    strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    ours, stock = _trainee(strategy), _network(strategy)
    with strategy.scope():
        stock.compile(keras.optimizers.SGD(0.01, momentum=0.9), _loss(), metrics=["accuracy"], jit_compile=False)
    shared = batches.shared(_dataset(), strategy)

    def run(model, data) -> float:
        begin = time.perf_counter()
        model.fit(data, steps_per_epoch=_STEPS, epochs=1, shuffle=False, verbose=0, callbacks=_pacer(model))
        return (time.perf_counter() - begin) / _STEPS

    pairs = []
    for turn in range(turns + 1):
        pair = run(ours, shared), run(stock, _dataset())
        if turn:  # the first one traces
            pairs.append(pair)
            print(f"step on two replicas: ours {1000 * pair[0]:.0f} ms, stock {1000 * pair[1]:.0f} ms", flush=True)
    ratio = statistics.median(one / other for one, other in pairs)
    return [_at_most("step on two replicas over that of stock Keras", ratio, 1.05)]


def same_result() -> list[Figure]:
    """Compares the weights after some steps on replicas with those on one device, in processes of their own.

    Where statistics move, rounding grows with every layer and step: in float32 the same batches with their examples in
    another order end far apart on one device. So float64 tells whether replicas compute the same, and in float32 they
    must not be further from one device than it is from itself.
    """
    figures = []
    for mode, precision in (("frozen", "float32"), ("train", "float64"), ("train", "float32")):
        with tempfile.TemporaryDirectory() as folder:
            how = [f"--batch-norm={mode}", f"--precision={precision}"]
            for replicas in (1, 0, *_REPLICAS):
                options = [f"--train={folder}/{replicas}.npz", f"--replicas={replicas}", *how]
                subprocess.run([sys.executable, __file__, *options], check=True)
            command = [sys.executable, __file__, f"--train={folder}/{{worker}} of 2.npz", *how]
            addresses = run_local_cluster.free_addresses(2)
            with run_local_cluster.started(command, addresses, stdout=None) as processes:
                if any(run_local_cluster.ended(processes)):
                    raise RuntimeError("a worker has failed; it says why above.")
            own = _difference(pathlib.Path(folder), 0)
            print(f"batch norm {mode}, {precision}: one device, batches backwards: {own:.2g}", flush=True)
            for replicas in (*_REPLICAS, "0 of 2", "1 of 2"):
                worst = _difference(pathlib.Path(folder), replicas)
                of = f"{replicas} replicas" if isinstance(replicas, int) else f"worker {replicas}"
                name = f"{of}, batch norm {mode}, {precision}: largest difference from one device"
                if (mode, precision) != ("train", "float32"):
                    figure = _at_most(f"{name}, of a tensor, {_STEPS_TO_COMPARE} steps", worst, _LARGEST_DIFFERENCE)
                else:
                    print(f"{name}: {worst:.2g}", flush=True)
                    figure = _at_most(f"{name} over that of batches backwards", worst / own, 1)
                figures.append(figure)
    return figures


def _difference(folder: pathlib.Path, replicas: int | str) -> float:
    import numpy as np

    one, other = (np.load(folder / f"{count}.npz") for count in (1, replicas))
    # A bias before batch norm has only rounding for a gradient: what is smaller than that is nothing.
    return max(np.abs(one[key] - other[key]).max() / max(1e-4, np.abs(one[key]).max()) for key in one.files)


def train(path: str, replicas: int, batch_norm: str, precision: str, workers: str, task_index: int) -> None:
    """Trains EfficientNet-Lite0 for some steps and writes its weights.

    Args:
        path: of the file, `.npz`.
        replicas: logical CPUs; 0: one device, batches backwards.
        batch_norm: mode of `freeze`.
        precision: of all numbers: float32 or float64.
        workers: addresses with commas, of processes that train together; "" for this one alone.
        task_index: which of them this is.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    import tfxfer
    from tfxfer.data import batches
    from tfxfer.training import statistics as moving

    if workers:
        strategy = tfxfer.runtime.strategy_for(
            tfxfer.Running(devices="cpu", workers=tuple(workers.split(",")), task_index=task_index)
        )
    else:
        devices = [f"/cpu:{number}" for number in range(replicas)]
        strategy = tf.distribute.MirroredStrategy(devices) if replicas > 1 else tf.distribute.get_strategy()
    keras.utils.set_random_seed(0)
    keras.config.set_floatx(precision)
    with strategy.scope():
        backbone = tfxfer.load_backbone("builtin:efficientnet_lite0", image_size=_PIXELS)
        pooled = keras.layers.GlobalAveragePooling2D()(backbone.model.output)
        # Of Keras, since heads of ours are float32 whatever the network is; from zeros, as theirs are.
        logits = keras.layers.Dense(_CLASSES, kernel_initializer="zeros")(pooled)
        network = keras.Model(backbone.model.inputs, logits)
    tfxfer.freeze(network, train="all", batch_norm=batch_norm)
    # The rate is low since rounding grows with every step: backwards batches tell by how much.
    model = _compiled(network, strategy, keras.optimizers.SGD(5e-4, momentum=0.9, global_clipnorm=1.0))
    data = _dataset(uneven=True, precision=precision)
    data = batches.shared(data if replicas else data.map(lambda x, y: (x[::-1], y[::-1])), strategy)
    with moving.together(model, synchronised=True):
        model.fit(
            data, steps_per_epoch=_STEPS_TO_COMPARE, shuffle=False, verbose=0,
            callbacks=_pacer(model, _STEPS_TO_COMPARE),
        )  # fmt: skip
    np.savez(path, *[variable.numpy() for variable in model.variables])


def checkpoints_and_data(turns: int) -> list[Figure]:
    """Measures what a checkpoint at the default interval and waiting for data take of training."""
    import keras
    import numpy as np
    import tensorflow as tf

    from tfxfer.data import batches
    from tfxfer.data.rows import Rows
    from tfxfer.training import checkpoints, saving

    strategy = tf.distribute.get_strategy()
    model = _trainee(strategy, keras.optimizers.Adam(1e-3))
    generator = np.random.default_rng(0)
    count = _BATCH * _STEPS
    pictures = generator.integers(0, 256, (count, _PIXELS, _PIXELS, 3), np.uint8)
    rows = Rows(pictures, generator.integers(0, _CLASSES, count).astype(np.int32), np.arange(count), _CLASSES)
    one = next(iter(batches.ordered_batches(rows, batch_size=_BATCH)))
    kinds = {
        "gathered": lambda: batches.training_batches(
            rows, batch_size=_BATCH, start=0, steps=_STEPS, seed=0, stage=0
        ).repeat(),
        "at hand": lambda: tf.data.Dataset.from_tensors(one).cache().repeat(),
    }
    steps: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(turns + 1):
        for kind, data in kinds.items():
            begin = time.perf_counter()
            model.fit(data(), steps_per_epoch=_STEPS, shuffle=False, verbose=0, callbacks=_pacer(model))
            if turn:
                steps[kind].append((time.perf_counter() - begin) / _STEPS)
    step = statistics.median(steps["at hand"])
    waits = statistics.median((a - b) / b for a, b in zip(steps["gathered"], steps["at hand"], strict=True))
    writes = []
    with tempfile.TemporaryDirectory() as folder:
        kept = checkpoints.StageCheckpoints(pathlib.Path(folder), seconds=0, keep=2)
        saver = saving.Saver(kept, model.variables, {}, is_asked=lambda: False)
        saver.set_model(model)
        for _ in range(turns):
            begin = time.perf_counter()
            saver.on_epoch_end(0)
            writes.append(time.perf_counter() - begin)
        size = max(path.stat().st_size for path in pathlib.Path(folder).iterdir())
    share = 100 * statistics.median(writes) / _DEFAULT_SECONDS
    what = f"{1000 * step:.0f} ms a step, {size / 1e6:.0f} MB a checkpoint"
    return [
        _at_most(f"checkpoints every {_DEFAULT_SECONDS:g} s, % of training ({what})", share, 3),
        _at_most(f"waiting for data, % of a step ({what})", 100 * max(0.0, waits), 5),
    ]


def _network(strategy):
    import keras

    keras.utils.set_random_seed(0)
    with strategy.scope():
        base = keras.applications.MobileNetV2((_PIXELS, _PIXELS, 3), 0.35, weights=None, include_top=False)
        scaled = keras.layers.Rescaling(1 / 127.5, -1)(inputs := keras.Input((_PIXELS, _PIXELS, 3)))
        outputs = keras.layers.Dense(_CLASSES)(keras.layers.GlobalAveragePooling2D()(base(scaled)))
        return keras.Model(inputs, outputs)


def _loss():
    import keras

    return keras.losses.CategoricalCrossentropy(from_logits=True)


def _trainee(strategy, optimizer=None):
    import keras

    return _compiled(_network(strategy), strategy, optimizer or keras.optimizers.SGD(0.01, momentum=0.9))


def _compiled(network, strategy, optimizer):
    import keras

    from tfxfer import DifferentialLearningRate
    from tfxfer.training import trainees

    model = trainees.trainee_of(network, strategy)
    with strategy.scope():
        own = DifferentialLearningRate(optimizer, lambda variable: 0.5)
        own.build(model.trainable_variables)
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        model.compile(own, _loss(), metrics=metrics, jit_compile=False)
    trainees.build_metrics(model)
    return model


def _pacer(model, steps: int = _STEPS) -> list:
    from tfxfer.training import trainees

    return [trainees.Pacer(steps)] if isinstance(model, trainees.Trainee) else []


def _dataset(*, uneven: bool = False, precision: str = "float32"):
    """Returns endless batches, every third one with a number of examples that does not divide if `uneven`."""
    import numpy as np
    import tensorflow as tf

    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (4 * _BATCH, _PIXELS, _PIXELS, 3)).astype(precision)
    labels = np.eye(_CLASSES, dtype=precision)[generator.integers(0, _CLASSES, 4 * _BATCH)]
    # Else the end of an iterator waits for the thread that tunes, for seconds.
    untuned = tf.data.Options()
    untuned.autotune.enabled = False
    data = tf.data.Dataset.from_tensor_slices((pictures, labels)).with_options(untuned)
    return data.take(3 * _BATCH - 11).batch(_BATCH).repeat() if uneven else data.batch(_BATCH).cache().repeat()


def main() -> int:
    """Measures, prints the rows, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--only", default="result,step,data", help="of result, step, data")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--replicas", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--batch-norm", help=argparse.SUPPRESS)
    parser.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    parser.add_argument("--workers", default="", help=argparse.SUPPRESS)
    parser.add_argument("--task_index", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    start()
    if given.train:
        train(given.train, given.replicas, given.batch_norm, given.precision, given.workers, given.task_index)
        return 0
    print(_machine(), flush=True)
    turns = given.turns
    measurements = {
        "result": same_result,
        "step": lambda: step_under_replicas(turns),
        "data": lambda: checkpoints_and_data(turns),
    }
    figures = [figure for name in given.only.split(",") for figure in measurements[name]()]
    return _reported(figures, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
