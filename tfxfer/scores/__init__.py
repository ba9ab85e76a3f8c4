"""Scores of features and labels, as plain functions on arrays: what a network's features are worth for a task.

    from tfxfer import scores

    features = tfxfer.load_backbone("builtin:efficientnet_lite0", image_size=96).features(images)
    print(scores.classify(features, labels).accuracy)

`classify` and `leave_one_out` give an accuracy, with units: that of a linear or a nearest-neighbour classifier on
frozen features. LogME, the H-score, LEEP and NCE have none; on published benchmarks they order networks no better than
the accuracy on ImageNet does. Nothing here loads TensorFlow.
"""

from tfxfer.scores.curves import Forecast, LearningCurve, learning_curve
from tfxfer.scores.evidence import logme
from tfxfer.scores.hscore import shrunk_h_score
from tfxfer.scores.intervals import Compared, Estimate, accuracy, balanced_accuracy, mean, paired, share
from tfxfer.scores.neighbours import leave_one_out
from tfxfer.scores.permutation import Learnable, learnable
from tfxfer.scores.resampling import bootstrap
from tfxfer.scores.ridge import Probe, Ridge, classify, regress
from tfxfer.scores.similarity import Divergence, divergence, nearest_prototype
from tfxfer.scores.source_head import leep, nce

__all__ = [
    "Compared",
    "Divergence",
    "Estimate",
    "Forecast",
    "Learnable",
    "LearningCurve",
    "Probe",
    "Ridge",
    "accuracy",
    "balanced_accuracy",
    "bootstrap",
    "classify",
    "divergence",
    "learnable",
    "learning_curve",
    "leave_one_out",
    "leep",
    "logme",
    "mean",
    "nce",
    "nearest_prototype",
    "paired",
    "regress",
    "share",
    "shrunk_h_score",
]
