"""Which variables of a model `train=` and `frozen=` mean: decides, changes nothing."""

import itertools
import numbers
import re
from collections.abc import Sequence

from tfxfer import graph, plans
from tfxfer.addressing import Place, Places, is_slice
from tfxfer.errors import BackboneError, ConfigError

_PERCENT = re.compile(r"(-?\d+(?:\.\d+)?) ?%")
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")

Train = int | float | str | Sequence[str]
Frozen = int | float | str | Sequence[str]


def selected(places: Places, train: Train | None, frozen: Frozen | None) -> set[int]:
    """Returns the `id` of every variable that is to train, the head's among them.

    Args:
        places: of the model.
        train: as in `freeze`; exclusive with `frozen`.
        frozen: as in `freeze`.

    Raises:
        ConfigError: both are given, a name means nothing, a pattern matches nothing, or a layer would be torn apart.
        BackboneError: the model has no head, or nothing that could train.
    """
    head = _head(places)
    body = [place for place in places.places if place.group != places.groups[-1].name]
    if train is not None and frozen is not None:
        raise ConfigError(f"train={train!r} and frozen={frozen!r} say the same thing twice. Give one of them.")
    if frozen is None:
        trained = _trained(places, body, "head" if train is None else train)
    else:
        still = {id(place.variable) for place in _frozen(places, body, frozen)}
        trained = [place for place in body if id(place.variable) not in still]
    ids = {id(place.variable) for place in (*trained, *head)}
    _check_whole_layers(places, ids, "train" if frozen is None else "frozen", train if frozen is None else frozen)
    return ids


def _head(places: Places) -> tuple[Place, ...]:
    if len(places.groups) < 2:
        raise BackboneError(
            f"{places.model.name!r} has one layer group only: there is nothing to freeze below its head."
        )
    head = tuple(place for place in places.places if place.group == places.groups[-1].name)
    if not head:
        raise BackboneError(
            f"{places.model.name!r} ends in {places.groups[-1].name!r}, which has no weights, so nothing would be left "
            "to train. Put a head on it: tfxfer.swap_head(model, tfxfer.heads.Linear(outputs=…))."
        )
    return head


def _trained(places: Places, body: list[Place], train: Train) -> Sequence[Place]:
    _check_kind("train", train)
    if isinstance(train, (list, tuple)):
        return _union(places, "train", train)
    share = _percent("train", train)
    if share is not None:
        return body[_cut_by_weight(body, 1 - share) :]
    if train == "head":
        return ()
    if train == "all":
        return body
    if isinstance(train, str):
        found = _at(places, train, "train")
        return found if _is_exact(train) else places.places[_positions(places, found)[0] :]
    if not train > 0 or (not isinstance(train, numbers.Integral) and train >= 1):
        hint = "'head'" if train == 0 else "'all'" if train == 1 else "'head', 'all', 2 or 0.5"
        raise ConfigError(
            f"train={train!r} must be a number of layer groups from 1 on, or a share of them above 0 and below 1. "
            f"Write train={hint}."
        )
    number = int(train) if isinstance(train, numbers.Integral) else float(train)
    names = plans.trained_groups(number, tuple(group.facts for group in places.groups[:-1]))
    return [place for place in body if place.group in names]


def _frozen(places: Places, body: list[Place], frozen: Frozen) -> Sequence[Place]:
    _check_kind("frozen", frozen)
    if isinstance(frozen, (list, tuple)):
        return _below_head(places, _union(places, "frozen", frozen), frozen)
    share = _percent("frozen", frozen)
    if share is not None:
        return body[: _cut_by_weight(body, share)]
    names = [group.name for group in places.groups[:-1]]
    if isinstance(frozen, str):
        if frozen == "all":
            raise ConfigError("frozen='all' would leave nothing to train. Write train='head' to freeze all below it.")
        found = _below_head(places, _at(places, frozen, "frozen"), frozen)
        return found if _is_exact(frozen) else places.places[: _positions(places, found)[-1] + 1]
    whole = isinstance(frozen, numbers.Integral)
    if not (0 <= frozen <= len(names) if whole else 0 < frozen < 1):
        raise ConfigError(
            f"frozen={frozen!r} must be 0 to {len(names)}, as so many layer groups are below the head of "
            f"{places.model.name!r}, or a share of them above 0 and below 1."
        )
    count = int(frozen) if whole else max(1, round(float(frozen) * len(names)))
    return [place for place in body if place.group in names[:count]]


