"""Finds the source that a handle names, among the installed entry points."""

import importlib.metadata

from tfxfer.backbones.source import Source
from tfxfer.errors import BackboneError, ConfigError, choices, suggest
from tfxfer.facts import BackboneCard

GROUP = "tfxfer.backbones"


def find_source(handle: str) -> tuple[Source, str]:
    """Returns the source of a handle and the name behind its first colon.

    Raises:
        ConfigError: the handle names no source, or one that is not installed.
        BackboneError: the package of the source cannot be imported.
    """
    kind, colon, name = handle.partition(":")
    installed = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    sources = f"Sources installed: {', '.join(sorted(installed))}."
    if not colon:
        raise ConfigError(
            f"backbone={handle!r} names no source. Write it as source:name, such as keras:{kind}. {sources}"
        )
    if kind not in installed:
        raise ConfigError(f"backbone={handle!r}: there is no source {kind!r}.{suggest(kind, installed)} {sources}")
    try:
        source = installed[kind].load()
    except Exception as error:
        raise BackboneError(
            f"the source {kind!r} cannot be loaded ({type(error).__name__}: {error}). It comes from the package "
            f"{installed[kind].dist.name if installed[kind].dist else installed[kind].value}: update or remove that."
        ) from error
    if not name:
        has = f"Write {source.usage}." if source.usage else f"{kind} has: {', '.join(source.names())}."
        raise ConfigError(f"backbone={handle!r} names no network. {has}")
    return source, name


def check_name(name: str, names: tuple[str, ...], source: str) -> None:
    """Raises the error of a name that a source does not have.

    Raises:
        ConfigError: `name` is not one of `names`.
    """
    if name not in names:
        there = choices(name, names, "It has:", f"All of them: tfxfer backbones {source}")
        raise ConfigError(f"{source} has no backbone {name!r}.{there}")


def check_takes_pictures(card: BackboneCard) -> None:
    """Refuses a backbone that pictures cannot be given to.

    Raises:
        BackboneError: the card says that it takes something else.
    """
    if card.takes != "images":
        raise BackboneError(
            f"{card.handle} takes {card.takes}, not pictures, so it cannot be trained on them. As a feature extractor: "
            "tfxfer.load_backbone(handle).model."
        )


def check_size(card: BackboneCard, image_size: int) -> None:
    """Refuses a size that the backbone cannot work with.

    Raises:
        ConfigError: `image_size` is below the card's minimum.
    """
    if card.takes == "images" and image_size < card.minimum_size:
        raise ConfigError(
            f"image_size={image_size} is below the {card.minimum_size} pixels that {card.handle} needs at least."
        )
