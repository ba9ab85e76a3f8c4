"""Lists the installed sources of backbones and what each has, without loading TensorFlow."""

import dataclasses
import importlib.metadata
import re

from tfxfer import values
from tfxfer.backbones import registry
from tfxfer.backbones.source import Source
from tfxfer.errors import BackboneError, ConfigError, suggest
from tfxfer.facts import BackboneCard


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One backbone that a source lists.

    Attributes:
        card: what is known about it.
        has_weights: whether its pretrained weights are on this machine.
    """

    card: BackboneCard
    has_weights: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """One source.

    Attributes:
        source: what stands before the colon.
        usage: how handles are written whose names cannot be listed; "" where all can.
        entries: by name, numbers in names by their value.
        problems: why the source, or what it lists, cannot be told.
    """

    source: str
    usage: str = ""
    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()


def installed() -> tuple[str, ...]:
    """Returns the names of the installed sources, in the order in which they were installed."""
    points = importlib.metadata.entry_points(group=registry.GROUP)
    return tuple(dict.fromkeys(point.name for point in points))


def list_all(*, present: bool = False) -> tuple[Listing, ...]:
    """Returns what every installed source has; one that cannot be loaded only adds its reason.

    Args:
        present: whether to leave out backbones whose weights are not on this machine.
    """
    return tuple(_listing(source, present=present) for source in installed())


def list_source(source: str, *, present: bool = False) -> Listing:
    """Returns what one source has.

    Raises:
        ConfigError: it is not installed; where `source` is the name of a backbone, the message has its handle.
        BackboneError: the package of the source cannot be imported.
    """
    sources = installed()
    if source not in sources:
        handles = _handles(source)
        meant = f" Did you mean {' or '.join(handles)}?" if handles else suggest(source, sources)
        raise ConfigError(f"there is no source {source!r}.{meant} Sources installed: {', '.join(sources)}.")
    registry.find_source(f"{source}:?")
    return _listing(source, present=present)


def _listing(source: str, *, present: bool) -> Listing:
    try:
        found, _ = registry.find_source(f"{source}:?")
    except BackboneError as error:
        return Listing(source=source, problems=(str(error),))
    try:
        names = sorted(found.names(), key=_by_value)
    except Exception as error:  # whatever the code of a plug-in comes to must not hide the other sources
        return Listing(source=source, usage=found.usage, problems=(f"its names cannot be told: {_short(error)}.",))
    entries, problems = [], []
    for name in names:
        try:
            entries.append(_entry(found, name))
        except Exception as error:
            problems.append(f"{source}:{name} cannot be told: {_short(error)}.")
    kept = tuple(entry for entry in entries if entry.has_weights or not present)
    return Listing(source=source, usage=found.usage, entries=kept, problems=tuple(problems))


def _entry(source: Source, name: str) -> Entry:
    card = source.card(name)
    if not isinstance(card, BackboneCard):
        raise TypeError(f"card() gives a {type(card).__name__}")
    wrong = values.check_fields(card)
    if wrong:
        raise TypeError(f"its card has {'; '.join(wrong)}")
    return Entry(card=card, has_weights=bool(source.has_weights(name)))


def _by_value(name: str) -> list[tuple[int, str]]:
    """Returns a key that puts `resnet18` before `resnet101`."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name.lower())]


def _handles(name: str) -> list[str]:
    """Returns the handles of the backbones called `name`, in whatever case."""
    handles = (entry.card.handle for listing in list_all() for entry in listing.entries)
    return [handle for handle in handles if handle.partition(":")[2].lower() == name.lower()]


def _short(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__
