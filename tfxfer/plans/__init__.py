"""Decides: recipe and facts become a plan. No TensorFlow here."""

from tfxfer.plans.augmentation import choose_augment
from tfxfer.plans.imbalance import ImbalancePlan
from tfxfer.plans.objectives import check_kind, check_objectives
from tfxfer.plans.plan import How, Plan, StageCache, StagePlan, UnfreezingPlan, What, as_before
from tfxfer.plans.resolve import preset_stages, resolve, stages_of
from tfxfer.plans.rules import choose_determinism, choose_image_size

__all__ = [
    "How",
    "ImbalancePlan",
    "Plan",
    "StageCache",
    "StagePlan",
    "UnfreezingPlan",
    "What",
    "as_before",
    "check_kind",
    "check_objectives",
    "choose_augment",
    "choose_determinism",
    "choose_image_size",
    "preset_stages",
    "resolve",
    "stages_of",
]
