"""Losses and metrics that were asked for: their numbers by hand, through a run, and what is refused before it."""

import dataclasses
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tiny_recipe
from sample_facts import backbone_facts, data_facts, machine_facts

import tfxfer
from tfxfer import plans
from tfxfer.errors import ConfigError
from tfxfer.imbalance import Imbalance
from tfxfer.objectives import Written, written
from tfxfer.tasks import SINGLE_LABEL, Task
from tfxfer.training import objectives

LABELS, ORDINAL = Task(kind="multi_label"), Task(kind="ordinal")
ONE = Task(kind="regression", means=(100.0,), deviations=(4.0,))
TWO = Task(kind="regression", means=(100.0, 0.0), deviations=(4.0, 0.5))
LOG2 = math.log(2)


def planned(**settings):
    recipe = tfxfer.Recipe(stages=(tfxfer.Stage(epochs=1),), **settings)
    return plans.resolve(recipe, data_facts(), backbone_facts(), machine_facts()).what


def loss(task, name, true, outputs, smoothing=0.0, imbalance=None) -> np.ndarray:
    """Returns the loss of each example, the same eagerly and in a graph."""
    stage = dataclasses.replace(planned().stages[0], label_smoothing=smoothing)
    made = objectives.loss_of(stage, imbalance or planned().imbalance, task, name)
    true, outputs = tf.constant(true, tf.float32), tf.constant(outputs, tf.float32)
    eager, traced = made.call(true, outputs).numpy(), tf.function(made.call)(true, outputs).numpy()
    np.testing.assert_allclose(eager, traced, rtol=1e-6)
    return eager


def test_binary_crossentropy_takes_classes_one_by_one():
    # p = 3/4, 1/2, 1/2 for each
    outputs = [[math.log(3), 0.0, 0.0]]
    exact = math.log(4 / 3) + 2 * LOG2
    assert loss(SINGLE_LABEL, "binary_crossentropy", [[1, 0, 0]], outputs) == pytest.approx([exact], rel=1e-5)
    # 0.7, 0.15 and 0.15 as labels
    smooth = 0.8 * math.log(4 / 3) + 0.2 * math.log(4) + 2 * LOG2
    found = loss(SINGLE_LABEL, "binary_crossentropy", [[1, 0, 0]], outputs, smoothing=0.3)
    assert found == pytest.approx([smooth], rel=1e-5)


def test_focal_loss_counts_what_is_known_less():
    outputs = [[math.log(3), 0.0]]
    found = loss(LABELS, "binary_focal_crossentropy", [[1, 0]], outputs)
    assert found == pytest.approx([math.log(4 / 3) / 16 + LOG2 / 4], rel=1e-5)
    keras_own = keras.losses.BinaryFocalCrossentropy(gamma=2.0, from_logits=True)
    assert found[0] == pytest.approx(2 * float(keras_own([[1.0, 0.0]], outputs)), rel=1e-5)
    assert np.isfinite(loss(LABELS, "binary_focal_crossentropy", [[1, 0]], [[-1e4, 1e4]])).all()


@pytest.mark.parametrize(
    ("name", "expected"), [("mse", 0.25 + 9), ("mae", 0.5 + 3), ("log_cosh", math.log(math.cosh(0.5) * math.cosh(3)))]
)
def test_numbers_cost_the_sum_over_targets(name, expected):
    assert loss(TWO, name, [[0.0, 0.0]], [[0.5, -3.0]]) == pytest.approx([expected], rel=1e-5)
    assert np.isfinite(loss(TWO, name, [[0.0, 0.0]], [[1e4, -1e4]])).all()


def test_the_hinge_is_of_the_right_logit_against_the_largest_other_one():
    """Whatever is added to all logits; of Keras's the right one is to be 1 itself."""
    outputs = np.array([[-3.0, -4.5, -9.0], [-3.0, -3.5, -9.0], [2.0, 2.0, 1.0], [0.0, 5.0, -1.0]])
    true = np.eye(3)[[0, 0, 0, 0]]
    expected = [0.0, 0.5, 1.0, 6.0]
    for shift in (0.0, -7.0, 30.0):
        assert loss(SINGLE_LABEL, "categorical_hinge", true, outputs + shift) == pytest.approx(expected, abs=1e-5)
    # The second and the third class: against 0 and 5.
    assert loss(SINGLE_LABEL, "categorical_hinge", np.eye(3)[[1, 2]], outputs[[3, 3]]) == pytest.approx([0, 7])
    # Of mixed examples each class counts as its share.
    mixed = loss(SINGLE_LABEL, "categorical_hinge", [[0.75, 0, 0.25]], outputs[3:])
    assert mixed == pytest.approx([0.75 * 6 + 0.25 * 7])


