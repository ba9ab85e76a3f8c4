"""What people see of a plan and of results, as text of a given width: the terminal and `plan.txt` show the same."""

import io
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import rich.box
import rich.console
import rich.table
import rich.text

from tfxfer import augmentation, objectives
from tfxfer.augmentation import Augment
from tfxfer.facts import BackboneFacts, DataFacts
from tfxfer.plans import Plan, StageCache, StagePlan, What
from tfxfer.plans.caching import PIXELS
from tfxfer.recipes import Adam, Optimizer

_WIDTH = 100
# So many classes are told of each; of more the two ends.
_CLASSES = 12
# What names are of, where they are not of classes.
_CALLED = {"multi_label": "labels", "regression": "targets"}
# How much of a layer group stands still where so much of it trains.
_REST = {"all": "none", "some": "some", "none": "all"}


def plan_text(plan: Plan, data: DataFacts, backbone: BackboneFacts, *, colour: bool = False) -> str:
    """Returns the plan as it is printed before anything trains.

    Args:
        plan: to show.
        data: what the examples are.
        backbone: what the network starts from.
        colour: whether to use a terminal's colours.
    """
    console = console_with(_facts(plan, data, backbone), colour=colour)
    console.print(_stages(plan, backbone))
    console.print(_speeds(plan, backbone))
    if plan.reasons:
        console.print()
    for reason in plan.reasons:
        console.print(rich.text.Text(f"· {clean(reason)}"))
    return text_of(console)


def console_with(facts: Iterable[tuple[str, str]], *, colour: bool = False) -> rich.console.Console:
    """Returns a page 100 characters wide that begins with facts by name; `text_of` gives it back.

    Args:
        facts: of each its name and what it is.
        colour: whether to use a terminal's colours.
    """
    console = rich.console.Console(
        file=io.StringIO(),
        width=_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    table = rich.table.Table.grid(padding=(0, 2))
    for name, text in facts:
        table.add_row(rich.text.Text(name, "bold"), rich.text.Text(clean(text)))
    console.print(table)
    return console


def text_of(console: rich.console.Console) -> str:
    """Returns what was printed on a page, no line ending in blanks."""
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())


