"""What is a policy and a colour, and what is not."""

import pytest

from tfxfer.errors import ConfigError
from tfxfer.framing import Framing


@pytest.mark.parametrize(
    ("background", "colour"),
    [("white", (255, 255, 255)), ("black", (0, 0, 0)), ("#0a80FF", (10, 128, 255))],
)
def test_a_background_is_a_name_or_six_digits(background, colour):
    assert Framing(background=background).colour == colour


@pytest.mark.parametrize("background", ["red", "#fff", "#12345g", "White", "", "#1234567"])
def test_what_is_no_colour_is_answered(background):
    with pytest.raises(ConfigError, match=r"is no colour; write white, black or #rrggbb"):
        Framing(background=background)


def test_what_is_no_policy_is_answered():
    with pytest.raises(ConfigError, match=r"resize='stretch' is not one of 'squash', 'crop', 'pad'"):
        Framing(resize="stretch")


def test_it_says_the_background_where_it_is_not_the_usual_one_or_always_seen():
    """Names of caches are made of it: what differs must read differently."""
    assert str(Framing()) == "squash"
    assert str(Framing(background="black")) == "squash, on black"
    assert str(Framing(resize="pad")) == "pad, on white"
