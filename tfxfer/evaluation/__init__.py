"""Measures trained networks and draws what was measured."""

from tfxfer.evaluation.bad_images import BAD_IMAGES, bad_images_listed
from tfxfer.evaluation.measure import compare, measure, too_low
from tfxfer.evaluation.plots import draw, draw_confusion, draw_curves, drawing
from tfxfer.evaluation.report import (
    AnyMeasured,
    ClassResult,
    LabelResult,
    LeftOut,
    Measured,
    MeasuredLabels,
    MeasuredNumbers,
    MeasuredOrdinal,
    Origin,
    Parity,
    Report,
    StageSeconds,
    TargetResult,
    Trained,
)
from tfxfer.evaluation.words import headline, lines_of, worst

__all__ = [
    "BAD_IMAGES",
    "AnyMeasured",
    "ClassResult",
    "LabelResult",
    "LeftOut",
    "Measured",
    "MeasuredLabels",
    "MeasuredNumbers",
    "MeasuredOrdinal",
    "Origin",
    "Parity",
    "Report",
    "StageSeconds",
    "TargetResult",
    "Trained",
    "bad_images_listed",
    "compare",
    "draw",
    "draw_confusion",
    "draw_curves",
    "drawing",
    "headline",
    "lines_of",
    "measure",
    "too_low",
    "worst",
]
