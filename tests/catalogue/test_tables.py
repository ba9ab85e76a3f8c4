"""What people see of backbones: nothing cut, nothing that steers a terminal, unknown values as dashes."""

import dataclasses
import json

import pytest
from sample_facts import backbone_facts

from tfxfer.catalogue import listing, tables
from tfxfer.catalogue.description import Description, GroupLine, LayerLine
from tfxfer.facts import BackboneCard

CARD = BackboneCard(
    handle="tiny:net",
    native_size=224,
    minimum_size=32,
    pixels="x / 255, RGB",
    license="MIT",
    origin="a test",
    feature_channels=512,
    parameters=14_714_688,
    groups=13,
    top1=71.33,
    top1_source="a paper",
)
UNKNOWN = BackboneCard(
    handle="tiny:dark", native_size=0, minimum_size=0, pixels="none", license="unknown", origin="", takes="text"
)


def listing_of(*cards: BackboneCard, **settings) -> listing.Listing:
    entries = tuple(listing.Entry(card=card, has_weights=card is CARD) for card in cards)
    return listing.Listing(source="tiny", entries=entries, **settings)


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(start)]
    return line.split()


def described(**changes) -> Description:
    facts = backbone_facts()
    facts = dataclasses.replace(facts, card=dataclasses.replace(facts.card, **changes))
    long = LayerLine(name="layer_" * 12 + "end", kind="Conv2D", parameters=3, shape=(None, 7, 5))
    short = LayerLine(name="relu", kind="ReLU", parameters=0, shape=None)
    groups = tuple(
        GroupLine(facts=group, shapes=((7, 7, 3), (14, 14, 1)) if number else (), layers=(long, short))
        for number, group in enumerate(facts.groups)
    )
    return Description(facts=facts, has_weights=True, input_shape=(224, 224, 3), groups=groups)


def test_a_backbone_is_one_line():
    text = tables.listing_text([listing_of(CARD)])
    assert row(text, "tiny:net") == ["tiny:net", "14.7M", "224", "13", "512", "71.3", "MIT", "yes"]


def test_what_is_not_known_is_a_dash():
    text = tables.listing_text([listing_of(UNKNOWN)])
    assert row(text, "tiny:dark") == ["tiny:dark", "–", "–", "–", "–", "–", "–", "no"]


def test_a_small_network_s_parameters_are_counted():
    text = tables.listing_text([listing_of(dataclasses.replace(CARD, parameters=1234))])
    assert row(text, "tiny:net")[1] == "1,234"


def test_a_long_handle_is_never_cut():
    handle = "tiny:" + "x" * 200
    assert handle in tables.listing_text([listing_of(dataclasses.replace(CARD, handle=handle))])


def test_an_outsider_s_words_cannot_steer_the_terminal():
    evil = dataclasses.replace(CARD, handle="tiny:\x1b[2J[bold]x[/bold]", license="M\nIT")
    text = tables.listing_text([listing_of(evil, usage="tiny:\x1b[0m", problems=("\x07 no",))])
    assert "tiny:�[2J[bold]x[/bold]" in text
    assert "M�IT" in text
    assert not {"\x1b", "\x07"} & set(text)
    assert "\\u001b" in json.dumps(tables.listing_values([listing_of(evil)]))


def test_usage_and_problems_stand_below_the_table():
    text = tables.listing_text([listing_of(CARD, usage="tiny:<file>", problems=("no luck.",))])
    assert "handles to complete:\n  tiny:<file>\n" in text
    assert "cannot be listed:\n  tiny: no luck.\n" in text


def test_an_empty_list_says_so():
    assert tables.listing_text([listing_of()]) == "no backbone that can be listed.\n"


def test_values_for_json_have_null_for_what_is_not_known():
    known, unknown = tables.listing_values([listing_of(CARD, UNKNOWN)])["sources"][0]["backbones"]
    assert (known["parameters"], known["top1"], known["has_weights"]) == (14_714_688, 71.33, True)
    numbers = ("native_size", "minimum_size", "feature_channels", "parameters", "groups", "top1", "top1_source")
    assert [unknown[name] for name in numbers] == [None] * 7
    assert unknown["has_weights"] is False


def test_a_description_has_a_row_for_each_group():
    text = tables.description_text(described())
    first, second = described().groups[:2]
    assert row(text, first.facts.name)[-2:] == ["–", "yes" if first.facts.legal_cut else "no"]
    assert f"7×7×3 + 14×14×1 {'yes' if second.facts.legal_cut else 'no'}" in " ".join(row(text, second.facts.name))
    assert f"{'layer_' * 12}end … relu" in text
    assert "weights     on this machine" in text


def test_layers_get_a_line_each():
    text = tables.description_text(described(), layers=True)
    assert text.count("  relu ") == len(described().groups)
    assert f"  {'layer_' * 12}end Conv2D" in text
    assert "?×7×5" in text


@pytest.mark.parametrize("layers", [False, True])
def test_a_description_fits_the_terminal_and_loses_no_letter(layers):
    text = tables.description_text(described(origin="o " * 90), layers=layers, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text.replace("first … last", "").replace(" …", "")
    joined = "".join(text.split())
    assert joined.count("o") >= 90


def test_the_takes_line_says_what_goes_in():
    assert "takes       pictures, here 224×224×3" in tables.description_text(described())
    assert "takes       text: strings [batch], here" in tables.description_text(described(takes="text"))
