"""Measures what one optimizer with many rates costs, and what freezing and waking save and cost.

    python tools/bench_optimizer.py --check
    python tools/bench_optimizer.py --only=waking

About ten minutes on two cores that do nothing else. One row for a figure, with the value that is wanted; `--check`
makes a figure that falls short an exit code of 1.

A step is one call of the train function that `fit` calls, of a MobileNetV2 from random weights on random pictures of
96 px, 32 at a time. Networks that are compared take turns in one process, a few steps each, in an order that turns
round; each turn gives one ratio, and the figure is the median of these, with the middle half of them behind it.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from bench_quickstart import Figure, _at_most, _equal, _machine, _reported

from tfxfer.cli import quiet

_MOST_TIMES = 1.03
_MOST_MULTIPLIES = 1.0
_MOST_RETRACES = 1.2
_PIXELS, _BATCH, _CLASSES = 96, 32, 10
# With so many classes, kernels of this block and the head are a tenth of all weights that gradients can move. Whole
# layers from the head down, frozen="90%", come no nearer than 27 %, for the last convolution is large.
_CLASSES_OF_A_TENTH, _BLOCK_OF_A_TENTH = 60, "stage5.block1"
_STEPS_A_TURN = 2
_STEPS_OF_IDENTITY = 50
_DECAY = 0.8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--only", default=",".join(_MEASUREMENTS), help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--turns", type=int, default=60, help="in which steps are timed, ≥ 2")
    parser.add_argument("--wakings", type=int, default=7, help="that are timed, ≥ 2")
    parser.add_argument("--digest", choices=("bare", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.only.split(",") if name not in _MEASUREMENTS]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}. Measurements: {', '.join(_MEASUREMENTS)}.")
    if min(given.turns, given.wakings) < 2:
        parser.error("one turn is no measurement; give at least 2.")
    quiet.load_tensorflow()
    if given.digest:
        print(json.dumps(_digest(given.digest)))
        return 0
    print(_machine(), flush=True)
    figures = [figure for name in given.only.split(",") for figure in _MEASUREMENTS[name](given)]
    return _reported(figures, check=given.check)


def steps(given: argparse.Namespace) -> list[Figure]:
    """Times steps of the bare optimizer, of ours with all multipliers 1, and of ours with one a group."""
    models = {name: _compiled(name) for name in ("bare", "ones", "mixed")}
    times = _in_turns({name: _stepping(model) for name, model in models.items()}, given.turns)
    return [
        _ratio("step, all multipliers 1, over the bare Adam", times["ones"], times["bare"], _MOST_TIMES),
        _ratio("step, a multiplier a group, over the bare Adam", times["mixed"], times["bare"], _MOST_TIMES),
    ]


def graphs(_: argparse.Namespace) -> list[Figure]:
    """Counts multiplications in the traced train step."""
    counts = {name: _multiplies(_compiled(name)) for name in ("bare", "ones", "mixed")}
    variables = len(_compiled("bare").trainable_variables)
    more = (counts["mixed"] - counts["bare"]) / variables
    value = f"{more:.3g} = ({counts['mixed']} − {counts['bare']}) / {variables}"
    return [
        _equal("more multiplies in the graph, all multipliers 1", counts["ones"] - counts["bare"], 0),
        dataclasses.replace(
            _at_most("more multiplies a variable, a multiplier a group", more, _MOST_MULTIPLIES), value=value
        ),
    ]


def identity(_: argparse.Namespace) -> list[Figure]:
    """Compares all weights after training with the bare optimizer and with ours, each in a process of its own."""
    command = [sys.executable, __file__, "--digest"]
    # Where operations run side by side, two runs of the bare optimizer differ from each other too.
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTEROP_THREADS": "1"}
    bare, ours = (
        json.loads(subprocess.run([*command, kind], env=environment, stdout=subprocess.PIPE, check=True).stdout)
        for kind in ("bare", "ours")
    )
    name = f"digest of all variables after {_STEPS_OF_IDENTITY} steps, all multipliers 1"
    return [
        _equal(name, ours["after"], bare["after"]),
        _equal("is it the digest of the start", bare["after"] == bare["before"], False),
    ]


def frozen(given: argparse.Namespace) -> list[Figure]:
    """Measures slots and steps with 90 % of the weights frozen."""
    import tfxfer

    models = {name: _compiled(name, _CLASSES_OF_A_TENTH) for name in ("bare", "mixed")}
    for model in models.values():
        model.optimizer.build(model.trainable_variables)
    weights = _count(models["mixed"].trainable_variables)
    full = _slot_bytes(models["mixed"].optimizer)
    for model in models.values():
        done = tfxfer.freeze(model, train=(_BLOCK_OF_A_TENTH,))
        model.optimizer.build(model.trainable_variables)  # of the bare one, which starts anew
    trained = done.trainable_weights / weights
    share = _slot_bytes(models["mixed"].optimizer) / full
    times = _in_turns({name: _stepping(model) for name, model in models.items()}, given.turns)
    return [
        _near(f"90 % frozen: slots, share of all ({', '.join(done.trained)} train)", share, 0.1),
        _near("90 % frozen: slots, share of all, against the share of weights that train", share, trained),
        _ratio("90 % frozen: step over plain Keras, same layers frozen", times["mixed"], times["bare"], _MOST_TIMES),
    ]  # fmt: skip


def waking(given: argparse.Namespace) -> list[Figure]:
    """Times waking a group within `fit`, and tracing the train function anew when nothing wakes."""
    model = _compiled("mixed")
    clock = _clock(model)
    model.fit(
        _batches(), steps_per_epoch=4, epochs=3 * (given.wakings + 1), callbacks=[clock], verbose=0, shuffle=False
    )
    beyond = [clock.first[epoch] - clock.warm[epoch] for epoch in sorted(clock.first)][3:]  # three warm up
    woken, traced = beyond[1::3], beyond[2::3]
    return [_ratio("waking a group, over one retrace", woken, traced, _MOST_RETRACES)]


def auto_rgn(given: argparse.Namespace) -> list[Figure]:
    """Times what an epoch costs more under AutoRGN: it measures gradients, and the train function is traced anew.

    Nothing is wanted here. Multipliers that a graph reads from variables would save the tracing and put a read and a
    multiplication into every step for every variable, also where all multipliers are 1.
    """
    from tfxfer.callbacks import AutoRGN

    model = _compiled("mixed")
    rgn, clock = AutoRGN(_batches().take(5)), _epoch_clock()
    model.fit(
        _batches(), steps_per_epoch=4, epochs=given.wakings + 2, callbacks=[clock.before, rgn, clock], verbose=0,
        shuffle=False,
    )  # fmt: skip
    measuring, tracing = (statistics.median(seconds[2:]) for seconds in (clock.measuring, clock.tracing))
    step = statistics.median(clock.steps)
    value = f"{measuring:.2f} s to measure on 5 batches, {tracing:.2f} s to trace, {len(clock.tracing) - 2} epochs"
    return [
        Figure("auto-RGN, an epoch more", value, "no limit", True),
        Figure(
            "auto-RGN, an epoch more, in steps", f"{(measuring + tracing) / step:.0f} of {step:.3f} s", "no limit", True
        ),
    ]


_MEASUREMENTS = {
    "steps": steps, "graphs": graphs, "identity": identity, "frozen": frozen, "waking": waking, "auto_rgn": auto_rgn,
}  # fmt: skip


def _compiled(kind: str, classes: int = _CLASSES):
    """Returns a compiled MobileNetV2: "bare" under Adam, "ones" and "mixed" under ours with such multipliers."""
    import keras

    import tfxfer

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(_PIXELS, _PIXELS, 3), classes=classes)
    optimizer = keras.optimizers.Adam(1e-4)
    if kind != "bare":
        shares = {"...": 1.0} if kind == "ones" else tfxfer.multipliers.layer_decay(model, _DECAY)
        optimizer = tfxfer.DifferentialLearningRate(optimizer, shares, model=model)
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    return model


def _batches():
    """Returns a dataset of four random batches, over and over."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    pixels = random.uniform(-1, 1, (4 * _BATCH, _PIXELS, _PIXELS, 3)).astype(np.float32)
    labels = random.integers(0, _CLASSES, 4 * _BATCH)
    return tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(_BATCH, drop_remainder=True).cache().repeat()


