"""Advice as text of a terminal's width: facts, which case this is, what was measured, what to do and why."""

import textwrap

from tfxfer.advice import references, wording
from tfxfer.advice.result import Advice, LeftOut, Measurements, Race
from tfxfer.display import clean, duration_text, percent_text
from tfxfer.facts import DataFacts

_WIDTH = 100
_BAR = 30
_TARGETS = 12


def page(advice: Advice) -> str:
    """Returns the page that `tfxfer advise` prints."""
    measured = advice.measured
    parts = [
        _facts(advice),
        _depths(measured),
        _targets(advice),
        _more_labels(measured),
        _similarity(measured),
        _race(advice.race),
        conclusions(advice),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _facts(advice: Advice) -> list[str]:
    data, measured = advice.data, advice.measured
    single = data.train_examples - advice.copies
    some = f", {advice.copies:,} of them copies of others, which were left out" if advice.copies else ""
    some += "" if measured.examples == single else f", of which {measured.examples:,} were drawn"
    rows = [
        f"data        {clean(data.source)}: {data.train_examples:,} training examples{some}",
        f"            {classes_of(data)}",
        *(f"groups      {text}" for text in groups_of(measured)),
        f"backbone    {clean(advice.backbone)} at {measured.image_size}×{measured.image_size} pixels",
        f"labels      {wording.agreement(measured)}; p = {measured.learnable.p_value:.2g} for labels without meaning",
        f"without it  {wording.without_looking(measured)}, 16×16 pixels "
        f"{wording.figure(measured.metric, measured.pixels)}",
        f"case        {advice.quarter or 'similarity to pretraining is not known'}",
        f"seconds     {duration_text(measured.seconds)} for one inference pass, "
        f"{duration_text(measured.scoring_seconds)} for all that was taken from it",
    ]
    if measured.metric != "accuracy":
        rows.append("            told by ridge regression alone: nearest neighbours and forecasts are for classes")
    return rows


def classes_of(data: DataFacts) -> str:
    """Returns how many classes, labels or targets there are, how many examples each has, and which has fewest."""
    if data.task.kind == "regression":
        return data.task.answers(len(data.class_names))
    fewest = min(data.train_counts)
    smallest = data.class_names[data.train_counts.index(fewest)]
    each = sum(data.train_counts) / len(data.train_counts)
    mean = f"{each:,.0f}" if each >= 10 else f"{each:.1f}"
    return (
        f"{data.task.answers(len(data.class_names))}; {mean} examples each on average, fewest {fewest:,}, of "
        f"{clean(smallest)}"
    )


def groups_of(measured: Measurements) -> list[str]:
    """Returns how many groups there are and what follows from it; nothing where there are none."""
    if measured.groups is None:
        return []
    return [f"{measured.groups:,}, each left out as one; intervals, which count images, are too narrow"]


def _depths(measured: Measurements) -> list[str]:
    width = max(len("features of"), *(len(clean(depth.name)) for depth in measured.depths)) + 2
    classes = measured.metric == "accuracy"
    heading = "linear, left out (95 %)" if classes else f"{wording.NAMES[measured.metric][0]}, left out (95 %)"
    lines = [
        f"{'features of':<{width}}{'width':>6}  {heading:<26}{'5 neighbours':<14}"
        if classes
        else f"{'features of':<{width}}{'width':>6}  {heading}"
    ]
    for depth in measured.depths:
        mark = "  ← best" if depth.name == measured.best else ""
        bar = "█" * round(_BAR * min(1, max(0, depth.linear.value)))
        near = f"{percent_text(depth.neighbours.value):<14}" if depth.neighbours else ""
        told = wording.figure(measured.metric, depth.linear)
        lines.append(f"{clean(depth.name):<{width}}{depth.width:>6}  {told:<26}{near}{bar}{mark}")
    return lines + textwrap.wrap(clean(wording.expected(measured)), _WIDTH)


def _targets(advice: Advice) -> list[str]:
    """Returns a line for each number or label; of many those that are told worst."""
    if not advice.measured.targets:
        return []
    named = list(zip(advice.data.class_names, advice.measured.targets, strict=True))
    shown = sorted(named, key=lambda one: one[1].score.value)[:_TARGETS]
    lines = [f"{clean(name)}: {wording.target(one)}" for name, one in named if (name, one) in shown]
    some = f", the {_TARGETS} that are told worst" if len(shown) < len(named) else ""
    return [f"at {clean(advice.measured.best)}{some}:", *(f"  {line}" for line in lines)]


def _more_labels(measured: Measurements) -> list[str]:
    if not measured.sizes:
        return []
    points = [f"{size:,}: {100 * one.value:.1f} %" for size, one in zip(measured.sizes, measured.curve, strict=True)]
    lines = [f"fitted to   {', '.join(points)}"]
    lines += textwrap.wrap(
        f"by {clean(wording.of_curve(measured))}", _WIDTH, initial_indent=" " * 12, subsequent_indent=" " * 12
    )
    for forecast in measured.forecasts:
        gain, more = forecast.gain, forecast.examples - measured.available
        lines.append(
            f"+{more:,} labels: {100 * gain.value:+.1f} points ({100 * gain.low:.1f} to {100 * gain.high:.1f}) by a "
            "curve through these"
        )
    if text := wording.beyond(measured):
        lines.append(text)
    return lines


def _similarity(measured: Measurements) -> list[str]:
    found = measured.similarity
    if found is None:
        return textwrap.wrap(wording.nearest_class(measured), _WIDTH)
    if not references.holds_at(measured.image_size):
        return [
            f"divergence from pretraining {found.all:.2f}, the larger the less alike; nothing was measured near "
            f"{measured.image_size} pixels to compare it with"
        ]
    scale = [*references.scale(measured.image_size), ("this data", found.all)]
    shown = ", ".join(
        f"→ {name} {value:.2f} ←" if name == "this data" else f"{name} {value:.2f}"
        for name, value in sorted(scale, key=lambda one: one[1])
    )
    return [
        *textwrap.wrap(
            f"divergence from pretraining, the larger the less alike: {shown} (others measured on EfficientNet-Lite0)",
            _WIDTH,
        ),
        f"early layers {found.early:.2f}, middle {found.middle:.2f}, late {found.late:.2f}",
    ]


def _race(race: Race | None) -> list[str]:
    if race is None:
        return []
    lines = [f"{'race of':<14}{'trained':>8}  {'right (95 %)':<26}{'took':>8}{'all of it':>11}  differs by"]
    for one in race.candidates:
        mark = "  ← won" if one.name == race.winner else ""
        lines.append(
            f"{one.name:<14}{100 * one.share:>6.0f} %  {one.accuracy!s:<26}{duration_text(one.seconds):>8}"
            f"{duration_text(one.whole_seconds):>11}  {clean(one.change)}{mark}"
        )
    told = (
        f"{duration_text(race.seconds)} of {duration_text(race.budget)}, foretold "
        f"{duration_text(race.predicted_seconds)}; each learned from {race.trained_on:,} examples and was compared on "
        f"the same {race.examples:,}; {clean(race.ended)}. What is chosen for being the best looks a little too good "
        "here; the test examples have not been looked at."
    )
    lines += textwrap.wrap(told, _WIDTH)
    for one in (*race.candidates, *race.left_out):
        why = one.reason if isinstance(one, LeftOut) else one.why_not
        if why:
            lines += textwrap.wrap(f"not {one.name}: {clean(why)}", _WIDTH, subsequent_indent="  ")
    return lines


def conclusions(advice: Advice) -> list[str]:
    """Returns what to do, numbered, each with its reason."""
    lines = []
    for number, one in enumerate(advice.conclusions, start=1):
        lines += textwrap.wrap(f"{number}. {clean(one.advice)}", _WIDTH, subsequent_indent="   ")
        lines += textwrap.wrap(f"because {clean(one.reason)}", _WIDTH, initial_indent="   ", subsequent_indent="   ")
    return lines
