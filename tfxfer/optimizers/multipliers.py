"""Which share of the learning rate each variable gets: mappings from names to numbers, and what makes them.

A mapping covers every variable that gradients can move, frozen ones too, for they may wake: the rest is written out,
`{"head": 1.0, "stage4": 0.3, "...": 0.1}`, never assumed. Names are those of `addressing`.
"""

import math
import numbers
from collections.abc import Callable, Mapping

import keras

from tfxfer import addressing, graph
from tfxfer.errors import ConfigError

REST = "..."
_SAME_AS_REST = (REST, "…", Ellipsis)
# 12: the layers of ViT-B, for which layer decay is quoted.
_DEPTH_OF_DECAY = 12

Multipliers = Mapping[str, float] | Callable[[keras.Variable], float]


def layer_decay(model: keras.Model, decay: float = 0.75, *, floor: float = 1e-3) -> dict[str, float]:
    """Returns multipliers that fall from the head to the input, normalised by depth.

    A group at relative depth d (0 the first, 1 the head) gets max(floor, decay^(12·(1−d))), so that 0.75 means the
    same in every network. BEiT, MAE and timm decay for each of the 12 blocks of a ViT-B (MAE 0.65, timm 0.75).

    >>> layer_decay(model, 0.8)
    {'stem': 0.0687..., 'stage1.block1': 0.0823..., ..., 'head': 1.0}

    Args:
        model: built, functional or sequential.
        decay: 0 < decay ≤ 1.
        floor: the least, 0 < floor ≤ 1.

    Raises:
        ConfigError: a number out of its range.
    """
    _check("decay", decay)
    _check("floor", floor)
    names = _group_names(model)
    last = max(1, len(names) - 1)
    return {name: max(floor, decay ** (_DEPTH_OF_DECAY * (1 - index / last))) for index, name in enumerate(names)}


def head_to_body(model: keras.Model, ratio: float = 10.0) -> dict[str, float]:
    """Returns 1 for the head and 1/ratio for everything below it.

    10 is the practice of TLLib and of Kumar et al.; Caffe's 10 for a new layer and 0.1 for old ones is 100.

    Args:
        model: built, functional or sequential.
        ratio: ≥ 1.

    Raises:
        ConfigError: a ratio below 1.
    """
    if not (_is_number(ratio) and 1 <= ratio < math.inf):
        raise ConfigError(f"ratio={ratio!r} must be a number of at least 1: the head's rate over the body's.")
    *body, head = _group_names(model)
    return {head: 1.0} | ({REST: 1 / ratio} if body else {})


def slices(model: keras.Model, lowest: float, highest: float = 1.0) -> dict[str, float]:
    """Returns multipliers that grow by one factor from group to group, from `lowest` to `highest` at the head.

    As fastai's `slice(lowest, highest)` does for rates, over all layer groups.

    Args:
        model: built, functional or sequential.
        lowest: of the first group, 0 < lowest ≤ highest.
        highest: of the head, ≤ 1.

    Raises:
        ConfigError: a number out of its range.
    """
    _check("highest", highest)
    _check("lowest", lowest, highest)
    names = _group_names(model)
    last = max(1, len(names) - 1)
    return {name: highest * (lowest / highest) ** (1 - index / last) for index, name in enumerate(names)}


def ulmfit(model: keras.Model, factor: float = 2.6, *, floor: float = 1e-3) -> dict[str, float]:
    """Returns multipliers that fall by `factor` from group to group below the head.

    Howard and Ruder 2018 found 2.6 for a language model of four groups. Vision networks have more, so that `floor`
    holds the lowest: a variable below a thousandth of the rate does not move within a run.

    Args:
        model: built, functional or sequential.
        factor: ≥ 1.
        floor: the least, 0 < floor ≤ 1.

    Raises:
        ConfigError: a number out of its range.
    """
    if not (_is_number(factor) and 1 <= factor < math.inf):
        raise ConfigError(f"factor={factor!r} must be a number of at least 1: a group's rate over that below it.")
    _check("floor", floor)
    names = _group_names(model)
    return {name: max(floor, factor ** (index - len(names) + 1)) for index, name in enumerate(names)}


def resolved(
    multipliers: Mapping[str, float], model: keras.Model, highest: float = 1.0
) -> list[tuple[keras.Variable, float, str]]:
    """Returns each variable of `model` that gradients can move, its multiplier, and the name it goes by.

    The name is the one in the mapping, or the variable's layer group where that is "...". No multiplier is above
    `highest`.

    Raises:
        ConfigError: a variable without a rule or with two, a rule without variables, or a number out of range.
    """
    places = addressing.Places(model)
    rules = _rules(multipliers, highest)
    chosen: dict[int, str] = {}
    for name in (name for name in rules if name != REST):
        for place in places.at(name):
            other = chosen.setdefault(id(place.variable), name)
            if other != name:
                raise ConfigError(
                    f"multipliers: {place.name} is meant by two rules, {other!r} and {name!r}. Leave one of them out, "
                    "or write names that do not overlap."
                )
    rest = [place for place in places.places if id(place.variable) not in chosen]
    if rest and REST not in rules:
        some = ", ".join(dict.fromkeys(place.group for place in rest))
        raise ConfigError(
            f"multipliers: no rule for {len(rest)} of {len(places.places)} variables, such as {rest[0].name}, in the "
            f'groups {some}. Write the rest out: {{…, "...": 0.1}}, also for what is frozen now, which may wake.'
        )
    if REST in rules and not rest:
        raise ConfigError('multipliers: "..." is left with no variable: the other rules cover all. Leave it out.')
    return [
        (
            place.variable,
            rules[chosen.get(id(place.variable), REST)],
            chosen.get(id(place.variable), place.group),
        )
        for place in places.places
    ]


def checked(value: float, what: str, highest: float = 1.0) -> float:
    """Returns a multiplier as a float.

    Raises:
        ConfigError: it is not above 0 and at most `highest`.
    """
    if _is_number(value) and value == 0:
        raise ConfigError(f"{what}=0 would train without moving. Freeze it instead: tfxfer.freeze(model, …).")
    _check(what, value, highest)
    return float(value)


def checked_highest(highest: float) -> float:
    """Returns the highest multiplier that there may be as a float.

    Raises:
        ConfigError: it is not a number of at least 1.
    """
    if not (_is_number(highest) and highest >= 1):
        raise ConfigError(
            f"highest={highest!r} must be a finite number of at least 1, the multiplier of `learning_rate`."
        )
    return float(highest)


def _rules(multipliers: Mapping[str, float], highest: float) -> dict[str, float]:
    rules: dict[str, float] = {}
    for name, value in multipliers.items():
        known = REST if name in _SAME_AS_REST else name
        if known in rules:
            raise ConfigError('multipliers: the rest is written twice, "..." and "…" mean the same. Leave one out.')
        rules[known] = checked(value, f"multipliers[{name!r}]", highest)
    return rules


def _check(what: str, value: float, most: float = 1.0) -> None:
    if not (_is_number(value) and 0 < value <= most):
        raise ConfigError(f"{what}={value!r} must be a finite number above 0 and at most {most:g}.")


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _group_names(model: keras.Model) -> list[str]:
    """Returns the layer groups in which gradients can move anything; to others no multiplier can be given."""
    return [group.name for group in graph.layer_groups(model) if group.trainable_variables]
