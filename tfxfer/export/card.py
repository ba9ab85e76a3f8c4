"""Writes the README of a bundle: what the network is, how good, and how to load it."""

import json

import jinja2

from tfxfer import display, evaluation, objectives
from tfxfer.evaluation import Report
from tfxfer.plans import Plan

# The keys above the text are those of TF Hub (tensorflow/docs, site/en/hub/writing_documentation.md) and of Hugging
# Face's model cards (huggingface/hub-docs, modelcard.md), as JSON, which YAML contains.
_CARD = """\
---
library_name: keras
{% if kind == "regression" -%}
task: image-others
{% else -%}
pipeline_tag: image-classification
task: image-classification
{% endif -%}
{% if "saved_model" in formats -%}
format: saved_model_2
asset-path: saved_model/1
fine-tunable: true
{% endif -%}
network-architecture: {{ report.backbone.handle | json }}
base_model: {{ report.backbone.handle | json }}
dataset: {{ report.data.source | json }}
license: other
license_name: {{ report.backbone.license | json }}
tags: ["tfxfer", "transfer-learning", "tf-keras"]
metrics: [{{ metric | json }}]
---

# {{ title }}

Fine-tuned from `{{ report.backbone.handle }}` ({{ report.backbone.made_by }}; licence of the weights:
{{ report.backbone.license }}) on `{{ report.data.source | line }}` with tfxfer {{ version }}.

{% if kind == "single_label" -%}
| measured on | examples | accuracy | 95 % interval | balanced accuracy |
|---|---|---|---|---|
{% for name, result in (("test", report.test), ("validation", report.validation)) -%}
| {{ name }} | {{ "{:,}".format(result.examples) }} | {{ "%.1f" | format(100 * result.accuracy) }} % | \
{{ "%.1f" | format(100 * result.accuracy_interval[0]) }} to {{ "%.1f" | format(100 * result.accuracy_interval[1]) }} % \
| {{ "%.1f" | format(100 * result.balanced_accuracy) }} % |
{% endfor -%}
{% else -%}
{% for name, result in (("test", report.test), ("validation", report.validation)) -%}
- {{ name }}: {{ result | headline | line }}
{% endfor -%}
{% endif %}
The test examples decided nothing. Split: {{ report.data.split }}. Of {{ "{:,}".format(report.data.examples) }} \
examples {{ "{:,}".format(report.data.train_examples) }} were trained on\
{% if report.skipped %}; {{ report.skipped | length }} more could not be read{% endif %}.

## Limits

{% if kind == "regression" -%}
It tells a number of every picture, whatever that shows. \
{% elif kind == "multi_label" -%}
It knows these {{ names | length }} labels; a picture has those whose probability is at least a half. How sure it says \
it is was not calibrated. \
{% else -%}
It knows these {{ names | length }} classes and answers one of them for every picture, whatever that shows; how sure \
it says it is was not calibrated. \
{% endif -%}
What was measured holds for pictures like those of \
`{{ report.data.source | line }}`, whose licence and origin tfxfer does not know.
{%- if kind in ("single_label", "ordinal") %}
{%- set worst = report.test.classes | selectattr("examples") | sort(attribute="recall") | first %}
It is worst at {{ worst.name | line }}: {{ "%.0f" | format(100 * worst.recall) }} % of {{ worst.examples }} test \
examples were found.

## Classes{{ ", the lowest first" if kind == "ordinal" else "" }}
{% for result in report.test.classes %}
{{ loop.index0 }}. {{ result.name | line }} (precision {{ "%.2f" | format(result.precision) }}, recall \
{{ "%.2f" | format(result.recall) }}, {{ result.examples }} test examples)
{%- endfor %}
{%- elif kind == "multi_label" %}

## Labels
{% for result in report.test.labels %}
{{ loop.index0 }}. {{ result.name | line }} (average precision {{ "%.2f" | format(result.average_precision) }}, \
precision {{ "%.2f" | format(result.precision) }}, recall {{ "%.2f" | format(result.recall) }}, {{ result.examples }} \
test examples)
{%- endfor %}
{%- else %}

## Numbers
{% for result in report.test.targets %}
{{ loop.index0 }}. {{ result.name | line }}: mean absolute error {{ "%.4g" | format(result.mae) }} (that of the mean \
of the training examples: {{ "%.4g" | format(result.mean_mae) }}), RMSE {{ "%.4g" | format(result.rmse) }}, R² \
{{ "%.3f" | format(result.r2) }}
{%- endfor %}
{%- endif %}

## How it was trained
{%- if loss %}

What was made small: {{ loss | line }}.
{%- endif %}
{%- if report.scores %}

Also measured on the test: {{ scores | join(", ") | line }}.
{%- endif %}
{% for stage in plan.what.stages %}
{% set trained, frozen = trained_and_frozen(stage) -%}
- stage {{ stage.name }}: {{ trained | line }} trained for {{ "{:,}".format(stage.steps) }} steps, \
{{ frozen | line or "nothing" }} frozen; {{ rates(stage) | join(", ") | line }}; batch norm {{ stage.batch_norm }}; \
took {{ "%.1f" | format(seconds[stage.name].seconds) }} s\
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

Pictures are {{ {"squash": "squashed to", "crop": "cropped at the centre to", "pad": "padded to"}[plan.what.resize] }} \
{{ plan.what.image_size }}×{{ plan.what.image_size }} pixels\
, {{ plan.what.background }} below what is transparent. The network computes in float32\
{% if plan.what.precision != "float32" %}, also where it trained in {{ plan.what.precision }}{% endif %}; \
weights, inputs and outputs are float32. Plan {{ report.plan }}.

## Files

{% if kind == "regression" -%}
Each was read back and compared with the network in memory on test pictures: largest difference of a number, in \
standard deviations (of the feature vector: over the largest), R² on these pictures, and milliseconds on the machine \
that wrote it.
{%- else -%}
Each was read back and compared with the network in memory on test pictures: largest difference of a probability (of \
the feature vector: of a number, over the largest), share of pictures with the same \
{{ "labels" if kind == "multi_label" else "most probable class" }}, \
{{ "share with all labels right" if kind == "multi_label" else "accuracy" }}, and \
milliseconds on the machine that wrote it.
{%- endif %}

| file | examples | largest difference | same {{ "labels" if kind == "multi_label" else "class" }} | \
{{ {"regression": "R²", "multi_label": "all right"}.get(kind, "accuracy") }} | MB | one picture | 32 at once |
|---|---|---|---|---|---|---|---|
{% for file in report.export -%}
| `{{ file.file }}` | {{ "{:,}".format(file.examples) }} | {{ "%.1g" | format(file.largest_difference) }} \
(of {{ file.compared }}) | {{ file.agreement | share }} | \
{{ "%.3f" | format(file.r2) if file.r2 is not none else file.accuracy | share }} | \
{{ "%.1f" | format(file.size_bytes / 1e6) }} | \
{{ "%.3g" | format(file.one_ms) }} ms | {{ "%.3g" | format(file.batch_ms) }} ms |
{% endfor %}
{%- for one in report.left_out %}
Not here: {{ one.format }}. {{ one.reason | line }}
{% endfor %}
## How to load it

```python
import keras

model = keras.models.load_model("model.keras")  # float32 or uint8 on 0..255 → {{ outputs }}
```
{% if kind == "regression" %}
Its outputs are standardised: number = output · deviation + mean, with deviations `{{ task.deviations | list }}` and
means `{{ task.means | list }}`. The SavedModel's signatures, the other formats and `tfxfer predict` do that themselves.
{% elif kind == "multi_label" %}
The probability of each label is the logistic function of its logit.
{% elif kind == "ordinal" %}
Logit k is that of "above class k, if not below it": P(class = k) = (1 − s(z_k)) · s(z_0) ⋯ s(z_{k−1}), s the logistic
function. The SavedModel's signatures, the other formats and `tfxfer predict` do that themselves.
{% endif %}
{% if "saved_model" in formats -%}
```python
import tensorflow as tf

model = tf.saved_model.load("saved_model/1")  # float32 in [0, 1] → {{ outputs }}
answer = model.signatures["serve_bytes"](image_bytes=tf.constant([open("picture.jpg", "rb").read()]))
```

```python
import keras

layer = keras.layers.TFSMLayer("saved_model/1", call_endpoint="serving_default")  # in a model of Keras 3
```

{% endif -%}
{% if "feature_vector" in formats -%}
```python
import tensorflow_hub as hub
import tf_keras  # Keras 2, which TF Hub's layer needs

layer = hub.KerasLayer("feature_vector/1", trainable=True)
model = tf_keras.Sequential([layer, tf_keras.layers.Dense(3)])  # fine-tune it for something else
```

{% endif -%}
```
tfxfer predict --bundle=. picture.jpg
{%- if "feature_vector" in formats %}
tfxfer train --data=folder:photos --backbone=hub:feature_vector/1 --workdir=../next
{%- endif %}
```
"""


