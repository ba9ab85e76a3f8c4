"""What people see of the sources and of one backbone: text as wide as it must be, and the same as plain values."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rich.console
import rich.table
import rich.text

from tfxfer.catalogue.listing import Listing
from tfxfer.display import clean
from tfxfer.facts import BackboneCard

if TYPE_CHECKING:
    from tfxfer.catalogue.description import Description, GroupLine, Shape

_UNKNOWN = "–"
# Wider than any table, so that nothing is cut where nobody folds it.
_NO_LIMIT = 10_000
_TAKES = {
    "images": "pictures",
    "text": "text: strings [batch]",
    "video": "video: pictures [batch, frames, height, width, 3]",
    "other": "neither pictures, text nor video",
}
_NUMBERS = ("native_size", "minimum_size", "feature_channels", "parameters", "groups", "top1")


def listing_text(listings: Sequence[Listing]) -> str:
    """Returns the table of all backbones, one a line and none cut, then what the tables cannot hold."""
    rows = [entry for listing in listings for entry in listing.entries]
    table = _table("handle", ("para-\nmeters", "size\n(px)", "layer\ngroups", "fea-\ntures", "top-1\n%"))
    table.add_column("licence")
    table.add_column("here")
    for entry in rows:
        card = entry.card
        size = str(card.native_size) if card.native_size else _UNKNOWN
        table.add_row(
            *_texts(
                card.handle,
                _short_count(card.parameters),
                size,
                str(card.groups or _UNKNOWN),
                str(card.feature_channels or _UNKNOWN),
                f"{card.top1:.1f}" if card.top1 else _UNKNOWN,
                card.license if card.license != "unknown" else _UNKNOWN,
                "yes" if entry.has_weights else "no",
            )
        )
    parts = [_rendered(table)] if rows else []
    notes = [clean(listing.usage) for listing in listings if listing.usage]
    if notes:
        parts.append("\n".join(["handles to complete:", *(f"  {note}" for note in notes)]) + "\n")
    troubles = [
        f"  {clean(listing.source)}: {clean(text)}" for listing in listings for text in listing.problems
    ]  # fmt: skip
    if troubles:
        parts.append("\n".join(["cannot be listed:", *troubles]) + "\n")
    if rows:
        parts.append("here: pretrained weights on this machine. More of one: tfxfer backbones <handle>\n")
    elif not troubles:
        parts.insert(0, "no backbone that can be listed.\n")
    return "\n".join(parts)


def description_text(description: Description, *, layers: bool = False, width: int | None = None) -> str:
    """Returns the card of a backbone and the table of its layer groups.

    Args:
        description: of the backbone.
        layers: whether to give each layer a line.
        width: of the terminal, in characters; names of layers are folded there. None for none.
    """
    facts, card = description.facts, description.facts.card
    grid = rich.table.Table.grid(padding=(0, 2))
    for name, text in _card_rows(description):
        grid.add_row(name, rich.text.Text(clean(text)))
    title = f"{len(facts.groups)} layer groups" + (
        f" at {facts.image_size}×{facts.image_size} pixels, input first:"
        if card.takes == "images"
        else ", input first:"
    )
    table = _table("group", ())
    table.columns[0].no_wrap = not layers
    table.add_column("layers", justify="left" if layers else "right", no_wrap=True)
    if not layers:
        table.add_column("first … last", overflow="fold")
    for name in ("parameters", "output"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("cut", no_wrap=True)
    for group in description.groups:
        _add_group(table, group, layers=layers)
    return "\n".join(
        [
            f"{clean(card.handle)}\n{_rendered(grid, width)}",
            f"{title}\n\n{_rendered(table, width)}",
            _sums(facts.groups),
        ]
    )


def listing_values(listings: Sequence[Listing]) -> dict[str, Any]:
    """Returns the same as `listing_text` shows as values for JSON; what is not known is None."""
    return {
        "sources": [
            {
                "source": listing.source,
                "usage": listing.usage or None,
                "problems": list(listing.problems),
                "backbones": [
                    {**_card_values(entry.card), "has_weights": entry.has_weights} for entry in listing.entries
                ],
            }
            for listing in listings
        ]
    }


def description_values(description: Description) -> dict[str, Any]:
    """Returns the same as `description_text` shows as values for JSON; what is not known is None."""
    facts = description.facts
    return {
        **_card_values(facts.card),
        "has_weights": description.has_weights,
        "weights": facts.weights,
        "image_size": facts.image_size or None,
        "input_shape": list(description.input_shape),
        "feature_channels": facts.feature_channels,
        "parameters": sum(group.parameters + group.statistics for group in facts.groups),
        "groups": [
            {
                **dataclasses.asdict(group.facts),
                "output_shapes": [list(shape) for shape in group.shapes],
                "layers": [dataclasses.asdict(layer) for layer in group.layers],
            }
            for group in description.groups
        ],
    }


def _card_values(card: BackboneCard) -> dict[str, Any]:
    values = dataclasses.asdict(card)
    unknown = {name: None for name in _NUMBERS if not values[name]}
    return {**values, **unknown, "top1_source": card.top1_source or None}


def _card_rows(description: Description) -> list[tuple[str, str]]:
    facts, card = description.facts, description.facts.card
    size = f"made for {card.native_size}×{card.native_size} pixels, at least {card.minimum_size}×{card.minimum_size}"
    parameters = sum(group.parameters + group.statistics for group in facts.groups)
    absent = "not on this machine; random ones are in the network below, which has the same shapes"
    return [
        ("origin", card.origin),
        ("licence", card.license),
        ("takes", f"{_TAKES[card.takes]}, here {_shape_text(description.input_shape) or 'one each'}"),
        ("pixels", card.pixels),
        ("size", size if card.native_size else _UNKNOWN),
        ("features", f"{facts.feature_channels:,}"),
        ("parameters", f"{parameters:,}"),
        ("top-1", f"{card.top1:g} % on ImageNet-1k ({card.top1_source or 'unsourced'})" if card.top1 else _UNKNOWN),
        ("weights", "on this machine" if description.has_weights else absent),
    ]


def _add_group(table: rich.table.Table, group: GroupLine, *, layers: bool) -> None:
    facts = group.facts
    names = [layer.name for layer in group.layers]
    span = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}" if names else _UNKNOWN
    outputs = " + ".join(_shape_text(shape) for shape in group.shapes) or _UNKNOWN
    counted = [str(facts.layers)] if layers else [str(facts.layers), span]
    parameters = f"{facts.parameters + facts.statistics:,}"
    table.add_row(*_texts(facts.name, *counted, parameters, outputs, "yes" if facts.legal_cut else "no"))
    if layers:
        for layer in group.layers:
            shape = _UNKNOWN if layer.shape is None else _shape_text(layer.shape)
            table.add_row(*_texts(f"  {layer.name}", layer.kind, f"{layer.parameters:,}", shape, ""))


def _sums(groups) -> str:
    statistics = sum(group.statistics for group in groups)
    if not statistics:
        return "cut: whether the network can be cut behind the group.\n"
    return (
        "cut: whether the network can be cut behind the group.\n"
        f"{statistics:,} of the parameters are statistics of batch norm, which no gradient moves.\n"
    )


def _table(first: str, numbers: Sequence[str]) -> rich.table.Table:
    table = rich.table.Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column(first, no_wrap=True, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _texts(*words: str) -> list[rich.text.Text]:
    return [rich.text.Text(clean(word)) for word in words]


def _rendered(table: rich.table.Table, width: int | None = None) -> str:
    console = rich.console.Console(file=io.StringIO(), width=width or _NO_LIMIT, color_system=None, highlight=False)
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())


def _shape_text(shape: Shape) -> str:
    return "×".join("?" if extent is None else str(extent) for extent in shape)


def _short_count(count: int) -> str:
    """Returns a number of parameters in millions, or as it is below a tenth of one."""
    if not count:
        return _UNKNOWN
    return f"{count / 1e6:.1f}M" if count >= 100_000 else f"{count:,}"
