"""A variable that a stage was to move and did not: told with its reason, or the end of the run."""

import keras
import numpy as np
import pytest

import tfxfer
from tfxfer import activations, data, pipeline
from tfxfer.errors import VerificationError
from tfxfer.framing import Framing
from tfxfer.recipes import Adam
from tfxfer.training import stage as stages

LAST = {"train": "stage3.block1", "epochs": 2, "learning_rate": 0.1, "batch_norm": "frozen"}


@pytest.fixture
def ready(plugin, colours):
    """A function that prepares a stage, lets the model be changed, runs it, and returns its record."""

    def run(change=lambda model: None, **settings):
        stage = tfxfer.Stage(**{**LAST, **settings})
        recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=(stage,), batch_size=8)
        prepared = pipeline.prepare(recipe, with_seconds=False)
        model, what = tfxfer.swap_head(prepared.backbone, prepared.plan.what.head), prepared.plan.what
        pixels = prepared.examples.pixels(24, Framing())
        train, validation = (prepared.examples.rows(pixels, split) for split in (data.TRAIN, data.VALIDATION))
        change(model)
        with activations.Kept(what, disk_bytes=10**8, tell=print) as kept:
            return stages.run_stage(
                model, 0, what.stages[0], what, train, validation, cache=None, kept=kept, tell=lambda *_: None
            )

    return run


class Held(keras.constraints.Constraint):
    """Puts a variable back to one number after each step."""

    def __call__(self, value):
        return keras.ops.ones_like(value) * 0.5


def held(model):
    bias = model.get_layer("block2_conv").bias
    bias.assign(np.full(bias.shape, 0.5))
    bias.constraint = Held()


def rounded(model):
    """Numbers so large that no step of this size changes them in float32; batch norm makes them small again."""
    bias = model.get_layer("block2_conv").bias
    bias.assign(np.full(bias.shape, 1e4))
    model.get_layer("block2_bn").moving_mean.assign(np.full(bias.shape, 1e4))


@pytest.mark.parametrize("optimizer", [tfxfer.SGD(), Adam()])
def test_a_variable_that_is_held_though_it_has_a_gradient_stops_the_run(ready, optimizer):
    """The canary: a constraint puts one bias back after each step, and its kernel moves."""
    with pytest.raises(VerificationError, match=r"block2_conv/bias was to train at a rate of .* not moved by one bit"):
        ready(held, optimizer=optimizer)


def test_a_step_that_is_lost_in_rounding_is_told(ready):
    record = ready(rounded, learning_rate=1e-4)
    (line,) = record.idle
    assert line.startswith("block2_conv/bias: its gradient is up to ")
    assert line.endswith("lost in rounding of float32")
    assert record.moved == 3


def test_nothing_is_told_where_all_has_moved(ready):
    record = ready()
    assert (record.idle, record.moved) == ((), 4)


def test_one_step_from_a_head_of_zeros_moves_nothing_below_and_is_no_fault(ready):
    record = ready(epochs=None, steps=1)
    assert record.idle == (
        "block2_conv/kernel: it had one step only", "block2_conv/bias: it had one step only",
    )  # fmt: skip
