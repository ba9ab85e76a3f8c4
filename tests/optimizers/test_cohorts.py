"""Variables come and go: who trained keeps every bit, who wakes starts as under a fresh optimizer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from optimizers_of_keras import IN_TIERS, KINDS
from small_networks import chain, fit, numbers, same

import tfxfer
from tfxfer.errors import ConfigError
from tfxfer.optimizers import DifferentialLearningRate, cohorts, differential

pytestmark = pytest.mark.slow

SHAPE = (3, 2)


def three(dtype="float32"):
    random = np.random.default_rng(3)
    return [keras.Variable(random.normal(size=SHAPE), dtype=dtype, name=name) for name in ("one", "two", "three")]


def gradients(step, count):
    random = np.random.default_rng(50 + step)
    return [random.normal(size=SHAPE).astype(np.float32) for _ in range(3)][:count]


def wrapped(optimizer, **settings):
    return DifferentialLearningRate(optimizer, lambda variable: 1.0, **settings)


def train(optimizer, variables, given, steps):
    """Moves `variables`; `given` says which of the three gradients of a step are theirs."""
    for step in steps:
        optimizer.apply([gradients(step, 3)[at] for at in given], variables)


@pytest.mark.parametrize("kind", IN_TIERS)
def test_what_wakes_moves_bit_for_bit_as_under_a_fresh_optimizer(kind):
    one, two, late = ours = three()
    [fresh] = three()[2:]
    optimizer, reference = wrapped(KINDS[kind]()), KINDS[kind]()
    reference.build([fresh])
    train(optimizer, [one, two], (0, 1), range(4))
    optimizer.follow(ours)
    train(optimizer, ours, (0, 1, 2), range(4, 9))
    train(reference, [fresh], (2,), range(4, 9))
    assert same([late.numpy()], [fresh.numpy()])


@pytest.mark.parametrize("kind", IN_TIERS)
def test_what_trained_already_goes_on_bit_for_bit_when_others_come_and_go(kind):
    [one, two, three_], plain = three(), three()
    optimizer, reference = wrapped(KINDS[kind]()), KINDS[kind]()
    reference.build(plain)
    train(reference, plain, (0, 1, 2), range(7))
    train(optimizer, [one, two, three_], (0, 1, 2), range(3))
    optimizer.follow([three_, one])  # the middle one goes, and the order changes
    train(optimizer, [three_, one], (2, 0), range(3, 5))
    optimizer.follow([two, one, three_])  # and comes back
    train(optimizer, [two, one, three_], (1, 0, 2), range(5, 7))
    assert same(numbers([one, three_]), numbers([plain[0], plain[2]]))
    assert not same(numbers([two]), numbers([plain[1]]))
    assert int(optimizer.iterations) == 7


def test_permuted_slots_would_be_noticed(monkeypatch):
    def permuted(old, new, kept):
        cohorts.copy_slots(old, new, list(reversed(kept)))

    monkeypatch.setattr(differential, "copy_slots", permuted)
    with pytest.raises(AssertionError):
        test_what_trained_already_goes_on_bit_for_bit_when_others_come_and_go("Adam")


def test_slots_are_the_same_bits_in_the_same_variables_after_a_waking():
    one, two, _late = ours = three()
    optimizer = wrapped(keras.optimizers.Adam(0.01))
    train(optimizer, [one, two], (0, 1), range(4))
    slots, before = optimizer.variables, numbers(optimizer.variables)
    optimizer.follow(ours)
    assert all(slot is kept for slot, kept in zip(slots, optimizer.variables, strict=False))
    assert same(before, numbers(slots))
    assert len(optimizer.variables) == len(slots) + 2 + 2  # two moments; a count and a rate of the cohort
    assert int(optimizer.iterations) == 4


def test_nothing_changes_when_nothing_comes_or_goes():
    ours = three()
    optimizer = wrapped(keras.optimizers.Adam(0.01))
    train(optimizer, ours, (0, 1, 2), range(2))
    slots = optimizer.variables
    optimizer.follow(list(reversed(ours)))
    assert all(slot is kept for slot, kept in zip(slots, optimizer.variables, strict=True))


def test_slots_exist_for_what_trains_and_for_nothing_else():
    one, two, _ = ours = three()
    optimizer = wrapped(keras.optimizers.Adam(0.01, use_ema=True, gradient_accumulation_steps=2))

    def slots():
        return sum(int(np.prod(variable.shape)) for variable in optimizer.variables if variable.shape == SHAPE) // 6

    optimizer.follow([one])
    assert slots() == 4  # two moments, an average and an accumulator
    optimizer.follow(ours)
    assert slots() == 12
    optimizer.follow([two])
    assert slots() == 4
    assert optimizer.trained_variables == [two]
    assert sum(variable.shape == () for variable in optimizer.variables) == 4


def test_what_wakes_joins_the_schedule_where_it_is():
    one, two, late = three()
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3], [1.0, 0.25])
    optimizer = wrapped(keras.optimizers.SGD(schedule))
    train(optimizer, [one, two], (0, 1), range(5))
    optimizer.follow([late])
    before = late.numpy()
    train(optimizer, [late], (2,), [5])
    np.testing.assert_allclose(before - late.numpy(), 0.25 * gradients(5, 3)[2], rtol=1e-5)


def test_the_rate_of_what_wakes_rises_linearly_to_its_place():
    one, _two, late = three()
    optimizer = DifferentialLearningRate(keras.optimizers.SGD(0.8), lambda variable: 0.5 if variable is late else 1.0)
    train(optimizer, [one], (0,), range(3))
    optimizer.follow([one, late], warmup_steps=4)
    ones, moved = np.ones(SHAPE, np.float32), []
    for wanted in (0.1, 0.2, 0.3, 0.4, 0.4):
        assert optimizer.effective_rates() == pytest.approx({"one": 0.8, "three": wanted})
        before = numbers([one, late])
        optimizer.apply([ones, ones], [one, late])
        moved.append([float((old - new).mean()) for old, new in zip(before, numbers([one, late]), strict=True)])
    np.testing.assert_allclose(moved, [[0.8, 0.1], [0.8, 0.2], [0.8, 0.3], [0.8, 0.4], [0.8, 0.4]], rtol=1e-5)


def test_a_warm_up_goes_on_when_part_of_its_cohort_leaves():
    one, two, late = three()
    optimizer = wrapped(keras.optimizers.SGD(0.8))
    train(optimizer, [one], (0,), range(3))
    optimizer.follow([one, two, late], warmup_steps=4)
    train(optimizer, [one, two, late], (0, 1, 2), range(2))
    optimizer.follow([one, late])
    assert optimizer.effective_rates() == pytest.approx({"one": 0.8, "three": 0.6})


def test_the_average_of_what_wakes_starts_from_the_variable_not_from_zero():
    one, _two, late = three()
    optimizer = wrapped(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    train(optimizer, [one], (0,), range(3))
    optimizer.follow([one, late])
    start = late.numpy()
    train(optimizer, [one, late], (0, 2), range(3, 5))
    first = start - 0.1 * gradients(3, 3)[2]
    second = first - 0.1 * gradients(4, 3)[2]
    average = 0.5 * (0.5 * start + 0.5 * first) + 0.5 * second
    np.testing.assert_allclose(optimizer._model_variables_moving_average[1].numpy(), average, rtol=1e-5)


def test_averages_end_in_their_own_variables_whatever_the_order():
    one, two, late = three()
    optimizer = wrapped(keras.optimizers.SGD(0.1, use_ema=True))
    train(optimizer, [one, late], (0, 2), range(3))
    optimizer.follow([one, two, late])  # by cohort: one, late, two
    averages = dict(zip(["one", "three", "two"], numbers(optimizer._model_variables_moving_average), strict=True))
    optimizer.finalize_variable_values([one, two, late])
    assert same(numbers([one, two, late]), [averages["one"], averages["two"], averages["three"]])


def test_keras_by_itself_would_mix_up_averages():
    one, two, late = three()
    optimizer = wrapped(keras.optimizers.SGD(0.1, use_ema=True))
    train(optimizer, [one, late], (0, 2), range(3))
    optimizer.follow([one, two, late])
    wanted = numbers(optimizer._model_variables_moving_average)[2]
    keras.optimizers.Optimizer.finalize_variable_values(optimizer, [one, two, late])
    assert not np.array_equal(two.numpy(), wanted)


def test_accumulation_goes_on_across_a_waking():
    """Each third step moves by the mean of three gradients; of what woke in between, by those that there were."""
    one, _two, late = three()
    optimizer = wrapped(keras.optimizers.SGD(1.0, gradient_accumulation_steps=3))
    start, end = numbers([one, late]), []
    train(optimizer, [one], (0,), [0, 1])
    optimizer.follow([one, late])
    train(optimizer, [one, late], (0, 2), [2])
    mean = sum(gradients(step, 3)[0] for step in range(3)) / 3
    np.testing.assert_allclose(start[0] - one.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(start[1] - late.numpy(), gradients(2, 3)[2] / 3, rtol=1e-5)
    end = numbers([late])[0]
    train(optimizer, [one, late], (0, 2), [3, 4])
    np.testing.assert_array_equal(late.numpy(), end)
    train(optimizer, [one, late], (0, 2), [5])
    mean = sum(gradients(step, 3)[2] for step in range(3, 6)) / 3
    np.testing.assert_allclose(end - late.numpy(), mean, rtol=1e-4)


def test_an_optimizer_that_keeps_its_state_elsewhere_is_told_apart_before_anything_is_lost():
    class Boxed(keras.optimizers.SGD):
        def build(self, variables):
            super().build(variables)
            self.boxes = {variable.path: self.add_variable_from_reference(variable, "box") for variable in variables}

    one, two, _late = ours = three()
    optimizer = wrapped(Boxed(0.1))
    train(optimizer, ours, (0, 1, 2), range(2))
    slots = optimizer.variables
    with pytest.raises(ConfigError, match=r"Boxed keeps .*one_box.* in a way of its own"):
        optimizer.follow([one, two])
    assert optimizer.trained_variables == ours
    assert [id(slot) for slot in slots] == [id(slot) for slot in optimizer.variables]
    optimizer.follow([*ours, keras.Variable(np.ones(2, np.float32))])  # others may still come


def test_a_function_asked_for_a_bad_multiplier_leaves_everything_as_it_was():
    one, two, late = three()
    optimizer = DifferentialLearningRate(keras.optimizers.Adam(0.1), lambda variable: 2.0 if variable is late else 1.0)
    train(optimizer, [one, two], (0, 1), range(2))
    with pytest.raises(ConfigError, match=r"the multiplier of three=2.0 must be a finite number"):
        optimizer.follow([one, late])
    assert optimizer.trained_variables == [one, two]


def test_waking_needs_no_scope_and_keeps_replicas_equal(mirrored):
    with mirrored.scope():
        model = chain()
        optimizer = wrapped(keras.optimizers.Adam(0.01, use_ema=True))
        model.compile(optimizer, loss="mse")
        tfxfer.freeze(model, train="c")
    plain = chain()
    reference = wrapped(keras.optimizers.Adam(0.01, use_ema=True))
    plain.compile(reference, loss="mse")
    tfxfer.freeze(plain, train="c")
    for network, own in ((model, optimizer), (plain, reference)):
        fit(network)
        network.get_layer("b").trainable = True
        own.follow(network.trainable_variables, warmup_steps=2)
        network.make_train_function(force=True)
        fit(network)
        network.get_layer("b").bias.trainable = False
        own.follow(network.trainable_variables)
        network.make_train_function(force=True)
        fit(network)
    for variable, alone in zip(optimizer.variables, reference.variables, strict=True):
        parts = [part.numpy() for part in mirrored.experimental_local_results(variable.value)]
        assert len(parts) == 2
        np.testing.assert_array_equal(*parts)
        np.testing.assert_allclose(parts[0], alone.numpy(), rtol=1e-3, atol=1e-6)


def test_a_variable_that_the_optimizer_does_not_know_is_named_with_the_way_out():
    one, two, _ = three()
    optimizer = wrapped(keras.optimizers.Adam(0.01))
    train(optimizer, [one], (0,), [0])
    with pytest.raises(ConfigError, match=r"such as two\. .*optimizer\.follow\(model\.trainable_variables\)"):
        train(optimizer, [one, two], (0, 1), [1])


@pytest.mark.parametrize("steps", [-1, 1.5, "3"])
def test_a_warm_up_is_a_whole_number(steps):
    with pytest.raises(ConfigError, match=r"warmup_steps=.* must be a whole number of at least 0"):
        wrapped(keras.optimizers.Adam()).follow(three(), warmup_steps=steps)


def test_a_traced_loop_that_wakes_in_between():
    one, two, late = ours = three()
    [fresh] = three()[2:]
    optimizer, reference = wrapped(keras.optimizers.Adam(0.01)), keras.optimizers.Adam(0.01)

    def stepping(moved, given):
        return tf.function(lambda step: optimizer.apply([step[at] for at in given], moved))

    before = stepping([one, two], (0, 1))
    for step in range(3):
        before([tf.constant(gradient) for gradient in gradients(step, 3)])
    optimizer.follow(ours)
    after = stepping(ours, (0, 1, 2))
    for step in range(3, 6):
        after([tf.constant(gradient) for gradient in gradients(step, 3)])
        reference.apply([gradients(step, 3)[2]], [fresh])
    np.testing.assert_allclose(late.numpy(), fresh.numpy(), rtol=1e-6)
