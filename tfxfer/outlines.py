"""What a name means in a network: the one grammar of freezing, stages, rates and cuts, looked up in an outline.

    head                  the last layer group, where `swap_head` made it; a layer group has any name of `layer_groups`
    stage3.block2         a layer group; `stage3`: all groups of that stage
    block5_conv1          a layer, nested ones included; a nested model: all its layers
    attention/query       a layer within a layer, a nested model, a layer group or a stage
    re:.*_bn$             every layer in whose name, or layer/variable name, the expression is found
    layers[:8]            layers by their position, in Python's notation, as `model.layers[:8]` in a tutorial
    vgg16.layers[:8]      the same within the nested model of that name, exactly its `.layers[:8]`

A name that is both a layer group's and a layer's means the group. Positions are those of the network that a tutorial
counts in: an input layer counts where it stands first, as in `model.layers`; layers of nested models count one by one
in their place, without their inputs; the layer that brings pixels into a backbone's convention does not count. So
`layers[:8]` of VGG16 ends with `block3_conv1` whether the application is the model, lies in a `Sequential`, or came by
`load_backbone`.
"""

import re
from collections.abc import Callable

from tfxfer import blocks
from tfxfer.errors import ConfigError, suggest
from tfxfer.facts import LayerFacts, Outline, VariableFacts

HEAD = "head"
# How the name of the layer begins that brings pixels into a backbone's convention.
PIXEL_CONVENTION = "pixel_convention"
_PATTERN = "re:"
_WITHIN = "/"
_SLICE = re.compile(r"(?:(?P<within>.+)\.)?layers\[(?P<first>(?:-?\d+)?)(?P<colon>:?)(?P<last>(?:-?\d+)?)\]")


def find(outline: Outline, address: str) -> tuple[int, ...]:
    """Returns the numbers of the variables that an address means, ascending; never none.

    Raises:
        ConfigError: nothing is called so, or what is has no variables that gradients can move.
    """
    if not isinstance(address, str):
        raise ConfigError(f"{address!r} is no address. Write the name of a layer group or layer, re:… or layers[…]")
    found = _found(outline, address)
    if not found:
        raise ConfigError(f"{address!r} has no variables that gradients can move, so it can neither train nor rest.")
    return found


def layers(outline: Outline, address: str) -> tuple[int, ...]:
    """Returns the positions in `outline.layers` of the layers that an address means, whatever is in them; never none.

    Raises:
        ConfigError: nothing is called so.
    """
    if is_pattern(address):
        pattern = expression(address)
        found = tuple(at for at, layer in enumerate(outline.layers) if pattern.search(layer.name))
        if not found:
            near = suggest(_word(pattern), [layer.name for layer in outline.layers])
            raise ConfigError(f"{address!r} matches no layer of {outline.name!r}.{near}")
        return found
    wanted = _wanted(outline, address)
    return tuple(at for at, layer in enumerate(outline.layers) if wanted(layer))


def slice_of(outline: Outline, address: str) -> tuple[str, range]:
    """Returns in which network `layers[…]` counts, "" being the whole one, and the positions that it means; never none.

    Raises:
        ConfigError: it is written otherwise, or there are not so many layers.
    """
    match = _SLICE.fullmatch(address)
    if match is None or not (match["colon"] or match["first"]):
        raise ConfigError(
            f"{address!r} is not written as layers[:8], layers[-3:], layers[4:8] or layers[5], without steps."
        )
    within, lengths = match["within"] or "", dict(outline.lengths)
    if within not in lengths:
        _refuse_network(outline, within)
    owner, count = repr(within or outline.name), lengths[within]
    first, last = (int(match[end]) if match[end] else None for end in ("first", "last"))
    if any(not -count <= end <= count for end in (first, last) if end is not None):
        raise ConfigError(f"{address!r} reaches beyond the {count} layers of {owner}.")
    positions = range(count)[first:last] if match["colon"] else range(count)[first : first + 1 or None]
    if not positions:
        raise ConfigError(f"{address!r} means no layer: {owner} has {count}, counted from 0.")
    return within, positions


