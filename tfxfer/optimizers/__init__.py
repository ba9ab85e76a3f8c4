"""Differential learning rates: one optimizer, one rate, a share of it for each variable."""

from tfxfer.optimizers.differential import DifferentialLearningRate, of

__all__ = ["DifferentialLearningRate", "of"]
