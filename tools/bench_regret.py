"""Measures what the race of `tfxfer advise` loses against training every candidate to its end, and what it costs.

    python tools/bench_advise.py --only=regret --results=/tmp/regret.jsonl --settings="digits 200,clothes 200"

Each setting trains all candidates, the one from random weights always among them, then advises with a race under a
budget that is a share of the seconds which that took. The best candidate is decided on one half of the test pictures;
what the race's winner has less than it is measured on the other. N counts labelled pictures, of which an eighth is
for validation. What was measured goes to `--results`, line by line, and is not measured again. On two cores settings
with 200 pictures take two to four minutes each, that with 4,000 more than half an hour.
"""

import collections
import dataclasses
import json
import pathlib
import re
import tempfile
import time
import zlib

import numpy as np
from bench_quickstart import Figure, _at_most

from tfxfer import presets

_SIZE = 64
_TEST = 2000
# Of the exhaustive seconds; what advice takes before the race comes on top.
_BUDGET, _MOST = 0.30, 0.35
_DRAWN = {"digits": (200, 1000), "clothes": (200, 1000, 4000), "drawings": (400,)}
# Half of the drawings that are left for the test are 100, of which one is a point, and the difference of two candidates
# is known to some five: their regret is the mean of six splits.
_SPLITS = {"drawings": 6}
_SPLIT = " split "
SETTINGS = tuple(
    f"{name} {count}{suffix}{f'{_SPLIT}{split}' if split else ''}"
    for name, counts in _DRAWN.items()
    for count in counts
    for suffix in ("", " inverted")
    for split in range(_SPLITS.get(name, 1))
)


def regret(read, settings: tuple[str, ...], results: pathlib.Path | None, *, with_races: bool = True) -> list[Figure]:
    """Measures the settings that `results` does not have yet, and returns the rows of all.

    Args:
        read: for "digits", "clothes" and "drawings" a function of a count to uint8 pictures `[count, height, width]` or
            `[count, height, width, 3]` and their labels.
        settings: of `SETTINGS`.
        results: JSON lines; None: nothing is kept.
        with_races: False: only what all candidates come to is measured, and there are no rows.
    """
    known: dict[tuple[str, str], dict] = {}
    if results is not None and results.exists():
        known = {(one["setting"], one.get("kind")): one for one in map(json.loads, results.read_text().splitlines())}

    def once(setting: str, kind: str, measure, *given) -> dict:
        if (setting, kind) not in known:
            known[setting, kind] = {"setting": setting, "kind": kind, **measure(setting, read, *given)}
            if results is not None:
                with results.open("a") as file:
                    file.write(json.dumps(known[setting, kind]) + "\n")
        return known[setting, kind]

    found = []
    for setting in settings:
        exhaustive = once(setting, "exhaustive", _of_all)
        if with_races:
            found.append(_lost(exhaustive, once(setting, "race", _raced, sum(exhaustive["seconds"].values()))))
            print(_told(found[-1]), flush=True)
    if not found:
        return []
    share, over, rest = (
        np.array([one[name] for one in found]) for name in ("share", "over_budget", "share_of_pretrained")
    )
    count = sum(len(one["left_out"]) > ("scratch" in one["left_out"]) for one in found)
    regrets, table = (_by_setting(found, name) for name in ("regret", "table_regret"))
    return [
        _at_most(f"regret of the race's winner, mean of {len(regrets)} settings, points", 100 * regrets.mean(), 1),
        _at_most("regret of the race's winner, worst, points", 100 * regrets.max(), 3),
        _at_most("advice and race over the exhaustive cost, worst, %", 100 * share.max(), 100 * _MOST),
        _at_most("seconds of a race over its budget, worst, %", 100 * over.max(), 0),
        Figure("(likewise, mean, %)", f"{100 * share.mean():.3g}", "", True),
        Figure("(likewise over the cost without random weights, mean, %)", f"{100 * rest.mean():.3g}", "", True),
        Figure(f"(races of {len(found)} that one of the other four did not begin)", str(count), "", True),
        Figure("(regret of the table without a race, mean, points)", f"{100 * table.mean():.3g}", "", True),
        Figure("(likewise, worst, points)", f"{100 * table.max():.3g}", "", True),
    ]


def _by_setting(found: list[dict], name: str) -> np.ndarray:
    """Returns a number of each setting, the mean of its splits, float64 `[settings]`."""
    values = collections.defaultdict(list)
    for one in found:
        values[one["setting"].partition(_SPLIT)[0]].append(one[name])
    return np.array([np.mean(each) for each in values.values()])


