"""What `tfxfer data check` shows: one page, as text for a terminal and as HTML. Names are cleaned, and escaped."""

from collections.abc import Sequence

import rich.box
import rich.padding
import rich.table
import rich.text

from tfxfer import web_page
from tfxfer.display import clean, console_with, text_of
from tfxfer.inspection.finding import Finding
from tfxfer.inspection.inspected import Inspected
from tfxfer.tasks import Task

# Of classes, on a terminal: the largest and the smallest.
_ROWS = 30
# Pairs of labels that are told of.
_TOGETHER = 5
_OF_TARGETS = (
    "least", "quarter", "half", "3/4", "largest", "mean", "deviation", "train", "valid.", "test",
)  # fmt: skip
_COLOURS = {"error": "bold red", "warning": "yellow", "note": ""}


def text_page(inspected: Inspected, findings: Sequence[Finding], *, colour: bool = False) -> str:
    """Returns the page for a terminal, 100 characters wide."""
    console = console_with(_facts(inspected), colour=colour)
    console.print(_targets(inspected) if inspected.targets else _classes(inspected))
    for finding in findings:
        line = rich.text.Text()
        line.append(f"{finding.severity}: ", _COLOURS[finding.severity])
        line.append("\n".join(map(clean, finding.what.splitlines())))
        console.print(line)
        for where in finding.where:
            console.print(rich.padding.Padding(rich.text.Text(clean(where)), (0, 0, 0, 4)))
        if finding.fix:
            console.print(rich.padding.Padding(rich.text.Text(f"→ {finding.fix}"), (0, 0, 0, 2)))
    console.print(rich.text.Text(verdict(findings), "bold"))
    return text_of(console)


def html_page(inspected: Inspected, findings: Sequence[Finding], sheet: bytes = b"") -> str:
    """Returns the page as HTML, with nothing outside it.

    Args:
        inspected: what was found out.
        findings: what is wrong with it.
        sheet: a PNG of the pairs in `shown_pairs`; empty for none.
    """
    return web_page.render(
        inspected.source,
        _PAGE,
        style=_STYLE,
        inspected=inspected,
        facts=_facts(inspected),
        findings=findings,
        verdict=verdict(findings),
        largest=max((one.images for one in inspected.classes), default=1) or 1,
        sheet=sheet,
        pairs=shown_pairs(inspected) if sheet else (),
        targets=target_rows(inspected),
        of_targets=_OF_TARGETS,
        what="label" if inspected.kind == "multi_label" else "class",
    )


def shown_pairs(inspected: Inspected) -> tuple:
    """Returns the pairs of nearly the same pictures that the contact sheet shows, the worst ones first."""
    near = inspected.near
    return (*near.across_splits.first, *near.across_classes.first, *near.within.first)[:24]


def verdict(findings: Sequence[Finding]) -> str:
    """Returns the end of the page: how many errors and warnings there are."""
    errors, warnings = (sum(one.severity == kind for one in findings) for kind in ("error", "warning"))
    if not errors and not warnings:
        return "nothing wrong was found."
    told = ", ".join(
        f"{count} {name}{'s' if count > 1 else ''}"
        for count, name in ((errors, "error"), (warnings, "warning"))
        if count
    )
    return f"{told}. " + ("Training refuses the data as they are." if errors else "Training goes ahead.")


def _facts(inspected: Inspected) -> list[tuple[str, str]]:
    readable = inspected.images - len(inspected.unreadable)
    names = f"{len(inspected.classes) or len(inspected.targets):,}"
    called = Task(kind=inspected.kind).answers(0).removeprefix("0").removesuffix("s" * (names == "1"))
    rows = [("data", f"{inspected.source}: {inspected.images:,} images, {names}{called}")]
    if inspected.split:
        train, validation, test = inspected.in_splits
        rows.append(("splits", f"{train:,} train, {validation:,} validation, {test:,} test ({inspected.split})"))
    if readable:
        low, middle, high = inspected.heights
        least, median, most = inspected.widths
        rows.append(("height", f"{low:,} to {high:,} pixels, half of them up to {middle:,}"))
        rows.append(("width", f"{least:,} to {most:,} pixels, half of them up to {median:,}"))
        rows.append(("pixels", ", ".join(f"{mode} {count:,}" for mode, count in inspected.modes)))
    if facts := inspected.labels:
        rows.append(("labels", f"{facts.mean:.2g} an image, at most {facts.most}; {facts.unlabelled:,} have none"))
        pairs = [f"{one.one} + {one.other} {one.images:,} (of {one.of[0]:,} and {one.of[1]:,})"
                 for one in facts.together[:_TOGETHER]]  # fmt: skip
        rows.append(("together", ", ".join(pairs) or "no two labels stand on one image"))
    return rows