def test_the_earth_mover_counts_how_far_off_classes_are():
    outputs = [[math.log(3), math.log(1 / 4)]]  # 1/4, 3/5, 3/20
    told = np.array([1 / 4, 3 / 5, 3 / 20])
    for place in range(3):
        expected = (np.cumsum(np.eye(3)[place] - told) ** 2).sum()
        assert loss(ORDINAL, "earth_mover", np.eye(3)[[place]], outputs) == pytest.approx([expected], rel=1e-5)


def test_classes_weigh_in_any_loss():
    weights = plans.ImbalancePlan(class_weights=(3.0, 1.0, 0.5))
    true, outputs = np.eye(3), [[0.0, 0.0, 0.0]] * 3
    plain = loss(SINGLE_LABEL, "categorical_hinge", true, outputs)
    assert loss(SINGLE_LABEL, "categorical_hinge", true, outputs, imbalance=weights) == pytest.approx(
        plain * [3, 1, 0.5]
    )
    mixed = loss(ORDINAL, "earth_mover", [[0.5, 0.5, 0]], [[0.0, 0.0]], imbalance=weights)
    assert mixed == pytest.approx(2 * loss(ORDINAL, "earth_mover", [[0.5, 0.5, 0]], [[0.0, 0.0]]))


def metric(task, name, true, outputs) -> float:
    made = objectives.metrics_of(task, (name,))[1]
    made.update_state(tf.zeros_like(tf.constant(true, tf.float32)), tf.constant(outputs, tf.float32))
    made.reset_state()
    for t, o in zip(true, outputs, strict=True):
        made.update_state(tf.constant([t], tf.float32), tf.constant([o], tf.float32))
    return float(made.result())


def test_units_are_told_where_there_are_several_numbers():
    logs = {"mae": 0.5, "val_mae": 0.25, "rmse": 1.0, "val_rmse": 2.0, "mse": 3.0, "val_mse": 4.0}
    several = [score.name for score in objectives.scores_of(logs, TWO, ("rmse", "mse"))]
    assert several == ["mae in deviations", "rmse in deviations", "mse in squared deviations"]
    assert [score.name for score in objectives.scores_of(logs, ONE, ("rmse", "mse"))] == ["mae", "rmse", "mse"]


EYE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(
    ("task", "name", "true", "outputs", "expected"),
    [
        (SINGLE_LABEL, "cross_entropy", EYE[:1], [[0.0, 0.0, 0.0]], math.log(3)),
        (SINGLE_LABEL, "macro_f1", EYE, [[9, 0, 0], [0, 9, 0], [0, 9, 0]], (1 + 2 / 3 + 0) / 3),
        (SINGLE_LABEL, "top_3_accuracy", [[0, 0, 0, 1.0]] * 2, [[4, 3, 2, 1.0], [4, 3, 1, 2.0]], 0.5),
        (LABELS, "precision", [[1, 0], [1, 1]], [[1.0, 1.0], [1.0, -1.0]], 2 / 3),
        (LABELS, "recall", [[1, 0], [1, 1]], [[1.0, 1.0], [1.0, -1.0]], 2 / 3),
        (LABELS, "binary_accuracy", [[1, 0], [1, 1]], [[1.0, 1.0], [1.0, -1.0]], 1 / 2),
        (LABELS, "auc", [[1, 0], [0, 1]], [[2.0, -2.0], [-2.0, 2.0]], 1.0),
        (ONE, "rmse", [[0.0], [0.0]], [[1.0], [-0.5]], 4 * math.sqrt(1.25 / 2)),  # in the user's units
        (ONE, "r2", [[-1.0], [1.0]], [[-1.0], [0.0]], 1 - 1 / 2),
        (TWO, "rmse", [[0.0, 0.0]], [[1.0, -0.5]], math.sqrt(1.25 / 2)),  # in deviations
        (ORDINAL, "rank_error", EYE, [[9.0, 9.0], [9.0, -9.0], [-9.0, 0.0]], (2 + 0 + 2) / 3),
        (ORDINAL, "within_one", EYE, [[9.0, 9.0], [9.0, -9.0], [9.0, -9.0]], 2 / 3),
    ],
)
def test_metrics_are_of_what_outputs_mean(task, name, true, outputs, expected):
    assert metric(task, name, true, outputs) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("asked", ["r2", "R2Score"])
