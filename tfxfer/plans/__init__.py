"""Decides: recipe and facts become a plan. No TensorFlow here."""

from tfxfer.plans.plan import How, Plan, StagePlan, What
from tfxfer.plans.resolve import resolve, trained_groups
from tfxfer.plans.rules import choose_image_size

__all__ = ["How", "Plan", "StagePlan", "What", "choose_image_size", "resolve", "trained_groups"]
