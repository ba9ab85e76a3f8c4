"""Advice as one HTML file, with nothing outside it: facts, quarter of the table, what was measured, what to do."""

import pathlib

from tfxfer import files, web_page
from tfxfer.advice import concluding, plots, ranking_page, wording
from tfxfer.advice.page import classes_of, groups_of
from tfxfer.advice.ranking_result import Ranking
from tfxfer.advice.result import Advice, Measurements
from tfxfer.display import duration_text, percent_text

# What the textbooks add to the preset of a case, by (small, similar to pretraining).
_BESIDES = {(False, True): ", starting from the weights", (False, False): "; textbooks begin with random weights"}


def write(advice: Advice, path: pathlib.Path, *, ranking: Ranking | None = None, overwrite: bool = False) -> None:
    """Writes the page.

    Args:
        advice: to show.
        path: of an HTML file.
        ranking: that came to the backbone of the advice.
        overwrite: whether it may be there.

    Raises:
        ConfigError: it is called otherwise.
        WorkdirError: it is there and may not be, or cannot be written.
    """
    files.check_page(path, overwrite=overwrite)
    with files.replacing(path, overwrite=overwrite) as beside:
        beside.write_text(html_page(advice, ranking), encoding="utf-8")


def html_page(advice: Advice, ranking: Ranking | None = None) -> str:
    """Returns the page as HTML; names are cleaned, and escaped."""
    measured = advice.measured
    return web_page.render(
        f"Advice: {advice.data.source}",
        _PAGE,
        style=_STYLE,
        percent=percent_text,
        advice=advice,
        measured=measured,
        race=advice.race,
        ranking=ranking,
        ranking_page=ranking_page,
        facts=_facts(advice),
        table=_table(measured),
        several=sum(here for _, cells in _table(measured) for _, here in cells) > 1,
        depths=plots.depths(advice),
        curve=plots.curve(measured),
        of_curve=wording.of_curve(measured),
        expected=wording.expected(measured),
        scale=plots.similarity(measured),
        nearest_class=wording.nearest_class(measured),
        beyond=wording.beyond(measured),
        metric=wording.NAMES[measured.metric][0],
        figure=lambda estimate: wording.figure(measured.metric, estimate),
        targets=[
            (name, wording.target(one)) for name, one in zip(advice.data.class_names, measured.targets, strict=False)
        ],
    )


def _facts(advice: Advice) -> list[tuple[str, str]]:
    """Returns what was looked at, by name."""
    data, measured = advice.data, advice.measured
    examples = f"{data.train_examples:,} training examples, {classes_of(data)}"
    if advice.copies:
        examples += f"; {advice.copies:,} are copies of others, which were left out"
    if measured.examples < data.train_examples - advice.copies:
        examples += f"; {measured.examples:,} were drawn"
    seconds = f"{duration_text(measured.seconds)} for one inference pass, "
    return [
        ("data", f"{data.source}: {examples}"),
        *(("groups", text) for text in groups_of(measured)),
        ("backbone", f"{advice.backbone} at {measured.image_size}×{measured.image_size} pixels"),
        ("labels", f"{wording.agreement(measured)}; p = {measured.learnable.p_value:.2g} for labels without meaning"),
        ("without it", wording.without_looking(measured)),
        ("16×16 pixels", wording.score(measured, measured.pixels)),
        ("seconds", f"{seconds}{duration_text(measured.scoring_seconds)} for all that was taken from it"),
    ]