def _stepping(model) -> Callable[[], object]:
    """Returns a function that makes one step as `fit` makes it, and waits for its end."""
    model.make_train_function(force=True)
    batches = iter(_batches())
    return lambda: float(model.train_function(batches)["loss"])


def _in_turns(actions: dict[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Returns seconds of each action in each turn; the first turns trace and warm up."""
    times = {name: [] for name in actions}
    orders: Iterator = itertools.cycle(itertools.permutations(actions))
    for turn in range(-2, turns):
        for name in next(orders):
            start = time.perf_counter()
            for _ in range(_STEPS_A_TURN):
                actions[name]()
            times[name] += [time.perf_counter() - start] if turn >= 0 else []
        if turn % 20 == 19:
            print(f"{', '.join(actions)}: turn {turn + 1} of {turns}", file=sys.stderr, flush=True)
    return times


def _clock(model):
    """Returns a callback that times the first steps of epochs by threes: after freezing, waking, tracing anew."""
    import keras

    import tfxfer

    class Clock(keras.callbacks.Callback):
        """Keeps, by epoch, the seconds of its first step with all that came before it, and of a warm step."""

        def __init__(self):
            super().__init__()
            self.first: dict[int, float] = {}
            self.warm: dict[int, float] = {}

        def on_epoch_begin(self, epoch, logs=None):
            self.start, self.seconds = time.perf_counter(), []
            if epoch % 3 == 0:
                tfxfer.freeze(model, train="stage5")
            elif epoch % 3 == 1:
                tfxfer.freeze(model, train="stage4")
            else:
                model.make_train_function(force=True)

        def on_train_batch_end(self, batch, logs=None):
            now = time.perf_counter()
            self.seconds.append(now - self.start)
            self.start = now

        def on_epoch_end(self, epoch, logs=None):
            self.first[epoch], *others = self.seconds
            self.warm[epoch] = statistics.median(others)

    return Clock()


def _epoch_clock():
    """Returns a callback that times what lies between `before` and it at the begin of epochs, and first steps."""
    import keras

    class Before(keras.callbacks.Callback):
        """Starts the clock."""

        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

    class Clock(keras.callbacks.Callback):
        """Keeps seconds of what was measured, of first steps beyond warm ones, and of warm ones."""

        def __init__(self):
            super().__init__()
            self.before, self.measuring, self.tracing, self.steps = Before(), [], [], []

        def on_epoch_begin(self, epoch, logs=None):
            self.measuring.append(time.perf_counter() - self.before.start)
            self.start, self.seconds = time.perf_counter(), []

        def on_train_batch_end(self, batch, logs=None):
            self.seconds.append(time.perf_counter() - self.start)
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            first, *others = self.seconds
            self.tracing.append(first - statistics.median(others))
            self.steps += others

    return Clock()


def _multiplies(model) -> int:
    """Returns how many multiplications the traced train step holds, in nested functions too."""
    import tensorflow as tf

    @tf.function
    def step(pixels, labels):
        return model.train_step((pixels, labels))

    model.optimizer.build(model.trainable_variables)
    graph = step.get_concrete_function(*next(iter(_batches()))).graph.as_graph_def()
    nodes = itertools.chain(graph.node, *(function.node_def for function in graph.library.function))
    return sum(node.op == "Mul" for node in nodes)


def _digest(kind: str) -> dict:
    """Returns digests of all weights before and after training."""
    import hashlib

    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    model = _compiled("bare" if kind == "bare" else "ones")

    def digest() -> str:
        return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.variables)).hexdigest()[:16]

    before, step = digest(), _stepping(model)
    for _ in range(_STEPS_OF_IDENTITY):
        step()
    return {"before": before, "after": digest()}


def _count(variables) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _slot_bytes(optimizer) -> int:
    return sum(variable.numpy().nbytes for variable in optimizer.variables)


def _ratio(name: str, ones: list[float], others: list[float], limit: float) -> Figure:
    """Returns the median of the ratios of turns that stand side by side, so that a slow minute counts for both."""
    ratios = [one / other for one, other in zip(ones, others, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    seconds = f"{statistics.median(ones):.3f} s / {statistics.median(others):.3f} s"
    value = f"{middle:.3f} ({low:.3f} … {high:.3f}), {seconds}, {len(ratios)} turns"
    return dataclasses.replace(_at_most(name, middle, limit), value=value)


def _near(name: str, value: float, wanted: float) -> Figure:
    return Figure(name, f"{value:.4%}", f"{wanted:.4%} ± 1 % of it", abs(value / wanted - 1) <= 0.01)


if __name__ == "__main__":
    sys.exit(main())
