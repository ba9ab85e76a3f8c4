"""Finds a learning rate: trains for some steps with a growing rate, looks where the loss falls, and puts all back."""

from tfxfer import lazy

_HOMES = {
    "RateSweep": "tfxfer.lr_finder.result",
    "StageSweep": "tfxfer.lr_finder.of_stage",
    "Suggestion": "tfxfer.lr_finder.suggestions",
    "find_learning_rate": "tfxfer.lr_finder.sweep",
    "sweep_stage": "tfxfer.lr_finder.of_stage",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)
