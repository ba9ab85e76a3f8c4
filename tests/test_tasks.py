"""A task as a value: what it needs, how many outputs it takes, and that single labels are what they were."""

import dataclasses

import numpy as np
import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

import tfxfer
from tfxfer import augmentation, checks, plans, recipes, values
from tfxfer.errors import ConfigError
from tfxfer.facts import DataFacts
from tfxfer.imbalance import Imbalance
from tfxfer.recipes import Data, Recipe, Stage, WhenStalled
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import objectives

NUMBERS = Task(kind="regression", means=(1.0, 2.0, 3.0), deviations=(1.0, 0.5, 2.0))


def plan(task=SINGLE_LABEL, recipe=None, **facts):
    return plans.resolve(recipe or Recipe(), data_facts(task=task, **facts), backbone_facts(), machine_facts())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "regression", "means": (1.0,)}, "1 means and 0 deviations must be as many"),
        ({"kind": "regression", "means": (1.0,), "deviations": (0.0,)}, "deviations above 0 too"),
        ({"kind": "regression", "means": (float("nan"),), "deviations": (1.0,)}, "means must be finite"),
        ({"kind": "ordinal", "means": (1.0,), "deviations": (1.0,)}, "are of regression, and the kind is ordinal"),
        ({"kind": "tags"}, "kind='tags' is not one of"),
    ],
)
def test_numbers_that_nothing_can_be_standardised_by_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        Task(**given)


@pytest.mark.parametrize(("kind", "outputs"), [("single_label", 3), ("multi_label", 3), ("ordinal", 2)])
def test_a_head_has_as_many_outputs_as_the_task_takes(kind, outputs):
    assert plan(Task(kind=kind)).what.head.outputs == outputs
    with pytest.raises(ConfigError, match=rf"head\.outputs=7, but the data has 3 .*{'take 2' if outputs == 2 else ''}"):
        plan(Task(kind=kind), Recipe(head=tfxfer.heads.Linear(outputs=7)))


def test_the_digest_of_single_labels_is_that_of_before_there_were_tasks():
    what = plan().what
    before = values.to_json(what)
    for later in ("task", "imbalance", "background", "loss", "metrics"):
        del before[later]
    assert plan().digest == values.digest(before | {"augment": augmentation.counted(what.augment)})
    assert values.from_json(plans.What, before) == what
    assert len({plan().digest, plan(Task(kind="multi_label")).digest, plan(Task(kind="ordinal")).digest}) == 3


@pytest.mark.parametrize("task", [SINGLE_LABEL, NUMBERS, Task(kind="ordinal")])
def test_facts_and_plans_are_read_back_with_their_task(task):
    facts = data_facts(task=task, sizes=(7, 1, 2), unlabelled=3)
    assert values.from_json(DataFacts, values.to_json(facts)) == facts
    assert values.from_json(plans.Plan, values.to_json(plan(task))) == plan(task)


def test_facts_count_examples_and_not_labels():
    facts = data_facts(task=Task(kind="multi_label"), sizes=(100, 20, 30))
    assert (facts.train_examples, facts.validation_examples, facts.test_examples, facts.examples) == (100, 20, 30, 150)
    assert plan(Task(kind="multi_label"), sizes=(100, 20, 30)).what.stages[0].steps_per_epoch == 4  # of 32


def test_a_preset_does_nothing_that_would_harm_the_task():
    of_classes, of_order, of_numbers = (plan(t).what.stages[0] for t in (SINGLE_LABEL, Task(kind="ordinal"), NUMBERS))
    assert [s.label_smoothing for s in (of_classes, of_order, of_numbers)] == [0.1, 0.0, 0.0]
    rescaled = [plan(t, Recipe(stages="lp_ft")).what.stages[-1].rescale_head for t in (SINGLE_LABEL, NUMBERS)]
    assert rescaled[1] is False


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            Stage(epochs=1, label_smoothing=0.1),
            "stage 1 has label_smoothing, which is of classes, .* Write label_smoothing=0",
        ),
        (Stage(epochs=1, rescale_head=True), "Write rescale_head=false"),
        (
            Stage(train="all", epochs=9, unfreezing=WhenStalled(monitor="val_accuracy")),
            "stage 1 watches val_accuracy, and task=regression has none. Write monitor=val_loss",
        ),
    ],
)
def test_what_means_nothing_for_numbers_is_refused(stage, message):
    with pytest.raises(ConfigError, match=message):
        plan(NUMBERS, Recipe(stages=(stage,)))


