"""A comparison as text for a terminal, 100 characters wide, and as HTML with nothing outside it."""

import rich.box
import rich.table
import rich.text

from tfxfer import web_page
from tfxfer.comparison.result import Comparison, Contender, Difference, Reached, Spread
from tfxfer.display import clean, console_with, duration_text, percent_text, text_of

# Behind an interval that only tells what other test examples would change.
_ONE_SEED = ", other seeds not counted"
_MARK = " *"


def text_page(compared: Comparison) -> str:
    """Returns the page that `tfxfer compare` prints."""
    console = console_with(_facts(compared))
    headings, *rows = _rows(compared)
    table = rich.table.Table(box=rich.box.SIMPLE, show_edge=False, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left", no_wrap=number > 0)
    for row in rows:
        table.add_row(*(rich.text.Text(clean(cell)) for cell in row))
    console.print(table)
    for line in conclusions(compared):
        console.print(rich.text.Text(clean(line)))
    return text_of(console).rstrip("\n")


def html_page(compared: Comparison, curves: bytes) -> str:
    """Returns the page as HTML; `curves` is a PNG."""
    headings, *rows = _rows(compared)
    return web_page.render(
        "Comparison",
        _PAGE,
        style=_STYLE,
        facts=_facts(compared),
        headings=headings,
        rows=rows,
        conclusions=conclusions(compared),
        contenders=compared.contenders,
        several=max(_runs(compared), default=0) > 1,
        curves=curves,
    )


def conclusions(compared: Comparison) -> list[str]:
    """Returns what the figures say, a sentence each, the most important first."""
    first, *others = compared.contenders
    found = {one.name: one for one in compared.differences}
    lines = []
    for contender in others:
        if contender.name in found:
            lines += _difference_in_words(first.name, found[contender.name])
        lines += _speed_in_words(compared, first, contender)
    if not any(step is not None for one in compared.contenders for step in one.reached.each):
        best = max(point.accuracy for one in compared.contenders for run in one.outcomes for point in run.points)
        lines.append(f"No run reached {percent_text(compared.level)}; the highest measured was {percent_text(best)}.")
    for contender in compared.contenders:
        ended = sum(not outcome.diverged for outcome in contender.outcomes)
        if 0 < ended < len(contender.outcomes):
            lines.append(
                f"{contender.name}: {ended} of {len(contender.outcomes)} seeds ended, and its figures are theirs."
            )
        for outcome in contender.outcomes:
            if outcome.diverged:
                lines.append(f"{contender.name} with seed {outcome.seed} diverged: {outcome.diverged}")
    if 1 in _runs(compared):
        lines.append(f"{_MARK.strip()} of one run: what another seed would change is not in the interval.")
    return lines


def _runs(compared: Comparison) -> set[int]:
    """Returns how many runs stand behind the figures of contenders."""
    return {one.test.runs for one in compared.contenders if one.test is not None}


def _facts(compared: Comparison) -> list[tuple[str, str]]:
    train, validation, test = compared.examples
    level = f"{percent_text(compared.level)} on validation examples"
    level += ", as asked for" if compared.level_given else ", what the mean of the worst ended with"
    seeds = ", ".join(map(str, compared.seeds))
    batches = {one.batch_size for one in compared.contenders}
    size = f", of {batches.pop()} examples" if len(batches) == 1 else ""
    return [
        ("data", f"{compared.source}: {train:,} train, {validation:,} validation, {test:,} test; "
         f"{compared.classes} classes"),
        ("splits", f"{compared.split}; the same in all runs"),
        ("budget", f"{compared.steps:,} optimizer steps each{size}"),
        ("seeds", f"{seeds}, of heads, random weights, order and views"),
        ("steps to", level),
        ("machine", compared.machine),
    ]  # fmt: skip


def _rows(compared: Comparison) -> list[tuple[str, ...]]:
    """Returns the table, its headings first."""
    rows = [("", "test accuracy (95 %)", "validation", f"steps to {percent_text(compared.level)}", "seconds", "in all")]
    for one in compared.contenders:
        there = one.reached
        seconds = "–" if there.seconds is None else f"{'≤ ' * there.at_most}{there.seconds:.1f}"
        rows.append(
            (
                one.name,
                "diverged" if one.test is None else f"{_interval(one.test)}{_MARK * (one.test.runs == 1)}",
                "–" if one.validation is None else percent_text(one.validation.value),
                _steps(there),
                seconds,
                "–" if one.seconds is None else f"{one.seconds.value:.1f}",
            )
        )
    return rows


def _interval(found: Spread) -> str:
    return f"{percent_text(found.value)} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _steps(there: Reached) -> str:
    """Returns when the mean was there, and how many of the runs got there if not all did."""
    if not there.each:
        return "–"
    got = [step for step in there.each if step is not None]
    some = "" if len(got) == len(there.each) else f" ({len(got)} of {len(there.each)} runs)"
    if there.steps is None:
        return f"not reached{some}"
    return f"{'≤ ' * there.at_most}{there.steps:,.0f}{some}"


def _difference_in_words(first: str, found: Difference) -> list[str]:
    mean = found.mean
    word = "no difference is shown" if mean.low <= 0 <= mean.high else "better" if mean.value > 0 else "worse"
    lines = [
        f"{found.name} against {first}: {100 * mean.value:+.1f} points on test examples "
        f"({100 * mean.low:+.1f} to {100 * mean.high:+.1f}{_ONE_SEED if mean.runs == 1 else ''}): {word}."
    ]
    if len(found.each) > 1:
        pairs = [(100 * one.value, 100 * one.low, 100 * one.high) for one in (pair.difference for pair in found.each)]
        each = ", ".join(f"{value:+.1f} ({low:+.1f} to {high:+.1f})" for value, low, high in pairs)
        lines.append(f"  each seed, both on the same {found.each[0].examples:,} test examples: {each}")
    return lines


def _speed_in_words(compared: Comparison, first: Contender, other: Contender) -> list[str]:
    """Returns how many times as long one took; nothing where one of the two never got there."""
    ours, theirs = first.reached, other.reached
    if ours.steps is None or theirs.steps is None:
        return []
    level = percent_text(compared.level)
    if ours.at_most and theirs.at_most:
        return [f"{first.name} and {other.name} had reached {level} when they were first measured."]
    about = "at least " if ours.at_most else "at most " if theirs.at_most else ""
    return [
        f"{other.name} took {about}{theirs.steps / ours.steps:.2g} × the steps of {first.name} to {level} "
        f"({theirs.steps:,.0f} and {ours.steps:,.0f}), {about}{theirs.seconds / max(ours.seconds, 1e-9):.2g} × the "
        f"seconds ({duration_text(theirs.seconds)} and {duration_text(ours.seconds)})."
    ]


_STYLE = """\
p { white-space: pre-line }
"""
_PAGE = """\
<h1>{% for one in contenders %}{{ one.name | clean }}{% if not loop.last %} · {% endif %}{% endfor %}</h1>
{%- for line in conclusions %}
<p>{{ line | clean }}</p>
{%- endfor %}
<table>
<tr>{% for name in headings %}<th{% if not loop.first %} class="number"{% endif %}>{{ name }}</th>{% endfor %}</tr>
{%- for row in rows %}
<tr>{% for cell in row %}<td{% if not loop.first %} class="number"{% endif %}>{{ cell | clean }}</td>{% endfor %}</tr>
{%- endfor %}
</table>
<p><img alt="validation accuracy over steps and over seconds" src="{{ curves | inline }}"></p>
<p>{% if several %}Means over seeds; bands are 95 % intervals of them (Student's t).
{% endif %}The dotted line is the accuracy that steps and
seconds are told to. Seconds are of training, with what
is computed once before, and without looks at validation within epochs. Intervals of test accuracies and of their
differences are for other {% if several %}seeds and other test examples together, where more than one run ended
{%- else %}test examples alone: one run tells nothing of other seeds{% endif %}.</p>
<table>
{%- for name, text in facts %}
<tr><th>{{ name }}</th><td>{{ text | clean }}</td></tr>
{%- endfor %}
</table>
<h2>What differs</h2>
{%- for one in contenders %}
<p><b>{{ one.name | clean }}</b>{% if not one.differs %}: what the others are compared with{% endif %}</p>
{%- if one.differs %}
<ul>{% for line in one.differs %}<li>{{ line | clean }}</li>{% endfor %}</ul>
{%- endif %}
{%- endfor %}
"""
