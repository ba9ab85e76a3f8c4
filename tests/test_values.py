"""Typed values: what each declared type accepts, from Python, from JSON and from text, and what it answers else."""

import dataclasses
import json
from typing import Any, Literal

import pytest

from tfxfer import values
from tfxfer.errors import ConfigError
from tfxfer.values import Change


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
    """Part of the examples below."""

    size: int = 28
    spokes: tuple[int, ...] = (32,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motor:
    """Part of the examples below: another thing that can turn."""

    watts: float = 250.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bike:
    """Has a field of every kind that is supported."""

    name: str = "bike"
    gears: int | Literal["auto"] = "auto"
    weight: float = 12.5
    bell: bool = False
    colour: Literal["red", "blue"] | None = None
    front: Wheel = dataclasses.field(default_factory=Wheel)
    drive: Wheel | Motor = dataclasses.field(default_factory=Wheel)
    wheels: tuple[Wheel, ...] | Literal["auto"] = "auto"
    range_km: tuple[int, float] = (20, 80.5)

    def __post_init__(self):
        """Refuses a bike of no weight, and a bell on a red one."""
        if not values.check_fields(self) and self.weight <= 0:
            raise ConfigError(f"Bike: weight={self.weight} must be above 0.")
        if self.bell and self.colour == "red":
            raise ConfigError("Bike: bell=True and colour='red' exclude each other.")


@dataclasses.dataclass(frozen=True)
class Ticket:
    """Has fields without defaults."""

    number: int
    holder: str
    price: float = 1.0


def change(value, *texts: str):
    """Returns `value` with changes written as `path=text`."""
    return values.replace(value, [Change(*text.split("=", 1), f"--{text}") for text in texts])


def refusal(value, *texts: str) -> str:
    with pytest.raises(ConfigError) as caught:
        change(value, *texts)
    return str(caught.value)


def test_a_bike_as_declared_has_no_problems():
    assert values.check_fields(Bike()) == []
    assert values.check_fields(Bike(weight=9)) == []  # a whole number is a number


@pytest.mark.parametrize(
    ("field", "given", "problem"),
    [
        ("name", 7, "name=7 is not a text"),
        ("gears", 2.5, "gears=2.5 is not a whole number or 'auto'"),
        ("gears", True, "gears=True is not a whole number or 'auto'"),
        ("gears", "many", "gears='many' is not a whole number or 'auto'"),
        ("weight", "12", "weight='12' is not a number"),
        ("weight", True, "weight=True is not a number"),
        ("bell", 1, "bell=1 is not true or false"),
        ("colour", "green", "colour='green' is not one of 'red', 'blue' or none"),
        ("front", "auto", "front='auto' is not Wheel(…)"),
        ("drive", 3, "drive=3 is not Wheel(…) or Motor(…)"),
        ("wheels", (1, 2), "wheels=(1, 2) is not a list of Wheel(…) or 'auto'"),
        ("range_km", (1,), "range_km=(1,) is not a list of 2 (a whole number, a number)"),
        ("range_km", (1.5, 2), "range_km=(1.5, 2) is not a list of 2 (a whole number, a number)"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_was_expected(field, given, problem):
    assert values.check_fields(Bike(**{field: given})) == [problem]


def test_all_problems_are_named_at_once():
    assert len(values.check_fields(Bike(name=1, gears=2.5, bell="yes"))) == 3


def test_a_list_of_numbers_is_described_as_people_say_it():
    assert values.describe(tuple[int, ...]) == "a list of whole numbers"
    assert values.describe(tuple[float, ...] | None) == "a list of numbers or none"


@pytest.mark.parametrize(
    "bike",
    [
        Bike(),
        Bike(name="naïve", gears=7, bell=True, colour="blue", range_km=(1, 2.5)),
        Bike(drive=Motor(watts=750.0), wheels=(Wheel(size=20), Wheel(spokes=(16, 24)))),
        Bike(wheels=(), front=Wheel(spokes=())),
    ],
)
def test_json_and_back_gives_an_equal_value(bike):
    text = json.dumps(values.to_json(bike))
    assert values.from_json(Bike, json.loads(text)) == bike


def test_json_names_the_class_only_where_there_is_a_choice():
    written = values.to_json(Bike(drive=Motor(watts=750.0)))
    assert written["drive"] == {"kind": "Motor", "watts": 750.0}
    assert written["front"] == {"size": 28, "spokes": [32]}
    assert written["range_km"] == [20, 80.5]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"gear": 3}, "Bike.gear does not exist. Did you mean 'gears'?"),
        ({"front": {"sise": 3}}, "Bike.front.sise does not exist. Did you mean 'size'? Wheel has: size, spokes."),
        ({"weight": "heavy"}, "Bike.weight='heavy' is not a number."),
        ({"wheels": [{"size": 1}, {"size": "x"}]}, "Bike.wheels[1].size='x' is not a whole number."),
        ({"range_km": [1]}, "Bike.range_km=[1] is not a list of 2 (a whole number, a number)."),
        ({"drive": {"watts": 3.0}}, "Bike.drive has kind=None, expected one of ['Motor', 'Wheel']."),
        ({"drive": {"kind": "Sail"}}, "Bike.drive has kind='Sail', expected one of ['Motor', 'Wheel']."),
        ([], "Bike=[] is not Bike(…)."),
    ],
)
def test_json_that_does_not_fit_is_answered_with_its_place(data, message):
    with pytest.raises(ConfigError) as caught:
        values.from_json(Bike, data)
    assert str(caught.value).startswith(message)


