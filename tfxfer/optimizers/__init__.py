"""Differential learning rates: one optimizer, one rate, a share of it for each variable."""

from tfxfer.optimizers.differential import DifferentialLearningRate, of
from tfxfer.optimizers.loss_scaling import LossScaling

__all__ = ["DifferentialLearningRate", "LossScaling", "of"]