def write_card(report: Report, plan: Plan) -> str:
    """Returns the text of the card."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["line"] = _line
    environment.filters["json"] = lambda text: json.dumps(_line(text), ensure_ascii=False)
    environment.filters["share"] = lambda share: "" if share is None else f"{100 * share:.1f} %"
    # Reports from before groups were told name those that train, at least.
    groups = report.backbone.groups or tuple(
        dict.fromkeys(name for stage in plan.what.stages for name in stage.trained)
    )
    environment.filters["headline"] = evaluation.headline
    kind, count = plan.what.task.kind, len(plan.what.class_names)
    title = {
        "multi_label": f"Image tagger: {count} labels",
        "regression": f"Image regression: {count} number{'s' if count > 1 else ''}",
        "ordinal": f"Image classifier: {count} classes in order",
    }.get(kind, f"Image classifier: {count} classes")
    return environment.from_string(_CARD).render(
        trained_and_frozen=lambda stage: display.trained_and_frozen(stage, groups),
        rates=lambda stage: display.rates_of(stage, groups),
        report=report,
        plan=plan,
        records={record.name: record for record in report.history.stages},
        seconds={stage.name: stage for stage in report.train.stages},
        names=plan.what.class_names,
        task=plan.what.task,
        kind=kind,
        title=title,
        loss=""
        if not plan.what.loss
        else f"{objectives.called(plan.what.loss)}, " + objectives.in_words(plan.what.loss, kind),
        scores=[f"{name} {display.score_text(name, value)}" for name, value in report.scores],
        outputs="standardised numbers" if kind == "regression" else "logits",
        metric={"multi_label": "mean_average_precision", "regression": "mae"}.get(kind, "accuracy"),
        formats=[file.format for file in report.export],
        version=dict(report.versions)["tfxfer"],
    )


def _line(text: object) -> str:
    """Returns a name in one line of Markdown: what a terminal or a page would act on is only shown."""
    return display.clean(" ".join(str(text).split())).replace("<", "&lt;")
