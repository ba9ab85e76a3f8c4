"""Heads as values: what is refused, in words, and how recipes name them."""

import dataclasses

import pytest

from tfxfer import config, values
from tfxfer.errors import ConfigError
from tfxfer.heads import MLP, Cosine, Linear
from tfxfer.recipes import Recipe


def read(*texts: str) -> Recipe:
    """Returns the recipe that flags written as `path=text` make."""
    return config.read_recipe(None, [values.Change(*text.split("=", 1), f"--config.{text}") for text in texts])


def test_heads_by_default_leave_the_number_of_outputs_to_the_data_and_start_from_zero():
    assert (Linear().outputs, Linear().kernel, Linear().dropout) == ("auto", "zeros", 0.0)
    assert (MLP().outputs, MLP().kernel, MLP().hidden, MLP().batch_norm) == ("auto", "zeros", (256,), False)


def test_cosine_starts_from_directions_and_learns_its_scale_from_10():
    assert (Cosine().kernel, Cosine().scale, Cosine().learn_scale) == ("orthogonal", 10.0, True)


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
        (MLP, {"pooling": "mean"}, "MLP: pooling='mean' is not one of 'avg', 'max', 'both'."),
        (MLP, {"batch_norm": 1}, "MLP: batch_norm=1 is not true or false."),
        (
            MLP,
            {"hidden": (), "batch_norm": True},
            "MLP: batch_norm=True needs a hidden layer to stand behind: hidden=(256,).",
        ),
        (
            MLP,
            {"outputs": -1, "dropout": 2},
            "MLP: outputs=-1 must be at least 1; dropout=2 must be at least 0 and below 1.",
        ),
        (Cosine, {"outputs": 0}, "Cosine: outputs=0 must be at least 1."),
        (Cosine, {"pooling": "mean"}, "Cosine: pooling='mean' is not one of 'avg', 'max', 'both'."),
        (Cosine, {"kernel": "zeros"}, "Cosine: kernel='zeros' is not one of 'orthogonal', 'glorot_uniform'."),
        (Cosine, {"scale": 0}, "Cosine: scale=0 must be above 0 and finite."),
        (Cosine, {"scale": -10.0}, "Cosine: scale=-10.0 must be above 0 and finite."),
        (Cosine, {"scale": float("inf")}, "Cosine: scale=inf must be above 0 and finite."),
        (Cosine, {"scale": float("nan")}, "Cosine: scale=nan must be above 0 and finite."),
        (Cosine, {"scale": "10"}, "Cosine: scale='10' is not a number."),
        (Cosine, {"learn_scale": "yes"}, "Cosine: learn_scale='yes' is not true or false."),
        (
            Cosine,
            {"outputs": 0, "dropout": 1, "scale": 0},
            "Cosine: outputs=0 must be at least 1; dropout=1 must be at least 0 and below 1; scale=0 must be above 0 "
            "and finite.",
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


@pytest.mark.parametrize(
    ("texts", "head"),
    [
        (("head=Cosine",), Cosine()),
        (("head=cosine", "head.scale=20", "head.learn_scale=false"), Cosine(scale=20.0, learn_scale=False)),
        (("head=MLP", "head.batch_norm=true", "head.hidden=8,4"), MLP(hidden=(8, 4), batch_norm=True)),
    ],
)
def test_every_head_can_be_chosen_and_set_by_flags(texts, head):
    assert read(*texts).head == head


@pytest.mark.parametrize("head", [Linear(pooling="max"), MLP(batch_norm=True), Cosine(scale=2.0, learn_scale=False)])
def test_a_recipe_s_head_comes_back_from_json(head):
    recipe = Recipe(head=head)
    assert values.from_json(Recipe, values.to_json(recipe)) == recipe


def test_a_head_misspelt_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"head='cosin' is not .*Cosine\(…\)\. Did you mean 'Cosine'\?"):
        read("head=cosin")


def test_a_setting_of_another_head_is_answered_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"head\.scale does not exist\. MLP has: .*batch_norm"):
        read("head=MLP", "head.scale=3")