def expression(address: str) -> re.Pattern:
    """Returns the expression behind `re:`.

    Raises:
        ConfigError: it is none, or empty.
    """
    text = address.removeprefix(_PATTERN)
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ConfigError(f"{address!r} is no regular expression: {error}.") from None
    if not text:
        raise ConfigError(f"{address!r} has no expression behind it: an empty one would match everything.")
    return pattern


def is_pattern(address: str) -> bool:
    """Whether an address is a regular expression, well written or not."""
    return address.startswith(_PATTERN)


def is_slice(address: str) -> bool:
    """Whether an address is meant as positions, well written or not."""
    return not is_pattern(address) and (address.startswith("layers[") or ".layers[" in address)


def path(layer: LayerFacts) -> str:
    """Returns the address of one layer: its group, what holds it, and its name."""
    return _WITHIN.join((layer.group, *layer.within, layer.name))


def variable_name(layer: LayerFacts, variable: VariableFacts) -> str:
    """Returns `layer/variable`, which unlike the path of the variable stays the same when a model is loaded again."""
    return f"{layer.name}{_WITHIN}{variable.name}"


def _found(outline: Outline, address: str) -> tuple[int, ...]:
    if not is_pattern(address) or _groups(outline, address):
        wanted = _wanted(outline, address)
        return tuple(number for number, (layer, _) in enumerate(outline.variables) if wanted(layer))
    pattern = expression(address)
    found = tuple(
        number
        for number, (layer, variable) in enumerate(outline.variables)
        if pattern.search(layer.name) or pattern.search(variable_name(layer, variable))
    )
    if not found:
        names = list(dict.fromkeys(variable_name(layer, variable) for layer, variable in outline.variables))
        near = suggest(_word(pattern), list(dict.fromkeys(layer.name for layer, _ in outline.variables)))
        raise ConfigError(
            f"{address!r} matches no variable of {outline.name!r}.{near} Names are like {', '.join(names[:5])}."
        )
    return found


def _wanted(outline: Outline, address: str) -> Callable[[LayerFacts], bool]:
    """Returns whether a layer is meant by an address that is no expression."""
    groups = _groups(outline, address)
    if groups:
        return lambda layer: layer.group in groups
    inside = _inside(outline, address.split(_WITHIN))
    if any(inside(layer) for layer in outline.layers):
        return inside
    if is_slice(address):
        network, positions = slice_of(outline, address)
        return lambda layer: any(of == network and at in positions for of, at in layer.positions)
    if address == HEAD:  # whatever the last group of someone else's network is called
        return lambda layer: layer.group == outline.groups[-1]
    inner = [name for layer in outline.layers for name in (*layer.within, layer.name)]
    names = [HEAD, *blocks.addressable(outline.groups), *dict.fromkeys(inner)]
    raise ConfigError(
        f"{address!r} is neither a layer group nor a layer of {outline.name!r}.{suggest(address, names)} "
        f"Groups: {', '.join(outline.groups)}. More than one at a time: re:<expression>, layers[:8]."
    )


def _groups(outline: Outline, name: str) -> frozenset[str]:
    """Returns the names of the layer groups that a name of a group or stage means."""
    return frozenset(outline.groups[at] for at in blocks.named(outline.groups, name) or ())


def _inside(outline: Outline, names: list[str]) -> Callable[[LayerFacts], bool]:
    """Returns whether a layer is called by the last of `names`, or lies in one that is, each within the one before."""
    groups = _groups(outline, names[0]) if len(names) > 1 else frozenset()

    def inside(layer: LayerFacts) -> bool:
        if groups and layer.group not in groups:
            return False
        held = iter((*layer.within, layer.name))
        return all(name in held for name in names[bool(groups) :])  # `in` reads on from where it found the last

    return inside


def _word(pattern: re.Pattern) -> str:
    """Returns an expression without what most begin and end with, to find a name that is like it."""
    return pattern.pattern.strip("^$.*")


def _refuse_network(outline: Outline, name: str) -> None:
    nested = [network for network, _ in outline.lengths if network not in ("", outline.name)]
    raise ConfigError(
        f"no model {name!r} is nested in {outline.name!r}.{suggest(name, nested)} "
        + (f"Nested are: {', '.join(nested)}." if nested else "None is: write layers[…] alone.")
    )