def _check_kind(option: str, value) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number and not isinstance(value, (str, list, tuple)):
        raise ConfigError(
            f"{option}={value!r} must be a number or share of layer groups, a share of the weights such as '30%', a "
            "name, an expression 're:…', 'layers[:8]', or a list of these names."
        )


def _is_exact(address: str) -> bool:
    """Whether it means just what it names; other names mean all above or below, too."""
    return address.startswith("re:") or is_slice(address)


def _positions(places: Places, found: Sequence[Place]) -> list[int]:
    wanted = {id(place.variable) for place in found}
    return [number for number, place in enumerate(places.places) if id(place.variable) in wanted]


def _at(places: Places, address: str, option: str) -> tuple[Place, ...]:
    if isinstance(address, str) and _NUMBER.fullmatch(address):
        raise ConfigError(f"{option}={address!r} is a number in quotes. Write {option}={address} or '{address}%'.")
    try:
        return places.at(address)
    except ConfigError as error:
        raise ConfigError(f"{option}={error}") from None


def _union(places: Places, option: str, addresses: Sequence[str]) -> list[Place]:
    if not addresses:
        raise ConfigError(f"{option}={addresses!r} is empty. To freeze all below the head write train='head'.")
    return [place for address in addresses for place in _at(places, address, option)]


def _below_head(places: Places, found: Sequence[Place], frozen) -> Sequence[Place]:
    """Returns what was found, if it is more than the head, which always trains."""
    head = places.groups[-1].name
    if all(place.group == head for place in found):
        raise ConfigError(
            f"frozen={frozen!r} means the head only, which always trains. Write train='head' to freeze all below it, "
            "or frozen=<name> of a layer below."
        )
    return found


def _percent(option: str, value) -> float | None:
    """Returns a share that was written as percent of the weights."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    if not 0 < float(match[1]) < 100:
        raise ConfigError(
            f"{option}={value!r} is a share of the weights below the head and must be above 0 % and below 100 %. To "
            "train none of them write train='head', all of them train='all'."
        )
    return float(match[1]) / 100


def _unit(place: Place) -> tuple[int, str]:
    """Returns what tells apart the layers, or parts of a layer, that train or stand still as one."""
    return id(place.layer), place.group if isinstance(place.layer, graph.Parted) else ""


def _cut_by_weight(body: list[Place], share: float) -> int:
    """Returns how many places make up `share` of the weights of the body, as nearly as whole layers do.

    Where there is more than one layer, at least one is on either side.
    """
    sums = list(itertools.accumulate(place.variable.value.shape.num_elements() for place in body))
    whole = [number for number in range(1, len(body)) if _unit(body[number]) != _unit(body[number - 1])]
    if not whole:
        raise BackboneError("the network below the head has one layer with weights, so no share of it can be frozen.")
    return min(whole, key=lambda number: abs(sums[number - 1] - share * sums[-1]))


def _check_whole_layers(places: Places, trained: set[int], option: str, value) -> None:
    by_layer: dict[tuple, list[Place]] = {}
    for place in places.places:
        by_layer.setdefault(_unit(place), []).append(place)
    for own in by_layer.values():
        moves = [id(place.variable) in trained for place in own]
        if any(moves) and not all(moves):
            apart = own[moves.index(True)].name, own[moves.index(False)].name
            raise ConfigError(
                f"{option}={value!r} would train {apart[0]} and freeze {apart[1]}. A layer freezes as a whole: write "
                "an expression that is found in the layer's name."
            )
