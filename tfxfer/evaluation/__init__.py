"""Measures trained networks and draws what was measured."""

from tfxfer.evaluation.measure import compare, measure
from tfxfer.evaluation.plots import draw_confusion, draw_curves
from tfxfer.evaluation.report import ClassResult, Measured, Parity, Report, StageSeconds, Trained

__all__ = [
    "ClassResult",
    "Measured",
    "Parity",
    "Report",
    "StageSeconds",
    "Trained",
    "compare",
    "draw_confusion",
    "draw_curves",
    "measure",
]
