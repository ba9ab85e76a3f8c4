"""Measures on a GPU what the other benchmarks measure on processor cores, and that both compute the same.

    python tools/gpu_check.py --check
    python tools/gpu_check.py --on=cpu --small

For float32, bfloat16 and float16, with and without XLA, and with a head, a part and all of EfficientNet-Lite0 training:
pictures a second, the most memory that was in use, and what the plan expected of it. Then what cached activations save,
and how far logits are from those of the processor. About fifteen minutes. One row for a figure, with the value that is
wanted; `--check` makes a figure that falls short an exit code of 1.

Without a GPU it says so and measures nothing: nothing of tfxfer needs one; `--check` ends with 1 then, since nothing
was shown. `--on=cpu --small` tries the program itself, on a tiny network, in half a minute; its figures say nothing.
"""

import argparse
import dataclasses
import os
import pathlib
import statistics
import sys
import tempfile
import time

import bench_cache
import numpy as np
from bench_quickstart import Figure, _at_least, _at_most, _machine, _reported

from tfxfer.cli import quiet
from tfxfer.errors import ConfigError
from tfxfer.recipes import Running

_PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Largest relative difference of logits from those of float32: some roundings of 2⁻⁹ and 2⁻¹² on top of each other.
_APART = {"mixed_bfloat16": 0.1, "mixed_float16": 0.02}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured: the network, pixels, batch, steps of an epoch, epochs, and what trains."""

    backbone: str
    weights: str
    pixels: int
    batch: int
    steps: int
    epochs: int
    partly: int


_FULL = Size(
    backbone="builtin:efficientnet_lite0", weights="pretrained", pixels=224, batch=128, steps=30, epochs=4, partly=5
)
_SMALL = Size(backbone="tiny:cnn", weights="pretrained", pixels=24, batch=8, steps=2, epochs=2, partly=1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--on", choices=("gpu", "cpu"), default="gpu", help="what to measure")
    parser.add_argument("--small", action="store_true", help="a tiny network and few steps, to try the program")
    given = parser.parse_args(arguments)
    # Devices are chosen before TensorFlow starts: one of several here.
    try:
        quiet.load_tensorflow(Running(devices="gpu:0" if given.on == "gpu" else "cpu"))
    except ConfigError:  # there is none
        quiet.load_tensorflow(Running(devices="cpu"))
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    print(_machine(), flush=True)
    if given.on == "gpu" and not gpus:
        print("no GPU here: nothing was measured. --on=cpu --small tries the program.")
        return int(given.check)
    for gpu in gpus:
        print(tf.config.experimental.get_device_details(gpu).get("device_name"), flush=True)
    size = _SMALL if given.small else _FULL
    if given.small:
        from tfxfer import testing

        sys.path.append(str(testing.write_plugin(pathlib.Path(tempfile.mkdtemp()))))
    figures = [*parity(size, given.on), *throughput(size, given.on), *cached(size, given.on)]
    if not given.small:
        settings = argparse.Namespace(turns=3, examples=5_000)
        figures += [*bench_cache.exactness(settings), *bench_cache.head(settings), *bench_cache.blocks(settings)]
    return _reported(figures, check=given.check)


def parity(size: Size, on: str) -> list[Figure]:
    """Compares logits with those of the processor in float32, without TensorFloat-32, and of each precision with it."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    pictures = _pictures(size)[:16]
    exact = _logits(size, pictures, "float32", "/CPU:0")
    scale = np.abs(exact).max()
    device = f"/{on.upper()}:0"
    found = {precision: _logits(size, pictures, precision, device) for precision in _PRECISIONS}
    tf.config.experimental.enable_tensor_float_32_execution(True)
    return [
        _at_most(
            f"logits in {precision} on the {on}, relative difference from float32 on the processor",
            float(np.abs(logits - exact).max() / scale),
            _APART.get(precision, 1e-4),
        )
        for precision, logits in found.items()
    ]


def throughput(size: Size, on: str) -> list[Figure]:
    """Times training steps of each kind, and looks at the memory that they take."""
    rates: dict[tuple[str, bool, str], float] = {}
    figures = []
    print(
        f"\npictures of {size.pixels} px a second, batches of {size.batch}; memory: at most in use (the plan's guess)"
    )
    for precision in _PRECISIONS:
        ready = _prepared(size, on, precision)
        for number, name in enumerate(("frozen", "partial", "full")):
            for jit in (False, True):
                rate, peak = _trained(size, on, ready, number, jit=jit)
                rates[precision, jit, name] = rate
                guess = ready.plan.how.step_bytes[number]
                memory = f"{peak / 1e9:.2f} GB ({guess / 1e9:.2f})" if peak else f"not known ({guess / 1e9:.2f} GB)"
                print(f"{precision:<15} {name:<8} {'XLA' if jit else '   '}  {rate:>9,.0f}  {memory}", flush=True)
                if peak and name == "full" and not jit:
                    figures.append(
                        _within(f"memory of a step in {precision}, over what the plan guesses", peak / guess)
                    )
    name = "everything trains: mixed_bfloat16, times as fast as float32"
    least = 1.2 if on == "gpu" else 0.0  # processor cores have no units for half precision
    return [*figures, _at_least(name, rates["mixed_bfloat16", False, "full"] / rates["float32", False, "full"], least)]


