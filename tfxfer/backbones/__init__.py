"""Backbones from anywhere. What is known about one is told without Keras; loading one needs it."""

from tfxfer import lazy
from tfxfer.backbones.registry import check_size, check_takes_pictures, find_source
from tfxfer.facts import BackboneCard

__all__ = [
    "Backbone",
    "Request",
    "Source",
    "card",
    "check_size",
    "check_takes_pictures",
    "in_precision",
    "inspect",
    "load_backbone",
    "load_classifier",
    "weights_digest",
]

_HOMES = {
    "Backbone": "tfxfer.backbones.source",
    "Request": "tfxfer.backbones.source",
    "Source": "tfxfer.backbones.source",
    "in_precision": "tfxfer.backbones.precision",
    "inspect": "tfxfer.backbones.loading",
    "load_backbone": "tfxfer.backbones.loading",
    "load_classifier": "tfxfer.backbones.loading",
    "weights_digest": "tfxfer.backbones.loading",
}
__getattr__, _ = lazy.attributes(__name__, _HOMES)


def card(handle: str) -> BackboneCard:
    """Returns what is known about the backbone `handle` without building it.

    Raises:
        ConfigError: no such source or name; the message lists those there are.
    """
    source, name = find_source(handle)
    return source.card(name)
