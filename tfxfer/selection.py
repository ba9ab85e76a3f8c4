"""What `train=` and `frozen=` mean in a network: decides on its outline, for stages of a recipe and for `freeze`."""

import itertools
import numbers
import re
from collections.abc import Sequence

from tfxfer import outlines
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.facts import LayerFacts, Outline
from tfxfer.recipes import Frozen, Train, percent

_NUMBER = re.compile(r"-?\d+(?:\.\d*)?")


def selected(outline: Outline, train: Train | None, frozen: Frozen | None) -> frozenset[int]:
    """Returns the numbers of the variables that are to train, the head's among them.

    Args:
        outline: of a network whose last layer group is its head.
        train: as in `freeze`; exclusive with `frozen`. The head alone if neither is given.
        frozen: as in `freeze`.

    Raises:
        ConfigError: both are given, a name means nothing, a pattern matches nothing, or a layer would be torn apart.
        BackboneError: the network has no head, or nothing that could train.
    """
    head = _head(outline)
    body = [number for number in range(len(outline.variables)) if number not in head]
    if train is not None and frozen is not None:
        raise ConfigError(f"train={train!r} and frozen={frozen!r} say the same thing twice. Give one of them.")
    if frozen is None:
        trained = _trained(outline, body, "head" if train is None else train)
    else:
        trained = set(body).difference(_frozen(outline, body, frozen))
    chosen = head.union(trained)
    _check_whole_layers(outline, chosen, "train" if frozen is None else "frozen", train if frozen is None else frozen)
    return chosen


def _head(outline: Outline) -> frozenset[int]:
    if len(outline.groups) < 2:
        raise BackboneError(f"{outline.name!r} has one layer group only: there is nothing to freeze below its head.")
    head = frozenset(_of_groups(outline, outline.groups[-1:]))
    if not head:
        raise BackboneError(
            f"{outline.name!r} ends in {outline.groups[-1]!r}, which has no weights, so nothing would be left to "
            "train. Put a head on it: tfxfer.swap_head(model, tfxfer.heads.Linear(outputs=…))."
        )
    return head


def _trained(outline: Outline, body: list[int], train: Train) -> Sequence[int]:
    _check_kind("train", train)
    if isinstance(train, (list, tuple)):
        return _union(outline, "train", train)
    share = _percent("train", train)
    if share is not None:
        return body[_cut_by_weight(outline, body, 1 - share) :]
    if train == "head":
        return ()
    if train == "all":
        return body
    if isinstance(train, str):
        found = _at(outline, train, "train")
        return found if _is_exact(train) else range(found[0], len(outline.variables))
    whole = isinstance(train, numbers.Integral)
    if not train > 0 or (not whole and train >= 1):
        hint = "'head'" if train == 0 else "'all'" if train == 1 else "'head', 'all', 2 or 0.5"
        raise ConfigError(
            f"train={train!r} must be a number of layer groups from 1 on, or a share of them above 0 and below 1. "
            f"Write train={hint}."
        )
    below = outline.groups[:-1]
    if train > len(below):
        raise ConfigError(
            f"train={train} asks for more layer groups than the {len(below)} there are. "
            f"Write train=all, or at most train={len(below)}."
        )
    return _of_groups(outline, below[-(int(train) if whole else _share_of(below, train)) :])


def _frozen(outline: Outline, body: list[int], frozen: Frozen) -> Sequence[int]:
    _check_kind("frozen", frozen)
    if isinstance(frozen, (list, tuple)):
        return _below_head(outline, _union(outline, "frozen", frozen), frozen)
    share = _percent("frozen", frozen)
    if share is not None:
        return body[: _cut_by_weight(outline, body, share)]
    if isinstance(frozen, str):
        if frozen == "all":
            raise ConfigError("frozen='all' would leave nothing to train. Write train='head' to freeze all below it.")
        found = _below_head(outline, _at(outline, frozen, "frozen"), frozen)
        return found if _is_exact(frozen) else range(found[-1] + 1)
    below, whole = outline.groups[:-1], isinstance(frozen, numbers.Integral)
    if not (0 <= frozen <= len(below) if whole else 0 < frozen < 1):
        raise ConfigError(
            f"frozen={frozen!r} must be 0 to {len(below)}, as so many layer groups are below the head of "
            f"{outline.name!r}, or a share of them above 0 and below 1."
        )
    return _of_groups(outline, below[: int(frozen) if whole else _share_of(below, frozen)])


