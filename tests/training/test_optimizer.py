"""The optimizer of a stage is the plan's: kind, numbers, curve, what decays, and how much memory it takes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import plans
from tfxfer.callbacks.auto_rgn import AutoRGN
from tfxfer.recipes import SGD, Adam, Recipe, Stage
from tfxfer.training.optimizer import stage_callbacks, stage_optimizer


def planned(**settings) -> plans.StagePlan:
    stages = (Stage(**{"steps": 10, "train": "all", **settings}),)
    plan = plans.resolve(Recipe(stages=stages), data_facts(), backbone_facts(), machine_facts())
    return plan.what.stages[0]


def built(stage, *shapes):
    """An optimizer for variables of ones, and these."""
    variables = [keras.Variable(np.ones(shape, "float32")) for shape in shapes]
    optimizer = stage_optimizer(stage, {id(variable): 1.0 for variable in variables})
    optimizer.build(variables)
    return optimizer, variables


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (SGD(), lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)),
        (SGD(momentum=0, nesterov=False), lambda: keras.optimizers.SGD(0.1)),
        (SGD(momentum=0.8, nesterov=False), lambda: keras.optimizers.SGD(0.1, momentum=0.8)),
        (Adam(), lambda: keras.optimizers.Adam(0.1)),
        (Adam(beta_1=0.7, beta_2=0.99, epsilon=1e-5), lambda: keras.optimizers.Adam(0.1, 0.7, 0.99, 1e-5)),
    ],
)
def test_steps_are_those_of_keras(chosen, expected):
    stage = planned(optimizer=chosen, learning_rate=0.1, schedule="constant", warmup=0.0, clip_norm=None)
    optimizer, (ours,) = built(stage, (3,))
    expected, theirs = expected(), keras.Variable(np.ones(3, "float32"))
    for gradient in ([0.1, -0.2, 3.0], [0.3, 0.1, -1.0], [0.0, 0.5, 0.5]):
        for one, variable in ((optimizer, ours), (expected, theirs)):
            one.apply([tf.constant(gradient)], [variable])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("chosen", [SGD(), SGD(momentum=0, nesterov=False), Adam()])
def test_the_plan_tells_the_memory_of_the_slots(chosen):
    """Slots have the shape of a variable of the model; what else there is, such as counts of steps, are scalars."""
    stage = planned(optimizer=chosen)
    optimizer, _ = built(stage, (5, 7), (7,))
    slots = sum(v.numpy().nbytes for v in optimizer.variables if len(v.shape))
    assert slots / 42 == stage.slot_bytes / stage.trainable_weights


def test_the_curve_is_the_plan_s():
    stage = planned(schedule="staircase", learning_rate=0.1, warmup=0.2, decay_at=(0.4, 0.6), clip_norm=None,
                    optimizer=SGD(momentum=0, nesterov=False))  # fmt: skip
    optimizer, (variable,) = built(stage, (1,))
    moves = []
    for _ in range(8):
        before = variable.numpy()[0]
        optimizer.apply([tf.ones(1)], [variable])
        moves.append(before - variable.numpy()[0])
    expected = [0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001]
    np.testing.assert_allclose(moves, expected, rtol=1e-4)


@pytest.mark.parametrize("chosen", [SGD(), Adam()])
def test_weight_decay_shrinks_kernels_and_leaves_vectors_alone(chosen):
    stage = planned(optimizer=chosen, learning_rate=0.1, weight_decay=0.5, schedule="constant", warmup=0.0)
    shapes = ((3, 3, 2, 4), (2, 3), (4,), (1, 1, 4), ())
    optimizer, variables = built(stage, *shapes)
    optimizer.apply([tf.zeros(shape) for shape in shapes], variables)
    found = [float(variable.numpy().ravel()[0]) for variable in variables]
    assert found == pytest.approx([0.95, 0.95, 1, 1, 1])  # 1 − 0.1 · 0.5


def test_clipping_is_by_the_norm_of_all():
    stage = planned(optimizer=SGD(momentum=0, nesterov=False), learning_rate=1.0, clip_norm=0.5, schedule="constant",
                    warmup=0.0)  # fmt: skip
    optimizer, (one, other) = built(stage, (1,), (1,))
    optimizer.apply([tf.constant([3.0]), tf.constant([4.0])], [one, other])
    assert (1 - one.numpy()[0], 1 - other.numpy()[0]) == pytest.approx((0.3, 0.4))  # norm 5, so a tenth


def test_only_measured_rates_need_a_callback():
    stage = planned()
    assert stage_callbacks(stage, []) == []
    (callback,) = stage_callbacks(dataclasses.replace(stage, group_rates="auto_rgn"), [])
    assert isinstance(callback, AutoRGN)