def test_r2_of_numbers_that_hardly_vary_is_of_standardised_ones(asked):
    """Of 100,000 ± 10 the squares of float32 would cancel."""
    asked = asked if asked == "r2" else written(keras.metrics.R2Score(name="own"), "metric")
    far = Task(kind="regression", means=(1e5,), deviations=(10.0,))
    generator = np.random.default_rng(0)
    true = generator.normal(size=(200, 1))
    told = true + 0.3 * generator.normal(size=(200, 1))
    exact = 1 - ((told - true) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    assert metric(far, asked, true, told) == pytest.approx(exact, rel=1e-4)


@keras.saving.register_keras_serializable(package="tests")
class Brier(keras.losses.Loss):
    """The squared error of probabilities."""

    def call(self, y_true, y_pred):
        return keras.ops.sum((y_true - keras.ops.softmax(y_pred)) ** 2, axis=-1)


@keras.saving.register_keras_serializable(package="tests")
def whole(y_true, y_pred):
    """One number for all examples."""
    return keras.ops.mean((y_true - y_pred) ** 2)


@keras.saving.register_keras_serializable(package="tests")
def broken(y_true, y_pred):
    """One that takes ten classes."""
    return keras.ops.matmul(y_true - y_pred, keras.ops.ones((10, 1)))


@keras.saving.register_keras_serializable(package="tests")
def errors(y_true, y_pred):
    """A number for each class of each example."""
    return keras.ops.abs(y_true - y_pred)


@keras.saving.register_keras_serializable(package="tests")
class Errors(keras.losses.Loss):
    """The same as a class."""

    def call(self, y_true, y_pred):
        return keras.ops.abs(y_true - y_pred)


@pytest.mark.parametrize("given", [errors, Errors()], ids=["function", "class"])
@pytest.mark.parametrize("examples", [2, 3])
def test_numbers_for_each_class_are_averaged_before_examples_are_weighed(given, examples):
    """Of three classes: of three examples each class would be weighed as one."""
    made = objectives.loss_of(planned().stages[0], asked=written(given, "loss"))
    true, outputs = tf.eye(3)[:examples], tf.constant([[1.0, 3, 0], [0, 1, 0], [6, 0, 1]])[:examples]
    weights = tf.constant([1.0, 2.0, 0.5])[:examples]
    expected = {2: (1 + 0) / 2, 3: (1 + 0 + 0.5 * 2) / 3}[examples]
    assert float(made(true, outputs, sample_weight=weights)) == pytest.approx(expected)
    assert float(made(true, outputs)) == pytest.approx({2: 1 / 2, 3: 3 / 3}[examples])
    by_class = plans.ImbalancePlan(class_weights=(2.0, 1.0, 1.0))
    weighed = objectives.loss_of(planned().stages[0], by_class, asked=written(given, "loss"))
    assert weighed.call(true, outputs).numpy() == pytest.approx([2.0, 0.0, 2.0][:examples])


@keras.saving.register_keras_serializable(package="tests")
def huge(y_true, y_pred):
    """One that begins at 20,000."""
    return keras.ops.sum(y_true - y_pred, axis=-1) * 2e4


@keras.saving.register_keras_serializable(package="tests")
def no_number(y_true, y_pred):
    """One that is NaN."""
    return keras.ops.sum(keras.ops.log(y_true - 2.0), axis=-1)


@keras.saving.register_keras_serializable(package="tests")
class Failing(keras.metrics.Mean):
    """A metric that cannot be made."""

    def __init__(self, name="failing", is_new=True, **settings):
        if not is_new:
            raise OSError("no room")
        super().__init__(name=name, **settings)

    def get_config(self):
        return {"name": self.name}


def nowhere(name: str) -> Written:
    """Returns what a program made that has not been imported here."""
    config = {"class_name": name, "config": {"name": name}, "module": None, "registered_name": f"elsewhere>{name}"}
    return Written(name=name, config=json.dumps(config))


NO_ROOM = Written(
    name="Failing",
    config=json.dumps(
        {"class_name": "Failing", "config": {"is_new": False}, "module": None, "registered_name": "tests>Failing"}
    ),
)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": broken}, "broken fails on labels float32 [2, 3] and outputs float32 [2, 3]: "),
        ({"loss": whole}, "loss whole gives [] for two examples and is to give one number for each"),
        (
            {"loss": huge},
            "loss huge is 20,000 on labels float32 [2, 3] and outputs float32 [2, 3], and from 10,000 on training "
            "counts as diverged: divide it.",
        ),
        ({"loss": no_number}, "loss no_number of labels float32 [2, 3] and outputs float32 [2, 3] is no number"),
        (
            {"loss": nowhere("Mine")},
            "loss Mine is not registered in this process: import the module that decorates it with "
            "@keras.saving.register_keras_serializable() first, in a config file at its head.",
        ),
        (
            {"metrics": (nowhere("Mine"), nowhere("Yours"))},
            "its head; metric Yours is not registered in this process: import the module",
        ),
        ({"metrics": (NO_ROOM,)}, "metric Failing cannot be made again: "),
        # Made in the test: a metric has variables, and these begin what a strategy must come before.
        (
            lambda: {"metrics": (keras.metrics.F1Score(),)},
            "metric F1Score gives numbers of shape [3] and is to give one",
        ),
        (
            lambda: {"metrics": (keras.metrics.AUC(name="accuracy"),)},
            "two metrics are called 'accuracy'; give one of them an",
        ),
    ],
)
def test_what_fails_on_two_examples_never_trains(settings, message):
    settings = settings() if callable(settings) else settings
    with pytest.raises(ConfigError) as caught:
        objectives.check(planned(**settings))
    assert message in str(caught.value)