def _targets(inspected: Inspected) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("target")
    for heading in _OF_TARGETS:
        table.add_column(heading, justify="right")
    for name, cells in target_rows(inspected):
        table.add_row(rich.text.Text(clean(name)), *cells)
    return table


def target_rows(inspected: Inspected) -> list[tuple[str, list[str]]]:
    """Returns of each number its name and what the table shows of it."""
    rows = []
    for one in inspected.targets:
        numbers = (*one.quartiles, one.mean, one.deviation)
        means = ["" if mean is None else f"{mean:.4g}" for mean in one.split_means]
        rows.append((one.name, [*(f"{number:.4g}" for number in numbers), *means]))
    return rows


def _classes(inspected: Inspected) -> rich.table.Table:
    table = rich.table.Table(box=rich.box.SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("label" if inspected.kind == "multi_label" else "class")
    for heading in ("train", "validation", "test", "images"):
        table.add_column(heading, justify="right")
    shown = sorted(inspected.classes, key=lambda one: -one.images)
    left_out = len(shown) - _ROWS
    if left_out > 0:
        shown = [*shown[: _ROWS // 2], None, *shown[-_ROWS // 2 :]]
    for one in shown:
        if one is None:
            table.add_row(f"… {left_out:,} more", "", "", "", "")
            continue
        counts = (one.train, one.validation, one.test, one.images)
        known = bool(inspected.split)
        told = [f"{count:,}" if known or place == 3 else "" for place, count in enumerate(counts)]
        table.add_row(rich.text.Text(clean(one.name)), *told)
    return table


_STYLE = """\
.bar { background: #8ab; height: .7em; min-width: 1px }
.finding { border-left: 4px solid #bbb; padding: .1em 1em; margin: 1em 0 }
.error { border-color: #c22 } .warning { border-color: #e90 }
.what { white-space: pre-line }
"""
_PAGE = """\
<h1>{{ inspected.source | clean }}</h1>
<p><b>{{ verdict }}</b></p>
<table>
{%- for name, text in facts %}
<tr><th>{{ name }}</th><td>{{ text | clean }}</td></tr>
{%- endfor %}
</table>
{%- for finding in findings %}
<div class="finding {{ finding.severity }}">
<p class="what"><b>{{ finding.severity }}</b>: {{ finding.what | clean }}</p>
{%- if finding.where %}
<ul>{% for where in finding.where %}<li>{{ where | clean }}</li>{% endfor %}</ul>
{%- endif %}
{%- if finding.fix %}
<p>→ {{ finding.fix }}</p>
{%- endif %}
</div>
{%- endfor %}
{%- if sheet %}
<h2>Nearly the same</h2>
<p><img alt="pairs of images" src="{{ sheet | inline }}"></p>
<ol>
{%- for one, other in pairs %}
<li>{{ one.name | clean }} ({{ one.split }} {{ one.class_name | clean }}),
{{ other.name | clean }} ({{ other.split }} {{ other.class_name | clean }})</li>
{%- endfor %}
</ol>
{%- endif %}
{%- if targets %}
<h2>Targets</h2>
<p>Up to a quarter, half and three quarters of them; means of all, and of each split.</p>
<table>
<tr><th>target</th>{% for name in of_targets %}<th class="number">{{ name }}</th>{% endfor %}</tr>
{%- for name, cells in targets %}
<tr><td>{{ name | clean }}</td>{% for cell in cells %}<td class="number">{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
{%- else %}
<h2>{{ "Labels" if what == "label" else "Classes" }}</h2>
<table>
<tr><th>{{ what }}</th><th class="number">train</th><th class="number">validation</th><th class="number">test</th>
<th class="number">images</th></tr>
{%- for one in inspected.classes %}
<tr><td>{{ one.name | clean }}</td><td class="number">{{ one.train }}</td><td class="number">{{ one.validation }}</td>
<td class="number">{{ one.test }}</td><td class="number">{{ one.images }}</td>
<td style="width: 20em"><div class="bar" style="width: {{ 100 * one.images // largest }}%"></div></td></tr>
{%- endfor %}
</table>
{%- endif %}
"""