def _asked(setting: str, read):
    """Returns the recipe of a setting, and its pictures with labels."""
    import tfxfer

    setting, _, split = setting.partition(_SPLIT)
    name, count, inverted = (*setting.split(), "")[:3]
    count = int(count)
    images, labels = read[name](count + _TEST)
    images = 255 - images if inverted else images
    data = (images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3), labels)
    recipe = tfxfer.Recipe(
        data=tfxfer.Data(
            test_fraction=1 - count / len(labels),
            validation_fraction=count / 8 / len(labels),
            on_duplicate="drop",
            split_seed=int(split or 0),
        ),
        backbone="builtin:efficientnet_lite0",
        image_size=_SIZE,
    )
    return recipe, data


def _of_all(setting: str, read) -> dict:
    """Trains every candidate to its end, and what is advised without a race."""
    import tfxfer
    from tfxfer import advice, pipeline
    from tfxfer.advice import candidates

    recipe, data = _asked(setting, read)
    table = tfxfer.advise(recipe, data=data)
    prepared = pipeline.prepare(recipe, data=data, with_seconds=False)
    found, _ = candidates.strategies(table.measured, prepared.backbone.facts.card, examples=10**9)
    halves, seconds, changes = {}, {}, {}
    for one in found:
        halves[one.name], seconds[one.name] = _exhaustive(one.recipe(recipe), data)
        changes[one.name] = _content(one.change)
        print(f"{setting}: {one.name} {100 * np.mean(halves[one.name]):.1f} %, {seconds[one.name]:.0f} s", flush=True)
    halves["table"], _ = _exhaustive(advice.advised(recipe, table), data)
    return {"halves": halves, "seconds": seconds, "changes": changes}


def _raced(setting: str, read, whole: float) -> dict:
    """Advises with a race under a budget of some of the exhaustive seconds."""
    import tfxfer

    recipe, data = _asked(setting, read)
    raced = tfxfer.advise(dataclasses.replace(recipe, budget=_BUDGET * whole), data=data, show=print)
    print(raced, flush=True)
    took = raced.race.seconds if raced.race is not None else 0.0
    return {
        "winner": raced.race.winner if raced.race is not None else "table",
        "share": (took + raced.measured.seconds + raced.measured.scoring_seconds) / whole,
        "over_budget": took / (_BUDGET * whole) - 1,
        "race": [[one.name, one.share, one.accuracy.value] for one in raced.race.candidates] if raced.race else [],
        "left_out": [one.name for one in raced.race.left_out] if raced.race else [],
        "changes": {one.name: _content(one.change) for one in raced.race.candidates} if raced.race else {},
    }


def _content(change: str) -> str:
    """Returns a change of the recipe with what its preset is today: names stay where figures change."""
    name = re.search(r"--stages=(\w+)", change)[1]
    return f"{change} {zlib.crc32(repr(presets.by_name(name)).encode()):08x}"


def _lost(exhaustive: dict, race: dict) -> dict:
    """Returns both with what the winner and the table have less, in [−1, 1], than the best candidate."""
    halves, seconds = exhaustive["halves"], exhaustive["seconds"]
    if race["changes"].get(race["winner"]) != exhaustive["changes"].get(race["winner"]):
        raise SystemExit(f"{race['setting']}: what was trained to its end is not what raced. Take its lines out.")
    best = max(exhaustive["seconds"], key=lambda name: halves[name][0])
    return {
        **exhaustive,
        **race,
        "best": best,
        "regret": halves[best][1] - halves[race["winner"]][1],
        "table_regret": halves[best][1] - halves["table"][1],
        "share_of_pretrained": race["share"] * sum(seconds.values()) / (sum(seconds.values()) - seconds["scratch"]),
    }


def _exhaustive(recipe, data) -> tuple[list[float], float]:
    """Returns the accuracy on each half of the test pictures after the whole training, and its seconds."""
    from tfxfer import data as examples_of
    from tfxfer import pipeline, prediction, training

    prepared = pipeline.prepare(recipe, data=data)
    what, examples = prepared.plan.what, prepared.examples
    pixels = examples.pixels(what.image_size, what.framing)
    start, ran = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        training.fit(
            prepared.model, examples, pixels, prepared.plan, pathlib.Path(folder), tell=lambda *_: None, note=print
        )
    # Where one core is shared with others the processor seconds are fewer, and a budget of those the harder one.
    seconds = min(time.monotonic() - start, time.process_time() - ran)
    rows = examples.rows(pixels, examples_of.TEST)
    right = prediction.logits(prepared.model, rows).argmax(axis=1) == rows.labels
    half = np.random.default_rng(0).random(len(right)) < 0.5
    return [float(right[half].mean()), float(right[~half].mean())], seconds


def _told(one: dict) -> str:
    best, won = one["best"], one["winner"]
    return (
        f"{one['setting']}: best {best} ({100 * one['halves'][best][1]:.1f} %), race {won} "
        f"({100 * one['halves'][won][1]:.1f} %), regret {100 * one['regret']:.1f} points at {100 * one['share']:.0f} % "
        f"of {sum(one['seconds'].values()):.0f} s; table {100 * one['table_regret']:.1f} points"
    )
