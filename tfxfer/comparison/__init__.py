"""Recipes against each other on the same examples: pretrained against from scratch, or any.

    compared = tfxfer.compare(tfxfer.Recipe(data="folder:photos"), workdir="runs/compared")
    print(compared)

Each is trained with several seeds in a folder of its own by `tfxfer.run`; curves, steps to an accuracy and test
accuracies follow from their reports.
"""

from tfxfer import lazy

_HOMES = {
    "Comparison": "tfxfer.comparison.result",
    "Contender": "tfxfer.comparison.result",
    "Difference": "tfxfer.comparison.result",
    "Outcome": "tfxfer.comparison.result",
    "Point": "tfxfer.comparison.result",
    "Reached": "tfxfer.comparison.result",
    "Spread": "tfxfer.comparison.result",
    "check_asked": "tfxfer.comparison.contenders",
    "compare": "tfxfer.comparison.comparing",
    "contenders_of": "tfxfer.comparison.contenders",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy.attributes(__name__, _HOMES)