def test_an_accuracy_is_not_asked_of_a_task_without_one():
    data = Data(source="csv:t.csv", task="regression", label_column="age")
    recipe = Recipe(
        data=data, backbone="builtin:efficientnet_lite0", export=recipes.Export(assert_accuracy_at_least=0.9)
    )
    with pytest.raises(ConfigError, match="task=regression has no accuracy"):
        checks.check_recipe(recipe)
    checks.check_recipe(dataclasses.replace(recipe, data=dataclasses.replace(data, task="ordinal")))


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        ("multi_label", {"class_weights": "inverse"}, "class_weights=inverse is about classes.* and task=multi_label"),
        ("multi_label", {"focal_gamma": 2.0}, "focal_gamma=2 is about classes"),
        ("ordinal", {"logit_adjustment": 1.0}, "are of the softmax, which task=ordinal has not"),
    ],
)
def test_corrections_of_classes_are_not_for_every_task(kind, asked, message):
    with pytest.raises(ConfigError, match=message):
        plan(Task(kind=kind), Recipe(imbalance=Imbalance(**asked)))


def test_ordinal_classes_may_be_weighed_and_drawn():
    what = plan(
        Task(kind="ordinal"), Recipe(imbalance=Imbalance(class_weights="inverse")), train_counts=(10, 20, 40)
    ).what
    assert len(what.imbalance.class_weights) == 3
    made = objectives.loss_of(what.stages[0], what.imbalance, what.task)
    alike = objectives.loss_of(what.stages[0], task=what.task)
    outputs = np.zeros((3, 2), np.float32)
    ratio = made.call(np.eye(3, dtype=np.float32), outputs) / alike.call(np.eye(3, dtype=np.float32), outputs)
    np.testing.assert_allclose(ratio, what.imbalance.class_weights, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "single_label"),
        ({"label_separator": "|"}, "multi_label"),
        ({"label_column": "cat,dog"}, "multi_label"),
        ({"label_column": '"a, b"'}, "single_label"),
        ({"label_column": "x,y", "task": "regression"}, "regression"),
    ],
)
def test_the_columns_tell_the_task(given, kind):
    assert Data(source="csv:t.csv", **given).kind == kind


def test_headings_are_split_by_commas_but_not_within_quotes():
    assert Data(source="csv:t.csv", label_column='a, "b, c" ,d').label_columns == ("a", "b, c", "d")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "multi_label"}, "needs label_separator"),
        ({"task": "ordinal", "label_separator": "|"}, "makes several labels of a cell, and task=ordinal has none"),
        ({"label_column": "a,b", "label_separator": "|"}, "names 2 of 0 and 1; give one of the two"),
        ({"label_column": "a,b", "task": "single_label"}, "names several columns, and task=single_label has one"),
        ({"label_column": "a,,b"}, "has an empty name between commas"),
        ({"label_column": "a,b,A"}, "names a column twice"),
        ({"class_order": ("a", "b")}, "class_order is of task=ordinal, and the task is single_label"),
        ({"class_order": ("a", "a"), "task": "ordinal"}, "class_order names a class twice"),
        ({"examples_per_class": 5, "label_separator": "|"}, "draws classes, and task=multi_label has none"),
        ({"source": "folder:x", "label_separator": "|"}, "is of csv: and parquet:, and the source is folder:x"),
        ({"task": "tags"}, "task='tags' is not"),
    ],
)
def test_recipes_that_cannot_be_are_refused_at_once(given, message):
    with pytest.raises(ConfigError) as caught:
        Data(**{"source": "csv:t.csv", **given})
    assert message in str(caught.value)