def test_a_loss_of_classes_is_refused_where_there_is_one_output_less():
    what = dataclasses.replace(
        planned(), task=ORDINAL, loss=written(keras.losses.CategoricalCrossentropy(from_logits=True), "loss")
    )
    with pytest.raises(ConfigError, match=r"CategoricalCrossentropy fails on labels float32 \[2, 3\] and outputs"):
        objectives.check(what)


def test_a_run_with_a_loss_and_metrics_by_name_tells_of_them_everywhere(plugin, colours, tmp_path):
    lines = []
    asked = {"loss": "binary_crossentropy", "metrics": ("auc", "cross_entropy")}
    recipe = tiny_recipe(colours, **asked, imbalance=Imbalance(class_weights="inverse"))
    report = tfxfer.run(recipe, workdir=tmp_path / "run", show=lines.append)
    shown = "\n".join(lines)
    assert "loss         binary_crossentropy: binary cross-entropy of each class" in shown
    assert "metrics      auc, cross_entropy, besides accuracy" in shown
    assert report.loss == "binary_crossentropy"
    assert [name for name, _ in report.scores] == ["auc", "cross_entropy"]
    assert report.scores[1][1] == pytest.approx(report.test.cross_entropy, rel=1e-3)
    epoch = report.history.stages[0].epochs[0]
    assert [score.name for score in epoch.asked_for] == ["auc", "cross_entropy"]
    assert f"asked for: auc {100 * report.scores[0][1]:.1f} %" in shown
    card = (tmp_path / "run" / "bundle" / "README.md").read_text()
    assert "What was made small: binary_crossentropy, binary cross-entropy" in card
    assert "Also measured on the test: auc" in card
    assert report.test.accuracy > 0.9


def test_a_run_with_a_loss_and_a_metric_of_ones_own_goes_on(plugin, colours, tmp_path):
    def recipe():
        return tiny_recipe(colours, loss=Brier(), metrics=(keras.metrics.CategoricalHinge(name="hinge"),))

    report = tfxfer.run(recipe(), workdir=tmp_path / "run", show=lambda line: None)
    assert report.loss == "Brier"
    assert report.scores[0][0] == "hinge"
    assert report.history.stages[0].epochs[0].loss < 2
    assert tfxfer.run(recipe(), workdir=tmp_path / "run", show=lambda line: None) == report
