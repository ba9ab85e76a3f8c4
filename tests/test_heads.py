"""Heads as values: what is refused, in words."""

import dataclasses

import pytest

from tfxfer.errors import ConfigError
from tfxfer.heads import MLP, Linear


def test_heads_by_default_leave_the_number_of_outputs_to_the_data_and_start_from_zero():
    assert (Linear().outputs, Linear().kernel, Linear().dropout) == ("auto", "zeros", 0.0)
    assert (MLP().outputs, MLP().kernel, MLP().hidden) == ("auto", "zeros", (256,))


@pytest.mark.parametrize(
    ("head", "settings", "message"),
    [
        (Linear, {"outputs": 0}, "Linear: outputs=0 must be at least 1."),
        (Linear, {"dropout": 1.0}, "Linear: dropout=1.0 must be at least 0 and below 1."),
        (Linear, {"dropout": -0.1}, "Linear: dropout=-0.1 must be at least 0 and below 1."),
        (Linear, {"dropout": float("nan")}, "Linear: dropout=nan must be at least 0 and below 1."),
        (Linear, {"outputs": 2.5}, "Linear: outputs=2.5 is not a whole number or 'auto'."),
        (Linear, {"pooling": "mean"}, "Linear: pooling='mean' is not one of 'avg', 'max', 'both'."),
        (Linear, {"kernel": "ones"}, "Linear: kernel='ones' is not one of 'zeros', 'glorot_uniform'."),
        (MLP, {"hidden": (64, 0)}, "MLP: hidden=(64, 0) must all be at least 1."),
        (MLP, {"hidden": 64}, "MLP: hidden=64 is not a list of whole numbers."),
        (MLP, {"hidden": (64, "32")}, "MLP: hidden=(64, '32') is not a list of whole numbers."),
        (
            MLP,
            {"outputs": -1, "dropout": 2},
            "MLP: outputs=-1 must be at least 1; dropout=2 must be at least 0 and below 1.",
        ),
    ],
)
def test_a_head_that_cannot_be_is_answered_with_what_can(head, settings, message):
    with pytest.raises(ConfigError) as caught:
        head(**settings)
    assert str(caught.value) == message


def test_hidden_layers_may_be_given_as_a_list():
    assert MLP(hidden=[64, 32]) == MLP(hidden=(64, 32))


def test_no_hidden_layer_is_allowed():
    assert MLP(hidden=()).hidden == ()


def test_a_head_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Linear().dropout = 0.5
