"""What can be asked about rare classes, and what would correct one thing twice."""

import pytest

import tfxfer
from tfxfer import values
from tfxfer.errors import ConfigError
from tfxfer.imbalance import Imbalance
from tfxfer.recipes import Recipe
from tfxfer.values import Change


def refusal(**settings) -> str:
    with pytest.raises(ConfigError) as caught:
        Imbalance(**settings)
    return str(caught.value)


def test_nothing_is_done_unless_it_is_asked():
    assert tfxfer.Imbalance is Imbalance
    assert not Imbalance().is_asked
    assert Recipe().imbalance == Imbalance()
    for one in ({"class_weights": "inverse"}, {"sampling": "balanced"}, {"focal_gamma": 2}, {"logit_adjustment": 1}):
        assert Imbalance(**one).is_asked


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": "balanced"}, "Imbalance: class_weights='balanced' is not one of 'none', 'inverse', "
                                        "'effective'."),
        ({"class_weights": "effective", "beta": 1.0}, "Imbalance: beta=1.0 must be above 0 and below 1."),
        ({"class_weights": "effective", "beta": float("nan")}, "Imbalance: beta=nan must be above 0 and below 1."),
        ({"beta": 0.9}, "Imbalance: beta=0.9 belongs to class_weights='effective', not 'none'."),
        ({"focal_gamma": -1.0}, "Imbalance: focal_gamma=-1.0 must be 0 to 10."),
        ({"logit_adjustment": float("inf")}, "Imbalance: logit_adjustment=inf must be 0 to 4."),
        (
            {"class_weights": "inverse", "sampling": "balanced", "logit_adjustment": 1.0},
            "Imbalance: class_weights=inverse and sampling=balanced and logit_adjustment=1 each correct the shares of "
            "the classes, and together would correct them twice, so that rare classes are predicted too often; leave "
            "one of them.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(settings, message):
    assert refusal(**settings) == message


def test_hard_examples_may_count_more_beside_any_correction():
    for one in ({"class_weights": "effective"}, {"sampling": "square_root"}, {"logit_adjustment": 0.5}):
        assert Imbalance(focal_gamma=2.0, **one).focal_gamma == 2


def test_it_comes_from_the_command_line_and_from_recipes_of_before():
    change = Change("imbalance.logit_adjustment", "1", "--config.imbalance.logit_adjustment=1")
    recipe = values.replace(Recipe(), [change])
    assert recipe.imbalance == Imbalance(logit_adjustment=1.0)
    assert values.from_json(Recipe, values.to_json(recipe)) == recipe
    before = values.to_json(Recipe())
    del before["imbalance"], before["data"]["weight_column"]
    assert values.from_json(Recipe, before) == Recipe()
