"""Which losses and metrics fit a task, what is answered to the rest, and what a program made is made again of."""

import json

import keras
import pytest
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import checks, objectives, plans, values
from tfxfer.errors import ConfigError
from tfxfer.imbalance import Imbalance
from tfxfer.objectives import Written
from tfxfer.recipes import Data, Recipe, Stage
from tfxfer.tasks import KINDS, Task
from tfxfer.training import losses, metrics, written


@keras.saving.register_keras_serializable(package="tests")
class Root(keras.losses.Loss):
    """The square root of the error: with an argument that is written down."""

    def __init__(self, offset=1.0, **settings):
        super().__init__(**settings)
        self.offset = offset

    def call(self, y_true, y_pred):
        return keras.ops.sum(keras.ops.sqrt(keras.ops.abs(y_true - y_pred) + self.offset), axis=-1)

    def get_config(self):
        return super().get_config() | {"offset": self.offset}


@keras.saving.register_keras_serializable(package="tests")
class Forgetful(Root):
    """One whose `get_config` says nothing of its argument."""

    def get_config(self):
        return keras.losses.Loss.get_config(self)


@keras.saving.register_keras_serializable(package="tests")
class SSIMLoss(Root):
    """One that Keras calls ssim_loss, ssim_loss_1 and so on."""


@keras.saving.register_keras_serializable(package="tests")
def bias(y_true, y_pred):
    """How much too large numbers are on average."""
    return keras.ops.mean(y_pred - y_true, axis=-1)


def refusal(**settings) -> str:
    with pytest.raises(ConfigError) as caught:
        Recipe(**settings)
    return str(caught.value)


def plan(kind="single_label", names=("cat", "dog", "fox"), **settings) -> plans.Plan:
    numbers = {"means": (0.0,) * len(names), "deviations": (1.0,) * len(names)} if kind == "regression" else {}
    several = {"sizes": (210, 30, 60)} if kind in ("multi_label", "regression") else {}
    facts = data_facts(task=Task(kind=kind, **numbers), class_names=names, **several)
    recipe = Recipe(**{"stages": (Stage(epochs=2),), **settings})
    return plans.resolve(recipe, facts, backbone_facts(), machine_facts())


