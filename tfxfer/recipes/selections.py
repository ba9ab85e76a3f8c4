"""How `train` and `frozen` of a stage are written; what they mean is in `selection` and `outlines`."""

import re
from collections.abc import Sequence
from typing import Literal

Train = Literal["head", "all"] | int | float | str | Sequence[str]
Frozen = int | float | str | Sequence[str]
_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?) ?%")


def selected_nothing(train: Train, frozen: Frozen | None) -> list[str]:
    """Returns what `train` and `frozen` say that can be no part of any network."""
    if frozen is not None and train != "head":
        both = f"train={train!r} and frozen={frozen!r} say the same thing twice"
        return [f"{both}; give frozen and train='head', or train and frozen=None"]
    option, given = ("train", train) if frozen is None else ("frozen", frozen)
    least = 1 if option == "train" else 0
    if isinstance(given, int):
        return [] if given >= least else [f"{option}={given} must be at least {least} group{'s' * (not least)}"]
    if isinstance(given, float):
        inside = 0 < given < 1
        return [] if inside else [f"{option}={given} is a share of the groups and must be between 0 and 1"]
    if isinstance(given, str):
        share = percent(given)
        inside = share is None or 0 < share < 1
        return [] if inside else [f"{option}={given!r} is a share of the weights and must be between 0% and 100%"]
    if not given or not all(isinstance(name, str) and name for name in given):
        return [f"{option}={given!r} must be names, at least one; write train='head' to train the head alone"]
    if "all" in given or len(set(given)) < len(given):
        return [f"{option}={given!r} must name each layer or layer group once; write train='all' for all of them"]
    return []


def names_in(text: str) -> tuple[str, ...]:
    """Returns the names in a text with commas; an expression `re:…` takes all that follows, commas too.

    >>> names_in("stem, layers[3], re:a{1,2}")
    ('stem', 'layers[3]', 're:a{1,2}')
    """
    names, rest = [], text.strip()
    if (rest[:1], rest[-1:]) in (("(", ")"), ("[", "]")):
        rest = rest[1:-1]
    while rest:
        name, _, after = (rest, "", "") if rest.startswith("re:") else rest.partition(",")
        names.append(name.strip())
        rest = after.strip()
    return tuple(name for name in names if name)


def names_or_text(text: str) -> str | tuple[str, ...]:
    """Returns a tuple of names where there are several, which commas say, else the text itself."""
    listed = not text.lstrip().startswith("re:") and "," in text
    return names_in(text) if listed else text


def percent(train: object) -> float | None:
    """Returns the share of the weights that "30%" means, 0.3; None for everything else."""
    match = _PERCENT.fullmatch(train) if isinstance(train, str) else None
    return float(match[1]) / 100 if match else None
