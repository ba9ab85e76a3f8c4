"""Trains a model through the stages of a plan."""

from tfxfer.training.fit import Tell, fit
from tfxfer.training.memory import explained as explained_memory
from tfxfer.training.records import EpochRecord, History, StageRecord

__all__ = ["EpochRecord", "History", "StageRecord", "Tell", "explained_memory", "fit"]
