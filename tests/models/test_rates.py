"""Each variable moves at its own share of one learning rate."""

import keras
import numpy as np
import pytest

from tfxfer import models
from tfxfer.errors import VerificationError


def variables():
    return [keras.Variable(np.full((2, 2), 1.0, np.float32)), keras.Variable(np.full(2, 1.0, np.float32))]


def test_updates_are_the_share_times_those_of_plain_sgd():
    ours, plain = variables(), variables()
    optimizer = models.DifferentialSGD(0.1, {id(ours[0]): 0.25, id(ours[1]): 1.0})
    reference = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    gradients = [keras.ops.convert_to_tensor(np.full(v.shape, 0.5, np.float32)) for v in ours]
    for _ in range(3):
        optimizer.apply(gradients, ours)
        reference.apply(gradients, plain)
    np.testing.assert_allclose(1 - ours[0].numpy(), 0.25 * (1 - plain[0].numpy()), rtol=1e-6)
    np.testing.assert_array_equal(ours[1].numpy(), plain[1].numpy())


def test_the_first_step_by_hand():
    [kernel, bias] = variables()
    optimizer = models.DifferentialSGD(0.1, {id(kernel): 0.5, id(bias): 1.0}, decay=0.2)
    optimizer.apply([keras.ops.ones((2, 2)), keras.ops.ones(2)], [kernel, bias])
    # decay first: 1 − 0.05·0.2; then Nesterov: velocity −0.05, step 0.9·(−0.05) − 0.05
    np.testing.assert_allclose(kernel.numpy(), 1 - 0.01 - 0.095, rtol=1e-6)
    # a bias does not decay
    np.testing.assert_allclose(bias.numpy(), 1 - 0.19, rtol=1e-6)


def test_clipping_is_by_the_norm_of_all_gradients_together():
    [kernel, bias] = variables()
    optimizer = models.DifferentialSGD(1.0, {id(kernel): 1.0, id(bias): 1.0}, clip_norm=1.0)
    optimizer.apply([keras.ops.full((2, 2), 3.0), keras.ops.zeros(2)], [kernel, bias])
    # the norm is 6, so each gradient becomes 0.5; Nesterov's first step is 1.9 times it
    np.testing.assert_allclose(kernel.numpy(), 1 - 0.5 * 1.9, rtol=1e-5)


def test_a_variable_without_a_planned_rate_is_refused():
    [kernel, bias] = variables()
    optimizer = models.DifferentialSGD(0.1, {id(kernel): 0.5})
    with pytest.raises(VerificationError, match="no learning rate was planned"):
        optimizer.build([kernel, bias])


def test_the_rate_rises_to_its_peak_and_falls_to_zero():
    rate = models.warmup_cosine(0.8, steps=20, warmup_steps=4)
    assert float(rate(0)) == pytest.approx(0.8 / 5)
    assert float(rate(4)) == pytest.approx(0.8)
    assert float(rate(12)) == pytest.approx(0.4)
    assert float(rate(20)) == pytest.approx(0.0, abs=1e-7)
    assert float(models.warmup_cosine(0.8, steps=20, warmup_steps=0)(0)) == pytest.approx(0.8)