def test_json_without_a_needed_field_is_answered_with_its_name():
    with pytest.raises(ConfigError, match=r"^Ticket lacks holder, number\.$"):
        values.from_json(Ticket, {"price": 2.0})
    assert values.from_json(Ticket, {"number": 1, "holder": "me"}) == Ticket(1, "me", 1.0)


def test_the_digest_is_the_start_of_the_sha256_of_compact_sorted_json():
    # printf '{"size":28,"spokes":[32]}' | sha256sum
    assert values.digest(Wheel()) == "7687ece80461405d"
    assert values.digest(Wheel(size=29)) != values.digest(Wheel())
    assert values.digest({"b": 1, "a": 2}) == values.digest({"a": 2, "b": 1})


def test_the_digest_tells_classes_apart_where_a_field_may_hold_either():
    @dataclasses.dataclass(frozen=True)
    class Left:
        size: int = 1

    @dataclasses.dataclass(frozen=True)
    class Right:
        size: int = 1

    Holder = dataclasses.make_dataclass("Holder", [("side", Left | Right)], frozen=True)  # noqa: N806
    assert values.digest(Holder(Left())) != values.digest(Holder(Right()))


def test_a_number_that_is_none_has_no_digest():
    with pytest.raises(ValueError, match="JSON compliant"):
        values.digest(Motor(watts=float("nan")))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        (" 3 ", int, 3),
        ("1e-3", float, 0.001),
        ("3", float, 3.0),
        ("True", bool, True),
        ("false", bool, False),
        ("None", int | None, None),
        ("none", str | None, None),
        ("auto", int | Literal["auto"], "auto"),
        ("head", Literal["head", "all"] | int | float | str, "head"),
        ("4", Literal["head", "all"] | int | float | str, 4),
        ("0.5", Literal["head", "all"] | int | float | str, 0.5),
        ("block4", Literal["head", "all"] | int | float | str, "block4"),
        ("64,32", tuple[int, ...], (64, 32)),
        ("(64, 32)", tuple[int, ...], (64, 32)),
        ("[64]", tuple[int, ...], (64,)),
        ("64", tuple[int, ...], (64,)),
        ("()", tuple[int, ...], ()),
        ("3,0.5", tuple[int, float], (3, 0.5)),
        ("motor", Wheel | Motor, Motor()),
    ],
)
def test_text_is_read_by_the_declared_type_the_narrowest_first(text, kind, value):
    read = values.parse_text(text, kind, "here")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("three", int, "here='three' is not a whole number."),
        ("3.5", int, "here='3.5' is not a whole number."),
        ("yes", bool, "here='yes' is not true or false."),
        ("rot", Literal["red", "blue"], "here='rot' is not one of 'red', 'blue'."),
        ("rad", Literal["red", "blue"], "here='rad' is not one of 'red', 'blue'. Did you mean 'red'?"),
        ("weel", Wheel | Motor, "here='weel' is not Wheel(…) or Motor(…). Did you mean 'Wheel'?"),
        ("64,x", tuple[int, ...], "here='x' is not a whole number."),
        ("1,2,3", tuple[int, float], "here='1,2,3' is not a list of 2 (a whole number, a number)."),
        ("1", tuple[Wheel, ...] | Literal["auto"], "here='1' is not a list of Wheel(…) or 'auto'."),
    ],
)
def test_text_that_means_nothing_is_answered_with_what_would(text, kind, message):
    with pytest.raises(ConfigError) as caught:
        values.parse_text(text, kind, "here")
    assert str(caught.value) == message


