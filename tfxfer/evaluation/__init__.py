"""Measures trained networks and draws what was measured."""

from tfxfer.evaluation.measure import compare, measure, too_low
from tfxfer.evaluation.plots import draw_confusion, draw_curves
from tfxfer.evaluation.report import ClassResult, LeftOut, Measured, Origin, Parity, Report, StageSeconds, Trained

__all__ = [
    "ClassResult",
    "LeftOut",
    "Measured",
    "Origin",
    "Parity",
    "Report",
    "StageSeconds",
    "Trained",
    "compare",
    "draw_confusion",
    "draw_curves",
    "measure",
    "too_low",
]
