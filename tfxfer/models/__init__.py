"""Networks: heads on backbones, which variables train, and at which share of the learning rate."""

from tfxfer.models.batch_norm import StoredStatistics, with_stored_statistics
from tfxfer.models.freezing import Frozen, freeze
from tfxfer.models.heads import pooled_features, swap_head
from tfxfer.models.rates import DifferentialSGD, warmup_cosine

__all__ = [
    "DifferentialSGD",
    "Frozen",
    "StoredStatistics",
    "freeze",
    "pooled_features",
    "swap_head",
    "warmup_cosine",
    "with_stored_statistics",
]
