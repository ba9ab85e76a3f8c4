"""Measures what augmentation costs in training, and that a run goes on at any step without a replay.

    python tools/bench_augment.py --check
    python tools/bench_augment.py --only=resume

About three minutes on two cores that do nothing else. One row for a figure, with the value that is wanted; `--check`
makes a figure that falls short an exit code of 1.

Steps are those of a stage that trains all of EfficientNet-Lite0 from random weights, on random pictures of 96 px, 32 at
a time, with batches as `fit` gets them. What is compared takes turns in one process, in an order that turns round; of
each turn the first steps, whose batches were made during the others' turns, are not timed. The figure is the median of
the turns' ratios. Seconds of the processors, of all threads together, tell the same where other programs run too.
"""

import argparse
import itertools
import statistics
import sys
import time

from bench_quickstart import Figure, _at_least, _at_most, _machine, _reported

from tfxfer.cli import quiet

_PIXELS, _BATCH, _EXAMPLES, _CLASSES = 96, 32, 640, 10
_LEAST_SHARE, _MOST_TIMES = 0.8, 1.25
_UNTIMED, _TIMED = 8, 12
# What is timed beside the preset for which a limit is wanted.
_OTHERS = {"medium": {"preset": "medium"}, "strong": {"preset": "strong"}, "augmix": {"policy": "augmix"}}
_LATE_STEP = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a figure falls short")
    parser.add_argument("--only", default=",".join(_MEASUREMENTS), help=f"of {', '.join(_MEASUREMENTS)}")
    parser.add_argument("--turns", type=int, default=9, help="in which steps are timed, ≥ 2")
    given = parser.parse_args()
    unknown = [name for name in given.only.split(",") if name not in _MEASUREMENTS]
    if unknown or given.turns < 2:
        parser.error(f"measurements: {', '.join(_MEASUREMENTS)}; at least 2 turns.")
    quiet.load_tensorflow()
    print(_machine(), flush=True)
    figures = [figure for name in given.only.split(",") for figure in _MEASUREMENTS[name](given)]
    return _reported(figures, check=given.check)


def throughput(given: argparse.Namespace) -> list[Figure]:
    """Times steps without augmentation, with "light", and with more."""
    asked = {"none": {"preset": "none"}, "light": {"preset": "light"}, **_OTHERS}
    trainee, batches_of = _stage()
    trainee.make_train_function()
    iterators = {name: iter(batches_of(0, 10**6, **settings)) for name, settings in asked.items()}
    times: dict[str, list[float]] = {name: [] for name in asked}
    cpu: dict[str, list[float]] = {name: [] for name in asked}
    for turn in range(given.turns + 1):
        for name in itertools.islice(itertools.cycle(asked), turn, turn + len(asked)):
            for _ in range(_UNTIMED):
                trainee.train_function(iterators[name])
            start, start_cpu = time.perf_counter(), time.process_time()
            for _ in range(_TIMED):
                trainee.train_function(iterators[name])
            if turn:  # the first one traces
                times[name].append((time.perf_counter() - start) / _TIMED)
                cpu[name].append((time.process_time() - start_cpu) / _TIMED)
    shares, cpu_shares = (
        {
            name: statistics.median(none / own for none, own in zip(each["none"], each[name], strict=True))
            for name in asked
        }
        for each in (times, cpu)
    )
    for name in asked:
        step = f"{1000 * statistics.median(times[name]):.1f} ms a step"
        spent = f"{1000 * statistics.median(cpu[name]):.1f} ms of the processors, {cpu_shares[name]:.3f} by these"
        print(f"{name}: {step}, {shares[name]:.3f} of the throughput; {spent}", flush=True)
    return [
        _at_least('throughput with "light" over that without augmentation', shares["light"], _LEAST_SHARE),
        _at_least("the same by seconds of the processors", cpu_shares["light"], _LEAST_SHARE),
    ]


def resume(given: argparse.Namespace) -> list[Figure]:
    """Times the first batch of a stage that begins, and of one that goes on after a million steps."""
    _, batches_of = _stage()
    times: dict[int, list[float]] = {0: [], _LATE_STEP: []}
    for turn in range(3 * given.turns):
        for step in sorted(times, reverse=bool(turn % 2)):
            start = time.perf_counter()
            next(iter(batches_of(step, step + 100, preset="medium", mixup=0.2)))
            times[step].append(time.perf_counter() - start)
    first, late = (statistics.median(seconds) for seconds in times.values())
    print(f"first batch at step 0: {1000 * first:.0f} ms, at step {_LATE_STEP:,}: {1000 * late:.0f} ms", flush=True)
    return [_at_most(f"first batch at step {_LATE_STEP:,} over that at step 0", late / first, _MOST_TIMES)]


def _stage():
    """Returns what trains all of a network, and a function that gives the batches of some of its steps."""
    import numpy as np

    import tfxfer
    from tfxfer import pipeline, plans, recipes, runtime
    from tfxfer.data import TRAIN, views
    from tfxfer.training import stage as stages
    from tfxfer.training.stage_data import StageData

    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (_EXAMPLES, _PIXELS, _PIXELS, 3), dtype=np.uint8)
    labels = np.arange(_EXAMPLES) % _CLASSES

    def recipe(**asked):
        return tfxfer.Recipe(
            backbone=recipes.Backbone(handle="builtin:efficientnet_lite0", weights="random"),
            stages=(tfxfer.Stage(train="all", epochs=20, batch_norm="affine"),),
            image_size=_PIXELS,
            batch_size=_BATCH,
            augment=tfxfer.Augment(**asked),
        )

    ready = pipeline.prepare(recipe(), data=(pictures, labels), with_seconds=False)
    what = ready.plan.what
    trainee = stages.prepared(ready.model, 0, what.stages[0], what)
    rows = ready.examples.rows(ready.examples.pixels(_PIXELS, what.framing), TRAIN)
    facts = (ready.examples.facts, ready.backbone.facts, runtime.probe())

    def batches_of(start: int, stop: int, **asked):
        own = plans.resolve(recipe(**asked), *facts).what
        seen = views.with_views(rows, own.stages[0].views, own.augment, seed=own.seed)
        made = StageData(number=0, stage=own.stages[0], what=own, train=seen, validation=rows, cached=False)
        return made.batches(start, stop)

    return trainee, batches_of


_MEASUREMENTS = {"throughput": throughput, "resume": resume}

if __name__ == "__main__":
    sys.exit(main())