def test_every_name_can_be_made():
    for kind in KINDS:
        numbers = {"means": (0.0,), "deviations": (1.0,)} if kind == "regression" else {}
        task = Task(kind=kind, **numbers)
        for name in list(objectives.LOSSES[kind])[1:]:
            assert isinstance(losses.made(name, task, label_smoothing=0.0), keras.losses.Loss), name
        for name in objectives.METRICS[kind]:
            assert metrics.made(name, task).name == name
            assert objectives.problems("auto", (name,), kind) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"loss": "mse"},
            "loss='mse' is of task=regression, and the task is single_label. Write one of auto, "
            "categorical_crossentropy, binary_crossentropy, binary_focal_crossentropy, categorical_hinge; or hand over "
            "one of Keras, or your own, in Python.",
        ),
        (
            {"loss": "mean_squared_error"},
            "loss='mean_squared_error' is of task=regression, and the task is single_label. Write one of auto, ",
        ),
        (
            {"metrics": ("root_mean_squared_error",)},
            "metrics='root_mean_squared_error' is of task=regression, and the task is single_label",
        ),
        ({"metrics": ("mae",)}, "metrics='mae' is of task=regression, and the task is single_label"),
        (
            {"metrics": ("accuracy",), "data": Data(task="regression")},
            "metrics='accuracy' is of task=single_label and ordinal, and the task is regression",
        ),
        ({"loss": "hubber", "data": Data(task="regression")}, "Did you mean 'huber'?"),
        ({"loss": ""}, "loss='' is no name of a loss, and the task is single_label"),
        (
            {"metrics": ("rmse",)},
            "metrics='rmse' is of task=regression, and the task is single_label. Write one of acc",
        ),
        ({"metrics": ("auc", "auc")}, "metrics names auc twice"),
        (
            {"loss": "categorical_hinge", "imbalance": Imbalance(focal_gamma=2)},
            "focal_gamma=2 is of categorical_crossentropy, and loss=categorical_hinge; write focal_gamma=0, or leave "
            "the loss out.",
        ),
        ({"loss": "categorical_hinge", "imbalance": Imbalance(logit_adjustment=1)}, "logit_adjustment=1 is of categ"),
        (
            {"loss": "categorical_hinge", "stages": (Stage(epochs=1), Stage(epochs=1, label_smoothing=0.1))},
            "stage 2 has label_smoothing=0.1, which loss=categorical_hinge does not take; write label_smoothing=0.",
        ),
        ({"loss": keras.losses.SparseCategoricalCrossentropy()}, "write CategoricalCrossentropy(…)"),
        ({"loss": keras.losses.CategoricalCrossentropy()}, "write CategoricalCrossentropy(from_logits=True)"),
        (
            {"loss": keras.losses.binary_crossentropy},
            "loss binary_crossentropy takes probabilities, and a network gives logits; write "
            "keras.losses.BinaryCrossentropy(from_logits=True).",
        ),
        (
            {"loss": keras.losses.sparse_categorical_crossentropy},
            "write keras.losses.CategoricalCrossentropy(from_logits=True).",
        ),
        (
            {"loss": keras.losses.KLDivergence()},
            "loss KLDivergence takes probabilities, and a network gives logits; write a function of your own that "
            "calls it with keras.ops.softmax(y_pred).",
        ),
        ({"loss": keras.losses.poisson}, "loss poisson takes probabilities"),
        (
            {"loss": keras.losses.Dice(axis=1), "data": Data(source="folder:x", task="multi_label")},
            "that calls it with keras.ops.sigmoid(y_pred).",
        ),
        ({"loss": keras.losses.Tversky(axis=1)}, "loss Tversky takes probabilities"),
        ({"loss": keras.losses.MeanSquaredLogarithmicError()}, "takes probabilities"),
        (
            {"loss": keras.losses.CategoricalGeneralizedCrossEntropy()},
            "loss CategoricalGeneralizedCrossEntropy takes numbers of classes, and labels are shares of them",
        ),
        ({"loss": Root(reduction="sum")}, "loss Root has reduction='sum', and each example is to count alike"),
        # Made in the test: a metric has variables, and these begin what a strategy must come before.
        (
            lambda: {"metrics": (keras.metrics.SparseCategoricalAccuracy(),)},
            "labels are shares; write CategoricalAccuracy(…)",
        ),
        (
            lambda: {"metrics": (keras.metrics.CategoricalCrossentropy(from_logits=True),)},
            "metrics are given probabilities",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(settings, message):
    settings = settings() if callable(settings) else settings
    with pytest.raises(ConfigError) as caught:
        checks.check_recipe(Recipe(**{"data": Data(source="folder:x"), **settings}))
    assert message in str(caught.value)


@keras.saving.register_keras_serializable(package="tests")
def kl_divergence(y_true, y_pred):
    """One of a program, which happens to be called like one of Keras."""
    return keras.losses.kl_divergence(y_true, keras.ops.softmax(y_pred))


@pytest.mark.parametrize(
    "loss",
    [
        keras.losses.CategoricalCrossentropy(from_logits=True),
        keras.losses.CosineSimilarity(),  # of directions, which the softmax is not needed for
        keras.losses.MeanSquaredError(),
        kl_divergence,
    ],
)
def test_losses_that_logits_go_into_are_taken(loss):
    assert objectives.problems(Recipe(loss=loss).loss, (), "single_label") == []


def test_numbers_may_have_a_loss_that_elsewhere_takes_probabilities():
    assert objectives.problems(Recipe(loss=keras.losses.MeanSquaredLogarithmicError()).loss, (), "regression") == []


def test_all_that_is_wrong_is_said_at_once():
    stages = (Stage(epochs=1, label_smoothing=0.1),)
    recipe = Recipe(loss="categorical_hinge", imbalance=Imbalance(focal_gamma=2), stages=stages)
    with pytest.raises(ConfigError, match=r"focal_gamma=2 is of .*; stage 1 has label_smoothing"):
        plans.check_objectives(recipe, "single_label")


def test_more_places_than_classes_are_no_metric():
    with pytest.raises(ConfigError, match="metrics='top_3_accuracy' is 100 % of 3 classes, whatever is told"):
        plan(metrics=("top_3_accuracy",))


def test_the_name_of_what_is_there_anyway_changes_nothing():
    named = plan(loss="categorical_crossentropy", metrics=("accuracy",))
    assert named == plan()
    assert plan(loss="crossentropy").digest == plan().digest
    assert plan("regression", ("x",), loss="mean_squared_error") == plan("regression", ("x",), loss="mse")


def test_what_was_asked_for_counts_in_the_digest():
    digests = {plan(**s).digest for s in ({}, {"loss": "binary_crossentropy"}, {"metrics": ("auc",)})}
    assert len(digests) == 3


def test_a_preset_smooths_only_for_a_loss_that_takes_it():
    assert plan(stages="partial").what.stages[0].label_smoothing == 0.1
    assert plan(stages="partial", loss="binary_crossentropy").what.stages[0].label_smoothing == 0.1
    assert plan(stages="partial", loss="categorical_hinge").what.stages[0].label_smoothing == 0


def test_what_a_program_made_is_a_value_and_goes_through_json():
    recipe = Recipe(loss=Root(offset=2.0), metrics=[bias, keras.metrics.AUC(name="area")])
    assert recipe.loss.name == "Root"
    assert [one.name for one in recipe.metrics] == ["bias", "AUC"]
    assert values.from_json(Recipe, json.loads(json.dumps(values.to_json(recipe)))) == recipe
    again = written.again(recipe.loss, "loss")
    assert (type(again), again.offset) == (Root, 2.0)
    assert objectives.logged(recipe.metrics[1]) == "area"


def test_the_same_recipe_is_the_same_however_many_were_made_before():
    assert Recipe(loss=Root()) == Recipe(loss=Root())
    assert Recipe(loss=SSIMLoss()) == Recipe(loss=SSIMLoss())
    assert Recipe(metrics=(keras.metrics.F1Score(),)) == Recipe(metrics=(keras.metrics.F1Score(),))
    assert Recipe(loss=Root()) != Recipe(loss=Root(offset=3.0))


def test_what_cannot_be_made_again_is_refused():
    class Local(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return y_pred

    @keras.saving.register_keras_serializable(package="tests")
    class Odd(Local):
        def get_config(self):
            raise OSError("no room")

    assert "loss Local cannot be written down" in refusal(loss=Local())
    assert "@keras.saving.register_keras_serializable()" in refusal(loss=Local())
    assert "loss is a lambda, which has no name" in refusal(loss=lambda y_true, y_pred: y_pred)
    assert "loss Forgetful loses offset when it is made again. Return it from get_config()" in refusal(
        loss=Forgetful(offset=5.0)
    )
    assert "loss Odd cannot be written down: no room. Decorate it with" in refusal(loss=Odd())
    assert "loss=3 is not a text or Written(…)" in refusal(loss=3)
    assert "metrics" in refusal(metrics="auc")
    with pytest.raises(ConfigError, match="a loss or metric of your own is handed over from Python"):
        Written(name="x", config="no json")