def cached(size: Size, on: str) -> list[Figure]:
    """Times epochs of a head from pixels, and from activations that are kept."""
    import tensorflow as tf

    import tfxfer

    found, least = [], 0.0 if size is _SMALL else 1.0  # what is tiny costs as much to read as to compute
    for precision in _PRECISIONS:
        model = _prepared(size, on, precision).model
        tfxfer.freeze(model, train="head")
        pictures, labels = _pictures(size), _labels(size)
        dataset = tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(size.batch)
        loss = "sparse_categorical_crossentropy"
        model.compile("sgd", loss=loss, jit_compile=False, auto_scale_loss=False)
        plain = _epoch_seconds(model, dataset, size)
        suffix, activations = tfxfer.cached_prefix(model, dataset)
        suffix.compile("sgd", loss=loss, jit_compile=False, auto_scale_loss=False)
        seconds = _epoch_seconds(suffix, activations, size)
        print(f"{precision:<15} epoch of a head: {plain:.3f} s, from kept activations {seconds:.3f} s", flush=True)
        found.append(_at_least(f"an epoch of a head in {precision}, times as fast when cached", plain / seconds, least))
    return found


def _trained(size: Size, on: str, ready, number: int, *, jit: bool) -> tuple[float, int]:
    """Returns pictures a second of a stage, and the most bytes in use meanwhile, 0 where the device does not tell."""
    import keras
    import tensorflow as tf

    from tfxfer.training import stage as stages
    from tfxfer.training import trainees

    what = ready.plan.what
    trainee = stages.prepared(ready.model, number, what.stages[number], what, jit_compile=jit)
    labels = keras.utils.to_categorical(_labels(size), len(what.class_names))
    dataset = tf.data.Dataset.from_tensor_slices((_pictures(size), labels)).batch(size.batch).repeat().prefetch(4)
    if on == "gpu":
        tf.config.experimental.reset_memory_stats("GPU:0")
    seconds: list[float] = []
    start = 0.0

    def begin(*_):
        nonlocal start
        start = time.perf_counter()

    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=begin, on_epoch_end=lambda *_: seconds.append(time.perf_counter() - start)
    )
    steps = size.epochs * size.steps
    trainee.fit(
        dataset, epochs=size.epochs, steps_per_epoch=size.steps, verbose=0, shuffle=False,
        callbacks=[trainees.Pacer(steps), clock],
    )  # fmt: skip
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] if on == "gpu" else 0
    return size.steps * size.batch / statistics.median(seconds[1:]), peak


def _epoch_seconds(model, dataset, size: Size) -> float:
    seconds = []
    for _ in range(size.epochs):
        start = time.perf_counter()
        model.fit(dataset, epochs=1, verbose=0, shuffle=False)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def _prepared(size: Size, on: str, precision: str):
    import tfxfer
    from tfxfer import pipeline

    recipe = tfxfer.Recipe(
        backbone=tfxfer.recipes.Backbone(handle=size.backbone, weights=size.weights),
        head=tfxfer.heads.Linear(kernel="glorot_uniform"),
        stages=tuple(tfxfer.Stage(train=train, epochs=1) for train in ("head", size.partly, "all")),
        image_size=size.pixels,
        batch_size=size.batch,
        precision=precision,
        augment=tfxfer.Augment(views=1),
        cache=tfxfer.Cache(store="off"),
        # XLA is tried beside the rest, and TensorFlow does not take determinism back.
        running=tfxfer.Running(devices="cpu" if on == "cpu" else "gpu:0", deterministic=False),
    )
    return pipeline.prepare(recipe, data=(_pictures(size), _labels(size)), with_seconds=False)


def _logits(size: Size, pictures: np.ndarray, precision: str, device: str) -> np.ndarray:
    import tensorflow as tf

    import tfxfer

    with tf.device(device):
        backbone = tfxfer.load_backbone(
            size.backbone, image_size=size.pixels, weights=size.weights, precision=precision
        )
        head = tfxfer.heads.Linear(outputs=bench_cache._CLASSES, kernel="glorot_uniform")
        return tfxfer.swap_head(backbone, head)(pictures, training=False).numpy()


def _pictures(size: Size) -> np.ndarray:
    shape = (size.batch * size.steps * (4 if size is _SMALL else 1), size.pixels, size.pixels, 3)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _labels(size: Size) -> np.ndarray:
    return np.arange(len(_pictures(size))) % bench_cache._CLASSES


def _within(name: str, ratio: float) -> Figure:
    return Figure(name, f"{ratio:.3g}", "0.5 to 2", 0.5 <= ratio <= 2)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
