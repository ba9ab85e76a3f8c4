"""What people see of a plan and of results, as text of a given width: the terminal and `plan.txt` show the same."""

import io

import rich.box
import rich.console
import rich.table
import rich.text

from tfxfer.facts import BackboneFacts, DataFacts
from tfxfer.plans import Plan, StagePlan

_WIDTH = 120


def plan_text(plan: Plan, data: DataFacts, backbone: BackboneFacts, *, colour: bool = False) -> str:
    """Returns the plan as it is printed before anything trains.

    Args:
        plan: to show.
        data: what the examples are.
        backbone: what the network starts from.
        colour: whether to use a terminal's colours.
    """
    console = rich.console.Console(
        file=io.StringIO(),
        width=_WIDTH,
        force_terminal=colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    facts = rich.table.Table.grid(padding=(0, 2))
    for name, text in _facts(plan, data, backbone):
        facts.add_row(rich.text.Text(name, "bold"), rich.text.Text(clean(text)))
    console.print(facts)
    console.print(_stages(plan, backbone))
    for reason in plan.reasons:
        console.print(rich.text.Text(f"· {clean(reason)}"))
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())


def clean(text: str) -> str:
    """Returns `text` without control characters, which a file name could carry into a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)


def size_text(number: float) -> str:
    """Returns a number of bytes with its unit: `13.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if round(number) < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("unreachable")


def duration_text(seconds: float) -> str:
    """Returns a duration: `8.2 s`, `3 min 10 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _facts(plan: Plan, data: DataFacts, backbone: BackboneFacts) -> list[tuple[str, str]]:
    names = data.class_names
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    what, how = plan.what, plan.how
    parameters = sum(group.parameters for group in backbone.groups)
    rows = [
        ("data", f"{data.source}: {data.train_examples:,} train, {sum(data.validation_counts):,} validation, "
                 f"{sum(data.test_counts):,} test ({data.split})"),
        ("classes", shown),
        ("backbone", f"{what.backbone}, {backbone.weights} weights, {len(backbone.groups)} layer groups, "
                     f"{parameters:,} weights, {backbone.feature_channels} features"),
        ("pixels", f"{what.image_size}×{what.image_size} ({what.resize}), {size_text(how.pixel_bytes)} in "
                   f"{how.pixel_store}; "
                   f"the network's own scale, {backbone.card.pixels}, is applied in its graph"),
        ("head", _head_text(what.head)),
        ("steps", f"of {what.batch_size} examples on {', '.join(how.devices)}, "
                  f"SGD with Nesterov momentum 0.9, seed {what.seed}"),
    ]  # fmt: skip
    if data.skipped:
        rows.insert(1, ("left out", f"{len(data.skipped)} unreadable images (listed in the report)"))
    return rows


def _head_text(head) -> str:
    name = type(head).__name__
    hidden = f", hidden layers of {', '.join(map(str, head.hidden))}" if hasattr(head, "hidden") else ""
    dropout = f", dropout {head.dropout:g}" if head.dropout else ""
    return f"{name}: {head.pooling} pooling{hidden}{dropout}, {head.outputs} logits, kernel from {head.kernel}"


def _stages(plan: Plan, backbone: BackboneFacts) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for name in ("stage", "trains", "frozen", "batch\nnorm"):
        table.add_column(name, overflow="fold")
    for name in (
        "steps",
        "peak\nrate",
        "rates of\ngroups",
        "weights\nthat train",
        "optimizer\nslots",
        "computed\nonce",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    groups = [group.name for group in backbone.groups]
    cached = dict(zip(plan.how.cached_stages, plan.how.cached_bytes, strict=True))
    for stage in plan.what.stages:
        frozen = groups[: len(groups) - len(stage.trained)]
        table.add_row(
            rich.text.Text(clean(stage.name)),
            rich.text.Text(clean(_span([*stage.trained, "head"], groups))),
            rich.text.Text(clean(_span(frozen, groups) if frozen else "–")),
            stage.batch_norm if stage.trained else "frozen",
            f"{stage.steps:,}",
            f"{stage.learning_rate:.3g}",
            _rates(stage),
            f"{stage.trainable_weights:,}",
            size_text(stage.slot_bytes),
            size_text(cached[stage.name]) if stage.name in cached else "–",
        )
    return table


def _span(names: list[str], groups: list[str]) -> str:
    """Returns the first and last of a run of groups, by the names of their stages where the run does not cut them."""
    if len(names) == 1:
        return names[0]
    ends = []
    for end, at in ((names[0], 0), (names[-1], -1)):
        stage = end.partition(".")[0]
        blocks = [name for name in groups if name.startswith(f"{stage}.")]
        ends.append(stage if blocks and end == blocks[at] else end)
    return ends[0] if ends[0] == ends[1] else "…".join(ends)


def _rates(stage: StagePlan) -> str:
    if not stage.rates:
        return "–"
    low, high = (rate * stage.learning_rate for rate in (min(stage.rates), max(stage.rates)))
    return f"{low:.2g}" if low == high else f"{low:.2g}–{high:.2g}"