def _check_kind(option: str, value) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number and not isinstance(value, (str, list, tuple)):
        raise ConfigError(
            f"{option}={value!r} must be a number or share of layer groups, a share of the weights such as '30%', a "
            "name, an expression 're:…', 'layers[:8]', or a list of these names."
        )


def _is_exact(address: str) -> bool:
    """Whether it means just what it names; other names mean all above or below, too."""
    return outlines.is_pattern(address) or outlines.is_slice(address)


def _of_groups(outline: Outline, names: Sequence[str]) -> list[int]:
    return [number for number, (layer, _) in enumerate(outline.variables) if layer.group in names]


def _share_of(groups: Sequence[str], share: float) -> int:
    """Returns how many groups a share of them is, one at least."""
    return max(1, round(float(share) * len(groups)))


def _at(outline: Outline, address: str, option: str) -> tuple[int, ...]:
    if isinstance(address, str) and _NUMBER.fullmatch(address):
        raise ConfigError(f"{option}={address!r} is a number in quotes. Write {option}={address} or '{address}%'.")
    try:
        return outlines.find(outline, address)
    except ConfigError as error:
        raise ConfigError(f"{option}={error}") from None


def _union(outline: Outline, option: str, addresses: Sequence[str]) -> list[int]:
    if not addresses:
        raise ConfigError(f"{option}={addresses!r} is empty. To freeze all below the head write train='head'.")
    return [number for address in addresses for number in _at(outline, address, option)]


def _below_head(outline: Outline, found: Sequence[int], frozen: Frozen) -> Sequence[int]:
    """Returns what was found, if it is more than the head, which always trains."""
    if all(outline.variables[number][0].group == outline.groups[-1] for number in found):
        raise ConfigError(
            f"frozen={frozen!r} means the head only, which always trains. Write train='head' to freeze all below it, "
            "or frozen=<name> of a layer below."
        )
    return found


def _percent(option: str, value) -> float | None:
    """Returns a share that was written as percent of the weights."""
    share = percent(value)
    if share is not None and not 0 < share < 1:
        raise ConfigError(
            f"{option}={value!r} is a share of the weights below the head and must be above 0 % and below 100 %. To "
            "train none of them write train='head', all of them train='all'."
        )
    return share


def _cut_by_weight(outline: Outline, body: list[int], share: float) -> int:
    """Returns how many variables make up `share` of the weights of the body, as nearly as whole layers do.

    Batch norm goes with the layer before it: alone it could not train where it is frozen by its mode. Where there is
    more than one layer, at least one is on either side.
    """
    own = [outline.variables[number] for number in body]
    sums = list(itertools.accumulate(variable.size for _, variable in own))
    whole = [at for at in range(1, len(own)) if own[at][0] is not own[at - 1][0] and not _is_batch_norm(own[at][0])]
    if not whole:
        raise BackboneError("the network below the head has one layer with weights, so no share of it can be frozen.")
    return min(whole, key=lambda count: abs(sums[count - 1] - share * sums[-1]))


def _is_batch_norm(layer: LayerFacts) -> bool:
    return all(variable.batch_norm for variable in layer.variables)


def _check_whole_layers(outline: Outline, trained: frozenset[int], option: str, value) -> None:
    for _, own in itertools.groupby(enumerate(outline.variables), key=lambda item: id(item[1][0])):
        variables = list(own)
        moves = [number in trained for number, _ in variables]
        if any(moves) and not all(moves):
            apart = [outlines.variable_name(*variables[moves.index(moved)][1]) for moved in (True, False)]
            raise ConfigError(
                f"{option}={value!r} would train {apart[0]} and freeze {apart[1]}. A layer freezes as a whole: write "
                "an expression that is found in the layer's name."
            )