def clean(text: str) -> str:
    """Returns `text` without control characters, which a file name could carry into a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def drawn_name(name: str, most: int = 18) -> str:
    """Returns a name as drawings take it: short, `$` begins no formula, and no control characters."""
    text = clean(name if len(name) <= most else name[: most - 1] + "…")
    return text.replace("$", r"\$")


def size_text(number: float) -> str:
    """Returns a number of bytes with its unit: `13.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if round(number) < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def percent_text(share: float) -> str:
    """Returns a share in percent with one digit; NaN, which nobody knows, as a dash."""
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def duration_text(seconds: float) -> str:
    """Returns a duration: `8.2 s`, `3 min 10 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def parity_lines(parities: Sequence[Any]) -> list[str]:
    """Returns a line for each exported file: how far it is from the network in memory, how right, how large, how fast.

    Args:
        parities: values with the attributes of `evaluation.Parity`.
    """
    if not parities:
        return []
    cells = [
        (
            one.file,
            f"differs by {one.largest_difference:.1g}",
            _right(one),
            f"{one.size_bytes / 1e6:.1f} MB",
            f"{one.one_ms:.3g} ms a picture",
            f"{one.batch_ms:.3g} ms for 32",
        )
        for one in parities
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    first = parities[0]
    some = f" (differences on {first.compared:,})" if first.compared < first.examples else ""
    return [f"exported and read back, on {first.examples:,} test examples{some}:", *(f"  {line}" for line in lines)]


def _right(one: Any) -> str:
    if one.r2 is not None:
        return f"R² {one.r2:.3f}"
    return "" if one.accuracy is None else f"{100 * one.accuracy:.1f} % right"


def score_text(name: str, value: float | None) -> str:
    """Returns a metric that was asked for: those that are known to be shares as percentages."""
    if value is None:
        return "no number"
    return f"{100 * value:.1f} %" if name in objectives.SHARES else f"{value:.4g}"


def score_lines(scores: Sequence[tuple[str, float | None]]) -> list[str]:
    """Returns a line with the metrics that were asked for; none where there are none."""
    told = ", ".join(f"{clean(name)} {score_text(name, value)}" for name, value in scores)
    return [f"asked for: {told}"] if told else []


def left_out_lines(left_out: Sequence[Any]) -> list[str]:
    """Returns a line for each format that is not there: values with the attributes of `evaluation.LeftOut`."""
    return [f"not exported: {clean(one.format)}: {clean(one.reason)}" for one in left_out]


def _facts(plan: Plan, data: DataFacts, backbone: BackboneFacts) -> list[tuple[str, str]]:
    names = data.class_names
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    what, how = plan.what, plan.how
    parameters = sum(group.parameters for group in backbone.groups)
    rows = [
        ("data", f"{data.source}: {data.train_examples:,} train, {data.validation_examples:,} validation, "
                 f"{data.test_examples:,} test ({data.split})"),
        (_CALLED.get(data.task.kind, "classes"), shown),
        *([] if data.task.kind == "single_label" else [("task", _task(data, what))]),
        *_objectives(what),
        ("backbone", f"{what.backbone}, {backbone.weights} weights, {len(backbone.groups)} layer groups, "
                     f"{parameters:,} weights, {backbone.feature_channels} features"),
        ("pixels", f"{what.image_size}×{what.image_size} ({what.framing}), {size_text(how.pixel_bytes)} in "
                   f"{how.pixel_store}; "
                   f"the network's own scale, {backbone.card.pixels}, is applied in its graph"),
        ("augment", _augmentation(what.augment)),
        ("head", _head_text(what.head, "numbers" if what.task.kind == "regression" else "logits")),
        ("steps", f"of {what.batch_size} examples on {', '.join(how.devices)}{_share(plan)}, seed {what.seed}"),
        ("strategy", _strategy(plan)),
        ("checkpoints", f"every {how.checkpoint_seconds:g} s and behind each stage; within one the last "
                        f"{how.checkpoints_kept}, of at most {size_text(how.checkpoint_bytes)} each"),
        ("compute", _computing(plan)),
    ]  # fmt: skip
    rows[2:2] = _imbalance(plan, data)
    rows[1:1] = [("", note) for note in data.notes]
    if data.skipped:
        rows.insert(1, ("left out", f"{len(data.skipped)} unreadable images (listed in the report)"))
    return rows


def _objectives(what: What) -> list[tuple[str, str]]:
    """Returns the loss and the metrics that were asked for."""
    kind = what.task.kind
    rows = [] if not what.loss else [("loss", f"{objectives.called(what.loss)}: {_loss(what)}")]
    named = ", ".join(map(objectives.called, what.metrics))
    return rows + ([("metrics", f"{named}, besides {objectives.OWN[kind]}")] if named else [])


def _loss(what: What) -> str:
    return objectives.in_words(what.loss, what.task.kind)


def _imbalance(plan: Plan, data: DataFacts) -> list[tuple[str, str]]:
    """Returns which weights examples have, and what is done about classes with few of them."""
    planned, rows = plan.what.imbalance, []
    if data.train_weights:
        least, most = data.weight_range
        rows.append(("weights", f"examples count {least:.3g} to {most:.3g} times the mean, by the data"))
    said = []
    if planned.class_weights:
        said.append(f"weight in the loss {_by_class(planned.class_weights, data)}, mean over the training examples 1")
    if planned.drawn:
        said.append(f"examples in an epoch {_by_class(planned.drawn, data)}, instead of the {_list(data.train_counts)}")
    if planned.focal_gamma:
        said.append(f"focal loss, gamma {planned.focal_gamma:g}: an example of probability p counts (1 − p)^gamma")
    if planned.priors:
        said.append(
            f"in the loss {planned.logit_adjustment:g} × log of the share is added to logits: shares "
            f"{_by_class(planned.priors, data)}"
        )
    return rows + ([("imbalance", "; ".join(said))] if said else [])


def _by_class(numbers: Sequence[float], data: DataFacts) -> str:
    """Returns numbers by the names of classes, those of the largest and the smallest where there are many."""
    named = [f"{name} {number:,.3g}" if isinstance(number, float) else f"{name} {number:,}"
             for name, number in zip(data.class_names, numbers, strict=True)]  # fmt: skip
    if len(named) <= _CLASSES:
        return ", ".join(named)
    most, least = (named[numbers.index(end(numbers))] for end in (max, min))
    return f"from {least} to {most}"


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(f"{number:,}" for number in numbers) if len(numbers) <= _CLASSES else "number that there is"


def _augmentation(augment: Augment) -> str:
    """Returns what is done to training pictures, in words."""
    viewed = augmentation.described(augment)
    views = "new views in each epoch" if augment.live else f"{augment.views} views of each picture"
    mixed = augmentation.described(augment, ("mixup", "cutmix"))
    said = [] if viewed == "nothing" or (augment.views == 1 and not augment.live) else [f"{views}: {viewed}"]
    return "; ".join([*said, *([f"mixed: {mixed}"] if mixed != "nothing" else [])]) or "none"


def _task(data: DataFacts, what: What) -> str:
    """Returns what is to be told of a picture, and what follows from it."""
    if data.task.kind == "ordinal":
        return "ordinal: classes in order, the lowest first; each output asks whether a picture is above one of them"
    if data.task.kind == "multi_label":
        none = f"; {data.unlabelled:,} images have none" if data.unlabelled else ""
        return f"multi_label: any of {len(data.class_names)} labels, each with a loss of its own{none}"
    numbers = ", ".join(
        f"{name} {mean:.4g} ± {deviation:.3g}"
        for name, mean, deviation in zip(data.class_names[:6], data.task.means, data.task.deviations, strict=False)
    )
    more = f", … ({len(data.class_names)} in all)" if len(data.class_names) > 6 else ""
    huber = "Huber's loss of standardised targets" if not what.loss else "targets are standardised"
    return f"regression: {huber}; over the training examples {numbers}{more}"


def _share(plan: Plan) -> str:
    """Returns how many examples of a step each device gets, where there are several."""
    how = plan.how
    if len(how.devices) == 1:
        return ""
    even = how.per_replica_batch * len(how.devices) == plan.what.batch_size
    return f" ({'' if even else 'at most '}{how.per_replica_batch} on each)"


def _strategy(plan: Plan) -> str:
    """Returns how devices share the work, why, and what that does to the learning rate."""
    said = [f"{plan.how.strategy} ({plan.how.strategy_reason})"]
    if len(plan.how.devices) > 1:
        said.append("learning rate not scaled with the number of devices")
        if not plan.what.synchronise_batch_norm and any(stage.batch_norm == "train" for stage in plan.what.stages):
            said.append("batch norm by the share of each")
    return "; ".join(said)


def _computing(plan: Plan) -> str:
    """Returns in which precision, by which means and in how much memory, with reasons."""
    how, precision = plan.how, plan.what.precision
    said = [
        "float32" if precision == "float32" else f"{precision}; weights, head, loss and what ships in float32",
        f"{'compiled by XLA' if how.jit_compile else 'not compiled'} ({how.jit_reason})",
        f"ops {'deterministic' if how.deterministic else 'in any order'} ({how.deterministic_reason})",
    ]
    most = max(how.step_bytes, default=0)
    each = " on each device" if len(how.devices) > 1 else ""
    return "; ".join([*said, *([f"a step takes about {size_text(most)}{each}"] if most else [])])


def _head_text(head, outputs: str) -> str:
    name = type(head).__name__
    hidden = f", hidden layers of {', '.join(map(str, head.hidden))}" if hasattr(head, "hidden") else ""
    dropout = f", dropout {head.dropout:g}" if head.dropout else ""
    return f"{name}: {head.pooling} pooling{hidden}{dropout}, {head.outputs} {outputs}, kernel from {head.kernel}"


def _stages(plan: Plan, backbone: BackboneFacts) -> rich.table.Table:
    """Returns what each stage trains, and what that takes."""
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("stage", "trains", "frozen", "batch\nnorm"):
        table.add_column(name, overflow="fold")
    for name in ("steps", "weights\nthat train", "optimizer\nslots"):
        table.add_column(name, justify="right", no_wrap=True)
    groups = [group.name for group in backbone.groups]
    is_measured = any(plan.how.stage_seconds)
    if is_measured:
        table.add_column("takes\nabout", justify="right", no_wrap=True)
    for stage, seconds in zip(plan.what.stages, plan.how.stage_seconds, strict=True):
        trained, frozen = trained_and_frozen(stage, groups)
        table.add_row(
            rich.text.Text(clean(stage.name)),
            rich.text.Text(clean(trained)),
            rich.text.Text(clean(frozen or "–")),
            stage.batch_norm if stage.trained else "frozen",
            f"{stage.steps:,}",
            f"{stage.trainable_weights:,}",
            size_text(stage.slot_bytes),
            *([duration_text(seconds)] if is_measured else []),
        )
    return table


def _speeds(plan: Plan, backbone: BackboneFacts) -> rich.table.Table:
    """Returns how fast each stage moves what it trains."""
    table = rich.table.Table.grid(padding=(0, 3, 0, 0))
    table.add_column(overflow="fold", max_width=_WIDTH // 4)
    table.add_column()
    names = [clean(f" {stage.name}") for stage in plan.what.stages]
    width = _WIDTH - min(_WIDTH // 4, max(map(len, names))) - 3
    groups = [group.name for group in backbone.groups]
    for name, stage in zip(names, plan.what.stages, strict=True):
        how = [_optimizer_text(stage.optimizer), _schedule_text(stage), *_extras(stage)]
        table.add_row(rich.text.Text(name), rich.text.Text(_wrapped(how, " · ", width)))
        if stage.unfreezing.wakings:
            table.add_row("", rich.text.Text(_wrapped(_wakings(stage, groups), ", ", width)))
        table.add_row("", rich.text.Text(_wrapped(rates_of(stage, groups), ", ", width)))
        if cache := plan.cache_of(stage.name):
            table.add_row("", rich.text.Text(_wrapped(_cache(cache, stage), ", ", width)))
    return table


def _wrapped(parts: list[str], separator: str, width: int) -> str:
    """Returns `parts` in lines of `width`, none torn apart that fits in one."""
    lines = [clean(parts[0])]
    for part in map(clean, parts[1:]):
        if len(lines[-1]) + len(separator) + len(part) >= width:
            lines[-1] += separator.rstrip()
            lines.append(part)
        else:
            lines[-1] += separator + part
    return "\n".join(lines)


def _optimizer_text(optimizer: Optimizer) -> str:
    if isinstance(optimizer, Adam):
        peak = "" if optimizer.beta_1_at_peak == "same" else f" (at the peak {optimizer.beta_1_at_peak:g})"
        where = " as in PyTorch" if optimizer.epsilon_of == "pytorch" else ""
        return f"Adam {optimizer.beta_1:g}{peak}, {optimizer.beta_2:g}, epsilon {optimizer.epsilon:g}{where}"
    if not optimizer.momentum:
        return "SGD without momentum"
    return f"SGD, {'Nesterov ' if optimizer.nesterov else ''}momentum {optimizer.momentum:g}"


def _schedule_text(stage: StagePlan) -> str:
    plural = "s" if stage.warmup_steps > 1 else ""
    rise = f" after {stage.warmup_steps:,} step{plural} of warm-up" if stage.warmup_steps else ""
    if stage.schedule == "cosine":
        return f"cosine to 0{rise}"
    if stage.schedule == "constant":
        return f"constant{rise}"
    if stage.schedule == "staircase":
        return f"a tenth behind steps {', '.join(f'{step:,}' for step in stage.decay_steps)}{rise}"
    start = f" from {stage.cycle_start:g} of the peak" if stage.schedule == "one_cycle" else ""
    return f"{stage.schedule.replace('_', ' ')}{start}, peak at step {stage.warmup_steps:,}"


def _extras(stage: StagePlan) -> list[str]:
    coupled = getattr(stage.optimizer, "decay_in_gradient", False)
    numbers = (
        (f"weight decay{' in the gradient' if coupled else ''}", stage.weight_decay),
        ("clip norm", stage.clip_norm),
        ("label smoothing", stage.label_smoothing),
    )
    said = ["head rescaled first"] * stage.rescale_head + [f"{name} {value:g}" for name, value in numbers if value]
    said += ["ends with the weights of its best epoch"] * stage.restore_best_weights
    return said + ["statistics measured anew at the end"] * stage.refresh_statistics


def _cache(cache: StageCache, stage: StagePlan) -> list[str]:
    """Returns what is computed once for a stage, and what that takes and saves."""
    views = f" with {stage.views} views each" if stage.views > 1 else ""
    source = "" if cache.source == PIXELS else f" from {cache.source}"
    where = {"memory": "in memory", "disk": "on disk"}[cache.store]
    said = [f"computed once: up to {cache.cut}{source}", f"{size_text(cache.row_bytes)} a picture in {cache.precision}"]
    said.append(f"{size_text(cache.bytes)}{views} {where}")
    return said + ([f"saves about {duration_text(cache.seconds_saved)}"] if cache.seconds_saved else [])


def _wakings(stage: StagePlan, groups: Sequence[str]) -> list[str]:
    """Returns what wakes when, epochs and steps counted from 1 as in the output of training."""
    planned = stage.unfreezing
    spans = [_spans([name in names for name in groups] + [False], groups) for names in planned.wakings]
    start = _spans([name in stage.awake(0) for name in groups] + [True], groups)
    plural = "s" if planned.epochs > 1 else ""
    if planned.by == "stall":
        begin = f"wakes when {planned.monitor} stalls for {planned.epochs} epoch{plural}: {start} at first"
        return [begin, *(f"then {span}" for span in spans)]
    if planned.by == "search":
        begin = (
            f"tries for {planned.epochs} epoch{plural} each and keeps what improves {planned.monitor}: {start} at first"
        )
        return [begin, *(f"then {span}" for span in spans)]
    unit = planned.by.removesuffix("s")
    said = [f"{span} from {unit} {time + 1:,}" for span, time in zip(spans, planned.times, strict=True)]
    return [f"wakes: {start} at first", *said]


def trained_and_frozen(stage: StagePlan, groups: Sequence[str]) -> tuple[str, str]:
    """Returns which layer groups a stage trains, the head among them, and which it does not; "" for none.

    Args:
        stage: decided.
        groups: names of all groups of the backbone, input first.
    """
    parts = [*_parts(stage, groups), "all"]
    return _shares(parts, groups, "part of "), _shares([_REST[part] for part in parts], groups, "rest of ")


def _parts(stage: StagePlan, groups: Sequence[str]) -> list[str]:
    """Returns whether all, some or none of the layers of each group train."""
    layers = dict(zip(stage.trained, stage.trained_layers, strict=True))
    return ["none" if name not in layers else "some" if layers[name] else "all" for name in groups]


def _spans(chosen: list[bool], groups: Sequence[str]) -> str:
    """Returns the runs of groups that are chosen, the head being the last."""
    return _shares(["all" if is_chosen else "none" for is_chosen in chosen], groups, "")


def _shares(parts: list[str], groups: Sequence[str], partly: str) -> str:
    """Returns the runs of groups of which all are meant, or some after the word `partly`, the head being the last."""
    runs = itertools.groupby(zip([*groups, "head"], parts, strict=True), key=lambda pair: pair[1])
    return ", ".join(
        (partly if part == "some" else "") + _span([name for name, _ in run], groups)
        for part, run in runs
        if part != "none"
    )


def _span(names: list[str], groups: Sequence[str]) -> str:
    """Returns the first and last of a run of groups, by the names of their stages where the run does not cut them."""
    if len(names) == 1:
        return names[0]
    first, last = (name.partition(".")[::2] for name in (names[0], names[-1]))
    if first[0] == last[0] and sum(name.startswith(f"{first[0]}.") for name in groups) > len(names):
        return f"{names[0]}…{last[1]}"
    ends = []
    for end, at in ((names[0], 0), (names[-1], -1)):
        stage = end.partition(".")[0]
        blocks = [name for name in groups if name.startswith(f"{stage}.")]
        ends.append(stage if blocks and end == blocks[at] else end)
    return ends[0] if ends[0] == ends[1] else "…".join(ends)


def rates_of(stage: StagePlan, groups: Sequence[str]) -> list[str]:
    """Returns the peak rate of each trained group: by stages of the network, neighbours with equal ones together."""
    rates = dict(zip(stage.trained, stage.rates, strict=True)) | {"head": 1.0}
    runs: list[tuple[list[str], str]] = []
    before = ""
    for _, run in itertools.groupby([*groups, "head"], lambda name: (name.partition(".")[0], name in rates)):
        names = list(run)
        own = {f"{rates[name] * stage.learning_rate:.2g}" for name in names if name in rates}
        text = "–".join(sorted(own, key=float)[:: max(1, len(own) - 1)])
        if text and text == before:
            runs[-1][0].extend(names)
        elif text:
            runs.append((names, text))
        before = text if len(own) == 1 else ""
    first, *rest = [f"{_span(names, groups)} {text}" for names, text in runs]
    if stage.bias_rate != 1:
        rest.append(f"biases {stage.bias_rate:g} times as much")
    if stage.group_rates == "auto_rgn":
        return [f"peak rates: at most {first}", *rest, "measured in each epoch (auto-RGN)"]
    return [f"peak rates: {first}", *rest]
