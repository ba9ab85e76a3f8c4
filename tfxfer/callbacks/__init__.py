"""Callbacks for anyone's `fit`."""

from tfxfer.callbacks.auto_rgn import AutoRGN
from tfxfer.callbacks.batch_norm_drift import BatchNormDrift, BatchNormDriftWarning, Drift
from tfxfer.callbacks.events import Events
from tfxfer.callbacks.freeze_guard import FreezeGuard
from tfxfer.callbacks.gradual_unfreezing import Change, GradualUnfreezing

__all__ = [
    "AutoRGN",
    "BatchNormDrift",
    "BatchNormDriftWarning",
    "Change",
    "Drift",
    "Events",
    "FreezeGuard",
    "GradualUnfreezing",
]
