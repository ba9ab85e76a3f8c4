"""Measures trained networks and draws what was measured."""

from tfxfer.evaluation.bad_images import BAD_IMAGES, bad_images_listed
from tfxfer.evaluation.measure import compare, measure, too_low
from tfxfer.evaluation.plots import draw_confusion, draw_curves
from tfxfer.evaluation.report import ClassResult, LeftOut, Measured, Origin, Parity, Report, StageSeconds, Trained

__all__ = [
    "BAD_IMAGES",
    "ClassResult",
    "LeftOut",
    "Measured",
    "Origin",
    "Parity",
    "Report",
    "StageSeconds",
    "Trained",
    "bad_images_listed",
    "compare",
    "draw_confusion",
    "draw_curves",
    "measure",
    "too_low",
]
