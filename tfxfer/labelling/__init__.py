"""Labels pictures with a bundle: lines for a terminal, a table, and their features."""

from tfxfer import lazy

_HOMES = {
    "Outputs": "tfxfer.labelling.outputs",
    "choose_outputs": "tfxfer.labelling.outputs",
    "label": "tfxfer.labelling.answering",
    "label_with": "tfxfer.labelling.answering",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)
