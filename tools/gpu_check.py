"""Measures on a GPU what the other benchmarks measure on processor cores, and that both compute the same.

    python tools/gpu_check.py --check

Without a GPU it says so and exits with 0: nothing of tfxfer needs one. One row for a figure, with the value that is
wanted; `--check` makes a figure that falls short an exit code of 1. About ten minutes.
"""

import argparse
import os
import statistics
import sys
import time

import bench_cache
import numpy as np
from bench_quickstart import Figure, _at_least, _at_most, _machine, _reported

from tfxfer.cli import quiet

_PIXELS, _BATCH, _STEPS = 224, 128, 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    given = parser.parse_args()
    quiet.load_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    print(_machine(), flush=True)
    if not gpus:
        print("no GPU here: nothing was measured.")
        return 0
    print(", ".join(str(tf.config.experimental.get_device_details(gpu).get("device_name")) for gpu in gpus))
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    settings = argparse.Namespace(turns=3, examples=5_000)
    figures = [*parity(), *steps(), *bench_cache.exactness(settings), *bench_cache.head(settings)]
    figures += bench_cache.blocks(settings)
    return _reported(figures, check=given.check)


def parity() -> list[Figure]:
    """Compares logits of the same network on the GPU and on the processor, in float32 without TensorFloat-32."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(False)
    pictures = np.random.default_rng(0).integers(0, 256, (16, 96, 96, 3), np.uint8)
    model = bench_cache._model(0, kernel="glorot_uniform")
    logits = []
    for device in ("/CPU:0", "/GPU:0"):
        with tf.device(device):
            logits.append(model(pictures, training=False).numpy())
    tf.config.experimental.enable_tensor_float_32_execution(True)
    worst = float(np.abs(logits[0] - logits[1]).max() / np.abs(logits[0]).max())
    return [_at_most("logits of GPU and processor, relative difference", worst, 1e-4)]


def steps() -> list[Figure]:
    """Times training steps from pixels in memory, one a call and an epoch in one go, and where the time goes."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (_BATCH * _STEPS, _PIXELS, _PIXELS, 3), np.uint8)
    labels = generator.integers(0, bench_cache._CLASSES, len(pictures))
    dataset = tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(_BATCH, drop_remainder=True).prefetch(4)
    rates = {}
    for together in (1, _STEPS):
        model = _network()
        bench_cache._compile(model, steps_per_execution=together)
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            model.fit(dataset, epochs=1, verbose=0, shuffle=False)
            seconds.append(time.perf_counter() - start)
        rates[together] = len(pictures) / statistics.median(seconds[1:])
        print(f"{together} step(s) in one go: {rates[together]:,.0f} pictures/s of {_PIXELS} px", flush=True)
    return [_at_least("an epoch in one go, times as fast as step by step", rates[_STEPS] / rates[1], 0.98)]


def _network():
    import tfxfer

    backbone = tfxfer.load_backbone("builtin:efficientnet_lite0", image_size=_PIXELS)
    model = tfxfer.swap_head(backbone, tfxfer.heads.Linear(outputs=bench_cache._CLASSES))
    tfxfer.freeze(model, train="all")
    return model


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
