"""The optimizer of a stage is the plan's: kind, numbers, curve, what decays, and how much memory it takes."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from sample_facts import backbone_facts, data_facts, machine_facts

from tfxfer import plans, presets
from tfxfer.callbacks.auto_rgn import AutoRGN
from tfxfer.recipes import SGD, Adam, Recipe, Stage
from tfxfer.training.optimizer import is_bias, rates_callback, stage_optimizer


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


def test_the_second_stage_of_fastai_makes_its_steps():
    """20 steps of a kernel and a bias with shares of 1 and 0.1, by the formulas of fastai 2.8.12, optimizer.py."""
    _, preset = presets.fastai_fine_tune()
    stage = planned(**vars(preset) | {"epochs": None, "steps": 20})
    shapes, shares = ((3, 2), (3,)), (1.0, 0.1)
    variables = [keras.Variable(np.ones(shape), dtype="float64") for shape in shapes]
    optimizer = stage_optimizer(stage, {id(v): share for v, share in zip(variables, shares, strict=True)})
    optimizer.build(variables)
    random = np.random.default_rng(2)
    gradients = [[1e-3 * random.normal(size=shape) for shape in shapes] for _ in range(20)]

    @tf.function
    def run(*stacked):
        for at in tf.range(20):
            optimizer.apply([each[at] for each in stacked], variables)

    run(*(tf.constant(np.stack(each)) for each in zip(*gradients, strict=True)))
    for number, variable in enumerate(variables):
        steps = [pair[number] for pair in gradients]
        wanted = _fastai(steps, peak=1e-3 * shares[number], decay=0.01 if number == 0 else 0.0)
        # Rate and momentum are float32.
        np.testing.assert_allclose(variable.numpy() - 1, wanted - 1, rtol=1e-5)


def _fastai(gradients, *, peak, decay):
    """`fit_one_cycle(…, pct_start=0.3, div=5)`: combined_cos, weight_decay, average_grad, adam_step."""

    def cosine(start, end, share):
        return start + (1 + np.cos(np.pi * (1 - share))) * (end - start) / 2

    place, average, square = np.ones_like(gradients[0]), 0.0, 0.0
    for at, gradient in enumerate(gradients):
        done = at / len(gradients)
        up = done < 0.3
        share = done / 0.3 if up else (done - 0.3) / 0.7
        rate = cosine(peak / 5, peak, share) if up else cosine(peak, peak / 1e5, share)
        momentum = cosine(0.95, 0.85, share) if up else cosine(0.85, 0.95, share)
        place = place * (1 - rate * decay)
        average = momentum * average + (1 - momentum) * gradient
        square = 0.99 * square + (1 - 0.99) * gradient**2
        debias1, debias2 = 1 - momentum ** (at + 1), 1 - 0.99 ** (at + 1)
        place = place - rate / debias1 * average / (np.sqrt(square / debias2) + 1e-5)
    return place


def test_the_stage_of_caffe_makes_its_steps():
    """sgd_solver.cpp: v ← momentum·v + rate·lr_mult·(gradient + decay·decay_mult·w), w ← w − v; stairs a step late."""
    (preset,) = presets.caffe()
    stage = planned(**vars(preset) | {"epochs": None, "steps": 20})
    # The new layer's kernel and bias, and an old one's: lr_mult 10, 20, 1 and 2 of a base rate of 0.001.
    shapes, shares, multipliers = ((3, 2), (2,), (3, 2), (2,)), (1.0, 2.0, 0.1, 0.2), (10, 20, 1, 2)
    variables = [keras.Variable(np.ones(shape), dtype="float64") for shape in shapes]
    optimizer = stage_optimizer(stage, {id(v): share for v, share in zip(variables, shares, strict=True)})
    optimizer.build(variables)
    random = np.random.default_rng(2)
    wanted, velocity = [np.ones(shape) for shape in shapes], [0.0] * 4
    for step in range(20):
        gradients = [random.normal(size=shape) for shape in shapes]
        optimizer.apply([tf.constant(gradient) for gradient in gradients], variables)
        stairs = sum(step > 20 * share for share in (0.2, 0.4, 0.6, 0.8))
        for at, (gradient, multiplier) in enumerate(zip(gradients, multipliers, strict=True)):
            decayed = gradient + 5e-4 * (1, 0)[at % 2] * wanted[at]
            velocity[at] = 0.9 * velocity[at] + 0.001 * 0.1**stairs * multiplier * decayed
            wanted[at] = wanted[at] - velocity[at]
    for variable, number in zip(variables, wanted, strict=True):
        np.testing.assert_allclose(variable.numpy() - 1, number - 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [("bias", (4,), True), ("beta", (4,), True), ("gamma", (4,), False), ("kernel", (2, 3), False),
     ("position_bias", (7, 12), False), ("bias", (1, 1, 4), True)],
)  # fmt: skip
def test_a_bias_is_no_kernel_and_called_one(name, shape, expected):
    assert is_bias(keras.Variable(np.zeros(shape), name=name)) is expected


def test_only_measured_rates_need_a_callback():
    stage = planned()
    assert rates_callback(stage, []) is None
    callback = rates_callback(dataclasses.replace(stage, group_rates="auto_rgn"), [])
    assert isinstance(callback, AutoRGN)