def _table(measured: Measurements) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Returns the rows of the table of four cases, each cell with whether it may be this one."""
    small = {concluding.is_small(measured)} if measured.metric == "accuracy" else {True, False}
    similar = {concluding.is_similar(measured)} if concluding.is_comparable(measured) else {True, False}
    return [
        (name, [(_case(one, other), one in small and other in similar) for other in (True, False)])
        for one, name in ((True, "small"), (False, "large"))
    ]


def _case(small: bool, similar: bool) -> str:
    what = concluding.TRAINED[concluding.TABLE[small, similar]]
    return f"train {what}{_BESIDES.get((small, similar), '')}"


_STYLE = """\
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.cases td, .cases th { border: 1px solid #999; padding: .6em 1em; width: 15em } .cases th { background: #f2f2f2 }
.cases .here { border: 4px solid #222; font-weight: bold; background: #e8f0f8 }
.best td { font-weight: bold; border-top: 1px solid #222; border-bottom: 1px solid #222 }
.why { margin: 0 0 .8em; color: #444 }
"""
_PAGE = """\
<h1>Advice: {{ advice.data.source | clean }}</h1>
<p><b>{{ advice.conclusions[0].advice | clean }}</b></p>
<table>
{%- for name, text in facts %}
<tr><th>{{ name }}</th><td>{{ text | clean }}</td></tr>
{%- endfor %}
</table>
{%- if ranking %}
<h2>Backbones</h2>
<table>
<tr>{% for name in ranking_page.columns(ranking) %}<th{% if loop.index > 4 %} class="number"{% endif %}>{{ name }}</th>
{%- endfor %}</tr>
{%- for row in ranking.rows %}
<tr{% if row.handle == ranking.chosen.handle %} class="best"{% endif %}>
{%- for text in ranking_page.cells(ranking, row) -%}
<td{% if loop.index > 4 %} class="number"{% endif %}>{{ text }}</td>
{%- endfor %}</tr>
{%- endfor %}
</table>
{%- for text in ranking_page.legend(ranking) %}
<p class="why">{{ text }}</p>
{%- endfor %}
{%- for one in ranking.left_out %}
<p class="why">not ranked: {{ one.handle | clean }}: {{ one.reason | clean }}</p>
{%- endfor %}
<p>{{ ranking_page.choice(ranking) }} What follows is about {{ ranking.chosen.handle | clean }}.</p>
{%- endif %}
<h2>Which case this is</h2>
<p>{{ advice.quarter or "similarity to what the network was pretrained on is not known" }}
{%- if several %}: one of the marked cells{% endif %}.</p>
<table class="cases">
<tr><th>data</th><th>similar to pretraining</th><th>different from it</th></tr>
{%- for name, cells in table %}
<tr><th>{{ name }}</th>
{%- for text, here in cells %}<td{% if here %} class="here"{% endif %}>{% if here %}▶ {% endif %}{{ text }}</td>
{%- endfor %}</tr>
{%- endfor %}
</table>
<p class="why">What the textbooks say, not what was tried. Small: twice the labels are expected to bring two points or
more.</p>
<h2>What was measured</h2>
<p><img alt="{{ metric }} by depth; the table has the same numbers" src="{{ depths | inline }}"></p>
<table>
<tr><th>features of</th><th class="number">width</th><th class="number">MB</th>
<th class="number">{{ metric }}, left out (95 %)</th>
{%- if measured.metric == "accuracy" %}<th class="number">5 neighbours</th>{% endif %}<th></th></tr>
{%- for depth in measured.depths %}
<tr{% if depth.name == measured.best %} class="best"{% endif %}><td>{{ depth.name | clean }}</td>
<td class="number">{{ depth.width }}</td><td class="number">{{ "{:.1f}".format(depth.megabytes) }}</td>
<td class="number">{{ figure(depth.linear) }}</td>
{%- if measured.metric == "accuracy" %}<td class="number">{{ percent(depth.neighbours.value) }}</td>{% endif %}
<td>{% if depth.name == measured.best %}← best{% endif %}{% if depth.name == advice.at %} ✂ cut{% endif %}</td></tr>
{%- endfor %}
</table>
{%- if expected %}
<p>{{ expected | clean }}.</p>
{%- endif %}
{%- if targets %}
<h3>Each of them, at {{ measured.best | clean }}</h3>
<p>By ridge regression alone: nearest neighbours and forecasts are for classes.</p>
<table>
{%- for name, text in targets %}
<tr><th>{{ name | clean }}</th><td>{{ text }}</td></tr>
{%- endfor %}
</table>
{%- endif %}
{%- if curve %}
<h3>More labels</h3>
<p><img alt="accuracy by number of examples, measured and forecast" src="{{ curve | inline }}"></p>
<p>Of {{ of_curve | clean }}.</p>
<ul>
{%- for forecast in measured.forecasts %}
<li>+{{ "{:,}".format(forecast.examples - measured.available) }} labels:
{{ "{:+.1f}".format(100 * forecast.gain.value) }} points ({{ "{:.1f}".format(100 * forecast.gain.low) }} to
{{ "{:.1f}".format(100 * forecast.gain.high) }}), by a curve through what was measured</li>
{%- endfor %}
{%- if beyond %}<li>{{ beyond }}</li>{% endif %}
</ul>
{%- endif %}
{%- if measured.similarity %}
<h3>Distance from pretraining</h3>
{%- if scale %}
<p><img alt="divergence on a scale with known pictures" src="{{ scale | inline }}"></p>
{%- endif %}
<p>{{ "{:.2f}".format(measured.similarity.all) }} nats a channel; early layers
{{ "{:.2f}".format(measured.similarity.early) }}, middle {{ "{:.2f}".format(measured.similarity.middle) }}, late
{{ "{:.2f}".format(measured.similarity.late) }}.
{%- if scale %} The others were measured on EfficientNet-Lite0.
{%- else %} Nothing was measured near {{ measured.image_size }} pixels to compare it with.{% endif %}</p>
{%- elif nearest_class %}
<h3>Likeness to pretraining</h3>
<p>{{ nearest_class }}.</p>
{%- endif %}
{%- if race %}
<h3>Race</h3>
<table>
<tr><th>strategy</th><th class="number">trained</th><th class="number">right (95 %)</th><th class="number">took</th>
<th class="number">all of it</th><th>differs by</th><th></th></tr>
{%- for one in race.candidates %}
<tr{% if one.name == race.winner %} class="best"{% endif %}><td>{{ one.name | clean }}: {{ one.words | clean }}</td>
<td class="number">{{ "{:.0f}".format(100 * one.share) }} %</td><td class="number">{{ one.accuracy }}</td>
<td class="number">{{ one.seconds | duration }}</td><td class="number">{{ one.whole_seconds | duration }}</td>
<td>{{ one.change | clean }}</td>
<td>{% if one.name == race.winner %}← won{% else %}{{ one.why_not | clean }}{% endif %}</td></tr>
{%- endfor %}
{%- for one in race.left_out %}
<tr><td>{{ one.name | clean }}</td><td colspan="6">did not run: {{ one.reason | clean }}</td></tr>
{%- endfor %}
</table>
<p>{{ race.seconds | duration }} of {{ race.budget | duration }}, foretold {{ race.predicted_seconds | duration }}; each
learned from {{ "{:,}".format(race.trained_on) }} examples and was compared on the same
{{ "{:,}".format(race.examples) }}; {{ race.ended | clean }}.
{%- if race.runner_up %} {{ race.runner_up | clean }} is better than {{ race.winner | clean }} with probability
{{ "{:.2f}".format(race.runner_up_is_better) }}.{% endif %}
What is chosen for being the best looks a little too good here; the test examples have not been looked at.</p>
{%- endif %}
<h2>What to do</h2>
<ol>
{%- for one in advice.conclusions %}
<li><b>{{ one.advice | clean }}</b>
<p class="why">because {{ one.reason | clean }}</p></li>
{%- endfor %}
</ol>
"""
