"""Measures trained networks and draws what was measured."""

from tfxfer.evaluation.asked import asked_scores
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
from tfxfer.evaluation.told import TOLD, Told, read_told, write_told
from tfxfer.evaluation.words import headline, lines_of, worst

__all__ = [
    "BAD_IMAGES",
    "TOLD",
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
    "Told",
    "Trained",
    "asked_scores",
    "bad_images_listed",
    "compare",
    "draw",
    "draw_confusion",
    "draw_curves",
    "drawing",
    "headline",
    "lines_of",
    "measure",
    "read_told",
    "too_low",
    "worst",
    "write_told",
]
