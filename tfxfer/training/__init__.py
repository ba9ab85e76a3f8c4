"""Trains a model through the stages of a plan."""

from tfxfer.training.fit import Tell, fit
from tfxfer.training.memory import explained as explained_memory
from tfxfer.training.objectives import check as check_objectives
from tfxfer.training.objectives import measured as asked_score
from tfxfer.training.records import EpochRecord, History, StageRecord

__all__ = [
    "EpochRecord",
    "History",
    "StageRecord",
    "Tell",
    "asked_score",
    "check_objectives",
    "explained_memory",
    "fit",
]