def test_a_change_reaches_any_depth_and_leaves_the_original_alone():
    bike = Bike(wheels=(Wheel(), Wheel()))
    changed = change(bike, "wheels[1].size=20", "front.spokes=16,24", "gears=3", "range_km[1]=9")
    assert changed == Bike(wheels=(Wheel(), Wheel(size=20)), front=Wheel(spokes=(16, 24)), gears=3, range_km=(20, 9.0))
    assert bike == Bike(wheels=(Wheel(), Wheel()))


def test_the_later_of_two_changes_to_one_field_counts():
    assert change(Bike(), "gears=3", "gears=5").gears == 5


def test_a_class_can_be_chosen_and_then_its_fields():
    assert change(Bike(), "drive=Motor", "drive.watts=500").drive == Motor(watts=500.0)
    # What was said about the wheel is void once it is a motor.
    assert change(Bike(), "drive.size=20", "drive=Motor").drive == Motor()


def test_fields_that_exclude_each_other_can_change_places():
    quiet_red, loud_blue = Bike(colour="red"), Bike(colour="blue", bell=True)
    assert change(quiet_red, "bell=true", "colour=blue") == loud_blue
    assert change(loud_blue, "colour=red", "bell=false") == quiet_red


def test_what_does_not_go_together_is_answered_with_all_that_was_typed():
    assert refusal(Bike(), "front.size=3", "colour=red", "bell=true") == (
        "--colour=red --bell=true: Bike: bell=True and colour='red' exclude each other."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gear=3", "--gear=3: gear does not exist. Did you mean 'gears'?"),
        ("xyz=3", "--xyz=3: xyz does not exist. Bike has: name, gears, weight, bell, colour"),
        ("front.sise=3", "--front.sise=3: front.sise does not exist. Did you mean 'size'? Wheel has: size, spokes."),
        ("gears=many", "--gears=many: gears='many' is not a whole number or 'auto'."),
        ("front.spokes=1,x", "--front.spokes=1,x: front.spokes='x' is not a whole number."),
        ("weight=0", "--weight=0: Bike: weight=0.0 must be above 0."),
        ("weight.x=0", "--weight.x=0: weight is 12.5 and has no field 'x'."),
        ("wheels[0].size=3", "--wheels[0].size=3: wheels is 'auto' and has no item [0]. Give it as a list in a config"),
        ("range_km[2]=3", "--range_km[2]=3: range_km has no item [2]: it has 2, counted from 0."),
        ("range_km.low=3", "--range_km.low=3: range_km is a list. Write range_km[0].low for its first item."),
        ("wheels[-1]=3", "--wheels[-1]=3: 'wheels[-1]' is no path to a field. Write it like stages[0].epochs."),
        ("wheels[0=3", "--wheels[0=3: 'wheels[0' is no path to a field."),
        ("front.=3", "--front.=3: 'front.' is no path to a field."),
        ("=3", "--=3: '' is no path to a field."),
    ],
)
def test_a_change_that_does_not_fit_is_answered_with_what_was_typed(text, message):
    assert refusal(Bike(), text).startswith(message)


def test_an_index_beyond_the_end_within_a_list_of_objects():
    said = refusal(Bike(wheels=(Wheel(),)), "wheels[1].size=3")
    assert said == "--wheels[1].size=3: wheels has no item [1]: it has 1, counted from 0."


def test_plain_json_types_pass_through():
    assert values.to_json({"a": (1, 2), 3: [Wheel()]}) == {"a": [1, 2], "3": [{"size": 28, "spokes": [32]}]}
    assert values.from_json(dataclasses.make_dataclass("Any_", [("x", Any)]), {"x": [1]}).x == [1]
