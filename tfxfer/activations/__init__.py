"""What is frozen is computed once: cuts of a network, and activations kept at them for all epochs."""

from tfxfer import lazy

_HOMES = {
    "Kept": "tfxfer.activations.kept",
    "cached": "tfxfer.activations.filling",
    "cut_at": "tfxfer.activations.cuts",
    "digest": "tfxfer.activations.cuts",
    "measure": "tfxfer.activations.costs",
    "part": "tfxfer.activations.cuts",
    "suffix": "tfxfer.activations.cuts",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)
