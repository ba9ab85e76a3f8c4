"""The rate at each step, worked out by hand for a stage of ten steps with two of warm-up."""

import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxfer import recipes
from tfxfer.errors import ConfigError
from tfxfer.optimizers.schedules import MomentumCycle, StageSchedule

KINDS = typing.get_args(recipes.Schedule)


def rates(kind, steps, *, peak=1.0, of=10, warmup=2, stairs=()):
    schedule = StageSchedule(kind, peak, steps=of, warmup_steps=warmup, decay_steps=stairs)
    return [float(schedule(step)) for step in steps]


def test_cosine_rises_by_thirds_and_is_at_half_in_the_middle_of_what_follows():
    assert rates("cosine", [0, 1, 2, 6, 10, 12]) == pytest.approx([1 / 3, 2 / 3, 1, 0.5, 0, 0], abs=1e-7)
    assert rates("cosine", [0, 5, 10], warmup=0) == pytest.approx([1, 0.5, 0], abs=1e-7)


def test_cosine_is_bit_for_bit_that_of_keras():
    """What a recipe without a word about schedules has always had."""
    keras_s = keras.optimizers.schedules.CosineDecay(0.05 / 56, 495, warmup_target=0.05, warmup_steps=55)
    ours = StageSchedule("cosine", 0.05, steps=550, warmup_steps=55)
    assert [float(ours(step)) for step in range(0, 560, 7)] == [float(keras_s(step)) for step in range(0, 560, 7)]


def test_constant_stays():
    assert rates("constant", [0, 1, 2, 9, 20]) == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])
    assert rates("constant", [0, 9], warmup=0, peak=1e-5) == pytest.approx([1e-5, 1e-5])


def test_one_cycle_goes_up_from_a_25th_and_down_to_a_100000th():
    """Half of the way along a cosine is the mean of both ends."""
    assert rates("one_cycle", [0, 1, 2, 6, 10]) == pytest.approx([0.04, 0.52, 1, (1 + 1e-5) / 2, 1e-5], abs=1e-7)


def test_one_cycle_begins_where_it_is_told():
    schedule = StageSchedule("one_cycle", 1.0, steps=10, warmup_steps=2, cycle_start=0.2)
    assert [float(schedule(step)) for step in (0, 1, 2, 10)] == pytest.approx([0.2, 0.6, 1, 1e-5], abs=1e-7)


@pytest.mark.parametrize(
    ("warmup", "expected"), [(2, [0.95, 0.9, 0.85, 0.9, 0.95]), (10, [0.95, 0.947553, 0.940451, 0.884549, 0.85])]
)
def test_momentum_goes_the_other_way_about(warmup, expected):
    momentum = MomentumCycle(0.95, 0.85, steps=10, warmup_steps=warmup)
    assert [float(momentum(step)) for step in (0, 1, 2, 6, 10)] == pytest.approx(expected)
    assert float(momentum(99)) == float(momentum(10))
    back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(momentum))
    assert [float(back(step)) for step in range(12)] == [float(momentum(step)) for step in range(12)]


def test_one_cycle_with_its_peak_at_the_end_does_not_fall():
    assert rates("one_cycle", [0, 5, 9, 10], warmup=10) == pytest.approx([0.04, 0.52, 0.97651, 1], rel=1e-4)


def test_a_slanted_triangle_has_a_32nd_at_its_foot():
    """On the way down 8 steps take 31/32: at step 4 a quarter of them, at step 6 half."""
    expected = [1 / 32, 33 / 64, 1, 1 - 31 / 32 / 4, 33 / 64, 1 / 32]
    assert rates("slanted_triangular", [0, 1, 2, 4, 6, 10]) == pytest.approx(expected)


def test_stairs_are_taken_behind_their_step():
    """BiT: a tenth for every support strictly below the step."""
    found = rates("staircase", [0, 1, 2, 4, 5, 7, 8, 10], stairs=(4, 7))
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("of", "warmup"), [(1, 0), (1, 1), (10, 0), (10, 3), (10, 10)])
def test_no_rate_within_a_stage_is_zero_or_above_the_peak(kind, of, warmup):
    found = rates(kind, range(of), of=of, warmup=warmup, peak=0.3, stairs=(4,))
    assert min(found) > 0
    assert max(found) <= np.float32(0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_schedule_comes_back_from_its_config_and_works_in_a_traced_function(kind):
    schedule = StageSchedule(kind, 0.1, steps=10, warmup_steps=2, decay_steps=(4, 7))
    back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert type(back) is StageSchedule
    assert back.get_config() == schedule.get_config()
    traced = tf.function(back)
    for step in range(11):
        assert float(traced(tf.constant(step, tf.int64))) == pytest.approx(float(schedule(step)), rel=1e-6, abs=1e-9)


def test_an_optimizer_with_a_schedule_is_saved_and_opened(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(StageSchedule("staircase", 0.1, steps=9, decay_steps=(3,))), "mse")
    model.fit(np.ones((1, 2)), np.ones(1), verbose=0)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert float(back.optimizer._learning_rate(5)) == pytest.approx(0.01)


def test_an_unknown_kind_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"^'staircas' is no schedule, expected one of cosine, .* Did you mean 'stai"):
        StageSchedule("staircas", 0.1, steps=10)
