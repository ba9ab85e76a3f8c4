"""A loss in which classes count differently, against sums done by hand and Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer.framing import Framing
from tfxfer.plans.imbalance import NOTHING, ImbalancePlan
from tfxfer.training import objectives
from tfxfer.training.class_losses import WeightedCrossentropy

P = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]])
LOGITS = np.log(P).astype(np.float32)
LABELS = np.array([[1, 0, 0], [0, 0, 1]], np.float32)


def losses(labels=LABELS, logits=LOGITS, **settings) -> np.ndarray:
    return np.array(WeightedCrossentropy(reduction="none", **settings)(labels, logits))


def test_with_nothing_asked_it_is_the_cross_entropy():
    np.testing.assert_allclose(losses(), -np.log([0.7, 0.1]), rtol=1e-5)
    for smoothing in (0.1, 0.5):
        own = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")
        np.testing.assert_allclose(losses(label_smoothing=smoothing), own(LABELS, LOGITS), rtol=1e-5)


def test_weights_of_classes_by_hand_and_the_mean_is_over_examples():
    weights = (0.5, 1.0, 4.0)
    np.testing.assert_allclose(losses(class_weights=weights), [-0.5 * np.log(0.7), -4 * np.log(0.1)], rtol=1e-5)
    mean = WeightedCrossentropy(class_weights=weights)(LABELS, LOGITS)
    assert float(mean) == pytest.approx((-0.5 * np.log(0.7) - 4 * np.log(0.1)) / 2, rel=1e-5)


def test_a_smoothed_label_counts_as_its_class_does():
    plain = losses(label_smoothing=0.3)
    np.testing.assert_allclose(losses(label_smoothing=0.3, class_weights=(2, 1, 5)), plain * [2, 5], rtol=1e-5)


def test_of_a_mixture_each_counts_as_its_class_does():
    settings = {"class_weights": (2, 1, 5), "label_smoothing": 0.2, "focal_gamma": 1.5, "shifts": (0.0, -1.0, -2.0)}
    one, other = (losses(np.eye(3)[[label]], LOGITS[:1], **settings) for label in (0, 2))
    mixed = losses(np.array([[0.6, 0, 0.4]], np.float32), LOGITS[:1], **settings)
    np.testing.assert_allclose(mixed, 0.6 * one + 0.4 * other, rtol=1e-5)


def test_the_focal_loss_by_hand():
    np.testing.assert_allclose(losses(focal_gamma=2.0), [-(0.3**2) * np.log(0.7), -(0.9**2) * np.log(0.1)], rtol=1e-4)
    own = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, from_logits=True, reduction="none")
    np.testing.assert_allclose(losses(focal_gamma=2.0), own(LABELS, LOGITS), rtol=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_gradients_are_finite_where_the_network_is_certain(gamma):
    logits = tf.Variable([[200.0, 0.0, -200.0], [-200.0, 0.0, 200.0], [0.0, 0.0, 300.0]])
    labels = tf.one_hot([0, 0, 2], 3)
    loss = WeightedCrossentropy(focal_gamma=gamma, class_weights=(1.0, 1.0, 5000.0), shifts=(0.0, -1.0, -14.0))
    with tf.GradientTape() as tape:
        value = loss(labels, logits)
    assert np.isfinite(value)
    assert np.isfinite(tape.gradient(value, logits)).all()


def test_adjusted_logits_are_right_when_they_are_the_even_ones_plus_the_shares():
    """Menon et al. 2021: what is added in the loss need not be learned, so that the network's own logits are even."""
    shares = np.array([0.9, 0.09, 0.01])
    even = np.zeros((1, 3), np.float32)
    expected = -(shares * np.log(shares)).sum()
    found = losses(shares[None].astype(np.float32), even, shifts=tuple(np.log(shares)))
    assert float(found[0]) == pytest.approx(expected, rel=1e-5)
    logits = tf.Variable(even)
    with tf.GradientTape() as tape:
        value = WeightedCrossentropy(shifts=tuple(np.log(shares)))(shares[None], logits)
    np.testing.assert_allclose(tape.gradient(value, logits), np.zeros((1, 3)), atol=1e-7)


def test_logits_of_half_precision_and_shares_of_one_in_a_million():
    loss = losses(logits=LOGITS.astype(np.float16), shifts=(0.0, -14.0, 4 * np.log(1e-6)), focal_gamma=2.0)
    assert np.isfinite(loss).all()
    assert loss.dtype == np.float32


def test_it_is_the_same_in_a_graph_and_read_back():
    made = WeightedCrossentropy(label_smoothing=0.1, class_weights=(1, 2, 3), focal_gamma=1.0, shifts=(0, -1, -2))
    again = keras.losses.deserialize(keras.losses.serialize(made))
    graph = tf.function(lambda labels, logits: made(labels, logits))
    assert float(graph(LABELS, LOGITS)) == pytest.approx(float(made(LABELS, LOGITS)), rel=1e-6)
    assert float(again(LABELS, LOGITS)) == float(made(LABELS, LOGITS))


class OfAStage:
    label_smoothing = 0.25


def test_a_stage_has_the_loss_that_its_plan_asks_for():
    assert type(objectives.loss_of(OfAStage, NOTHING)) is keras.losses.CategoricalCrossentropy
    assert type(objectives.loss_of(OfAStage, ImbalancePlan(drawn=(1, 2)))) is keras.losses.CategoricalCrossentropy
    plan = ImbalancePlan(class_weights=(1.0, 2.0), focal_gamma=2.0, logit_adjustment=2.0, priors=(0.5, 0.5))
    loss = objectives.loss_of(OfAStage, plan)
    assert (loss.label_smoothing, loss.class_weights, loss.focal_gamma) == (0.25, (1.0, 2.0), 2.0)
    assert loss.shifts == pytest.approx((2 * np.log(0.5),) * 2)


def test_labels_that_are_numbers_are_smoothed_in_training(plugin, colours):
    """Label smoothing with whole numbers as labels: they become shares of classes in the graph."""
    import tfxfer
    from tfxfer import data, pipeline
    from tfxfer.data import batches
    from tfxfer.training import stage as stages

    recipe = tfxfer.Recipe(
        data=f"folder:{colours}", backbone="tiny:cnn", batch_size=8,
        stages=(tfxfer.Stage(train="head", epochs=1, label_smoothing=0.3),),
    )  # fmt: skip
    ready = pipeline.prepare(recipe, with_seconds=False)
    rows = ready.examples.rows(ready.examples.pixels(24, Framing()), data.TRAIN)
    assert rows.labels.dtype == np.int32
    what = ready.plan.what
    trainee = stages.prepared(ready.model, 0, what.stages[0], what)
    ((pixels, labels),) = batches.ordered_batches(rows, batch_size=8).take(1)
    logits = tf.random.stateless_normal((8, 3), (1, 2))
    log_p = np.array(tf.nn.log_softmax(logits))
    smoothed = 0.7 * np.eye(3)[rows.labels[:8]] + 0.1
    assert float(trainee.compute_loss(pixels, labels, logits)) == pytest.approx(-(smoothed * log_p).sum(1).mean())
