"""Writes the README of a bundle: what the network is, how good, and how to load it."""

import jinja2

from tfxfer.evaluation import Report
from tfxfer.facts import BackboneFacts
from tfxfer.plans import Plan

_CARD = """\
# Image classifier: {{ names | length }} classes

Fine-tuned from `{{ backbone.card.handle }}` ({{ backbone.card.origin }}; licence of the weights:
{{ backbone.card.license }}) on `{{ report.data.source }}` with tfxfer {{ version }}.

| measured on | examples | accuracy | 95 % interval | balanced accuracy |
|---|---|---|---|---|
{% for name, result in (("test", report.test), ("validation", report.validation)) -%}
| {{ name }} | {{ "{:,}".format(result.examples) }} | {{ "%.1f" | format(100 * result.accuracy) }} % | \
{{ "%.1f" | format(100 * result.accuracy_interval[0]) }} to {{ "%.1f" | format(100 * result.accuracy_interval[1]) }} % \
| {{ "%.1f" | format(100 * result.balanced_accuracy) }} % |
{% endfor %}
The test examples decided nothing. Split: {{ report.data.split }}.

## Classes
{% for result in report.test.classes %}
{{ loop.index0 }}. {{ result.name | line }} (precision {{ "%.2f" | format(result.precision) }}, recall \
{{ "%.2f" | format(result.recall) }}, {{ result.examples }} test examples)
{%- endfor %}

## How it was trained
{% for stage in plan.what.stages %}
- stage {{ stage.name }}: {{ stage.addresses() | join(", ") or "nothing" }} and the head trained for \
{{ "{:,}".format(stage.steps) }} steps at {{ "%.3g" | format(stage.learning_rate) }} (head), batch norm \
{{ stage.batch_norm }}, which took {{ "%.1f" | format(seconds[stage.name].seconds) }} s\
{{ " (%.1f expected)" | format(seconds[stage.name].expected) if seconds[stage.name].expected else "" }}
{%- for waking in records[stage.name].wakings %}
  - in epoch {{ waking.epoch }} {{ "woke " ~ waking.woke | join(", ") if waking.woke else "" }}\
{{ "put back to sleep " ~ waking.slept | join(", ") if waking.slept else "" }} ({{ waking.reason | line }})
{%- endfor %}
{%- if records[stage.name].refreshed.layers %}
  - statistics of {{ records[stage.name].refreshed.layers }} batch norms measured anew on \
{{ "{:,}".format(records[stage.name].refreshed.examples) }} training examples
{%- endif %}
{%- if records[stage.name].drift_warning %}
  - warning: {{ records[stage.name].drift_warning | line }}
{%- endif %}
{%- endfor %}

Pictures are {{ {"squash": "squashed to", "crop": "cropped at the centre to"}[plan.what.resize] }} \
{{ plan.what.image_size }}×{{ plan.what.image_size }} pixels. The network computes in float32\
{% if plan.what.precision != "float32" %}, also where it trained in {{ plan.what.precision }}{% endif %}; \
weights, inputs and outputs are float32. Plan {{ report.plan }}.

## How to load it

```python
import keras
model = keras.models.load_model("model.keras")        # uint8 or float32 on 0..255 → logits
```

```python
import tensorflow as tf
model = tf.saved_model.load("saved_model/1")           # float32 in [0, 1] → logits
```

```
tfxfer predict --bundle=. picture.jpg
```
"""


def write_card(report: Report, plan: Plan, backbone: BackboneFacts) -> str:
    """Returns the text of the card."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["line"] = lambda text: " ".join(str(text).split())
    return environment.from_string(_CARD).render(
        report=report,
        plan=plan,
        backbone=backbone,
        records={record.name: record for record in report.history.stages},
        seconds={stage.name: stage for stage in report.train.stages},
        names=plan.what.class_names,
        version=dict(report.versions)["tfxfer"],
    )
