"""What the user decided: the data, the backbone, the head and the stages of training. Pure values.

"auto" stands where tfxfer is to decide; `plans.resolve` replaces every one of them by a value and says why.
"""

from tfxfer.recipes.export import Export
from tfxfer.recipes.inputs import Backbone, Data
from tfxfer.recipes.optimizers import SGD, Adam, Optimizer
from tfxfer.recipes.recipe import PRESETS, ComputePrecision, Preset, Recipe, differences
from tfxfer.recipes.running import Running
from tfxfer.recipes.selections import Frozen, Train, names_in, percent
from tfxfer.recipes.stage import BatchNorm, GroupRates, Schedule, Stage
from tfxfer.recipes.unfreezing import Gradual, Searching, Unfreezing, WhenStalled

__all__ = [
    "PRESETS",
    "SGD",
    "Adam",
    "Backbone",
    "BatchNorm",
    "ComputePrecision",
    "Data",
    "Export",
    "Frozen",
    "Gradual",
    "GroupRates",
    "Optimizer",
    "Preset",
    "Recipe",
    "Running",
    "Schedule",
    "Searching",
    "Stage",
    "Train",
    "Unfreezing",
    "WhenStalled",
    "differences",
    "names_in",
    "percent",
]
